/* A child in the making: everything that is worked out and opened before there is one. */
#ifndef LIBPROC_LAUNCH_H
#define LIBPROC_LAUNCH_H

#include "ends.h"
#include "fd_map.h"
#include "process_state.h"
#include "search.h"
#include "signals.h"

/* What the child says of its set-up: in shared memory, or through the END_REPORT of a forked one. */
struct report {
    pid_t pid; /* of the child proper, where another process stands between */
    int error; /* 0: all went well */
    const char *step;
};

struct redirect {
    const char *path; /* NULL: none */
    int flags;
};

/* What a callback child does besides, each with the options' arg; NULL: nothing. */
struct launch_hooks {
    void (*keep)(void *arg);    /* before others' descriptors are closed: ends_keep */
    void (*prepare)(void *arg); /* while all signals are blocked */
};

struct launch {
    struct proc_options options;
    struct proc *proc; /* what becomes of it */
    struct ends ends;  /* the child's side, open here until the child has it */
    struct fd_map map;
    struct redirect redirects[3];
    char **environment; /* NULL: the caller's, as it is */
    struct search search;
    pid_t parent;
    int pidfd;             /* of the child, as the kernel gave it; -1: none */
    bool asks_for_own_ids; /* of a caller without privilege: nothing is to be done */
    bool shares_table;     /* the child starts with the parent's descriptor table */
    bool joins_cgroup;     /* the child puts itself into the cgroup */
    bool handlers_cleared; /* by the kernel, at birth */
    struct launch_hooks hooks;
    struct report report;
};

/* Checks the options and prepares all that can be prepared here. -1 with errno and the step; to be released all the same. */
int launch_plan(struct launch *launch, const struct proc_options *options);

/* Frees and closes what is left. Without `proc` taken out, that too. Keeps errno. */
void launch_release(struct launch *launch);

/* Whether the child has anything to do, and to report, before it runs main. */
bool launch_has_set_up(const struct launch *launch);

/* Renumbers one of the child's ends if something is to be mapped onto its number. */
int launch_keep_clear(struct launch *launch, enum end end);

/* Start the child: by clone in shared memory, or by fork. -1 with errno and the step, and no child. */
int launch_program(struct launch *launch);
int launch_forked(struct launch *launch);

#endif
