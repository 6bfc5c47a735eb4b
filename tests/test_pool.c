/* Pools: making them, handing in jobs, the scoreboard, attaching, stopping, draining, removing, and what is left. */
#include "pools.h"

#include <limits.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/time.h>

/* ---- making ---- */

static void must_not_make(struct proc_pool_options options, int failure)
{
    errno = 0;
    struct proc_pool *made = proc_pool_new(&options);
    int saved = errno;

    ck_assert_ptr_null(made);
    ck_assert_msg(saved == failure, "errno is %s, not %s", strerror(saved), strerror(failure));
}

static int do_nothing(struct proc_worker *worker, void *arg)
{
    (void)worker, (void)arg;
    return 0;
}

START_TEST(exactly_one_of_main_and_job_is_wanted)
{
    must_not_make((struct proc_pool_options){.workers = 1}, EINVAL);
    must_not_make((struct proc_pool_options){.workers = 1, .job = obey, .main = do_nothing}, EINVAL);
}
END_TEST

START_TEST(wrong_options_are_told)
{
    static const char *const addresses[] = {"", "unix:", "tcp:", "udp:127.0.0.1:1", "tcp:127.0.0.1", "tcp:127.0.0.1:99999"};
    struct proc_pool_options options[] = {
        {.job = obey, .flags = 1},        {.job = obey, .flags = 0x80000000u}, {.job = obey, .key = -1},
        {.job = obey, .grace_ms = -2},    {.job = obey, .job_timeout_ms = -2}, {.main = do_nothing, .heartbeat_ms = -2},
        {.job = obey, .backoff_min_ms = -1}, {.job = obey, .backoff_max_ms = -1}, {.job = obey, .restart = (enum proc_restart)3},
        {.job = obey, .restart_window_ms = -1}, {.job = obey, .client_timeout_ms = -2},
    };

    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        errno = 0;
        struct proc_pool *made = proc_pool_new(&options[i]);
        ck_assert_msg(!made && errno == EINVAL, "number %zu: %p, %s", i, (void *)made, strerror(errno));
    }
    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++)
        must_not_make((struct proc_pool_options){.job = obey, .listen = addresses[i]}, EINVAL);
    must_fail(proc_pool_new_sized(NULL, sizeof *options) ? 0 : -1, EINVAL);
}
END_TEST

START_TEST(options_of_another_size_are_understood)
{
    struct {
        struct proc_pool_options known;
        char more[64];
    } newer = {.known = usual(1)};

    must_fail(proc_pool_new_sized(&newer.known, offsetof(struct proc_pool_options, flags)) ? 0 : -1, EINVAL);
    newer.more[63] = 1;
    must_fail(proc_pool_new_sized(&newer.known, sizeof newer) ? 0 : -1, EINVAL);
    newer.more[63] = 0;
    pool = proc_pool_new_sized(&newer.known, sizeof newer);
    ck_assert_ptr_nonnull(pool);
    proc_pool_free(pool);
}
END_TEST

START_TEST(making_starts_no_worker)
{
    must_make(usual(2));
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG | __WALL), -1);
    ck_assert_int_eq(errno, ECHILD);
    ck_assert(!proc_pool_done(pool));
    proc_pool_free(pool);
}
END_TEST

START_TEST(zero_workers_mean_one_for_each_processor_that_may_be_used)
{
    cpu_set_t all, one;

    ck_assert_int_eq(sched_getaffinity(0, sizeof all, &all), 0);
    must_make(usual(0));
    ck_assert_uint_eq(stats_now().workers, (unsigned)CPU_COUNT(&all));
    MUST_BECOME(board->count[PROC_POOL_WORKER_READY] == CPU_COUNT(&all));
    must_stop_and_free();
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; cpu++)
        if (CPU_ISSET(cpu, &all))
            CPU_SET(cpu, &one);
    ck_assert_int_eq(sched_setaffinity(0, sizeof one, &one), 0);
    must_make(usual(0));
    ck_assert_uint_eq(stats_now().workers, 1);
    proc_pool_free(pool);
}
END_TEST

static bool shows(pid_t pid, const char *name)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
    return strstr(contents_of(path), name) != NULL;
}

START_TEST(workers_show_the_pools_name_and_strings_are_copied)
{
    struct proc_pool_options options = usual(1);
    char name[] = "painters";

    options.name = name;
    must_make(options);
    memset(name, 'x', sizeof name);
    MUST_BECOME(board->count[PROC_POOL_WORKER_READY] == 1);
    ck_assert(shows(pid_of(0), "painters"));
    must_stop_and_free();
    must_make(usual(1));
    MUST_BECOME(board->count[PROC_POOL_WORKER_READY] == 2);
    ck_assert(shows(pid_of(0), "pool"));
    must_stop_and_free();
}
END_TEST

/* ---- jobs ---- */

static int check_bytes(struct proc_worker *worker, const struct proc_job *job, void *arg)
{
    const unsigned char *bytes = job->data;

    (void)worker, (void)arg;
    board->wrong += job->attempt != 1 || job->id != (uint64_t)board->begun + 1;
    for (size_t i = 0; i < job->size; i++)
        if (bytes[i] != (unsigned char)(i * 7 + job->size)) {
            board->wrong++;
            break;
        }
    board->answers[board->begun % 16] = (int64_t)job->size;
    board->begun++;
    return 0;
}

static void *bytes_of(size_t size)
{
    static unsigned char bytes[1 << 21];

    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(i * 7 + size);
    return bytes;
}

/* One worker takes them one after the other. */
START_TEST(a_job_is_the_bytes_that_were_handed_in_with_a_number_from_1)
{
    static const size_t sizes[] = {0, 1, 7, 100, 4000, 0, 8000};
    struct proc_pool_options options = usual(1);

    options.job = check_bytes;
    must_make_ready(options);
    for (int i = 0; i < 7; i++) {
        ck_assert_int_eq(proc_pool_submit(pool, sizes[i] ? bytes_of(sizes[i]) : NULL, sizes[i], PATIENCE_MS), 1);
        MUST_BECOME(board->begun == i + 1);
        ck_assert_int_eq(board->answers[i], sizes[i]);
    }
    ck_assert_int_eq(board->wrong, 0);
    must_stop();
    struct proc_pool_stats stats = stats_now();
    ck_assert_uint_eq(stats.submitted, 7);
    ck_assert_uint_eq(stats.done, 7);
    proc_pool_free(pool);
}
END_TEST

static size_t limit_of(const char *name)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/sys/kernel/%s", name);
    return (size_t)strtoul(contents_of(path), NULL, 10);
}

START_TEST(without_a_size_a_job_is_what_one_message_holds)
{
    struct proc_pool_options options = usual(1);
    size_t most = limit_of("msgmax");
    int jobs = 0;

    options.job = check_bytes;
    must_make_ready(options);
    ck_assert_int_eq(proc_pool_submit(pool, bytes_of(most - 64), most - 64, PATIENCE_MS), 1);
    MUST_BECOME(board->begun == 1);
    must_fail(proc_pool_submit(pool, bytes_of(most + 1), most + 1, 0), EMSGSIZE);
    must_fail(proc_pool_submit(pool, bytes_of(1 << 21), 1 << 21, -1), EMSGSIZE);
    for (size_t size = most - 64; size <= most; size++) {
        int result = proc_pool_submit(pool, bytes_of(size), size, PATIENCE_MS);

        ck_assert(result == 1 || (result == -1 && errno == EMSGSIZE));
        jobs += result == 1;
        MUST_BECOME(board->begun == 1 + jobs);
    }
    ck_assert_int_eq(board->wrong, 0);
    must_stop();
    ck_assert_uint_eq(stats_now().submitted, (unsigned)(1 + jobs)); /* what was refused does not count */
    proc_pool_free(pool);
}
END_TEST

