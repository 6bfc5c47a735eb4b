/* A pool under fire: workers are killed, stopped and asked to leave at random, its manager is killed and started again, all the
 * while it is reloaded and resized, and jobs come in. At the end: each accepted job was run, none was run again after it was
 * done, and the counts add up.
 *
 * SOAK_SECONDS: how long; CHAOS_SEED: the seed of what is done (what the kernel makes of it is another matter). */
#include "pools.h"

#define MOST_JOBS 8000000u
#define MOST_PIDS 4194304u
#define LARGEST_JOB 65536
#define FEWEST 4
#define MOST 16

struct work {
    unsigned number, nap_us;
    unsigned char bytes[];
};

/* What is known of each job, by its number. */
struct record {
    _Atomic uint8_t begins, ends;
    _Atomic uint8_t is_done; /* its worker has begun the next one since */
    uint8_t is_bare;
    _Atomic pid_t by;
};

static struct shared {
    struct record records[MOST_JOBS];
    _Atomic unsigned current[MOST_PIDS];      /* each worker's job, + 1 */
    _Atomic unsigned char killed[MOST_PIDS];  /* by us; a number may be used again by another worker */
    _Atomic int damaged_bytes, again_after_done, again_without_kill, duplicates;
    _Atomic unsigned seed;
} *shared;

static struct {
    unsigned jobs, kills, terms, stops, managers, signals;
} counts;
static struct proc *manager;
static struct proc_pool_options options;
static unsigned seed;

static unsigned below(unsigned limit)
{
    return (unsigned)rand_r(&seed) % limit;
}

/* ---- in the workers ---- */

static bool is_whole(const struct work *work, size_t size)
{
    for (size_t i = sizeof *work; i < size; i++)
        if (work->bytes[i - sizeof *work] != (unsigned char)(i * 11 + work->number))
            return false;
    return true;
}

static void note_begin(unsigned number)
{
    struct record *record = &shared->records[number];
    _Atomic unsigned *current = &shared->current[(unsigned)getpid() % MOST_PIDS];
    unsigned before = *current;
    pid_t by = record->by;

    if (before > 0 && before != number + 1 && shared->records[before - 1].by == getpid())
        shared->records[before - 1].is_done = 1;
    if (record->is_done)
        shared->again_after_done++;
    else if (record->begins > 0 && !shared->killed[(unsigned)by % MOST_PIDS])
        shared->again_without_kill++;
    if (record->begins > 0)
        shared->duplicates++;
    record->by = getpid();
    *current = number + 1;
    record->begins++;
}

static int work_off(struct proc_worker *worker, const struct proc_job *job, void *arg)
{
    const struct work *work = job->data;

    (void)worker, (void)arg;
    if (job->size < sizeof *work || work->number >= MOST_JOBS || !is_whole(work, job->size)) {
        shared->damaged_bytes++;
        return 0;
    }
    note_begin(work->number);
    if (work->nap_us)
        nanosleep(&(struct timespec){.tv_nsec = work->nap_us * 1000}, NULL);
    shared->records[work->number].ends++;
    return 0;
}

static int forget_number(struct proc_worker *worker, void *arg)
{
    (void)worker, (void)arg;
    shared->current[(unsigned)getpid() % MOST_PIDS] = 0; /* of one that had it before */
    shared->killed[(unsigned)getpid() % MOST_PIDS] = 0;
    return 0;
}

/* ---- in the manager ---- */

static void note_given_up(const struct proc_pool_event *event)
{
    unsigned number = 0;

    if (event->job->size >= sizeof number)
        memcpy(&number, event->job->data, sizeof number);
    printf("chaos: job %u of %zu bytes%s is given up at attempt %u: begun %d, ended %d\n", number, event->job->size,
           number < MOST_JOBS && shared->records[number].is_bare ? " (bare)" : "", event->job->attempt,
           number < MOST_JOBS ? shared->records[number].begins : 0, number < MOST_JOBS ? shared->records[number].ends : 0);
    fflush(stdout);
}

static void disturb(const struct proc_pool_event *event, void *arg)
{
    unsigned number = ++shared->seed;

    (void)arg;
    board->count[event->type]++;
    if (event->type == PROC_POOL_WORKER_KILLED)
        shared->killed[(unsigned)event->pid % MOST_PIDS] = 1;
    if (event->type == PROC_POOL_JOB_DEAD || event->type == PROC_POOL_JOB_DAMAGED)
        note_given_up(event);
    if (rand_r(&number) % 40 == 0)
        proc_pool_reload(event->pool);
    if (rand_r(&number) % 40 == 0)
        proc_pool_resize(event->pool, FEWEST + (unsigned)rand_r(&number) % (MOST - FEWEST + 1));
}

/* ---- the disturber ---- */

