/* Processes that ask servers, as fast as they are answered. */
#ifndef BENCH_POOL_CLIENTS_H
#define BENCH_POOL_CLIENTS_H

#include "pool_crew.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <netinet/in.h>

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_un local;
        struct sockaddr_in inet;
    };
    socklen_t size;
};

struct address address_of_path(const char *path);
struct address address_of_port(in_port_t port); /* of this machine's own */
int address_connect(const struct address *address);
int address_listen(const struct address *address);

/* Asks once, or all the times that belong together, and returns how often. It must not fail. */
typedef unsigned ask_fn(const struct address *address);

/* These are known to the clients that are started afterwards, by their places. */
void clients_know(unsigned place, const struct address *address);
void clients_start(struct crew *clients, unsigned count, ask_fn *ask);

/* Lets all of them ask the server of that place for one turn: thousands of answers in a second. */
double clients_rate(const struct crew *clients, unsigned place);

#endif