START_TEST(a_job_above_max_job_size_is_refused)
{
    static const size_t limits[] = {1, 100, 8192, 70000, 1 << 20};

    for (int i = 0; i < 5; i++) {
        struct proc_pool_options options = usual(1);

        board->begun = 0;
        options.job = check_bytes;
        options.max_job_size = limits[i];
        must_make_ready(options);
        must_fail(proc_pool_submit(pool, bytes_of(limits[i] + 1), limits[i] + 1, -1), EMSGSIZE);
        ck_assert_int_eq(proc_pool_submit(pool, bytes_of(limits[i]), limits[i], PATIENCE_MS), 1);
        MUST_BECOME(board->begun == 1);
        ck_assert_int_eq(board->answers[0], limits[i]);
        ck_assert_int_eq(board->wrong, 0);
        must_stop_and_free();
    }
}
END_TEST

START_TEST(jobs_may_be_handed_in_before_there_is_a_worker)
{
    must_make(usual(2));
    for (unsigned i = 0; i < 100; i++)
        must_submit(i, PASS);
    ck_assert_uint_eq(stats_now().queued, 100);
    ck_assert_uint_eq(stats_now().submitted, 100);
    MUST_BECOME(board->ended == 100);
    must_stop_and_free();
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(board->orders[i].begins, 1);
}
END_TEST

START_TEST(a_full_queue_is_waited_for_as_long_as_it_is_told)
{
    static char kilobyte[1024];

    must_make(usual(1));
    while (proc_pool_submit(pool, kilobyte, sizeof kilobyte, 0) == 1)
        ;
    struct proc_pool_stats stats = stats_now();
    for (int timeout_ms = 0; timeout_ms < 50; timeout_ms += 24) {
        int64_t start = now_ms();

        ck_assert_int_eq(proc_pool_submit(pool, kilobyte, sizeof kilobyte, timeout_ms), 0);
        ck_assert_int_ge(now_ms() - start, timeout_ms - 1);
    }
    must_fail(proc_pool_submit(pool, kilobyte, sizeof kilobyte, -2), EINVAL);
    ck_assert_uint_eq(stats_now().submitted, stats.submitted);
    ck_assert_uint_eq(stats_now().queued, stats.queued);
    proc_pool_free(pool);
}
END_TEST

/* Each job is a quarter of the usual capacity: the queue is full nearly all the time. */
START_TEST(the_manager_may_hand_in_more_than_the_queue_holds)
{
    static char bytes[4000];
    int jobs = ROUNDS(400, 60);

    must_make_ready(usual(2));
    for (int i = 0; i < jobs / 2; i++)
        ck_assert_int_eq(proc_pool_submit(pool, bytes, sizeof bytes, -1), 1);
    for (int i = 0; i < jobs / 2;) {
        int result = proc_pool_submit(pool, bytes, sizeof bytes, 0);

        ck_assert_int_ge(result, 0);
        i += result;
        if (!result)
            give_turn();
    }
    MUST_BECOME(board->ended == jobs);
    must_stop_and_free();
}
END_TEST

static int submit_beyond_a_limit(struct proc *self, void *unused)
{
    struct rlimit limit = {10000, 10000};

    (void)self, (void)unused;
    if (setrlimit(RLIMIT_FSIZE, &limit) < 0)
        return 1;
    return proc_pool_submit(pool, bytes_of(50000), 50000, -1) == -1 ? errno : 0;
}

START_TEST(a_large_job_that_finds_no_room_is_an_error_and_nothing_else)
{
    struct proc_pool_options options = usual(1);

    options.max_job_size = 100000;
    must_make(options);
    seam_fail(SYS_write, 1, ENOSPC);
    must_fail(proc_pool_submit(pool, bytes_of(50000), 50000, 0), ENOSPC);
    ck_assert(seam_end());
    struct proc_exit exit = must_end(must_spawn((struct proc_options){.main = submit_beyond_a_limit}));
    ck_assert_int_eq(exit.signal, 0);
    ck_assert_int_eq(exit.code, EFBIG);
    ck_assert_uint_eq(stats_now().submitted, 0);
    ck_assert_uint_eq(stats_now().queued, 0);
    proc_pool_free(pool);
}
END_TEST

static void do_nothing_on_alarm(int signo)
{
    (void)signo;
}

static void be_interrupted(int every_us)
{
    struct sigaction action = {.sa_handler = do_nothing_on_alarm};
    struct itimerval often = {{0, every_us}, {0, every_us}};

    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
}

static int be_interrupted_too(struct proc_worker *worker, void *arg)
{
    be_interrupted(1000);
    return note_start(worker, arg);
}

START_TEST(signals_of_the_programs_own_disturb_neither_workers_nor_manager)
{
    struct proc_pool_options options = usual(2);

    options.start = be_interrupted_too;
    be_interrupted(1000);
    must_make(options);
    for (unsigned i = 0; i < 200; i++) {
        must_submit(i, i % 50 == 0 ? DIE_ONCE : i % 50 == 1 ? FAIL_ONCE : PASS);
        if (i % 20 == 0)
            MUST_BECOME(board->ended > (int)i / 2);
    }
    MUST_BECOME(board->ended == 200 && board->count[PROC_POOL_WORKER_READY] == 6);
    must_stop();
    ck_assert_int_eq(board->count[PROC_POOL_WORKER_EXITED], 6);
    must_add_up();
    be_interrupted(0);
    proc_pool_free(pool);
}
END_TEST

static void submit_on_retry(const struct proc_pool_event *event, void *arg)
{
    static unsigned number = 1000;
    struct order order = {number, PASS};

    note_event(event, arg);
    if (event->type == PROC_POOL_JOB_RETRIED && proc_pool_submit(event->pool, &order, sizeof order, -1) == 1)
        number++;
}

START_TEST(jobs_may_be_handed_in_by_event)
{
    struct proc_pool_options options = usual(2);

    options.event = submit_on_retry;
    must_make_ready(options);
    for (unsigned i = 0; i < 20; i++)
        must_submit(i, FAIL_ONCE);
    MUST_BECOME(board->ended == 40);
    must_stop_and_free();
}
END_TEST

static int submit_many(struct proc *self, void *first)
{
    (void)self;
    for (unsigned i = 0; i < 100; i++) {
        struct order order = {*(unsigned *)first + i, PASS};

        if (proc_pool_submit(pool, &order, sizeof order, 30000) != 1)
            return 1;
    }
    proc_pool_free(pool);
    return 0;
}

START_TEST(children_hand_in_jobs_and_each_has_its_own_number)
{
    struct proc *children[4];

    must_make(usual(2));
    for (unsigned i = 0; i < 4; i++) {
        unsigned first = i * 100;

        children[i] = must_spawn((struct proc_options){.main = submit_many, .arg = &first});
    }
    MUST_BECOME(board->ended == 400);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(must_end(children[i]).code, 0);
    for (int i = 0; i < 400; i++) {
        ck_assert_int_eq(board->orders[i].begins, 1);
        ck_assert_int_eq(board->ids[i + 1], 1);
    }
    must_stop();
    must_add_up();
    ck_assert_uint_eq(stats_now().done, 400);
    proc_pool_free(pool);
}
END_TEST

