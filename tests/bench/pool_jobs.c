/* Jobs through a pool's queue, beside msgsnd() and msgrcv() in as many processes, through a queue of the same capacity. Each
 * job adds one to a counter, which all of them share.
 *
 * With its job the pool sends a header, so its queue holds fewer of them; a bare candidate whose messages are as long tells
 * what is that. */
#include "ipc_apart.h"
#include "pool_crew.h"
#include "pool_turns.h"

#include <err.h>
#include <sys/msg.h>

#define PASSES 6  /* with new processes */
#define ROUNDS 60 /* in all of them */
#define TURN_NS 4000000
#define FEWEST 64 /* jobs in a turn */
#define LARGEST 4096
#define PATIENCE_MS 60000
#define HEADER 32

static struct gate *gate;
static unsigned jobs; /* in a turn */
/* The text begins a cache line, as the library's does: large ones are copied faster. */
static struct {
    _Alignas(64) char unused[64 - sizeof(long)];
    long type;
    char text[LARGEST + HEADER];
} message = {.type = 1};

struct way {
    void (*submit)(struct way *way);
    struct crew crew;
    struct proc_pool *pool;
    key_t key;
    int id;
    size_t size;
};

/* ---- the pool ---- */

static int count_job(struct proc_worker *worker, const struct proc_job *job, void *arg)
{
    (void)worker, (void)job, (void)arg;
    gate_pass(gate);
    return 0;
}

struct shape {
    key_t key;
    unsigned workers;
};

static int run_pool(struct proc *self, void *arg)
{
    const struct shape *shape = arg;
    struct proc_pool_options options = {.key = shape->key, .workers = shape->workers, .job = count_job};
    struct proc_pool *pool = proc_pool_new(&options);

    (void)self;
    if (!pool)
        err(1, "proc_pool_new");
    crew_is_ready();
    int result = proc_pool_run(pool);
    proc_pool_remove(pool);
    proc_pool_free(pool);
    return result < 0;
}

static void submit(struct way *way)
{
    if (proc_pool_submit(way->pool, message.text, way->size, -1) != 1)
        err(1, "proc_pool_submit");
}

static void submit_in_time(struct way *way)
{
    if (proc_pool_submit(way->pool, message.text, way->size, PATIENCE_MS) != 1)
        err(1, "proc_pool_submit");
}

static void start_pool(struct way *way, unsigned workers, size_t bytes)
{
    struct shape shape = {way->key, workers};

    crew_fork(&way->crew, run_pool, &shape, 1);
    way->pool = proc_pool_attach(way->key);
    if (!way->pool)
        err(1, "proc_pool_attach");
    way->submit = submit;
    way->size = bytes;
}

/* ---- bare ---- */

static int run_bare(struct proc *self, void *arg)
{
    const struct way *way = arg;

    (void)self;
    crew_is_ready();
    while (msgrcv(way->id, &message.type, sizeof message.text, 0, 0) >= 0)
        gate_pass(gate);
    return 1;
}

static void send_message(struct way *way)
{
    if (msgsnd(way->id, &message.type, way->size, 0) < 0)
        err(1, "msgsnd");
}

static void start_bare(struct way *way, unsigned workers, size_t bytes)
{
    crew_fork(&way->crew, run_bare, way, workers);
    way->submit = send_message;
    way->size = bytes;
}

/* ---- the report ---- */

static double per_ms(void *arg)
{
    struct way *way = arg;

    gate_expect(gate, jobs);
    int64_t start = bench_now_ns();
    for (unsigned i = 0; i < jobs; i++)
        way->submit(way);
    if (!gate_wait(gate, PATIENCE_MS))
        errx(1, "jobs are missing");
    return jobs * 1e6 / (double)(bench_now_ns() - start);
}

static void find_count(struct way *way)
{
    jobs = FEWEST;
    while (jobs * 1e6 / per_ms(way) < TURN_NS)
        jobs *= 2;
}

enum { POOL, IN_TIME, BARE, LONGER, WAYS };

static void start_all(struct way *ways, unsigned workers, size_t bytes)
{
    start_pool(&ways[POOL], workers, bytes);
    ways[IN_TIME] = (struct way){.submit = submit_in_time, .pool = ways[POOL].pool, .size = bytes};
    start_bare(&ways[BARE], workers, bytes);
    start_bare(&ways[LONGER], workers, bytes + HEADER);
}

static void stop_all(struct way *ways)
{
    proc_pool_free(ways[POOL].pool);
    for (int i = 0; i < WAYS; i++)
        crew_stop(&ways[i].crew);
}

static void compare(size_t bytes, unsigned workers, unsigned processors, struct goal goal, struct way *ways)
{
    struct contender contenders[WAYS] = {
        [POOL] = {.name = "pool", .turn = per_ms, .arg = &ways[POOL]},
        [IN_TIME] = {.name = "pool, with timeouts", .turn = per_ms, .arg = &ways[IN_TIME], .beside = true},
        [BARE] = {.name = "bare", .turn = per_ms, .arg = &ways[BARE]},
        [LONGER] = {.name = "bare, as long", .turn = per_ms, .arg = &ways[LONGER], .beside = true},
    };
    unsigned each = (bench_setting("BENCH_ROUNDS", ROUNDS) + PASSES - 1) / PASSES;

    bench_title("jobs of %zu bytes, %u worker%s, %s", bytes, workers, workers > 1 ? "s" : "", processors_name(processors));
    if (!stay_on_processors(processors)) {
        bench_note("left out: there are not so many");
        return;
    }
    make_contenders(contenders, WAYS, PASSES * each);
    for (unsigned pass = 0; pass < PASSES; pass++) {
        start_all(ways, workers, bytes);
        find_count(&ways[BARE]);
        take_turns(contenders, WAYS, pass * each, each);
        stop_all(ways);
    }
    print_contenders(contenders, WAYS, "thousands in a second");
    bench_print_ratio(&contenders[POOL].series, &contenders[BARE].series, goal);
    bench_print_ratio(&contenders[IN_TIME].series, &contenders[BARE].series, GOAL_NONE);
    bench_print_ratio(&contenders[POOL].series, &contenders[LONGER].series, GOAL_NONE);
    release_contenders(contenders, WAYS);
}

/* A new queue has the system's usual capacity, the pool's as well. */
static void make_queues(struct way *ways)
{
    ways[POOL].key = ipc_new_key();
    for (int i = BARE; i < WAYS; i++)
        if ((ways[i].id = msgget(ipc_new_key(), IPC_CREAT | IPC_EXCL | 0600)) < 0)
            err(1, "msgget");
}

int main(void)
{
    static const size_t sizes[] = {64, 1024}, others[] = {16, LARGEST};
    static struct way ways[WAYS];

    ipc_apart();
    gate = gate_new();
    make_queues(ways);
    for (unsigned processors = 1; processors <= MOST_PROCESSORS; processors++) {
        for (size_t i = 0; i < BENCH_COUNT(sizes); i++)
            for (unsigned workers = 1; workers <= 4; workers *= 2)
                compare(sizes[i], workers, processors, GOAL_AT_LEAST(0.9), ways);
        for (size_t i = 0; i < BENCH_COUNT(others); i++)
            compare(others[i], 2, processors, GOAL_NONE, ways);
    }
    return 0;
}
