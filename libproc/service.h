/* What this process is as a daemon. */
#ifndef LIBPROC_SERVICE_H
#define LIBPROC_SERVICE_H

#include <proc/daemon.h>

#include "ends.h"
#include "pidfile.h"
#include "stream_files.h"

/* There is one in a process; the strings are its own. */
struct service {
    pid_t pid; /* 0: there is none */
    char *cwd;
    char *pidfile_paths[2]; /* its own, and the one beside */
    char *stream_paths[2];  /* of out and err */
    struct stream_files streams;
    struct pidfile pidfile;
    struct ends ends;
};

/* Takes the paths, as they are seen from here, and the pidfile. NULL with errno. EALREADY: there is one. */
struct service *service_begin(const struct proc_daemon_options *options);

/* Gives it all back: there is none, after all. Keeps errno. */
void service_end(struct service *service);

/* NULL: this process is no daemon, though its parent may be one. */
struct service *service_here(void);

/* The files of the daemon that this process is, or is a child of. */
const struct stream_files *service_streams(void);

/* What this thread forks from now on is the daemon, and not a child of it; until one of these says that it is the daemon. */
void service_departs(void);
void service_arrives(struct service *service);

/* The process that it has left is none any more: what it holds is its to give up. */
void service_has_left(struct service *service);

/* Lets the process be as the options say. 0, or -errno: *what has failed then; what can be put back is put back. silent: streams
 * without a file are /dev/null. */
long service_settle(struct service *service, mode_t umask, bool silent, const char **what);

#endif