/* A job of this number hands in those of twice the number, and of one more. */
static int branch(struct proc_worker *worker, const struct proc_job *job, void *arg)
{
    struct order order = order_of(job);

    (void)arg;
    for (unsigned i = 0; i < 2; i++) {
        struct order next = {order.number * 2 + i, PASS};

        if (next.number < 256 && proc_pool_submit(proc_worker_pool(worker), &next, sizeof next, 30000) != 1)
            board->wrong++;
    }
    return obey(worker, job, NULL);
}

START_TEST(jobs_hand_in_jobs)
{
    struct proc_pool_options options = usual(3);

    options.job = branch;
    must_make(options);
    must_submit(1, PASS);
    MUST_BECOME(board->ended == 255);
    must_stop_and_free();
    for (int i = 1; i < 256; i++)
        ck_assert_int_eq(board->orders[i].begins, 1);
    ck_assert_int_eq(board->wrong, 0);
}
END_TEST

static int reply_to_nobody(struct proc_worker *worker, const struct proc_job *job, void *arg)
{
    (void)worker, (void)arg;
    board->answers[0] = proc_job_reply(job, "x", 1);
    board->answers[1] = errno;
    board->ended++;
    return 0;
}

START_TEST(a_job_of_the_queue_has_no_reply)
{
    struct proc_pool_options options = usual(1);

    options.job = reply_to_nobody;
    must_make(options);
    must_submit(0, PASS);
    MUST_BECOME(board->ended == 1);
    ck_assert_int_eq(board->answers[0], -1);
    ck_assert_int_eq(board->answers[1], EINVAL);
    must_fail(proc_pool_port(pool), EINVAL);
    must_stop_and_free();
}
END_TEST

/* ---- the scoreboard ---- */

START_TEST(the_scoreboard_says_what_the_kernel_says)
{
    struct proc_pool_stats stats;
    struct proc_worker_stats workers[6];
    int64_t before = now_ms();
    int busy = 0;

    must_make_ready(usual(3));
    MUST_BECOME(stats_now().idle == 3);
    must_submit(1, WAIT);
    must_submit(2, WAIT);
    MUST_BECOME(board->begun == 2);
    memset(workers, 0x5a, sizeof workers);
    ck_assert_int_eq(proc_pool_stats(pool, &stats, workers, 6), 0);
    ck_assert_uint_eq(stats.workers, 3);
    ck_assert_uint_eq(stats.idle, 1);
    ck_assert_uint_eq(stats.busy, 2);
    ck_assert_uint_eq(stats.submitted, 2);
    ck_assert_uint_eq(stats.done, 0);
    ck_assert_uint_eq(stats.queued, 0);
    ck_assert_uint_eq(stats.restarts, 0);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(parent_of(workers[i].pid), getpid());
        ck_assert(lives(workers[i].pid));
        ck_assert_int_ge(workers[i].started_ns / 1000000, before - 1);
        ck_assert_int_le(workers[i].started_ns / 1000000, now_ms());
        ck_assert_uint_eq(workers[i].restarts, 0);
        if (workers[i].state == PROC_WORKER_BUSY) {
            ck_assert_int_ge(workers[i].busy_since_ns, workers[i].started_ns);
            ck_assert_int_le(workers[i].busy_since_ns / 1000000, now_ms());
            ck_assert(workers[i].pid == board->orders[1].by || workers[i].pid == board->orders[2].by);
            busy++;
        } else {
            ck_assert_int_eq(workers[i].state, PROC_WORKER_IDLE);
            ck_assert_int_eq(workers[i].busy_since_ns, 0);
        }
    }
    ck_assert_int_eq(busy, 2);
    for (int i = 3; i < 6; i++) {
        ck_assert_int_eq(workers[i].pid, 0);
        ck_assert_int_eq(workers[i].state, PROC_WORKER_GONE);
        ck_assert_uint_eq(workers[i].jobs, 0);
        ck_assert_int_eq(workers[i].started_ns, 0);
    }
    board->gate = 1;
    MUST_BECOME(stats_now().idle == 3);
    ck_assert_uint_eq(stats_now().done, 2);
    ck_assert_int_eq(proc_pool_stats(pool, NULL, workers, 3), 0);
    ck_assert_uint_eq(workers[0].jobs + workers[1].jobs + workers[2].jobs, 2);
    must_stop_and_free();
}
END_TEST

START_TEST(the_scoreboard_is_there_after_the_stop)
{
    must_make(usual(2));
    for (unsigned i = 0; i < 50; i++)
        must_submit(i, i == 7 ? DIE : i == 8 ? FAIL_ONCE : PASS);
    MUST_BECOME(board->count[PROC_POOL_JOB_DEAD] == 1 && board->ended == 49);
    MUST_BECOME(board->count[PROC_POOL_WORKER_READY] == 5);
    must_stop();
    struct proc_pool_stats stats = stats_now();
    ck_assert_uint_eq(stats.submitted, 50);
    ck_assert_uint_eq(stats.done, 49);
    ck_assert_uint_eq(stats.dead, 1);
    ck_assert_uint_eq(stats.retried, 3);
    ck_assert_uint_eq(stats.restarts, 3);
    ck_assert_uint_eq(stats.queued, 0);
    ck_assert_uint_eq(stats.idle + stats.busy, 0);
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_int_eq(worker_stats(i).state, PROC_WORKER_GONE);
        ck_assert_int_eq(worker_stats(i).pid, 0);
    }
    ck_assert_uint_eq(worker_stats(0).jobs + worker_stats(1).jobs, 49);
    ck_assert_uint_eq(worker_stats(0).restarts + worker_stats(1).restarts, 3);
    proc_pool_free(pool);
}
END_TEST

static int wait_in_start(struct proc_worker *worker, void *arg)
{
    note_start(worker, arg);
    wait_at_gate();
    return 0;
}

static int wait_in_stop(struct proc_worker *worker, void *arg)
{
    note_stop(worker, arg);
    while (board->gate < 2)
        nap();
    return 0;
}

static int fail_to_start(struct proc_worker *worker, void *arg)
{
    note_start(worker, arg);
    return 1;
}

START_TEST(each_state_of_a_worker_can_be_read)
{
    struct proc_pool_options options = usual(1);

    options.start = wait_in_start;
    options.stop = wait_in_stop;
    must_make(options);
    MUST_BECOME(board->started == 1);
    ck_assert_int_eq(worker_stats(0).state, PROC_WORKER_STARTING);
    ck_assert_uint_eq(stats_now().idle, 0);
    board->gate = 1;
    MUST_BECOME(worker_stats(0).state == PROC_WORKER_IDLE);
    ck_assert_int_eq(proc_pool_stop(pool), 0);
    MUST_BECOME(board->stopped == 1);
    ck_assert_int_eq(worker_stats(0).state, PROC_WORKER_STOPPING);
    board->gate = 2;
    MUST_BECOME(proc_pool_done(pool));
    ck_assert_int_eq(worker_stats(0).state, PROC_WORKER_GONE);
    proc_pool_free(pool);
    options = usual(1);
    options.start = fail_to_start;
    options.backoff_min_ms = options.backoff_max_ms = 60000;
    must_make(options);
    MUST_BECOME(worker_stats(0).state == PROC_WORKER_BACKING_OFF);
    ck_assert_int_eq(worker_stats(0).pid, 0);
    must_stop_and_free();
}
END_TEST

