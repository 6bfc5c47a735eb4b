/* Addresses, and the sockets that listen there. */
#include "listener.h"

#include "ends.h"
#include "kernel.h"
#include "socket_file.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define UNIX_PREFIX "unix:"
#define TCP_PREFIX "tcp:"
#define PATH_ROOM sizeof ((struct sockaddr_un *)0)->sun_path

/* ---- addresses ---- */

struct tcp_address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    };
    socklen_t size;
};

/* What follows the prefix; NULL: something else is there. */
static const char *after(const char *prefix, const char *address)
{
    size_t length = strlen(prefix);

    return strncmp(address, prefix, length) == 0 ? address + length : NULL;
}

static bool read_port(const char *text, in_port_t *port)
{
    unsigned number = 0;

    for (const char *digit = text; *digit; digit++) {
        if (*digit < '0' || *digit > '9' || number > UINT16_MAX)
            return false;
        number = 10 * number + (unsigned)(*digit - '0');
    }
    *port = htons((in_port_t)number);
    return *text && number <= UINT16_MAX;
}

static bool read_v4(const char *host, struct tcp_address *address)
{
    if (!*host || strcmp(host, "*") == 0)
        host = "0.0.0.0";
    else if (strcmp(host, "localhost") == 0)
        host = "127.0.0.1";
    address->v4.sin_family = AF_INET;
    address->size = sizeof address->v4;
    return inet_pton(AF_INET, host, &address->v4.sin_addr) == 1;
}

static bool read_v6(const char *host, struct tcp_address *address)
{
    address->v6.sin6_family = AF_INET6;
    address->size = sizeof address->v6;
    return inet_pton(AF_INET6, host, &address->v6.sin6_addr) == 1;
}

static bool read_tcp(const char *text, struct tcp_address *address)
{
    char host[INET6_ADDRSTRLEN];
    const char *colon = strrchr(text, ':');
    bool is_v6 = *text == '[';

    if (!colon || (is_v6 && (colon < text + 2 || colon[-1] != ']')))
        return false;
    size_t length = (size_t)(colon - text) - (is_v6 ? 2 : 0);
    if (length >= sizeof host)
        return false;
    memcpy(host, text + is_v6, length);
    host[length] = '\0';
    *address = (struct tcp_address){.size = 0};
    if (!(is_v6 ? read_v6 : read_v4)(host, address))
        return false;
    return read_port(colon + 1, is_v6 ? &address->v6.sin6_port : &address->v4.sin_port);
}

bool listener_understands(const char *address)
{
    const char *path = after(UNIX_PREFIX, address), *tcp = after(TCP_PREFIX, address);
    struct tcp_address ignored;

    if (path)
        return *path && path[strlen(path) - 1] != '/' && strlen(path) < PATH_ROOM;
    return tcp && read_tcp(tcp, &ignored);
}

/* ---- sockets ---- */

static int open_socket(int family)
{
    return fd_above_stdio((int)sys(SYS_socket, family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

/* With a slash at its end. -1 with errno. */
static int find_here(char here[PATH_ROOM + 1])
{
    long length = raw(SYS_getcwd, here, PATH_ROOM);

    if (length == -ERANGE)
        length = -ENAMETOOLONG;
    else if (length > 0 && *here != '/') /* "(unreachable)…" */
        length = -ENOENT;
    if (length > 2) { /* with its zero */
        here[length - 1] = '/';
        here[length] = '\0';
    }
    return length < 0 ? (int)kernel_result(length) : 0;
}

static char *absolute(const char *path)
{
    char here[PATH_ROOM + 1] = "", whole[2 * PATH_ROOM + 1];

    if (*path != '/' && find_here(here) < 0)
        return NULL;
    int length = snprintf(whole, sizeof whole, "%s%s", here, path);
    if ((size_t)length >= PATH_ROOM) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    return strdup(whole);
}

static int open_unix(struct listener *listener, const char *path)
{
    struct socket_file file;

    listener->path = absolute(path);
    listener->fd = listener->path ? open_socket(AF_UNIX) : -1;
    if (listener->fd < 0 || socket_file_claim(listener->fd, listener->path, &file) < 0)
        return -1;
    listener->device = file.device;
    listener->inode = file.inode;
    listener->owner = (pid_t)raw(SYS_getpid);
    return 0;
}

/* Nagle's algorithm is off for all connections, which inherit it: each answer is sent whole. */
static int listen_at(int fd, const struct tcp_address *address)
{
    int on = 1;

    if (sys(SYS_setsockopt, fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        sys(SYS_setsockopt, fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 ||
        sys(SYS_bind, fd, &address->any, address->size) < 0)
        return -1;
    return (int)sys(SYS_listen, fd, SOMAXCONN);
}

static int open_tcp(struct listener *listener, struct tcp_address *address)
{
    listener->fd = open_socket(address->any.sa_family);
    if (listener->fd < 0 || listen_at(listener->fd, address) < 0 ||
        sys(SYS_getsockname, listener->fd, &address->any, &address->size) < 0)
        return -1;
    listener->port = ntohs(address->any.sa_family == AF_INET ? address->v4.sin_port : address->v6.sin6_port);
    return 0;
}

int listener_open(struct listener *listener, const char *address)
{
    const char *path = after(UNIX_PREFIX, address), *text = after(TCP_PREFIX, address);
    struct tcp_address tcp = {.size = 0};
    int result = -1;

    *listener = (struct listener){.fd = -1, .port = -1};
    if (!listener_understands(address))
        errno = EINVAL;
    else if (path)
        result = open_unix(listener, path);
    else if (read_tcp(text, &tcp))
        result = open_tcp(listener, &tcp);
    if (result < 0)
        listener_close(listener);
    return result;
}

void listener_close(struct listener *listener)
{
    int saved = errno;

    if (listener->path && listener->owner == raw(SYS_getpid))
        socket_file_remove(listener->path, &(struct socket_file){listener->device, listener->inode});
    free(listener->path);
    if (listener->fd >= 0)
        raw(SYS_close, listener->fd);
    *listener = (struct listener){.fd = -1, .port = -1};
    errno = saved;
}
