/* Requests of clients through a unix socket: a pool that listens beside a bare prefork server, whose processes do nothing but
 * accept(), read(), write() and close(), and beside the same in PHP. All speak the pool's frames.
 *
 * The pool keeps a connection until the client closes it; where each connection is for one request, the bare servers know
 * that, and close it at once. */
#include "ipc_apart.h"
#include "pool_clients.h"
#include "pool_turns.h"

#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PASSES 4  /* with new processes */
#define ROUNDS 40 /* in all of them */
#define FEWER 20  /* without a goal */
#define WORKERS 4
#define MANY 20 /* requests over one connection */
#define FRAME "\0\0\0\20sixteen letters."
#define FRAME_SIZE 20

enum { POOL, BARE, PHP, SERVERS };

static char directory[] = "/tmp/libproc-bench-XXXXXX";
static char paths[SERVERS][64];
static unsigned requests; /* over one connection */

/* ---- sockets that do not outlive us ---- */

static void remove_sockets(void)
{
    for (int i = 0; i < SERVERS; i++)
        unlink(paths[i]);
    rmdir(directory);
}

static void end(int signo)
{
    remove_sockets();
    signal(signo, SIG_DFL);
    raise(signo);
}

static void make_place(void)
{
    static const char *const names[SERVERS] = {[POOL] = "pool", [BARE] = "bare", [PHP] = "php"};
    static const int ends[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction before, handler = {.sa_handler = end};

    if (!mkdtemp(directory))
        err(1, "mkdtemp");
    for (int i = 0; i < SERVERS; i++)
        snprintf(paths[i], sizeof paths[i], "%s/%s", directory, names[i]);
    for (size_t i = 0; i < BENCH_COUNT(ends); i++)
        if (sigaction(ends[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            sigaction(ends[i], &handler, NULL);
    atexit(remove_sockets);
}

/* ---- servers ---- */

static int echo(struct proc_worker *worker, const struct proc_job *job, void *arg)
{
    (void)worker, (void)arg;
    return proc_job_reply(job, job->data, job->size);
}

static int run_pool(struct proc *self, void *unused)
{
    char listen_at[128];
    struct proc_pool_options options = {.workers = WORKERS, .job = echo, .listen = listen_at};

    (void)self, (void)unused;
    snprintf(listen_at, sizeof listen_at, "unix:%s", paths[POOL]);
    struct proc_pool *pool = proc_pool_new(&options);
    if (!pool)
        err(1, "proc_pool_new");
    crew_is_ready();
    int result = proc_pool_run(pool);
    proc_pool_free(pool);
    return result < 0;
}

static int run_bare(struct proc *self, void *listener)
{
    char frame[4096];
    int fd;

    (void)self;
    crew_is_ready();
    while ((fd = accept(*(int *)listener, NULL, NULL)) >= 0) {
        ssize_t size;

        while ((size = read(fd, frame, sizeof frame)) > 0)
            if (write(fd, frame, (size_t)size) != size || requests == 1)
                break;
        close(fd);
    }
    return 1;
}

static void start_bare(struct crew *crew, const struct address *address)
{
    int listener = address_listen(address);

    crew_fork(crew, run_bare, &listener, WORKERS);
    close(listener);
}

static const char *start_php(struct crew *crew)
{
    char workers[16], most[16];

    snprintf(workers, sizeof workers, "%d", WORKERS);
    snprintf(most, sizeof most, "%u", requests);
    return crew_start(crew, PEER("php", "pool_php.php", paths[PHP], workers, most)) ? NULL : "absent, or lacks an extension";
}

/* ---- clients ---- */

static unsigned ask(const struct address *address)
{
    char answer[FRAME_SIZE];
    int fd = address_connect(address);

    for (unsigned i = 0; i < requests; i++)
        if (send(fd, FRAME, FRAME_SIZE, MSG_NOSIGNAL) != FRAME_SIZE || recv(fd, answer, FRAME_SIZE, MSG_WAITALL) != FRAME_SIZE)
            err(1, "no answer");
    close(fd);
    return requests;
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

/* ---- the report ---- */

static const unsigned client_counts[] = {1, 4};
#define SIDES BENCH_COUNT(client_counts)

static void prepare(struct contender *contenders, unsigned rounds)
{
    static const char *const names[SERVERS] = {[POOL] = "pool", [BARE] = "bare", [PHP] = "PHP"};

    for (int i = 0; i < SERVERS; i++)
        contenders[i] = (struct contender){.name = names[i], .turn = rate, .beside = i == PHP};
    make_contenders(contenders, SERVERS, rounds);
}

static void start_servers(struct crew *crews, const char **php_left_out)
{
    struct address addresses[SERVERS];

    for (unsigned i = 0; i < SERVERS; i++) {
        addresses[i] = address_of_path(paths[i]);
        clients_know(i, &addresses[i]);
    }
    crew_fork(&crews[POOL], run_pool, NULL, 1);
    start_bare(&crews[BARE], &addresses[BARE]);
    *php_left_out = start_php(&crews[PHP]);
}

static void stop_servers(struct crew *crews)
{
    for (int i = 0; i < SERVERS; i++) {
        crew_stop(&crews[i]);
        unlink(paths[i]);
    }
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
    bench_title("%u request%s over a connection, %u client%s, %d workers, %s", requests, requests > 1 ? "s" : "", clients,
                clients > 1 ? "s" : "", WORKERS, processors_name(processors));
    print_contenders(contenders, SERVERS, "thousands in a second");
    bench_print_ratio(&contenders[POOL].series, &contenders[BARE].series, requests == 1 ? GOAL_AT_LEAST(0.95) : GOAL_NONE);
    bench_print_ratio(&contenders[POOL].series, &contenders[PHP].series, GOAL_NONE);
}

static void compare(unsigned processors)
{
    struct contender contenders[SIDES][SERVERS];
    unsigned each = (bench_setting("BENCH_ROUNDS", requests == 1 ? ROUNDS : FEWER) + PASSES - 1) / PASSES;

    if (!stay_on_processors(processors)) {
        bench_note("%s: left out", processors_name(processors));
        return;
    }
    for (size_t side = 0; side < SIDES; side++)
        prepare(contenders[side], PASSES * each);
    for (unsigned pass = 0; pass < PASSES; pass++) {
        struct crew crews[SERVERS] = {{.count = 0}};
        const char *php_left_out;

        start_servers(crews, &php_left_out);
        for (size_t side = 0; side < SIDES; side++) {
            contenders[side][PHP].left_out = contenders[side][PHP].series.left_out = php_left_out;
            let_ask(contenders[side], client_counts[side], pass * each, each);
        }
        stop_servers(crews);
    }
    for (size_t side = 0; side < SIDES; side++) {
        print(contenders[side], client_counts[side], processors);
        release_contenders(contenders[side], SERVERS);
    }
}

int main(void)
{
    ipc_apart();
    make_place();
    for (requests = 1; requests <= MANY; requests *= MANY)
        for (unsigned processors = 1; processors <= MOST_PROCESSORS; processors++)
            compare(processors);
    return 0;
}
