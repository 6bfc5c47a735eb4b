/* Named pipes that are opened without hanging. */
#ifndef PROC_FIFO_H
#define PROC_FIFO_H

#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/* Opens the fifo at `path`, waiting up to timeout_ms (-1: for ever, 0: just look) for somebody at its other end. flags:
 * O_RDONLY, O_WRONLY, or O_RDWR, which waits for nobody; with O_CREAT it is made if there is none, with the permissions `mode`
 * (0: 0600) less the umask. Returns a descriptor, close-on-exec, above 2 and blocking, to be closed by the caller. -1 with
 * errno. ETIMEDOUT: nobody came; EEXIST: something else than a fifo is there; ENOENT: nothing is; EINVAL: other flags; EACCES,
 * EMFILE, … as open(2). */
int proc_fifo(const char *path, mode_t mode, int flags, int timeout_ms);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