static bool is_a_worker(pid_t pid)
{
    pid_t parent = parent_of(pid);

    return pid != proc_pid(manager) && (parent == proc_pid(manager) || parent == getpid());
}

/* Never a stranger that has got the number meanwhile. */
static bool signal_worker(pid_t pid, int signo)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    bool done = false;

    if (fd < 0)
        return false;
    if (is_a_worker(pid)) {
        if (signo == SIGKILL)
            shared->killed[(unsigned)pid % MOST_PIDS] = 1;
        done = syscall(SYS_pidfd_send_signal, fd, signo, NULL, 0) == 0;
    }
    close(fd);
    return done;
}

static struct {
    pid_t pid;
    int64_t until_ms;
} stopped[8];

static void wake(bool all)
{
    for (int i = 0; i < 8; i++)
        if (stopped[i].pid && (all || now_ms() >= stopped[i].until_ms)) {
            signal_worker(stopped[i].pid, SIGCONT);
            stopped[i].pid = 0;
        }
}

static pid_t some_worker(void)
{
    struct proc_worker_stats workers[MOST];

    if (proc_pool_stats(pool, NULL, workers, MOST) < 0)
        ck_abort_msg("stats: %s", strerror(errno));
    return workers[below(MOST)].pid;
}

static void disturb_a_worker(void)
{
    pid_t pid = some_worker();
    unsigned way = below(8);

    if (pid <= 0)
        return;
    if (way < 4) {
        counts.kills += signal_worker(pid, SIGKILL);
    } else if (way < 6) {
        counts.terms += signal_worker(pid, SIGTERM);
    } else {
        int place = (int)below(8);

        if (!stopped[place].pid && signal_worker(pid, SIGSTOP)) {
            stopped[place].pid = pid;
            stopped[place].until_ms = now_ms() + below(100);
            counts.stops++;
        }
    }
}

/* Orphans of killed managers are ours. */
static void reap_orphans(void)
{
    siginfo_t info = {0};

    while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid > 0 && info.si_pid != proc_pid(manager)) {
        waitpid(info.si_pid, NULL, 0);
        info.si_pid = 0;
    }
}

static void start_manager(void)
{
    int before = board->managers;

    options.workers = FEWEST + below(MOST - FEWEST + 1);
    options.max_jobs = below(3) ? 0 : 20 + below(200);
    manager = must_spawn((struct proc_options){.main = manage, .arg = &options, .flags = PROC_NEW_GROUP});
    MUST_BECOME(board->managers > before || !proc_running(manager));
    ck_assert_msg(board->managers > before, "proc_pool_new: %s", strerror(board->failure));
}

static void kill_manager(void)
{
    ck_assert_msg(proc_running(manager), "run said %d, %s", board->result, strerror(board->failure));
    if (below(4) == 0) { /* and its workers at the same time */
        struct proc_worker_stats workers[MOST];

        ck_assert_int_eq(proc_pool_stats(pool, NULL, workers, MOST), 0);
        proc_kill(manager, SIGSTOP);
        for (int i = 0; i < MOST; i++)
            if (workers[i].pid > 0)
                counts.kills += signal_worker(workers[i].pid, SIGKILL);
    }
    proc_kill(manager, SIGKILL);
    ck_assert_int_eq(must_end(manager).signal, SIGKILL);
    counts.managers++;
    for (unsigned moments = below(20); moments > 0; moments--)
        nap();
    start_manager();
}

static void disturb_the_manager(void)
{
    static const int signals[] = {SIGHUP, SIGUSR1, SIGTTIN, SIGTTOU, SIGTTIN, SIGTTOU};

    proc_kill(manager, signals[below(6)]);
    counts.signals++;
}

/* ---- jobs ---- */

/* Whether there was room. */
static bool hand_in(void)
{
    static struct {
        long type;
        union {
            struct work work;
            unsigned char room[LARGEST_JOB];
        };
    } message;
    size_t size = below(20) == 0 ? below(LARGEST_JOB) : below(400);
    bool is_bare = below(10) == 0;

    if (size < 16 || is_bare)
        size = 16;
    message.type = 1 + (long)below(5);
    message.work.number = counts.jobs;
    message.work.nap_us = below(10) == 0 ? below(50000) : 0;
    for (size_t i = sizeof message.work; i < size; i++)
        message.work.bytes[i - sizeof message.work] = (unsigned char)(i * 11 + counts.jobs);
    shared->records[counts.jobs].is_bare = is_bare;
    int result = is_bare ? msgsnd(msgget(options.key, 0), &message, size, IPC_NOWAIT) == 0
                         : proc_pool_submit(pool, &message.work, size, (int)below(3));
    ck_assert_msg(result >= 0, "submit: %s", strerror(errno));
    counts.jobs += (unsigned)result;
    return result;
}