/* ---- attaching ---- */

START_TEST(attaching_needs_a_pool_under_that_key)
{
    key_t key = unused_key();

    ck_assert_ptr_null(proc_pool_attach(0));
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_ptr_null(proc_pool_attach(key));
    ck_assert_int_eq(errno, ENOENT);
    struct proc_counter *counter = proc_counter_open(key, 1, O_CREAT, 0);
    ck_assert_ptr_null(proc_pool_attach(key));
    ck_assert_int_eq(errno, EINVAL);
    struct proc_pool_options options = usual(1);
    options.key = key;
    must_not_make(options, EINVAL);
    proc_counter_remove(counter);
    proc_counter_close(counter);
}
END_TEST

static int use_from_elsewhere(struct proc *self, void *key)
{
    struct proc_worker_stats workers[4];
    struct proc_pool_stats stats;
    struct proc_pool *attached = proc_pool_attach(*(key_t *)key);

    (void)self;
    if (!attached)
        return 1;
    for (unsigned i = 0; i < 50; i++) {
        struct order order = {i, PASS};

        if (proc_pool_submit(attached, &order, sizeof order, 30000) != 1)
            return 2;
    }
    if (proc_pool_stats(attached, &stats, workers, 4) != 0 || stats.workers != 2 || stats.submitted != 50)
        return 3;
    for (int i = 0; i < 2; i++)
        if (workers[i].pid <= 0 || parent_of(workers[i].pid) != getppid())
            return 4;
    if (workers[2].state != PROC_WORKER_GONE)
        return 5;
    if (proc_pool_stop(attached) != -1 || errno != EPERM || proc_pool_reload(attached) != -1 || errno != EPERM)
        return 6;
    if (proc_pool_resize(attached, 3) != -1 || errno != EPERM || proc_pool_drain(attached) != -1 || errno != EPERM)
        return 7;
    if (proc_pool_send(attached, 0, "x", 1) != -1 || errno != EPERM)
        return 8;
    if (proc_pool_run(attached) != -1 || proc_pool_poll(attached, 0) != -1)
        return 9;
    proc_pool_free(attached);
    return 0;
}

START_TEST(another_process_attaches_a_pool_to_hand_in_jobs_and_read_the_scoreboard)
{
    struct proc_pool_options options = usual(2);

    options.key = unused_key();
    must_make_ready(options);
    struct proc *child = must_spawn((struct proc_options){.main = use_from_elsewhere, .arg = &options.key});
    MUST_BECOME(board->ended == 50 && !proc_running(child));
    ck_assert_int_eq(must_end(child).code, 0);
    must_stop();
    must_add_up();
    must_remove_and_free();
}
END_TEST

static int attach_as_another_user(struct proc *self, void *key)
{
    (void)self;
    if (setresuid(65534, 65534, 65534) < 0)
        return 1;
    if (proc_pool_attach(*(key_t *)key) || errno != EACCES)
        return 2;
    struct proc_pool_options options = usual(1);
    options.key = *(key_t *)key;
    if (proc_pool_new(&options) || errno != EACCES)
        return 3;
    return 0;
}

START_TEST(another_user_may_neither_attach_nor_take_over)
{
    struct proc_pool_options options = usual(1);

    if (geteuid() != 0) {
        skip("to become another user takes root");
        return;
    }
    options.key = unused_key();
    must_make(options);
    ck_assert_int_eq(must_end(must_spawn((struct proc_options){.main = attach_as_another_user, .arg = &options.key})).code, 0);
    must_remove_and_free();
}
END_TEST

/* ---- who manages ---- */

static int make_under(struct proc *self, void *key)
{
    struct proc_pool_options options = usual(1);

    (void)self;
    options.key = *(key_t *)key;
    return proc_pool_new(&options) ? 0 : errno;
}

START_TEST(a_key_has_one_manager)
{
    struct proc_pool_options options = usual(1);

    options.key = unused_key();
    must_make_ready(options);
    must_not_make(options, EBUSY);
    ck_assert_int_eq(must_end(must_spawn((struct proc_options){.main = make_under, .arg = &options.key})).code, EBUSY);
    must_submit(1, PASS);
    MUST_BECOME(board->ended == 1);
    must_stop_and_free();
    must_make_ready(options);
    must_stop();
    must_remove_and_free();
}
END_TEST

static int run_inherited(struct proc *self, void *unused)
{
    (void)self, (void)unused;
    return proc_pool_run(pool) == 0 ? 0 : errno;
}

START_TEST(who_runs_it_is_the_manager_also_when_another_process_has_made_it)
{
    struct proc_pool_options options = usual(2);

    options.key = _i ? unused_key() : 0;
    must_make(options);
    manages = false;
    struct proc *manager = must_spawn((struct proc_options){.main = run_inherited});
    MUST_BECOME(board->count[PROC_POOL_WORKER_READY] == 2 || !proc_running(manager));
    must_fail(proc_pool_run(pool), EBUSY);
    must_fail(proc_pool_poll(pool, 0), EBUSY);
    must_fail(proc_pool_stop(pool), EPERM);
    must_fail(proc_pool_drain(pool), EPERM);
    must_fail(proc_pool_reload(pool), EPERM);
    must_fail(proc_pool_resize(pool, 3), EPERM);
    must_fail(proc_pool_send(pool, 0, "x", 1), EPERM);
    ck_assert_int_eq(parent_of(pid_of(0)), proc_pid(manager));
    must_submit(1, PASS);
    MUST_BECOME(board->ended == 1);
    must_end_well(manager);
    if (_i)
        proc_pool_remove(pool);
    proc_pool_free(pool);
}
END_TEST

/* ---- a loop of one's own ---- */

static bool is_readable(int timeout_ms)
{
    return poll(&(struct pollfd){.fd = proc_pool_fd(pool), .events = POLLIN}, 1, timeout_ms) == 1;
}

static void poll_when_readable(void)
{
    ck_assert_msg(is_readable(PATIENCE_MS), "not readable; %s", board_text());
    ck_assert_int_ge(proc_pool_poll(pool, 0), 0);
}

static void poll_what_is_there(void)
{
    for (int quiet = 0; quiet < 3;)
        if (!is_readable(20))
            quiet++;
        else
            ck_assert_int_ge(proc_pool_poll(pool, 0), 0);
}

