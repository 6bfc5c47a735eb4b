/* The file of a unix socket that listens: one that nobody serves any more gives way to a new one. */
#ifndef LIBPROC_SOCKET_FILE_H
#define LIBPROC_SOCKET_FILE_H

#include <sys/types.h>

struct socket_file {
    dev_t device;
    ino_t inode;
};

/* Binds the socket to the absolute path, and listens. At every moment there is a socket at the path, if there was one before.
 * EADDRINUSE: one that is served, or something else, is there: it is left alone. -1 with errno. */
int socket_file_claim(int fd, const char *path, struct socket_file *file);

/* Removes the path, if that file is still there. */
void socket_file_remove(const char *path, const struct socket_file *file);

#endif
