/* A worker's replacement: from the SIGKILL that ends a worker to the first thing that the next one does, which is to write its
 * number into a pipe. Beside a bare supervisor, which waits for its children and forks.
 *
 * In a pool, who ends soon and has done nothing is replaced after a while only. So it is one that has just done a job. */
#include "ipc_apart.h"
#include "pool_crew.h"
#include "pool_turns.h"

#include <err.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 150
#define MANY 100 /* workers */
#define PATIENCE_MS 60000
#define SETTLE_US 300

static int numbers[2]; /* the pipe, from all that begin to us */

static void tell_number(void)
{
    pid_t pid = getpid();

    if (write(numbers[1], &pid, sizeof pid) != sizeof pid)
        err(1, "write");
}

static pid_t next_number(void)
{
    pid_t pid;

    if (read(numbers[0], &pid, sizeof pid) != sizeof pid)
        err(1, "read");
    return pid;
}

struct group {
    unsigned workers;
    key_t key;
    struct crew crew;
    void (*order)(const struct group *group); /* to do a job */
    struct proc_pool *pool;
    int queue;
};

/* ---- the pool ---- */

static int begin(struct proc_worker *worker, void *arg)
{
    (void)worker, (void)arg;
    tell_number();
    return 0;
}

static int do_job(struct proc_worker *worker, const struct proc_job *job, void *arg)
{
    (void)job;
    return begin(worker, arg);
}

static int run_pool(struct proc *self, void *arg)
{
    const struct group *group = arg;
    struct proc_pool_options options = {.key = group->key, .workers = group->workers, .start = begin, .job = do_job};
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

static void submit(const struct group *group)
{
    if (proc_pool_submit(group->pool, "", 1, PATIENCE_MS) != 1)
        err(1, "proc_pool_submit");
}

/* ---- bare ---- */

static _Noreturn void work(int queue)
{
    struct {
        long type;
        char text[64];
    } message;

    do
        tell_number();
    while (msgrcv(queue, &message, sizeof message.text, 0, 0) >= 0);
    _exit(1);
}

static void start_one(int queue, pid_t supervisor)
{
    pid_t child = fork();

    if (child < 0)
        err(1, "fork");
    if (child > 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != supervisor)
        _exit(1);
    work(queue);
}

static int run_bare(struct proc *self, void *arg)
{
    const struct group *group = arg;
    pid_t supervisor = getpid();

    (void)self;
    crew_is_ready();
    for (unsigned i = 0; i < group->workers; i++)
        start_one(group->queue, supervisor);
    while (waitpid(-1, NULL, 0) > 0)
        start_one(group->queue, supervisor);
    return 1;
}

static void send_message(const struct group *group)
{
    struct {
        long type;
        char text[1];
    } message = {.type = 1};

    if (msgsnd(group->queue, &message, sizeof message.text, 0) < 0)
        err(1, "msgsnd");
}

/* ---- the report ---- */

static double replace_us(void *arg)
{
    const struct group *group = arg;

    group->order(group);
    pid_t worker = next_number();
    usleep(SETTLE_US); /* it is done with the job, and all are idle */
    int64_t start = bench_now_ns();
    if (kill(worker, SIGKILL) < 0)
        err(1, "kill");
    next_number();
    double took = (double)(bench_now_ns() - start) / 1e3;
    usleep(SETTLE_US);
    return took;
}

static void start_group(struct group *group, proc_main_fn *run)
{
    crew_fork(&group->crew, run, group, 1);
    for (unsigned i = 0; i < group->workers; i++)
        next_number();
}

static void compare(unsigned workers, unsigned processors, struct group *ours, struct group *theirs)
{
    struct contender contenders[] = {
        {.name = "pool", .turn = replace_us, .arg = ours},
        {.name = "bare", .turn = replace_us, .arg = theirs},
    };
    unsigned rounds = bench_setting("BENCH_ROUNDS", ROUNDS);

    bench_title("a killed worker is replaced, %u worker%s, %s", workers, workers > 1 ? "s" : "", processors_name(processors));
    if (!stay_on_processors(processors)) {
        bench_note("left out: there are not so many");
        return;
    }
    ours->workers = theirs->workers = workers;
    start_group(ours, run_pool);
    start_group(theirs, run_bare);
    ours->pool = proc_pool_attach(ours->key);
    if (!ours->pool)
        err(1, "proc_pool_attach");
    make_contenders(contenders, 2, rounds);
    take_turns(contenders, 2, 0, rounds);
    print_contenders(contenders, 2, "microseconds");
    bench_print_ratio(&contenders[0].series, &contenders[1].series, GOAL_AT_MOST(1.5));
    release_contenders(contenders, 2);
    proc_pool_free(ours->pool);
    crew_stop(&ours->crew);
    crew_stop(&theirs->crew);
}

int main(void)
{
    static struct group ours = {.order = submit}, theirs = {.order = send_message};

    ipc_apart();
    ours.key = ipc_new_key();
    theirs.key = ipc_new_key();
    theirs.queue = msgget(theirs.key, IPC_CREAT | IPC_EXCL | 0600);
    if (theirs.queue < 0 || pipe2(numbers, O_CLOEXEC) < 0)
        err(1, "a queue and a pipe");
    for (unsigned processors = 1; processors <= MOST_PROCESSORS; processors++) {
        compare(1, processors, &ours, &theirs);
        compare(MANY, processors, &ours, &theirs);
    }
    return 0;
}
