/* What a service tells its supervisor: one datagram to the unix socket that NOTIFY_SOCKET names, a path, or after "@" a name
 * that is no file's. */
#include <proc/daemon.h>

#include "ends.h"
#include "kernel.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define LONGEST_WAIT_S 5

/* Returns the address's length; 0: it is none. */
static socklen_t address_of(const char *name, struct sockaddr_un *address)
{
    size_t length = strlen(name);

    if ((name[0] != '/' && name[0] != '@') || length < 2 || length >= sizeof address->sun_path)
        return 0;
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(address->sun_path, name, length);
    if (name[0] == '@')
        address->sun_path[0] = '\0';
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (name[0] == '/'));
}

int proc_notify(const char *state)
{
    const char *name = getenv("NOTIFY_SOCKET");
    struct timeval longest_wait = {.tv_sec = LONGEST_WAIT_S}; /* for room among what others have said */
    struct sockaddr_un address;
    long result;

    if (!state || !*state)
        return (int)kernel_result(-EINVAL);
    if (!name || !*name)
        return 0;
    socklen_t size = address_of(name, &address);
    if (size == 0)
        return (int)kernel_result(-EINVAL);
    int fd = fd_above_stdio((int)sys(SYS_socket, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (fd < 0)
        return -1;
    raw(SYS_setsockopt, fd, SOL_SOCKET, SO_SNDTIMEO, &longest_wait, sizeof longest_wait);
    do
        result = raw(SYS_sendto, fd, state, strlen(state), MSG_NOSIGNAL, &address, size);
    while (result == -EINTR);
    raw(SYS_close, fd);
    if (result == -ENOENT || result == -ECONNREFUSED)
        return 0;
    if (result == -EAGAIN)
        result = -ETIMEDOUT;
    return result < 0 ? (int)kernel_result(result) : 1;
}
