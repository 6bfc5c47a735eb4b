/* Web servers: examples/httpd in both of its forms beside the least C programs of the same build, which answer as many bytes.
 *
 *     pool_httpd HTTPD
 *
 * Each request has a connection of its own. The example looks at its requests and counts them; the bare ones do not. */
#include "pool_clients.h"
#include "pool_turns.h"

#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PASSES 3  /* with new processes */
#define ROUNDS 30 /* in all of them */
#define WORKERS "4"
#define MOST_CHILDREN "100"
#define PATIENCE_MS 10000
#define REQUEST "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

enum { POOL, PREFORK, FORK, FORK_BARE, SERVERS };

/* ---- clients ---- */

static size_t answer_size(const struct address *address)
{
    char answer[4096];
    int fd = address_connect(address);
    ssize_t part;
    size_t size = 0;

    if (send(fd, REQUEST, strlen(REQUEST), MSG_NOSIGNAL) != (ssize_t)strlen(REQUEST))
        err(1, "send");
    while ((part = recv(fd, answer, sizeof answer, 0)) > 0)
        size += (size_t)part;
    close(fd);
    if (part < 0 || size == 0)
        err(1, "no answer");
    return size;
}

static unsigned ask(const struct address *address)
{
    answer_size(address);
    return 1;
}

struct asking {
    struct crew clients;
    unsigned server;
};

static double rate(void *arg)
{
    const struct asking *asking = arg;

    return clients_rate(&asking->clients, asking->server);
}

/* ---- servers ---- */

/* It says where it listens. */
static unsigned read_port(struct proc *httpd)
{
    char line[128];
    size_t used = 0;
    unsigned port;

    while (used + 1 < sizeof line && proc_read(httpd, line + used, 1) == 1 && line[used] != '\n')
        used++;
    line[used] = '\0';
    const char *said = strstr(line, "port ");
    if (!said || sscanf(said, "port %u", &port) != 1)
        errx(1, "httpd: %s", line);
    return port;
}

/* The bytes of an answer. */
static size_t start_httpd(struct crew *crew, const char *program, const char *form, const char *number, unsigned place)
{
    struct proc_options options = {
        .argv = PEER(program, form, "-n", number, "0"),
        .out = PROC_PIPE,
        .err = PROC_TO_STDOUT,
        .death_signal = SIGKILL,
    };
    struct proc *httpd = proc_spawn(&options);

    if (!httpd)
        err(1, "%s", program);
    crew_add(crew, httpd);
    proc_set_timeout(httpd, PATIENCE_MS);
    struct address address = address_of_port((in_port_t)read_port(httpd));
    clients_know(place, &address);
    return answer_size(&address);
}

static void start_bare(struct crew *crew, const char *form, size_t size, unsigned place)
{
    char size_text[16];

    snprintf(size_text, sizeof size_text, "%zu", size);
    if (!crew_start(crew, PEER("pool_httpd_bare", form, WORKERS, size_text)))
        errx(1, "pool_httpd_bare: cannot run");
    const char *port = peer_ask(crew->processes[crew->count - 1], "port");
    if (!port)
        errx(1, "pool_httpd_bare: does not answer");
    struct address address = address_of_port((in_port_t)atoi(port));
    clients_know(place, &address);
}

/* ---- the report ---- */

static const unsigned client_counts[] = {1, 4};
#define SIDES BENCH_COUNT(client_counts)

static void prepare(struct contender *contenders, unsigned rounds)
{
    static const char *const names[SERVERS] = {
        [POOL] = "httpd --pool", [PREFORK] = "bare prefork", [FORK] = "httpd --fork", [FORK_BARE] = "bare fork"};

    for (int i = 0; i < SERVERS; i++)
        contenders[i] = (struct contender){.name = names[i], .turn = rate};
    make_contenders(contenders, SERVERS, rounds);
}

static void start_servers(struct crew *servers, const char *httpd)
{
    start_bare(servers, "prefork", start_httpd(servers, httpd, "--pool", WORKERS, POOL), PREFORK);
    start_bare(servers, "fork", start_httpd(servers, httpd, "--fork", MOST_CHILDREN, FORK), FORK_BARE);
}

static void let_ask(struct contender *contenders, unsigned clients, unsigned first_round, unsigned rounds)
{
    struct asking asking[SERVERS] = {{.clients.count = 0}};

    clients_start(&asking[0].clients, clients, ask);
    for (unsigned i = 0; i < SERVERS; i++) {
        asking[i].clients = asking[0].clients;
        asking[i].server = i;
        contenders[i].arg = &asking[i];
    }
    take_turns(contenders, SERVERS, first_round, rounds);
    crew_stop(&asking[0].clients);
}

static void print(const struct contender *contenders, unsigned clients, unsigned processors)
{
    bench_title("web pages, %u client%s, %s workers or a process for each, %s", clients, clients > 1 ? "s" : "", WORKERS,
                processors_name(processors));
    print_contenders(contenders, SERVERS, "thousands in a second");
    bench_print_ratio(&contenders[POOL].series, &contenders[PREFORK].series, GOAL_AT_LEAST(0.95));
    bench_print_ratio(&contenders[FORK].series, &contenders[FORK_BARE].series, GOAL_AT_LEAST(0.95));
}

static void compare(const char *httpd, unsigned processors)
{
    struct contender contenders[SIDES][SERVERS];
    unsigned each = (bench_setting("BENCH_ROUNDS", ROUNDS) + PASSES - 1) / PASSES;

    if (!stay_on_processors(processors)) {
        bench_note("%s: left out", processors_name(processors));
        return;
    }
    for (size_t side = 0; side < SIDES; side++)
        prepare(contenders[side], PASSES * each);
    for (unsigned pass = 0; pass < PASSES; pass++) {
        struct crew servers = {.count = 0};

        start_servers(&servers, httpd);
        for (size_t side = 0; side < SIDES; side++)
            let_ask(contenders[side], client_counts[side], pass * each, each);
        crew_stop(&servers);
    }
    for (size_t side = 0; side < SIDES; side++) {
        print(contenders[side], client_counts[side], processors);
        release_contenders(contenders[side], SERVERS);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2)
        errx(2, "usage: pool_httpd HTTPD");
    if (access(argv[1], X_OK) < 0) {
        bench_title("web pages");
        bench_note("left out: %s is not built", argv[1]);
        return 0;
    }
    setenv("LD_BIND_NOW", "1", 1); /* as the Makefile has it for the bare ones, which fork too */
    for (unsigned processors = 1; processors <= MOST_PROCESSORS; processors++)
        compare(argv[1], processors);
    return 0;
}