START_TEST(a_loop_of_ones_own_needs_nothing_but_the_descriptor)
{
    struct proc_pool_options options = usual(2);

    options.job_timeout_ms = 200;
    must_make(options);
    int fd = proc_pool_fd(pool);
    ck_assert_int_gt(fd, 2);
    ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    ck_assert_int_ge(proc_pool_poll(pool, 0), 0);
    while (board->count[PROC_POOL_WORKER_READY] < 2)
        poll_when_readable();
    poll_what_is_there();
    kill(pid_of(1), SIGKILL);
    while (board->count[PROC_POOL_WORKER_READY] < 3) /* a back-off and a start */
        poll_when_readable();
    must_submit(1, FAIL_ONCE);
    while (board->count[PROC_POOL_JOB_RETRIED] < 1)
        poll_when_readable();
    MUST_BECOME(board->ended == 1);
    poll_what_is_there();
    must_submit(2, WAIT); /* until its time is over */
    while (board->count[PROC_POOL_WORKER_KILLED] < 1)
        poll_when_readable();
    board->gate = 1;
    MUST_BECOME(board->ended == 2);
    ck_assert_int_eq(proc_pool_reload(pool), 0);
    while (board->count[PROC_POOL_RELOADED] < 1)
        poll_when_readable();
    ck_assert_int_eq(proc_pool_fd(pool), fd);
    ck_assert_int_eq(proc_pool_stop(pool), 0);
    while (!proc_pool_done(pool))
        poll_when_readable();
    proc_pool_free(pool);
}
END_TEST

START_TEST(who_polls_a_quiet_pool_is_told_that_the_time_ran_out_and_does_not_spin)
{
    must_make_ready(usual(2));
    poll_what_is_there();
    long before = seam_calls();
    int64_t start = now_ms();
    ck_assert_int_eq(proc_pool_poll(pool, 0), 0);
    ck_assert_int_eq(proc_pool_poll(pool, 100), 0);
    ck_assert_int_ge(now_ms() - start, 99);
    ck_assert_int_lt(seam_calls() - before, 100);
    must_fail(proc_pool_poll(pool, -2), EINVAL);
    must_stop_and_free();
}
END_TEST

static int end_with_3(struct proc *self, void *unused)
{
    (void)self, (void)unused;
    return 3;
}

START_TEST(two_pools_and_a_child_live_in_one_loop)
{
    struct proc_pool *pools[2];
    struct proc_pool_options options = usual(2);
    struct proc_pool_stats stats[2];
    int finished = 0;

    for (int i = 0; i < 2; i++) {
        pools[i] = proc_pool_new(&options);
        ck_assert_ptr_nonnull(pools[i]);
    }
    struct proc *child = must_spawn((struct proc_options){.main = end_with_3});
    pid_t own = fork();
    if (own == 0)
        _exit(4);
    for (unsigned i = 0; i < 200; i++) {
        struct order order = {i, PASS};

        ck_assert_int_eq(proc_pool_submit(pools[i % 2], &order, sizeof order, 0), 1);
    }
    MUST_BECOME_BY(board->ended == 200, (proc_pool_poll(pools[0], 5), proc_pool_poll(pools[1], 5)));
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(proc_pool_stop(pools[i]), 0);
    MUST_BECOME_BY(finished == 2, (finished = proc_pool_done(pools[0]) || proc_pool_poll(pools[0], 5) < 0,
                                   finished += proc_pool_done(pools[1]) || proc_pool_poll(pools[1], 5) < 0));
    for (int i = 0; i < 2; i++) {
        ck_assert(proc_pool_done(pools[i]));
        ck_assert_int_eq(proc_pool_stats(pools[i], &stats[i], NULL, 0), 0);
        ck_assert_uint_eq(stats[i].done, 100);
        proc_pool_free(pools[i]);
    }
    int status;
    ck_assert_int_eq(waitpid(own, &status, 0), own); /* the pool has not reaped it */
    ck_assert_int_eq(WEXITSTATUS(status), 4);
    ck_assert_int_eq(must_end(child).code, 3);
}
END_TEST

/* ---- run ---- */

static void stop_when_ready(const struct proc_pool_event *event, void *workers)
{
    note_event(event, workers);
    if (event->type == PROC_POOL_WORKER_READY && board->count[PROC_POOL_WORKER_READY] % *(int *)workers == 0)
        ck_assert_int_eq(proc_pool_stop(event->pool), 0);
}

START_TEST(a_pool_runs_until_event_stops_it_and_another_one_after_it)
{
    struct proc_pool_options options = usual(3);

    options.event = stop_when_ready;
    options.event_arg = &(int){3};
    for (int i = 0; i < 3; i++) {
        must_make(options);
        ck_assert(!proc_pool_done(pool));
        ck_assert_int_eq(proc_pool_run(pool), 0);
        ck_assert(proc_pool_done(pool));
        ck_assert_int_eq(board->started, 3 * (i + 1));
        ck_assert_int_eq(board->stopped, 3 * (i + 1));
        proc_pool_free(pool);
    }
    ck_assert_int_eq(board->count[PROC_POOL_WORKER_EXITED], 9);
    ck_assert_int_eq(board->count[PROC_POOL_WORKER_KILLED], 0);
}
END_TEST

static void signal_when_ready(const struct proc_pool_event *event, void *workers)
{
    note_event(event, workers);
    if (event->type == PROC_POOL_WORKER_READY && board->count[PROC_POOL_WORKER_READY] == *(int *)workers)
        kill(getpid(), SIGHUP);
    if (event->type == PROC_POOL_RELOADED && board->count[PROC_POOL_RELOADED] == 3)
        kill(getpid(), SIGTERM);
}

START_TEST(several_pools_run_under_one_manager)
{
    struct proc_pool_options options = usual(2);
    struct proc_pool *pools[3];

    options.event = signal_when_ready;
    options.event_arg = &(int){6};
    for (int i = 0; i < 3; i++)
        pools[i] = proc_pool_new(&options);
    for (unsigned i = 0; i < 30; i++) {
        struct order order = {i, PASS};

        ck_assert_int_eq(proc_pool_submit(pools[i % 3], &order, sizeof order, 0), 1);
    }
    ck_assert_int_eq(proc_pool_run_all(pools, 3), 0);
    for (int i = 0; i < 3; i++) {
        ck_assert(proc_pool_done(pools[i]));
        proc_pool_free(pools[i]);
    }
    ck_assert_int_eq(board->started, 12);
    ck_assert_int_eq(board->stopped, 12);
    ck_assert_int_eq(board->ended, 30);
    ck_assert_int_eq(board->count[PROC_POOL_WORKER_KILLED], 0);
}
END_TEST

static void signal_when_given_up(const struct proc_pool_event *event, void *arg)
{
    note_event(event, arg);
    if (event->type == PROC_POOL_GAVE_UP)
        kill(getpid(), SIGTERM);
}

START_TEST(several_pools_fail_when_one_of_them_does_and_all_have_stopped)
{
    struct proc_pool_options options = usual(2);
    struct proc_pool *pools[2];

    options.event = signal_when_given_up;
    pools[0] = proc_pool_new(&options);
    options.start = fail_to_start;
    options.max_restarts = 3;
    options.restart_window_ms = 600000;
    pools[1] = proc_pool_new(&options);
    must_fail(proc_pool_run_all(pools, 2), ECHILD);
    for (int i = 0; i < 2; i++) {
        ck_assert(proc_pool_done(pools[i]));
        proc_pool_free(pools[i]);
    }
    ck_assert_int_eq(board->stopped, 2);
    ck_assert_int_eq(board->count[PROC_POOL_GAVE_UP], 1);
}
END_TEST

/* ---- stopping and draining ---- */

