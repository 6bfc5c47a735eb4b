/* Pools of ten to a thousand workers: to start them, until the last one is ready; to have a fixed number of jobs done; and to
 * stop them. Beside a loop of fork(), kill() and waitpid(), whose children take their jobs by msgrcv().
 *
 * All is for each worker, or job: what costs more than that, grows from table to table. */
#include "ipc_apart.h"
#include "pool_crew.h"
#include "pool_turns.h"

#include <err.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS_OF_TEN 20
#define FEWEST_ROUNDS 3
#define JOBS 10000
#define JOB_SIZE 64
#define START_MS 60000
#define LOOK_MS 500
#define JOBS_MS 60000
#define STOP_MS 60000
#define MIB_EACH 1
#define SPARE_DESCRIPTORS 64

static struct gate *ready, *done;
static unsigned workers;
static struct {
    long type;
    char text[JOB_SIZE];
} message = {.type = 1};

/* ---- the pool ---- */

static int begin(struct proc_worker *worker, void *arg)
{
    (void)worker, (void)arg;
    gate_pass(ready);
    return 0;
}

static int count_job(struct proc_worker *worker, const struct proc_job *job, void *arg)
{
    (void)worker, (void)job, (void)arg;
    gate_pass(done);
    return 0;
}

static void wait_for_line(void)
{
    char line[32];

    crew_is_ready();
    if (!fgets(line, sizeof line, stdin))
        exit(1);
}

static int run_pool(struct proc *self, void *arg)
{
    struct proc_pool_options options = {.key = *(const key_t *)arg, .workers = workers, .start = begin, .job = count_job};

    (void)self;
    wait_for_line();
    struct proc_pool *pool = proc_pool_new(&options);
    if (!pool)
        err(1, "proc_pool_new");
    int result = proc_pool_run(pool);
    proc_pool_remove(pool);
    proc_pool_free(pool);
    return result < 0;
}

/* ---- bare ---- */

static _Noreturn void work(int queue, pid_t supervisor)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != supervisor)
        _exit(1);
    gate_pass(ready);
    while (msgrcv(queue, &message, sizeof message.text, 0, 0) >= 0)
        gate_pass(done);
    _exit(1);
}

static int run_bare(struct proc *self, void *arg)
{
    pid_t *pids = calloc(workers, sizeof *pids), supervisor = getpid();
    unsigned started = 0;
    sigset_t terminate;
    int signo;

    (void)self;
    sigemptyset(&terminate);
    sigaddset(&terminate, SIGTERM);
    wait_for_line();
    int queue = msgget(*(const key_t *)arg, IPC_CREAT | 0600);
    if (!pids || queue < 0)
        err(1, "a queue");
    for (; started < workers && (pids[started] = fork()) >= 0; started++)
        if (pids[started] == 0)
            work(queue, supervisor);
    if (started < workers)
        warn("fork");
    else {
        sigprocmask(SIG_BLOCK, &terminate, NULL);
        sigwait(&terminate, &signo);
    }
    for (unsigned i = 0; i < started; i++)
        kill(pids[i], SIGTERM);
    while (waitpid(-1, NULL, 0) > 0)
        ;
    msgctl(queue, IPC_RMID, NULL);
    free(pids);
    return started < workers;
}

/* ---- the steps ---- */

enum { START, SERVE, STOP, STEPS };

struct side {
    const char *name;
    proc_main_fn *run;
    bool is_pool;
    key_t key;
    const char *left_out;
    struct series series[STEPS]; /* microseconds */
};

static double since_us(int64_t start, unsigned count)
{
    return (double)(bench_now_ns() - start) / 1e3 / count;
}

/* false: there was no room for all, and the process has given up; or they do not come. */
static bool wait_for_all(struct proc *process)
{
    for (int waited_ms = 0; waited_ms < START_MS; waited_ms += LOOK_MS)
        if (gate_wait(ready, LOOK_MS))
            return true;
        else if (!proc_running(process))
            break;
    return false;
}

static bool start_side(struct side *side, struct proc *process, double *took_us)
{
    gate_expect(ready, workers);
    int64_t start = bench_now_ns();
    if (peer_tell(process, "start") < 0)
        err(1, "%s", side->name);
    bool all = wait_for_all(process);
    *took_us = since_us(start, workers);
    if (!all)
        side->left_out = "not all can be started";
    return all;
}

