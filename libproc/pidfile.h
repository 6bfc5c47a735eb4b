/* A file that says which process is the daemon, as long as it is. */
#ifndef LIBPROC_PIDFILE_H
#define LIBPROC_PIDFILE_H

#include "ends.h"

/* Zero it. The strings are absolute, and the owner's. */
struct pidfile {
    const char *path;   /* NULL: there is none */
    const char *beside; /* where it is made ready */
};

/* Who holds it: its number. -1 with errno: ENOENT, ESRCH. */
pid_t pidfile_read(const char *path);

/* Takes the path for this process, or the one that it will fork; the lock is the descriptor that becomes END_PIDFILE of `ends`.
 * EEXIST: somebody has it; EINVAL: something else than a file is there. -1 with errno. */
int pidfile_claim(const struct pidfile *pidfile, struct ends *ends, mode_t mode);

/* Shows it, with this process's number in it. 0 or -errno. */
long pidfile_publish(const struct pidfile *pidfile, const struct ends *ends);

/* Takes away what is there of it; the lock goes with the descriptor. */
void pidfile_remove(const struct pidfile *pidfile, const struct ends *ends);

/* The same after the death of who has had it, unless somebody else has it by now. */
void pidfile_clear_away(const struct pidfile *pidfile, struct ends *ends);

#endif
