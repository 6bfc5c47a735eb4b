/* The socket that a pool's clients connect to. */
#ifndef LIBPROC_LISTENER_H
#define LIBPROC_LISTENER_H

#include <stdbool.h>
#include <sys/types.h>

struct listener {
    int fd;         /* non-blocking, close-on-exec, above 2; -1: none */
    int port;       /* of TCP; else -1 */
    char *path;     /* of a unix socket, absolute; else NULL */
    dev_t device;   /* that file: … */
    ino_t inode;    /* … only it is removed, … */
    pid_t owner;    /* … and only by the process that made it */
};

/* Whether "unix:PATH", "tcp:HOST:PORT" or "tcp:[IPV6]:PORT" is well formed. The host is a number, "localhost" (127.0.0.1), or
 * "*" or nothing (any of IPv4). The path fits an address. */
bool listener_understands(const char *address);

/* Binds and listens. A unix socket that nobody serves any more is replaced; one that is served, or any other file there, is
 * EADDRINUSE. The directory must be readable: it is locked for a moment. ENAMETOOLONG: a relative path that does not fit when it
 * is made absolute. -1 with errno, and nothing is left. */
int listener_open(struct listener *listener, const char *address);

/* Closes it; the owner removes its file. Keeps errno. */
void listener_close(struct listener *listener);

#endif