static double have_jobs_done(const struct side *side)
{
    struct proc_pool *pool = side->is_pool ? proc_pool_attach(side->key) : NULL;
    int queue = msgget(side->key, 0);

    if (queue < 0 || (side->is_pool && !pool))
        err(1, "%s", side->name);
    gate_expect(done, JOBS);
    int64_t start = bench_now_ns();
    for (unsigned i = 0; i < JOBS; i++)
        if (pool ? proc_pool_submit(pool, message.text, JOB_SIZE, JOBS_MS) != 1 : msgsnd(queue, &message, JOB_SIZE, 0) < 0)
            err(1, "%s", side->name);
    if (!gate_wait(done, JOBS_MS))
        errx(1, "%s: jobs are missing", side->name);
    double took_us = since_us(start, JOBS);
    proc_pool_free(pool);
    return took_us;
}

static double stop_side(const struct side *side, struct proc *process)
{
    int64_t start = bench_now_ns();

    proc_kill(process, SIGTERM);
    if (proc_wait(process, NULL, STOP_MS) != 1)
        errx(1, "%s: does not stop", side->name);
    return since_us(start, workers);
}

static void take_turn(struct side *side, double *took_us)
{
    struct crew crew = {.count = 0};

    crew_fork(&crew, side->run, &side->key, 1);
    if (start_side(side, crew.processes[0], &took_us[START])) {
        took_us[SERVE] = have_jobs_done(side);
        took_us[STOP] = stop_side(side, crew.processes[0]);
    }
    crew_stop(&crew);
}

/* ---- the report ---- */

enum { POOL, BARE, SIDES };

static const char *no_room(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < workers + SPARE_DESCRIPTORS)
        return "descriptors";
    return bench_available_mib() < workers * MIB_EACH ? "memory" : NULL;
}

static void print(const struct side *sides)
{
    static const char *const titles[STEPS] = {"to start", "to do a job", "to stop"};

    for (int step = 0; step < STEPS; step++) {
        bench_note("%s:", titles[step]);
        for (int i = 0; i < SIDES; i++)
            bench_print_series(&sides[i].series[step]);
        bench_print_ratio(&sides[POOL].series[step], &sides[BARE].series[step], GOAL_NONE);
    }
}

/* The bare one is first in the first round: where it finds no room, nobody else tries. */
static void play(struct side *sides, unsigned rounds)
{
    size_t order[SIDES] = {BARE, POOL};

    for (unsigned round = 0; round < rounds && !sides[BARE].left_out; round++) {
        for (int i = 0; i < SIDES; i++) {
            double took_us[STEPS] = {NAN, NAN, NAN};
            struct side *side = &sides[order[i]];

            if (!side->left_out && !sides[BARE].left_out)
                take_turn(side, took_us);
            for (int step = 0; step < STEPS; step++)
                side->series[step].values[round] = took_us[step];
        }
        bench_shuffle(order, SIDES);
    }
    if (sides[BARE].left_out)
        sides[POOL].left_out = sides[BARE].left_out;
}

static void compare(struct side *sides, unsigned processors)
{
    unsigned usual = ROUNDS_OF_TEN * 10 / workers, rounds = bench_setting("BENCH_ROUNDS", usual);

    bench_title("%u workers, %s: microseconds for each", workers, processors_name(processors));
    if (rounds > usual)
        rounds = usual;
    if (rounds < FEWEST_ROUNDS)
        rounds = FEWEST_ROUNDS;
    const char *left_out = stay_on_processors(processors) ? no_room() : "there are not so many";
    for (int i = 0; i < SIDES; i++) {
        sides[i].left_out = left_out;
        for (int step = 0; step < STEPS; step++)
            series_make(&sides[i].series[step], sides[i].name, rounds);
    }
    play(sides, rounds);
    for (int i = 0; i < SIDES; i++)
        for (int step = 0; step < STEPS; step++)
            sides[i].series[step].left_out = sides[i].left_out;
    bench_print_heads("");
    print(sides);
    for (int i = 0; i < SIDES; i++)
        for (int step = 0; step < STEPS; step++)
            series_release(&sides[i].series[step]);
}

/* As many descriptors as we may. */
static void raise_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

int main(void)
{
    struct side sides[SIDES] = {
        [POOL] = {.name = "pool", .run = run_pool, .is_pool = true},
        [BARE] = {.name = "bare", .run = run_bare},
    };

    raise_limit();
    ipc_apart();
    ready = gate_new();
    done = gate_new();
    for (int i = 0; i < SIDES; i++)
        sides[i].key = ipc_new_key();
    for (unsigned processors = 1; processors <= MOST_PROCESSORS; processors++)
        for (workers = 10; workers <= 1000; workers *= 10)
            compare(sides, processors);
    return 0;
}
