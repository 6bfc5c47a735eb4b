/* A turn is a time, not a number of requests: so all clients end together. */
#include "pool_clients.h"

#include "bench.h"

#include <arpa/inet.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TURN_NS 20000000
#define MOST_PLACES 8

/* ---- addresses ---- */

struct address address_of_path(const char *path)
{
    struct address address = {.size = sizeof address.local};

    address.local.sun_family = AF_UNIX;
    snprintf(address.local.sun_path, sizeof address.local.sun_path, "%s", path);
    return address;
}

struct address address_of_port(in_port_t port)
{
    struct address address = {.size = sizeof address.inet};

    address.inet.sin_family = AF_INET;
    address.inet.sin_port = htons(port);
    address.inet.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

int address_connect(const struct address *address)
{
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || connect(fd, &address->any, address->size) < 0)
        err(1, "connect");
    return fd;
}

int address_listen(const struct address *address)
{
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, &address->any, address->size) < 0 || listen(fd, SOMAXCONN) < 0)
        err(1, "listen");
    return fd;
}

/* ---- clients ---- */

static struct address known[MOST_PLACES];

void clients_know(unsigned place, const struct address *address)
{
    if (place >= MOST_PLACES)
        errx(1, "more than %d servers", MOST_PLACES);
    known[place] = *address;
}

/* Each line is the place of a server; the answer, how often it was asked. */
static int run_client(struct proc *self, void *arg)
{
    ask_fn *ask = *(ask_fn **)arg;
    char line[32];

    (void)self;
    crew_is_ready();
    while (fgets(line, sizeof line, stdin)) {
        const struct address *address = &known[strtoul(line, NULL, 10)];
        int64_t end = bench_now_ns() + TURN_NS;
        unsigned answers = 0;

        while (bench_now_ns() < end)
            answers += ask(address);
        printf("%u\n", answers);
        fflush(stdout);
    }
    return 0;
}

void clients_start(struct crew *clients, unsigned count, ask_fn *ask)
{
    crew_fork(clients, run_client, &ask, count);
}

double clients_rate(const struct crew *clients, unsigned place)
{
    int64_t start = bench_now_ns();
    unsigned answers = 0;

    for (size_t i = 0; i < clients->count; i++)
        if (peer_tell(clients->processes[i], "%u", place) < 0)
            err(1, "a client");
    for (size_t i = 0; i < clients->count; i++) {
        const char *answer = peer_hear(clients->processes[i]);

        if (!answer)
            errx(1, "a client does not answer");
        answers += (unsigned)strtoul(answer, NULL, 10);
    }
    return answers * 1e6 / (double)(bench_now_ns() - start);
}