START_TEST(a_stop_finishes_what_is_in_hand_and_leaves_the_rest_under_the_key)
{
    struct proc_pool_options options = usual(2);

    options.key = unused_key();
    must_make_ready(options);
    must_submit(0, WAIT);
    must_submit(1, WAIT);
    MUST_BECOME(board->begun == 2);
    for (unsigned i = 2; i < 50; i++)
        must_submit(i, PASS);
    ck_assert_int_eq(proc_pool_stop(pool), 0);
    MUST_STAY(!proc_pool_done(pool), 30);
    board->gate = 1;
    MUST_BECOME(proc_pool_done(pool));
    ck_assert_int_eq(board->begun, 2);
    ck_assert_int_eq(board->ended, 2);
    ck_assert_int_eq(board->stopped, 2);
    ck_assert_uint_eq(stats_now().queued, 48);
    ck_assert_int_eq(messages_under(options.key), 48);
    must_add_up();
    ck_assert_int_eq(proc_pool_submit(pool, &(struct order){50, PASS}, sizeof(struct order), 0), 1); /* for the next one */
    proc_pool_free(pool);
    must_make(options);
    ck_assert_uint_eq(stats_now().queued, 49);
    MUST_BECOME(board->ended == 51);
    must_stop();
    must_add_up();
    ck_assert_uint_eq(stats_now().done, 51);
    for (int i = 0; i <= 50; i++)
        ck_assert_int_eq(board->orders[i].begins, 1);
    must_remove_and_free();
}
END_TEST

START_TEST(a_private_pool_that_has_stopped_takes_no_job)
{
    must_make_ready(usual(1));
    must_stop();
    must_fail(proc_pool_submit(pool, "x", 1, 0), ESHUTDOWN);
    proc_pool_free(pool);
}
END_TEST

START_TEST(what_stops_can_neither_be_reloaded_resized_drained_nor_stopped)
{
    must_make_ready(usual(1));
    must_submit(0, WAIT);
    MUST_BECOME(board->begun == 1);
    ck_assert_int_eq(proc_pool_stop(pool), 0);
    for (int round = 0; round < 2; round++) {
        must_fail(proc_pool_reload(pool), ESHUTDOWN);
        must_fail(proc_pool_resize(pool, 2), ESHUTDOWN);
        must_fail(proc_pool_drain(pool), ESHUTDOWN);
        ck_assert(proc_pool_stop(pool) == 0 || errno == ESHUTDOWN);
        board->gate = 1;
        MUST_BECOME(proc_pool_done(pool));
    }
    proc_pool_free(pool);
}
END_TEST

START_TEST(a_drain_finishes_all_that_was_accepted_and_takes_no_more)
{
    struct proc_pool_options options = usual(2);

    options.key = _i ? unused_key() : 0;
    must_make_ready(options);
    must_submit(0, WAIT);
    must_submit(1, WAIT);
    for (unsigned i = 2; i < 100; i++)
        must_submit(i, i % 10 == 0 ? FAIL_ONCE : i % 25 == 0 ? DIE_ONCE : PASS);
    ck_assert_int_eq(proc_pool_drain(pool), 0);
    must_fail(proc_pool_submit(pool, "x", 1, 0), ESHUTDOWN);
    must_fail(proc_pool_submit(pool, "x", 1, -1), ESHUTDOWN);
    board->gate = 1;
    MUST_BECOME(proc_pool_done(pool));
    ck_assert_int_eq(board->ended, 100);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(board->orders[i].ends, 1);
    ck_assert_uint_eq(stats_now().done, 100);
    ck_assert_uint_eq(stats_now().queued, 0);
    if (_i)
        proc_pool_remove(pool);
    proc_pool_free(pool);
}
END_TEST

static int branch_at_the_gate(struct proc_worker *worker, const struct proc_job *job, void *arg)
{
    wait_at_gate();
    return branch(worker, job, arg);
}

START_TEST(workers_hand_in_jobs_while_the_pool_drains)
{
    struct proc_pool_options options = usual(3);

    options.job = branch_at_the_gate;
    must_make_ready(options);
    must_submit(1, PASS);
    ck_assert_int_eq(proc_pool_drain(pool), 0);
    board->gate = 1;
    MUST_BECOME(proc_pool_done(pool));
    ck_assert_int_eq(board->ended, 255);
    ck_assert_int_eq(board->wrong, 0);
    proc_pool_free(pool);
}
END_TEST

START_TEST(a_drain_may_be_followed_by_a_stop)
{
    must_make_ready(usual(1));
    must_submit(0, WAIT);
    MUST_BECOME(board->begun == 1);
    must_submit(1, PASS);
    ck_assert_int_eq(proc_pool_drain(pool), 0);
    ck_assert_int_eq(proc_pool_stop(pool), 0);
    board->gate = 1;
    MUST_BECOME(proc_pool_done(pool));
    ck_assert_int_eq(board->begun, 1);
    proc_pool_free(pool);
}
END_TEST

START_TEST(an_empty_pool_is_drained_at_once)
{
    must_make_ready(usual(2));
    ck_assert_int_eq(proc_pool_drain(pool), 0);
    MUST_BECOME(proc_pool_done(pool));
    ck_assert_int_eq(board->stopped, 2);
    proc_pool_free(pool);
}
END_TEST

/* ---- removing and freeing ---- */

static int wait_for_removal(struct proc *self, void *key)
{
    struct proc_pool *attached = proc_pool_attach(*(key_t *)key);
    static char bytes[4000];
    struct proc_pool_stats stats;

    if (!attached)
        return 1;
    while (proc_pool_submit(attached, bytes, sizeof bytes, 0) == 1)
        ;
    if (proc_write(self, "w", 1) != 1)
        return 2;
    if (proc_pool_submit(attached, bytes, sizeof bytes, -1) != -1 || (errno != EIDRM && errno != EINVAL))
        return 3;
    if (proc_pool_stats(attached, &stats, NULL, 0) != -1 || (errno != EIDRM && errno != EINVAL))
        return 4;
    proc_pool_free(attached);
    return 0;
}

START_TEST(removing_takes_queue_and_memory_from_the_system_and_tells_all)
{
    struct proc_pool_options options = usual(1);
    char byte;

    options.key = unused_key();
    must_make(options);
    ck_assert_int_ge(msgget(options.key, 0), 0);
    ck_assert_int_ge(shmget(options.key, 0, 0), 0);
    struct proc *child =
        must_spawn((struct proc_options){.main = wait_for_removal, .arg = &options.key, .channel = PROC_STREAM});
    ck_assert_int_eq(proc_read(child, &byte, 1), 1);
    ck_assert_int_eq(proc_pool_remove(pool), 0);
    ck_assert_int_eq(msgget(options.key, 0), -1);
    ck_assert_int_eq(shmget(options.key, 0, 0), -1);
    ck_assert_int_eq(must_end(child).code, 0);
    ck_assert_int_eq(proc_pool_submit(pool, "x", 1, 0), -1);
    ck_assert(errno == EIDRM || errno == EINVAL);
    proc_pool_free(pool);
    must_make_ready(options); /* a new one */
    ck_assert_uint_eq(stats_now().submitted, 0);
    must_stop();
    must_remove_and_free();
}
END_TEST

START_TEST(a_manager_whose_queue_was_removed_stops)
{
    struct proc_pool_options options = usual(2);

    options.key = unused_key();
    struct proc *manager = must_manage_ready(options);
    if (_i == 0)
        ck_assert_int_eq(proc_pool_remove(pool), 0);
    else
        ck_assert_int_eq(msgctl(msgget(options.key, 0), IPC_RMID, NULL), 0);
    if (_i == 2)
        proc_kill(manager, SIGHUP); /* it looks */
    ck_assert_int_eq(must_end(manager).code, 1);
    ck_assert_int_eq(board->result, -1);
    ck_assert_int_eq(board->failure, EIDRM);
    for (int i = 0; i < 2; i++)
        ck_assert(!lives(nth_of(PROC_POOL_WORKER_STARTED, -1, i)->pid));
    shmctl(shmget(options.key, 0, 0), IPC_RMID, NULL);
    proc_pool_free(pool);
}
END_TEST

