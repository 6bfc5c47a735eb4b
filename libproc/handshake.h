/* How the command that starts a daemon hears what becomes of it.
 *
 * Three processes: the command; its child, the keeper, which leads the new session; and the keeper's child, the daemon. */
#ifndef LIBPROC_HANDSHAKE_H
#define LIBPROC_HANDSHAKE_H

#include "ends.h"

/* Makes END_TO_COMMAND and END_TO_DAEMON. */
int handshake_make(struct ends *ends);

/* In the command, with all signals blocked: waits for the daemon's word, or its end, and prints what there is to say. Returns the
 * status with which the command is to end, or -SIGINT and the like if that has ended it. Unless it is 0, there is no daemon any
 * more. Closes all other descriptors than the standard ones. timeout_ms: -1 for ever. log: where the daemon may
 * have said more; NULL: nowhere. */
int handshake_wait(const struct ends *ends, pid_t keeper, int timeout_ms, const char *log);

/* In the keeper, with all signals blocked, and SIGCHLD not ignored: tells of the daemon's end, if the command still waits. */
_Noreturn void handshake_keep(const struct ends *ends, pid_t daemon);

/* In the daemon, before anybody sees it: waits until it alone holds what is to be its own. False: nobody waits for it. */
bool handshake_has_leave(int fd);

/* The words of the daemon, or of a keeper that has none: to END_TO_COMMAND. 0 or -errno: -EPIPE, nobody hears it. */
long handshake_say_ready(int fd);
long handshake_say_failed(int fd, int code, const char *message); /* NULL: no message */

/* On descriptor 2, and a newline; raw system calls only, and no SIGPIPE where that is blocked. */
void handshake_print(const char *message);

#endif