/* ---- the test ---- */

static bool all_is_done(void)
{
    struct proc_pool_stats stats = stats_now();

    reap_orphans();
    ck_assert_msg(proc_running(manager), "run said %d, %s", board->result, strerror(board->failure));
    return messages_under(options.key) == 0 && stats.queued == 0 && stats.submitted == counts.jobs &&
           stats.done + stats.dead == stats.submitted;
}

static unsigned missing(bool bare)
{
    unsigned count = 0;

    for (unsigned i = 0; i < counts.jobs; i++)
        count += shared->records[i].begins == 0 && shared->records[i].is_bare == bare;
    return count;
}

static int seconds(void)
{
    const char *wanted = getenv("SOAK_SECONDS");

    return wanted && atoi(wanted) > 0 ? atoi(wanted) : ROUNDS(8, 3);
}

static void be_in_chaos(void)
{
    for (int64_t end = now_ms() + seconds() * INT64_C(1000); now_ms() < end && counts.jobs < MOST_JOBS - 1;) {
        unsigned what = below(300);

        reap_orphans();
        wake(false);
        if (what < 12)
            disturb_a_worker();
        else if (what < 14)
            disturb_the_manager();
        else if (what == 14 && below(5) == 0)
            kill_manager();
        else if (!hand_in() || (what < 20 && messages_under(options.key) > 20))
            nap();
    }
    wake(true);
}

START_TEST(whatever_is_killed_each_accepted_job_is_run_and_none_after_it_was_done)
{
    const char *wanted = getenv("CHAOS_SEED");
    int queues = objects_of("msg"), segments = objects_of("shm");

    adopt();
    seed = wanted ? (unsigned)strtoul(wanted, NULL, 10) : (unsigned)getpid() * 2654435761u + (unsigned)time(NULL);
    printf("chaos: CHAOS_SEED=%u for %d s\n", seed, seconds());
    fflush(stdout);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ck_assert(shared != MAP_FAILED);
    shared->seed = seed;
    options = (struct proc_pool_options){.name = "chaos",
                                         .job = work_off,
                                         .start = forget_number,
                                         .event = disturb,
                                         .key = unused_key(),
                                         .max_job_size = LARGEST_JOB,
                                         .max_attempts = 1000000,
                                         .grace_ms = 30000,
                                         .backoff_min_ms = 1,
                                         .backoff_max_ms = 10};
    start_manager();
    pool = proc_pool_attach(options.key);
    ck_assert_ptr_nonnull(pool);
    be_in_chaos();
    struct proc_pool_stats stats = stats_now();
    for (int64_t end = now_ms() + PATIENCE_MS; !all_is_done(); nap()) {
        stats = stats_now();
        ck_assert_msg(now_ms() < end, "%u handed in, %d submitted, %d done, %d dead, %d queued, %u were never begun", counts.jobs,
                      (int)stats.submitted, (int)stats.done, (int)stats.dead, (int)stats.queued, missing(false) + missing(true));
    }
    stats = stats_now();
    must_end_well(manager);
    bury();
    printf("chaos: %u jobs; %u workers killed, %u asked to leave, %u stopped; %u managers killed, %u signals to them; "
           "%d restarts, %d reloads, %d resizes; %d duplicates, %d bare messages damaged, %u lost\n",
           counts.jobs, counts.kills, counts.terms, counts.stops, counts.managers, counts.signals, (int)stats.restarts,
           board->count[PROC_POOL_RELOADED], board->count[PROC_POOL_RESIZED], shared->duplicates, (int)stats.dead,
           missing(false));
    fflush(stdout);
    must_add_up();
    ck_assert_uint_eq(missing(false), 0);
    ck_assert_uint_eq(missing(true), stats.dead); /* bare ones whose length was lost with their worker: each was told */
    for (unsigned i = 0; i < counts.jobs; i++)
        ck_assert_msg(shared->records[i].ends > 0 || shared->records[i].begins == 0, "job %u was begun, and never ended", i);
    ck_assert_int_eq(shared->damaged_bytes, 0);
    ck_assert_int_eq(shared->again_after_done, 0);
    ck_assert_int_eq(shared->again_without_kill, 0);
    must_remove_and_free();
    ck_assert_int_eq(objects_of("msg"), queues);
    ck_assert_int_eq(objects_of("shm"), segments);
    ck_assert_int_eq(files_of_queues(), 0);
}
END_TEST

Suite *suite_make(void)
{
    Suite *suite = suite_create("pool_chaos");
    TCase *tcase = tcase_pools(suite, "chaos");

    tcase_set_timeout(tcase, seconds() + 400);
    tcase_add_test(tcase, whatever_is_killed_each_accepted_job_is_run_and_none_after_it_was_done);
    return suite;
}