START_TEST(who_polls_a_pool_whose_queue_was_removed_is_told)
{
    struct proc_pool_options options = usual(2);

    options.key = unused_key();
    must_make_ready(options);
    ck_assert_int_eq(msgctl(msgget(options.key, 0), IPC_RMID, NULL), 0);
    int result = 0;
    MUST_BECOME_BY(result < 0 || proc_pool_done(pool), result = proc_pool_poll(pool, 5));
    if (result < 0)
        ck_assert_int_eq(errno, EIDRM);
    proc_pool_remove(pool);
    proc_pool_free(pool);
}
END_TEST

START_TEST(freeing_kills_the_workers_that_are_left_and_keeps_what_lies_under_the_key)
{
    struct proc_pool_options options = usual(3);
    pid_t workers[3];

    options.key = unused_key();
    must_make_ready(options);
    must_submit(0, WAIT);
    MUST_BECOME(board->begun == 1);
    for (unsigned i = 0; i < 3; i++)
        workers[i] = pid_of(i);
    kill(workers[2], SIGSTOP);
    errno = 123;
    proc_pool_free(pool);
    ck_assert_int_eq(errno, 123);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(kill(workers[i], 0), -1); /* and reaped */
    ck_assert_int_ge(msgget(options.key, 0), 0);
    ck_assert_int_ge(shmget(options.key, 0, 0), 0);
    board->gate = 1;
    must_make(options);
    MUST_BECOME(board->orders[0].ends == 1); /* by the next one */
    ck_assert_int_eq(board->orders[0].attempt, 2);
    must_stop();
    must_remove_and_free();
    proc_pool_free(NULL);
}
END_TEST

static int free_in_child(struct proc *self, void *unused)
{
    (void)self, (void)unused;
    errno = 99;
    proc_pool_free(pool);
    return errno;
}

START_TEST(freeing_in_a_forked_child_takes_nothing_away)
{
    struct proc_pool_options options = usual(2);
    pid_t workers[2];

    options.key = _i ? unused_key() : 0;
    options.listen = _i ? NULL : "tcp:127.0.0.1:0";
    must_make_ready(options);
    int queues = objects_of("msg"), segments = objects_of("shm");
    for (unsigned i = 0; i < 2; i++)
        workers[i] = pid_of(i);
    ck_assert_int_eq(must_end(must_spawn((struct proc_options){.main = free_in_child})).code, 99);
    for (unsigned i = 0; i < 2; i++) {
        ck_assert(lives(workers[i]));
        ck_assert_int_eq(pid_of(i), workers[i]);
    }
    ck_assert_int_eq(objects_of("msg"), queues);
    ck_assert_int_eq(objects_of("shm"), segments);
    must_submit(0, PASS);
    MUST_BECOME(board->ended == 1);
    must_stop();
    if (_i)
        proc_pool_remove(pool);
    proc_pool_free(pool);
    ck_assert_int_eq(board->count[PROC_POOL_WORKER_EXITED], 2);
}
END_TEST

static int end_by_exit(struct proc *self, void *how)
{
    (void)self;
    if (*(int *)how == 0)
        exit(0);
    return 0;
}

START_TEST(a_child_that_just_ends_takes_nothing_away)
{
    must_make_ready(usual(1));
    for (int how = 0; how < 2; how++)
        must_end(must_spawn((struct proc_options){.main = end_by_exit, .arg = &how}));
    must_submit(0, PASS);
    MUST_BECOME(board->ended == 1);
    must_stop_and_free();
}
END_TEST

START_TEST(a_key_has_room_for_twice_as_many_workers_and_64_in_any_case)
{
    struct proc_pool_options options = usual(1);

    options.key = unused_key();
    must_make_ready(options);
    must_fail(proc_pool_resize(pool, 0), EINVAL);
    must_fail(proc_pool_resize(pool, 65), ENOSPC);
    must_fail(proc_pool_resize(pool, UINT_MAX), ENOSPC);
    must_stop_and_free();
    options.workers = 65;
    must_not_make(options, ENOSPC);
    options.workers = 64;
    must_make(options);
    must_remove_and_free();
    options.workers = ROUNDS(40, 34);
    must_make_ready(options);
    must_fail(proc_pool_resize(pool, 2 * options.workers + 1), ENOSPC);
    ck_assert_int_eq(proc_pool_resize(pool, 1), 0);
    MUST_BECOME(board->count[PROC_POOL_RESIZED] == 1);
    must_stop();
    must_remove_and_free();
}
END_TEST

/* ---- what goes wrong ---- */

static key_t fault_key;

static int make_and_free(void)
{
    struct proc_pool_options options = usual(2);

    options.key = fault_key;
    options.name = "faults";
    options.max_job_size = 100000;
    struct proc_pool *made = proc_pool_new(&options);
    if (!made)
        return -1;
    if (fault_key)
        proc_pool_remove(made);
    proc_pool_free(made);
    return 0;
}

START_TEST(a_pool_that_cannot_be_made_leaves_nothing)
{
    static const struct {
        long number;
        int failure;
    } faults[] = {{SYS_shmget, ENOSPC},       {SYS_shmget, ENOMEM},        {SYS_shmat, ENOMEM},      {SYS_msgget, ENOSPC},
                  {SYS_mmap, ENOMEM},         {SYS_epoll_create1, EMFILE}, {SYS_epoll_ctl, ENOMEM},  {SYS_eventfd2, EMFILE},
                  {SYS_timerfd_create, EMFILE}, {SYS_signalfd4, EMFILE},   {SYS_socketpair, EMFILE}, {SYS_pipe2, ENFILE},
                  {SYS_pidfd_open, EMFILE},   {SYS_openat, EMFILE},        {SYS_memfd_create, EMFILE}};
    struct fd_set_all before, after;

    fault_key = _i ? unused_key() : 0;
    ck_assert_int_eq(make_and_free(), 0);
    fds_open(&before);
    long held = seam_memory_held();
    int queues = objects_of("msg"), segments = objects_of("shm");
    for (int fault = 0; fault <= (int)(sizeof faults / sizeof *faults); fault++)
        for (int nth = 1; nth < 200; nth++) {
            bool memory = fault == (int)(sizeof faults / sizeof *faults);

            errno = 0;
            memory ? seam_fail_memory(nth) : seam_fail(faults[fault].number, nth, faults[fault].failure);
            int result = make_and_free(), failure = errno;
            bool made = memory ? seam_end_memory() : seam_end();
            if (result < 0)
                ck_assert_msg(failure == (memory ? ENOMEM : faults[fault].failure), "fault %d, %d: %s", fault, nth,
                              strerror(failure));
            fds_open(&after);
            ck_assert_msg(fds_same(&before, &after), "fault %d, %d: a descriptor is left", fault, nth);
            ck_assert_msg(seam_memory_held() == held, "fault %d, %d: memory is left", fault, nth);
            ck_assert_msg(objects_of("msg") == queues && objects_of("shm") == segments,
                          "fault %d, %d: a System V object is left", fault, nth);
            if (!made)
                break;
        }
}
END_TEST

