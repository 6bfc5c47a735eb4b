/* What is known of a child: the inside of struct proc. */
#ifndef LIBPROC_PROCESS_STATE_H
#define LIBPROC_PROCESS_STATE_H

#include "ends.h"

#include <proc/process.h>

/* Who wants to know that the child is waited for or freed: the waiter that it is in. */
struct observer {
    void (*let_go)(struct observer *observer);
};

struct proc {
    struct ends ends; /* this side's; in the child's own view END_OUT is what it reads and END_IN what it writes */
    pid_t pid;
    pid_t owner; /* the process that started it; any other one leaves the child alone */
    bool is_self;
    bool detached;
    bool leads_group; /* its group's number is its pid */
    bool has_pty;
    bool pidfd_asked_for;
    bool reaped;               /* `exit` is final */
    struct observer *observer; /* NULL: none. As long as there is one, the pidfd stays open */
    enum proc_channel channel;
    bool reading_closed, writing_closed; /* halves of the channel */
    bool line_open;                      /* the last thing written to the terminal did not end a line */
    int timeout_ms;
    int64_t started_ns, ended_ns; /* ended: as first seen; 0: not yet */
    struct proc_exit exit;
    bool communicated; /* proc_communicate has been called */
    char *unsent;      /* input that it could not feed in time */
    size_t unsent_size;
};

struct proc *process_new(const struct proc_options *options, pid_t owner);

/* The child exists. Takes the pidfd over, if there is one (-1: none). */
void process_started(struct proc *proc, pid_t pid, int pidfd);

/* In a callback child: what was to be the parent's view becomes the child's own. Takes its end of the channel over. */
void process_become_self(struct proc *proc, int channel, const struct proc_options *options);

/* The pidfd, opened now if it is not open yet; -1 with errno. */
int process_pidfd(struct proc *proc);

/* Closes the pidfd of a child that was reaped, unless it is still needed. */
void process_drop_pidfd(struct proc *proc);

/* The observer, if there is one, lets go of the child. */
void process_leave_observer(struct proc *proc);

/* Closes and frees what belongs to the object; the child is nobody's matter here. Accepts NULL. */
void process_discard(struct proc *proc);

#endif
