/* For tests of what listens: clients that say exactly what goes over the wire. */
#ifndef TESTS_CLIENTS_H
#define TESTS_CLIENTS_H

#include "harness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CLIENT_PATIENCE_MS 20000

static inline int connected(int fd, const void *address, socklen_t size)
{
    if (fd >= 0 && connect(fd, address, size) == 0)
        return fd;
    int reason = errno;
    close(fd);
    errno = reason;
    return -1;
}

/* "unix:PATH" or "tcp:HOST:PORT"; -1 with errno. */
static inline int client_try(const char *address)
{
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    char host[64] = "";
    unsigned port;

    if (strncmp(address, "unix:", 5) == 0) {
        snprintf(local.sun_path, sizeof local.sun_path, "%.107s", address + 5);
        return connected(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), &local, sizeof local);
    }
    if (sscanf(address, "tcp:[%63[^]]]:%u", host, &port) == 2) {
        inet_pton(AF_INET6, host, &v6.sin6_addr);
        v6.sin6_port = htons((in_port_t)port);
        return connected(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), &v6, sizeof v6);
    }
    ck_assert_int_eq(sscanf(address, "tcp:%63[^:]:%u", host, &port), 2);
    inet_pton(AF_INET, host, &v4.sin_addr);
    v4.sin_port = htons((in_port_t)port);
    return connected(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), &v4, sizeof v4);
}

static inline int client_connect(const char *address)
{
    int fd = client_try(address);

    ck_assert_msg(fd >= 0, "%s: %s", address, strerror(errno));
    return fd;
}

/* All of it, or the test fails. */
static inline void client_send(int fd, const void *data, size_t size)
{
    for (size_t sent = 0; sent < size;) {
        ssize_t now = send(fd, (const char *)data + sent, size - sent, MSG_NOSIGNAL);

        ck_assert_msg(now > 0, "send: %s", strerror(errno));
        sent += (size_t)now;
    }
}

/* One request, as a frame. */
static inline void client_ask(int fd, const void *data, size_t size)
{
    uint32_t length = htonl((uint32_t)size);
    char *frame = malloc(sizeof length + size);

    memcpy(frame, &length, sizeof length);
    memcpy(frame + sizeof length, data, size);
    client_send(fd, frame, sizeof length + size);
    free(frame);
}

static inline void client_ask_text(int fd, const char *text)
{
    client_ask(fd, text, strlen(text));
}

/* As the kernel says it: how many bytes; 0: end-of-file; -errno. */
static inline long client_read(int fd, void *data, size_t size)
{
    struct pollfd pollfd = {.fd = fd, .events = POLLIN};

    ck_assert_msg(poll(&pollfd, 1, CLIENT_PATIENCE_MS) == 1, "nothing came in %d ms", CLIENT_PATIENCE_MS);
    ssize_t got = recv(fd, data, size, 0);
    return got < 0 ? -errno : got;
}

static inline void read_all(int fd, void *data, size_t size)
{
    for (size_t have = 0; have < size;) {
        long got = client_read(fd, (char *)data + have, size - have);

        ck_assert_msg(got > 0, "%ld instead of an answer, after %zu of %zu bytes", got, have, size);
        have += (size_t)got;
    }
}

/* The next frame, in a buffer that lasts until the next call. */
static inline const char *client_answer(int fd, size_t *size)
{
    static char *answer;
    uint32_t length;

    read_all(fd, &length, sizeof length);
    *size = ntohl(length);
    answer = realloc(answer, *size + 1);
    read_all(fd, answer, *size);
    answer[*size] = '\0';
    return answer;
}

static inline void client_must_hear(int fd, const char *text)
{
    size_t size;

    ck_assert_str_eq(client_answer(fd, &size), text);
    ck_assert_uint_eq(size, strlen(text));
}

/* End-of-file, and no reset. */
static inline void client_must_see_the_end(int fd)
{
    char unexpected[64];

    ck_assert_int_eq(client_read(fd, unexpected, sizeof unexpected), 0);
}

#endif