START_TEST(a_worker_that_cannot_be_forked_is_started_later)
{
    static const long calls[] = {SYS_clone, SYS_clone3, SYS_socketpair, SYS_pipe2, SYS_epoll_ctl, SYS_mmap};

    for (int nth = 1; nth <= 3; nth++)
        for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
            board->count[PROC_POOL_WORKER_READY] = board->count[PROC_POOL_WORKER_STARTED] = 0;
            must_make(usual(2));
            seam_fail(calls[i], nth, calls[i] == SYS_socketpair || calls[i] == SYS_pipe2 ? EMFILE : EAGAIN);
            if (proc_pool_poll(pool, 0) < 0) /* it has not even begun */
                ck_assert_int_eq(board->count[PROC_POOL_WORKER_STARTED], 0);
            MUST_BECOME(board->count[PROC_POOL_WORKER_READY] == 2);
            seam_end();
            must_submit(1, PASS);
            MUST_BECOME(board->ended > 0);
            board->ended = 0;
            must_stop_and_free();
        }
}
END_TEST

START_TEST(no_descriptor_of_a_pool_is_a_standard_stream)
{
    int saved[3];

    for (int i = 0; i < 3; i++) {
        saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 100);
        close(i);
    }
    struct proc_pool_options options = usual(1);
    pool = proc_pool_new(&options);
    manages = true;
    int fd = pool ? proc_pool_fd(pool) : -1;
    for (int64_t end = now_ms() + PATIENCE_MS; pool && now_ms() < end && board->count[PROC_POOL_WORKER_READY] < 1;)
        proc_pool_poll(pool, 5);
    int open_ones = 0;
    for (int i = 0; i < 3; i++)
        open_ones += fcntl(i, F_GETFD) >= 0;
    for (int i = 0; i < 3; i++) {
        dup2(saved[i], i);
        close(saved[i]);
    }
    ck_assert_int_eq(open_ones, 0);
    ck_assert_int_gt(fd, 2);
    ck_assert_int_eq(board->count[PROC_POOL_WORKER_READY], 1);
    must_stop_and_free();
}
END_TEST

Suite *suite_make(void)
{
    Suite *suite = suite_create("pool");
    TCase *tcase = tcase_pools(suite, "making");

    tcase_add_test(tcase, exactly_one_of_main_and_job_is_wanted);
    tcase_add_test(tcase, wrong_options_are_told);
    tcase_add_test(tcase, options_of_another_size_are_understood);
    tcase_add_test(tcase, making_starts_no_worker);
    tcase_add_test(tcase, zero_workers_mean_one_for_each_processor_that_may_be_used);
    tcase_add_test(tcase, workers_show_the_pools_name_and_strings_are_copied);
    tcase = tcase_pools(suite, "jobs");
    tcase_add_test(tcase, a_job_is_the_bytes_that_were_handed_in_with_a_number_from_1);
    tcase_add_test(tcase, without_a_size_a_job_is_what_one_message_holds);
    tcase_add_test(tcase, a_job_above_max_job_size_is_refused);
    tcase_add_test(tcase, jobs_may_be_handed_in_before_there_is_a_worker);
    tcase_add_test(tcase, a_full_queue_is_waited_for_as_long_as_it_is_told);
    tcase_add_test(tcase, the_manager_may_hand_in_more_than_the_queue_holds);
    tcase_add_test(tcase, a_large_job_that_finds_no_room_is_an_error_and_nothing_else);
    tcase_add_test(tcase, signals_of_the_programs_own_disturb_neither_workers_nor_manager);
    tcase_add_test(tcase, jobs_may_be_handed_in_by_event);
    tcase_add_test(tcase, children_hand_in_jobs_and_each_has_its_own_number);
    tcase_add_test(tcase, jobs_hand_in_jobs);
    tcase_add_test(tcase, a_job_of_the_queue_has_no_reply);
    tcase = tcase_pools(suite, "scoreboard");
    tcase_add_test(tcase, the_scoreboard_says_what_the_kernel_says);
    tcase_add_test(tcase, the_scoreboard_is_there_after_the_stop);
    tcase_add_test(tcase, each_state_of_a_worker_can_be_read);
    tcase = tcase_pools(suite, "others");
    tcase_add_test(tcase, attaching_needs_a_pool_under_that_key);
    tcase_add_test(tcase, another_process_attaches_a_pool_to_hand_in_jobs_and_read_the_scoreboard);
    tcase_add_test(tcase, another_user_may_neither_attach_nor_take_over);
    tcase_add_test(tcase, a_key_has_one_manager);
    tcase_add_loop_test(tcase, who_runs_it_is_the_manager_also_when_another_process_has_made_it, 0, 2);
    tcase = tcase_pools(suite, "loops");
    tcase_add_test(tcase, a_loop_of_ones_own_needs_nothing_but_the_descriptor);
    tcase_add_test(tcase, who_polls_a_quiet_pool_is_told_that_the_time_ran_out_and_does_not_spin);
    tcase_add_test(tcase, two_pools_and_a_child_live_in_one_loop);
    tcase_add_test(tcase, a_pool_runs_until_event_stops_it_and_another_one_after_it);
    tcase_add_test(tcase, several_pools_run_under_one_manager);
    tcase_add_test(tcase, several_pools_fail_when_one_of_them_does_and_all_have_stopped);
    tcase = tcase_pools(suite, "stopping");
    tcase_add_test(tcase, a_stop_finishes_what_is_in_hand_and_leaves_the_rest_under_the_key);
    tcase_add_test(tcase, a_private_pool_that_has_stopped_takes_no_job);
    tcase_add_test(tcase, what_stops_can_neither_be_reloaded_resized_drained_nor_stopped);
    tcase_add_loop_test(tcase, a_drain_finishes_all_that_was_accepted_and_takes_no_more, 0, 2);
    tcase_add_test(tcase, workers_hand_in_jobs_while_the_pool_drains);
    tcase_add_test(tcase, a_drain_may_be_followed_by_a_stop);
    tcase_add_test(tcase, an_empty_pool_is_drained_at_once);
    tcase = tcase_pools(suite, "removing");
    tcase_add_test(tcase, removing_takes_queue_and_memory_from_the_system_and_tells_all);
    tcase_add_loop_test(tcase, a_manager_whose_queue_was_removed_stops, 0, 3);
    tcase_add_test(tcase, who_polls_a_pool_whose_queue_was_removed_is_told);
    tcase_add_test(tcase, freeing_kills_the_workers_that_are_left_and_keeps_what_lies_under_the_key);
    tcase_add_loop_test(tcase, freeing_in_a_forked_child_takes_nothing_away, 0, 2);
    tcase_add_test(tcase, a_child_that_just_ends_takes_nothing_away);
    tcase_add_test(tcase, a_key_has_room_for_twice_as_many_workers_and_64_in_any_case);
    tcase = tcase_pools(suite, "faults");
    tcase_add_loop_test(tcase, a_pool_that_cannot_be_made_leaves_nothing, 0, 2);
    tcase_add_test(tcase, a_worker_that_cannot_be_forked_is_started_later);
    tcase_add_test(tcase, no_descriptor_of_a_pool_is_a_standard_stream);
    return suite;
}
