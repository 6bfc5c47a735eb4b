/* Where two things meet that seldom do: a job that fails and a worker that leaves, a stop and a start, a full table of
 * descriptors and a message, a worker that has become another user and a manager that is killed. */
#include "pools.h"

#include <sched.h>
#include <sys/resource.h>

static struct proc_pool_options usual_main(unsigned workers, proc_worker_fn *main)
{
    struct proc_pool_options options = usual(workers);

    options.job = NULL;
    options.main = main;
    return options;
}

static int serve(struct proc_worker *worker, void *arg)
{
    (void)arg;
    while (!proc_worker_stopping(worker))
        poll(&(struct pollfd){.fd = proc_worker_fd(worker), .events = POLLIN}, 1, -1);
    return 0;
}

/* ---- large jobs ---- */

#define LARGE 100000

static unsigned char large[LARGE];

/* It begins with an order, as note_event wants it. */
static unsigned char large_byte(size_t i)
{
    return i < sizeof(struct order) ? 0 : (unsigned char)(i * 7 + i / 1000 + 1);
}

static bool is_large(const unsigned char *bytes, size_t size)
{
    bool same = size == LARGE;

    for (size_t i = 0; same && i < size; i++)
        same = bytes[i] == large_byte(i);
    return same;
}

static void fill_large(void)
{
    for (size_t i = 0; i < LARGE; i++)
        large[i] = large_byte(i);
}

/* `arg` says what becomes of the first attempt, of the second, … */
static int try_large(struct proc_worker *worker, const struct proc_job *job, void *arg)
{
    const enum what *acts = arg;

    (void)worker;
    board->wrong += !is_large(job->data, job->size);
    board->orders[0].by = getpid();
    board->orders[0].attempt = (int)job->attempt;
    board->begun++;
    switch (acts[job->attempt - 1]) {
    case DIE:
        raise(SIGKILL);
        break;
    case FAIL:
        return -1;
    case WAIT:
        wait_at_gate();
        break;
    default:
        break;
    }
    board->ended++;
    return 0;
}

static struct proc_pool_options usual_large(unsigned workers, const enum what *acts)
{
    struct proc_pool_options options = usual(workers);

    options.job = try_large;
    options.arg = (void *)acts;
    options.max_job_size = 1 << 20;
    fill_large();
    return options;
}

static void must_submit_large(void)
{
    ck_assert_int_eq(proc_pool_submit(pool, large, sizeof large, PATIENCE_MS), 1);
}

static void must_have_done_the_large_one(int tries)
{
    MUST_BECOME(board->ended == 1 || stats_now().dead > 0);
    ck_assert_msg(board->ended == 1 && board->begun == tries && board->wrong == 0, "%s", board_text());
    MUST_BECOME(stats_now().done == 1);
    ck_assert_uint_eq(stats_now().dead, 0);
}

START_TEST(a_large_job_that_fails_and_whose_worker_leaves_is_tried_again_with_its_data)
{
    static const enum what acts[][3] = {{FAIL, PASS}, {FAIL, FAIL, PASS}, {DIE, FAIL, PASS}, {FAIL, DIE, PASS}};
    static const int tries[] = {2, 3, 3, 3};
    struct proc_pool_options options = usual_large(1, acts[_i]);

    options.max_jobs = 1;
    must_make(options);
    must_submit_large();
    must_have_done_the_large_one(tries[_i]);
    must_stop();
    must_add_up();
    proc_pool_free(pool);
}
END_TEST

static void stop_at_retry(const struct proc_pool_event *event, void *arg)
{
    note_event(event, arg);
    if (event->type == PROC_POOL_JOB_RETRIED && board->count[PROC_POOL_JOB_RETRIED] == 1)
        proc_pool_stop(event->pool);
}

START_TEST(a_large_job_that_failed_as_its_pool_stopped_is_run_by_the_next_with_its_data)
{
    static const enum what acts[][3] = {{FAIL, PASS}, {DIE, PASS}};
    struct proc_pool_options options = usual_large(1, acts[_i]);

    options.key = unused_key();
    options.event = stop_at_retry;
    must_make(options);
    must_submit_large();
    MUST_BECOME(proc_pool_done(pool));
    ck_assert_int_eq(board->begun, 1);
    proc_pool_free(pool);
    must_make(options);
    must_have_done_the_large_one(2);
    must_stop();
    must_add_up();
    must_remove_and_free();
}
END_TEST

/* The worker that it was taken from dies while another one has it, and so does who came after the first. */
START_TEST(a_large_job_keeps_its_data_whoever_else_dies)
{
    static const enum what acts[] = {FAIL, WAIT, PASS};

    must_make_ready(usual_large(2, acts));
    must_submit_large();
    MUST_BECOME(board->begun == 2);
    pid_t holder = board->orders[0].by;
    for (int round = 0; round < 4; round++) {
        int ready = board->count[PROC_POOL_WORKER_READY];

        ck_assert_int_eq(kill(pid_of(pid_of(0) == holder), SIGKILL), 0);
        MUST_BECOME(board->count[PROC_POOL_WORKER_READY] == ready + 1);
    }
    ck_assert_int_eq(kill(holder, SIGKILL), 0);
    must_have_done_the_large_one(3);
    must_stop();
    must_add_up();
    proc_pool_free(pool);
}
END_TEST

/* ---- in an event ---- */

enum change { STOPS, DRAINS, RESIZES_TO_1, RESIZES_TO_3 };

static struct {
    int at; /* the number of the STARTED event */
    enum change change;
} planned;

static void change_at_start(const struct proc_pool_event *event, void *arg)
{
    note_event(event, arg);
    if (event->type != PROC_POOL_WORKER_STARTED || board->count[PROC_POOL_WORKER_STARTED] != planned.at)
        return;
    switch (planned.change) {
    case STOPS:
        board->wrong += proc_pool_stop(event->pool) != 0;
        break;
    case DRAINS:
        board->wrong += proc_pool_drain(event->pool) != 0;
        break;
    case RESIZES_TO_1:
        board->wrong += proc_pool_resize(event->pool, 1) != 0;
        break;
    case RESIZES_TO_3:
        board->wrong += proc_pool_resize(event->pool, 3) != 0;
        break;
    }
}

static struct proc_pool_options planned_at(int at, enum change change)
{
    struct proc_pool_options options = usual(2);

    planned.at = at;
    planned.change = change;
    options.event = change_at_start;
    return options;
}

START_TEST(a_stop_from_the_event_that_a_worker_has_started_ends_the_pool)
{
    must_make(planned_at(_i % 4 < 2 ? _i % 4 + 1 : 3, _i < 4 ? STOPS : DRAINS));
    if (_i % 4 >= 2) {
        MUST_BECOME(board->count[PROC_POOL_WORKER_READY] == 2);
        ck_assert_int_eq(_i % 4 == 2 ? kill(pid_of(0), SIGKILL) : proc_pool_reload(pool), 0);
    }
    MUST_BECOME(proc_pool_done(pool));
    ck_assert_int_eq(board->wrong, 0);
    ck_assert_int_eq(board->count[PROC_POOL_WORKER_KILLED], 0);
    ck_assert_int_eq(board->count[PROC_POOL_WORKER_EXITED], board->count[PROC_POOL_WORKER_STARTED]);
    proc_pool_free(pool);
}
END_TEST

START_TEST(a_resize_from_the_event_that_a_worker_has_started_resizes_the_pool)
{
    static const struct {
        int at;
        enum change change;
    } plans[] = {{1, RESIZES_TO_1}, {2, RESIZES_TO_1}, {3, RESIZES_TO_1},
                 {1, RESIZES_TO_3}, {2, RESIZES_TO_3}, {3, RESIZES_TO_3}};
    unsigned wanted = plans[_i].change == RESIZES_TO_1 ? 1 : 3;

    must_make(planned_at(plans[_i].at, plans[_i].change));
    if (plans[_i].at == 3) {
        MUST_BECOME(board->count[PROC_POOL_WORKER_READY] == 2);
        ck_assert_int_eq(kill(pid_of(1), SIGKILL), 0);
    }
    MUST_BECOME(board->count[PROC_POOL_RESIZED] == 1);
    ck_assert_int_eq(board->wrong, 0);
    MUST_BECOME(stats_now().idle == wanted);
    ck_assert_uint_eq(stats_now().workers, wanted);
    MUST_BECOME(board->count[PROC_POOL_WORKER_STARTED] - board->count[PROC_POOL_WORKER_EXITED] == (int)wanted);
    must_stop_and_free();
}
END_TEST

static void poll_in_it(const struct proc_pool_event *event, void *arg)
{
    note_event(event, arg);
    if (event->type == PROC_POOL_WORKER_EXITED)
        proc_pool_stop(event->pool);
    board->wrong += proc_pool_poll(event->pool, 50) != -1 || errno != EDEADLK;
}

START_TEST(to_poll_in_an_event_is_EDEADLK)
{
    struct proc_pool_options options = usual(1);

    options.event = poll_in_it;
    options.max_jobs = 1;
    must_make(options);
    must_submit(0, FAIL_ONCE);
    MUST_BECOME(proc_pool_done(pool));
    ck_assert_int_eq(board->wrong, 0);
    ck_assert_int_ge(board->nhappened, 4);
    proc_pool_free(pool);
}
END_TEST

static char page[4000];

static int fill_queue(void)
{
    int jobs = 0;

    memcpy(page, &(struct order){2, PASS}, sizeof(struct order));
    while (proc_pool_submit(pool, page, sizeof page, 0) == 1)
        jobs++;
    while (proc_pool_submit(pool, page, sizeof(struct order), 0) == 1)
        jobs++;
    return jobs;
}

static void submit_in_it(const struct proc_pool_event *event, void *arg)
{
    note_event(event, arg);
    if (event->type != PROC_POOL_WORKER_EXITED || board->answers[0])
        return;
    board->answers[0] = proc_pool_submit(event->pool, page, sizeof page, 1000) == -1 ? errno : -1;
    board->answers[1] = proc_pool_submit(event->pool, page, sizeof page, -1) == -1 ? errno : -1;
    board->answers[2] = proc_pool_submit(event->pool, page, sizeof page, 0);
}

START_TEST(to_submit_in_an_event_is_EDEADLK_where_it_would_have_to_wait)
{
    struct proc_pool_options options = usual(1);

    options.event = submit_in_it;
    must_make_ready(options);
    must_submit(0, WAIT);
    MUST_BECOME(board->begun == 1);
    int jobs = fill_queue();
    ck_assert_int_gt(jobs, 0);
    kill(pid_of(0), SIGKILL);
    MUST_BECOME(board->answers[0] != 0);
    ck_assert_int_eq(board->answers[0], EDEADLK);
    ck_assert_int_eq(board->answers[1], EDEADLK);
    ck_assert_int_eq(board->answers[2], 0);
    board->gate = 1;
    MUST_BECOME(board->ended == jobs + 1);
    must_stop();
    must_add_up();
    proc_pool_free(pool);
}
END_TEST

/* ---- workers that leave, and fail ---- */

static int detach_and_fail(struct proc_worker *worker, const struct proc_job *job, void *arg)
{
    (void)arg;
    board->orders[0].by = getpid();
    board->orders[0].attempt = (int)job->attempt;
    if (job->attempt == 1)
        board->wrong += proc_worker_detach(worker) != 0;
    board->begun++;
    if (job->attempt == 1) {
        wait_at_gate();
        return -1;
    }
    board->ended++;
    return 0;
}

/* All its threads have, so that it can be reaped; which is left to the library. */
static bool has_ended(pid_t child)
{
    siginfo_t info = {.si_pid = 0};

    ck_assert_int_eq(waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG | WNOWAIT), 0);
    return info.si_pid == child;
}

/* Bits: the pool has a key; it is freed before the job fails. */
START_TEST(a_detached_worker_whose_job_fails_after_the_pool_is_over_ends)
{
    struct proc_pool_options options = usual(1);

    options.key = _i & 1 ? unused_key() : 0;
    options.job = detach_and_fail;
    must_make_ready(options);
    must_submit(0, PASS);
    MUST_BECOME(board->begun == 1 && board->count[PROC_POOL_WORKER_READY] == 2);
    pid_t left = board->orders[0].by;
    must_stop();
    manages = false;
    if (_i & 2) {
        proc_pool_free(pool);
        pool = NULL;
    }
    board->gate = 1;
    MUST_BECOME(has_ended(left));
    proc_pool_free(pool);
    must_make(options); /* that reaps it, too */
    ck_assert_int_eq(kill(left, 0), -1);
    if (_i & 1) {
        MUST_BECOME(board->ended == 1);
        ck_assert_int_eq(board->orders[0].attempt, 2);
        ck_assert_int_eq(proc_pool_drain(pool), 0);
        MUST_BECOME(proc_pool_done(pool));
        must_add_up();
        ck_assert_int_eq(proc_pool_remove(pool), 0);
    }
    ck_assert_int_eq(board->wrong, 0);
    proc_pool_free(pool);
}
END_TEST

START_TEST(the_job_of_a_detached_worker_that_fails_under_the_next_manager_is_tried_again)
{
    struct proc_pool_options options = usual(1);

    options.key = unused_key();
    options.job = detach_and_fail;
    must_make_ready(options);
    must_submit(0, PASS);
    MUST_BECOME(board->begun == 1 && board->count[PROC_POOL_WORKER_READY] == 2);
    must_stop();
    proc_pool_free(pool);
    must_make_ready(options);
    ck_assert_int_eq(proc_pool_drain(pool), 0);
    board->gate = 1;
    MUST_BECOME(proc_pool_done(pool));
    ck_assert_int_eq(board->ended, 1);
    must_add_up();
    must_remove_and_free();
}
END_TEST

static int close_all_and_fail(struct proc_worker *worker, const struct proc_job *job, void *arg)
{
    int result = job->attempt == 1 ? -1 : 0;

    obey(worker, job, arg);
    if (job->attempt == 1) {
        board->answers[0] = getpid();
        for (int fd = 3; fd < 4096; fd++)
            close(fd);
    }
    return result;
}

START_TEST(a_job_that_closes_all_descriptors_and_fails_is_tried_again_by_another_worker)
{
    struct proc_pool_options options = usual(2);

    options.job = close_all_and_fail;
    options.max_attempts = 2;
    must_make_ready(options);
    must_submit(0, PASS);
    MUST_BECOME(stats_now().done == 1);
    ck_assert_int_eq(board->begun, 2);
    ck_assert_int_ne(board->orders[0].by, (pid_t)board->answers[0]);
    must_stop();
    must_add_up();
    ck_assert_uint_eq(stats_now().retried, 1);
    proc_pool_free(pool);
}
END_TEST

START_TEST(a_worker_whose_job_failed_in_time_is_not_killed_because_the_manager_is_late)
{
    struct proc_pool_options options = usual(1);
    int64_t begin;

    options.job_timeout_ms = 200;
    must_make_ready(options);
    begin = now_ms();
    must_submit(0, FAIL_ONCE);
    MUST_BECOME_BY(board->begun == 1 && worker_stats(0).busy_since_ns == 0, nap());
    while (now_ms() < begin + 500)
        nap();
    MUST_BECOME(stats_now().done == 1);
    ck_assert_int_eq(board->count[PROC_POOL_WORKER_KILLED], 0);
    ck_assert_int_eq(board->count[PROC_POOL_WORKER_STARTED], 1);
    ck_assert_uint_eq(stats_now().retried, 1);
    must_stop_and_free();
}
END_TEST

static int end_by_sigterm(struct proc_worker *worker, void *arg)
{
    note_start(worker, arg);
    raise(SIGTERM);
    return -1;
}

static int end_main_by_sigterm(struct proc_worker *worker, void *arg)
{
    raise(SIGTERM);
    return serve(worker, arg);
}

START_TEST(a_worker_that_sends_itself_SIGTERM_at_once_is_restarted_with_back_off)
{
    struct proc_pool_options options = _i ? usual_main(1, end_main_by_sigterm) : usual(1);

    if (_i == 0)
        options.start = end_by_sigterm;
    options.backoff_min_ms = options.backoff_max_ms = 100;
    must_make(options);
    MUST_BECOME(board->count[PROC_POOL_WORKER_STARTED] == 4);
    for (int i = 1; i < 4; i++)
        ck_assert_int_ge(nth_of(PROC_POOL_WORKER_STARTED, 0, i)->at_ms - nth_of(PROC_POOL_WORKER_STARTED, 0, i - 1)->at_ms, 95);
    must_stop_and_free();
}
END_TEST

/* ---- processes in between ---- */

static int run_inner_pool(struct proc_worker *worker)
{
    struct proc_pool_options options = usual(1);

    options.event = NULL;
    for (int i = 0; i < 3 && !proc_worker_stopping(worker); i++) {
        struct proc_pool *inner = proc_pool_new(&options);

        if (!inner)
            return 1;
        board->wrong += proc_pool_run(inner) != 0;
        board->answers[0]++;
        board->answers[1] = proc_worker_stopping(worker);
        proc_pool_free(inner);
    }
    return 0;
}

static int inner_in_main(struct proc_worker *worker, void *arg)
{
    (void)arg;
    return run_inner_pool(worker);
}

static int inner_in_job(struct proc_worker *worker, const struct proc_job *job, void *arg)
{
    (void)job, (void)arg;
    return run_inner_pool(worker);
}

START_TEST(a_worker_that_runs_a_pool_of_its_own_hears_its_SIGTERM)
{
    struct proc_pool_options options = _i ? usual(1) : usual_main(1, inner_in_main);

    options.start = NULL;
    if (_i)
        options.job = inner_in_job;
    must_make_ready(options);
    if (_i)
        must_submit(0, PASS);
    MUST_BECOME(board->started == 1); /* the inner one's */
    must_stop();
    ck_assert_int_eq(board->count[PROC_POOL_WORKER_KILLED], 0);
    ck_assert_int_eq(last_of(PROC_POOL_WORKER_EXITED, 0)->code, 0);
    ck_assert_int_eq(board->answers[0], 1);
    ck_assert_int_eq(board->answers[1], true);
    ck_assert_int_eq(board->wrong, 0);
    proc_pool_free(pool);
}
END_TEST

static int return_3(struct proc *self, void *arg)
{
    (void)self, (void)arg;
    return 3;
}

static bool polls_until(struct proc_pool *mine, const _Atomic int *what, int value)
{
    int64_t end = now_ms() + PATIENCE_MS / 2;

    while (*what < value && now_ms() < end && proc_pool_poll(mine, 5) >= 0)
        ;
    return *what >= value;
}

/* 0, or the number of what went wrong. Runs in a child that must not say more than that. */
static int use_the_library(void)
{
    struct proc_pool_options options = usual(2);
    struct proc_exit exit;

    options.event = NULL;
    struct proc *proc = proc_spawn(&(struct proc_options){.main = return_3});
    if (!proc || proc_wait(proc, &exit, PATIENCE_MS / 2) != 1 || exit.code != 3)
        return 1;
    proc_free(proc);
    for (int round = 1; round <= 3; round++) {
        struct order order = {0, PASS};
        struct proc_pool *mine = proc_pool_new(&options);

        if (!mine)
            return 2;
        if (proc_pool_submit(mine, &order, sizeof order, 0) != 1)
            return 3;
        if (!polls_until(mine, &board->ended, round))
            return 4;
        if (proc_pool_drain(mine) < 0)
            return 5;
        while (!proc_pool_done(mine))
            if (proc_pool_poll(mine, 1000) < 0)
                return 6;
        proc_pool_free(mine);
    }
    return 0;
}

START_TEST(a_forked_child_of_the_manager_can_free_the_pool_and_run_one_of_its_own)
{
    int status = -1;

    must_make_ready(usual(2));
    pid_t first = pid_of(0);
    fflush(stdout);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        if (_i == 0)
            proc_pool_free(pool);
        _exit(use_the_library());
    }
    MUST_BECOME_BY(waitpid(child, &status, WNOHANG) == child, nap());
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child ended with status %x", (unsigned)status);
    int ended = board->ended;
    must_submit(1, PASS); /* nothing of ours was taken away */
    MUST_BECOME(board->ended == ended + 1);
    ck_assert_int_eq(pid_of(0), first);
    must_stop_and_free();
}
END_TEST

static int become_another_user(struct proc_worker *worker, void *arg)
{
    if (setgid(65534) < 0 || setuid(65534) < 0)
        board->wrong++;
    return note_start(worker, arg);
}

static int become_another_group(struct proc_worker *worker, void *arg)
{
    board->wrong += setgid(65534) < 0;
    return note_start(worker, arg);
}

/* Not for ever: it may be that nobody is left to kill it. */
static int hear_nothing(struct proc_worker *worker, void *arg)
{
    (void)worker, (void)arg;
    for (int64_t end = now_ms() + 2 * PATIENCE_MS; now_ms() < end;)
        nap();
    return 0;
}

START_TEST(workers_that_give_up_privileges_in_start_end_when_the_manager_is_killed)
{
    struct proc_pool_options options = _i == 0 ? usual_main(2, serve) : _i == 1 ? usual(2) : usual_main(2, hear_nothing);

    if (geteuid() != 0) {
        skip("only root has privileges to give up");
        return;
    }
    adopt();
    options.start = _i == 1 ? become_another_group : become_another_user;
    options.key = unused_key();
    if (_i == 2)
        options.grace_ms = 100;
    struct proc *manager = must_manage_ready(options);
    ck_assert_int_eq(board->wrong, 0);
    must_kill(manager);
    bury();
    ck_assert_int_eq(board->stopped, _i == 2 ? 0 : 2);
    must_remove_and_free();
}
END_TEST

/* ---- descriptors ---- */

static int wait_to_be_killed(struct proc *self, void *arg)
{
    (void)self, (void)arg;
    for (;;)
        pause();
    return 0;
}

START_TEST(a_child_or_another_pools_worker_does_not_keep_the_port)
{
    struct proc_pool_options options = usual(1), others = usual(1);
    struct proc_pool *other = NULL;
    struct proc *child = NULL;
    char address[64];

    if (_i == 1 && no_pidfds()) {
        skip("two managers in one process need pidfds");
        return;
    }
    options.listen = "tcp:127.0.0.1:0";
    must_make_ready(options);
    if (_i == 0) {
        child = must_spawn((struct proc_options){.main = wait_to_be_killed, .death_signal = SIGKILL});
    } else {
        int started = board->started;

        other = proc_pool_new(&others);
        ck_assert_ptr_nonnull(other);
        MUST_BECOME_BY(board->started == started + 1, ck_assert_int_ge(proc_pool_poll(other, 5), 0));
    }
    snprintf(address, sizeof address, "tcp:127.0.0.1:%d", proc_pool_port(pool));
    options.listen = address;
    must_stop_and_free();
    must_make_ready(options);
    must_stop_and_free();
    if (child) {
        ck_assert_int_eq(proc_running(child), 1);
        proc_kill(child, SIGKILL);
        must_end(child);
    }
    proc_pool_free(other);
}
END_TEST

static int count_and_serve(struct proc_worker *worker, void *arg)
{
    if (proc_worker_index(worker) == 0)
        board->answers[proc_worker_generation(worker)] = fds_count();
    board->wrong += proc_worker_fd(worker) < 0;
    board->begun++;
    return serve(worker, arg);
}

START_TEST(a_worker_that_is_started_late_has_no_more_descriptors_than_the_first)
{
    must_make_ready(usual_main(6, count_and_serve));
    MUST_BECOME(board->begun == 6);
    ck_assert_int_eq(kill(pid_of(0), SIGKILL), 0);
    MUST_BECOME(board->begun == 7);
    ck_assert_int_gt(board->answers[1], 0);
    ck_assert_int_le(board->answers[2], board->answers[1]);
    ck_assert_int_eq(board->wrong, 0);
    must_stop_and_free();
}
END_TEST

/* ---- no descriptor is free ---- */

static struct rlimit limit_before;

static int use_up_fds(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    if (fd < 0 || getrlimit(RLIMIT_NOFILE, &limit_before) < 0)
        return -1;
    close(fd);
    return setrlimit(RLIMIT_NOFILE, &(struct rlimit){(rlim_t)fd, limit_before.rlim_max});
}

static int free_fds_again(void)
{
    return setrlimit(RLIMIT_NOFILE, &limit_before);
}

/* Receives a large message, and a small one; both are noted. */
static int receive_both(struct proc_worker *worker)
{
    static unsigned char room[LARGE];
    ssize_t size = proc_worker_recv(worker, room, sizeof room, NULL, PATIENCE_MS);

    board->answers[2] = size < 0 ? -errno : is_large(room, (size_t)size) ? size : -1000;
    size = proc_worker_recv(worker, room, sizeof room, NULL, PATIENCE_MS);
    board->answers[3] = size < 0 ? -errno : size;
    board->ended++;
    return serve(worker, NULL);
}

static int receive_without_fds(struct proc_worker *worker, void *arg)
{
    static unsigned char room[LARGE];

    (void)arg;
    board->wrong += proc_worker_fd(worker) < 0 || use_up_fds() < 0;
    board->answers[0] = proc_worker_recv(worker, room, sizeof room, NULL, PATIENCE_MS) == -1 ? errno : -1;
    board->answers[1] = proc_worker_recv(worker, room, sizeof room, NULL, 0) == -1 ? errno : -1;
    board->wrong += free_fds_again() < 0;
    return receive_both(worker);
}

static void must_have_got_both(void)
{
    MUST_BECOME(board->ended == 1);
    ck_assert_int_eq(board->answers[2], LARGE);
    ck_assert_int_eq(board->answers[3], 5);
    ck_assert_int_eq(board->wrong, 0);
}

START_TEST(a_large_message_is_not_lost_when_the_worker_has_no_free_descriptor)
{
    fill_large();
    must_make_ready(usual_main(1, receive_without_fds));
    ck_assert_int_eq(proc_pool_send(pool, 0, large, sizeof large), 0);
    ck_assert_int_eq(proc_pool_send(pool, 0, "small", 5), 0);
    must_have_got_both();
    ck_assert_int_eq(board->answers[0], EMFILE);
    ck_assert_int_eq(board->answers[1], EMFILE);
    must_stop_and_free();
}
END_TEST

/* Worker 0 receives what worker 1 sends, or, where `arg` says so, what the manager sends. */
static int send_or_receive(struct proc_worker *worker, void *arg)
{
    bool opens_late = *(int *)arg == 2;

    if (proc_worker_index(worker) == 0) {
        board->wrong += !opens_late && proc_worker_fd(worker) < 0;
        board->started++;
        if (opens_late) {
            wait_at_gate();
            board->wrong += proc_worker_fd(worker) < 0;
            board->answers[5] = 1;
        }
        return receive_both(worker);
    }
    board->started++;
    wait_at_gate();
    if (*(int *)arg == 0) {
        board->wrong += proc_pool_send(proc_worker_pool(worker), 0, large, sizeof large) != 0;
        board->wrong += proc_pool_send(proc_worker_pool(worker), 0, "small", 5) != 0;
        board->answers[5] = 1;
    }
    return serve(worker, NULL);
}

/* 0: a worker's message comes; 1: the manager sends one; 2: a mailbox comes. */
START_TEST(a_large_message_is_not_lost_when_the_manager_has_no_free_descriptor)
{
    struct proc_pool_options options = usual_main(2, send_or_receive);
    int kind = _i, low, result = 0, failure = 0, sent = 0;
    int64_t end = now_ms() + PATIENCE_MS;

    fill_large();
    options.start = NULL;
    options.arg = &kind;
    must_make_ready(options);
    MUST_BECOME(board->started == 2);
    MUST_STAY(board->wrong == 0, 20); /* what they have said is read */
    low = use_up_fds();
    if (kind == 1)
        sent = proc_pool_send(pool, 0, large, sizeof large);
    board->gate = 1;
    while (kind != 1 && board->answers[5] == 0 && now_ms() < end)
        nap();
    for (int i = 0; i < 60 && result >= 0; i++) {
        result = proc_pool_poll(pool, 1);
        failure = errno;
    }
    free_fds_again();
    ck_assert_int_eq(low, 0);
    ck_assert_msg(result >= 0, "poll: %s", strerror(failure));
    if (kind == 2 || sent < 0) /* to say no is another way not to lose it */
        ck_assert_int_eq(proc_pool_send(pool, 0, large, sizeof large), 0);
    if (kind != 0)
        ck_assert_int_eq(proc_pool_send(pool, 0, "small", 5), 0);
    must_have_got_both();
    must_stop_and_free();
}
END_TEST

/* ---- no memory ---- */

static int fail_twice_at_once(struct proc_worker *worker, void *arg)
{
    note_start(worker, arg);
    return proc_worker_generation(worker) % 3 ? -1 : 0;
}

/* Each time one allocation on the way through two back-offs is refused: the first, the second, … */
START_TEST(without_memory_for_an_alarm_workers_are_restarted_all_the_same)
{
    struct proc_pool_options options = usual(1);
    bool refused = true;
    int nth = 0;

    options.start = fail_twice_at_once;
    options.backoff_min_ms = 1;
    options.backoff_max_ms = 2;
    must_make(options);
    MUST_BECOME(board->count[PROC_POOL_WORKER_READY] == 1);
    while (refused && nth < 200) {
        int ready = board->count[PROC_POOL_WORKER_READY];

        ck_assert_int_eq(kill(pid_of(0), SIGKILL), 0);
        seam_fail_memory(++nth); /* Check has memory from there, too */
        int64_t end = now_ms() + PATIENCE_MS;
        while (board->count[PROC_POOL_WORKER_READY] == ready && now_ms() < end)
            proc_pool_poll(pool, 5);
        refused = seam_end_memory();
        ck_assert_msg(board->count[PROC_POOL_WORKER_READY] > ready, "allocation %d: %s", nth, board_text());
    }
    ck_assert_int_gt(nth, 1);
    ck_assert(!refused);
    must_submit(0, PASS);
    MUST_BECOME(board->ended == 1);
    must_stop_and_free();
}
END_TEST

/* 0: it drains; 1: it stops; 2: it stops, and only SIGKILL, after the grace, ends its worker. */
START_TEST(without_memory_for_an_alarm_a_pool_ends_all_the_same)
{
    bool refused = true;

    for (int nth = 1; refused && nth < 50; nth++) {
        struct proc_pool_options options = _i == 2 ? usual_main(1, hear_nothing) : usual(2);

        options.grace_ms = _i == 2 ? 10 : 60000;
        must_make_ready(options);
        seam_fail_memory(nth);
        int result = _i == 0 ? proc_pool_drain(pool) : proc_pool_stop(pool);
        int64_t end = now_ms() + PATIENCE_MS;
        while (!proc_pool_done(pool) && now_ms() < end)
            proc_pool_poll(pool, 5);
        refused = seam_end_memory();
        ck_assert_msg(result == 0 && proc_pool_done(pool), "allocation %d: %s", nth, board_text());
        proc_pool_free(pool);
        pool = NULL;
    }
    ck_assert(!refused);
}
END_TEST

/* ---- a full queue ---- */

START_TEST(a_manager_that_submits_into_a_full_queue_makes_progress_while_jobs_fail)
{
    static const enum what acts[] = {FAIL_ONCE, DIE_ONCE, PASS, FAIL_ONCE, FAIL, PASS};
    struct proc_pool_options options = usual(_i ? 1 : 2);
    int jobs = ROUNDS(180, 60);

    options.max_jobs = _i == 2 ? 1 : 0;
    options.backoff_max_ms = 5;
    must_make_ready(options);
    for (int i = 0; i < jobs; i++) {
        memcpy(page, &(struct order){(unsigned)i, acts[i % 6]}, sizeof(struct order));
        int result = proc_pool_submit(pool, page, sizeof page, PATIENCE_MS);
        ck_assert_msg(result == 1, "job %d: %d, %s;\n%s", i, result, strerror(errno), board_text());
    }
    MUST_BECOME((int)(stats_now().done + stats_now().dead) == jobs);
    for (int i = 0; i < jobs; i++)
        ck_assert_int_eq(board->orders[i].ends, acts[i % 6] != FAIL);
    must_stop();
    must_add_up();
    ck_assert_uint_eq(stats_now().dead, (unsigned)jobs / 6);
    proc_pool_free(pool);
}
END_TEST

/* 0: as many bytes as it holds; 1: as many messages. */
START_TEST(a_large_job_for_a_full_queue_is_not_written_again_and_again)
{
    struct proc_pool_options options = usual(1);
    long empty = 1;

    options.max_job_size = 1 << 20;
    options.key = _i ? unused_key() : 0;
    must_make_ready(options);
    must_submit(0, WAIT);
    MUST_BECOME(board->begun == 1);
    memcpy(large, &(struct order){3, PASS}, sizeof(struct order));
    seam_fail(SYS_openat, 1, ENOSPC);
    must_fail(proc_pool_submit(pool, large, sizeof large, 0), ENOSPC); /* so is a file seen */
    ck_assert(seam_end());
    if (_i == 0)
        fill_queue();
    while (_i == 1 && msgsnd(msgget(options.key, 0), &empty, 0, IPC_NOWAIT) == 0)
        ;
    seam_fail(SYS_openat, 4, ENOSPC);
    int result = proc_pool_submit(pool, large, sizeof large, 100);
    ck_assert(!seam_end());
    ck_assert_int_eq(result, 0);
    board->gate = 1;
    MUST_BECOME(proc_pool_submit(pool, large, sizeof large, 0) == 1);
    MUST_BECOME(board->orders[3].ends == 1);
    must_stop();
    if (_i)
        must_remove_and_free();
    else
        proc_pool_free(pool);
}
END_TEST

/* ---- oversized messages ---- */

struct oversized {
    long type;
    char bytes[15000];
};

static int note_sizes(struct proc_worker *worker, const struct proc_job *job, void *arg)
{
    (void)worker, (void)arg;
    board->wrong += job->size != 3;
    board->begun++;
    return 0;
}

/* In a world of messages of our own; the largest message may be larger there than when the pool was made. */
static bool set_msgmax(const char *bytes)
{
    FILE *file = fopen("/proc/sys/kernel/msgmax", "we");

    return file && (fputs(bytes, file) >= 0) & (fclose(file) == 0);
}

static void send_bare(int queue, const struct oversized *message, size_t size)
{
    MUST_BECOME(msgsnd(queue, message, size, IPC_NOWAIT) == 0);
}

static void send_oversized_among_others(void)
{
    static const struct oversized message = {.type = 5};
    struct proc_pool_options options = usual(4);
    int rounds = ROUNDS(10, 3);

    options.key = unused_key();
    options.job = note_sizes;
    must_make_ready(options);
    ck_assert(set_msgmax("16000"));
    for (int round = 1; round <= rounds; round++) {
        int queue = msgget(options.key, 0);

        for (int i = 0; i < 8; i++)
            send_bare(queue, &message, 3);
        MUST_BECOME(stats_now().idle == 4 && messages_under(options.key) == 0); /* who waits is woken by the next */
        send_bare(queue, &message, sizeof message.bytes);
        for (int i = 0; i < 8; i++)
            send_bare(queue, &message, 3);
        MUST_BECOME((int)(stats_now().done + stats_now().dead) == 17 * round);
    }
    ck_assert_msg(board->wrong == 0 && board->begun == 16 * rounds, "%s", board_text());
    ck_assert_uint_eq(stats_now().dead, (unsigned)rounds);
    must_stop();
    must_add_up();
    must_remove_and_free();
}

START_TEST(an_oversized_bare_message_does_not_make_a_small_one_a_job_of_any_other_size)
{
    int world = open("/proc/self/ns/ipc", O_RDONLY | O_CLOEXEC);

    ck_assert_int_ge(world, 0);
    if (unshare(CLONE_NEWIPC) < 0 || !set_msgmax("8192"))
        skip("msgmax cannot be raised");
    else
        send_oversized_among_others();
    setns(world, CLONE_NEWIPC);
    close(world);
}
END_TEST

Suite *suite_make(void)
{
    Suite *suite = suite_create("pool_edges");
    TCase *tcase = tcase_pools(suite, "large jobs");

    tcase_add_loop_test(tcase, a_large_job_that_fails_and_whose_worker_leaves_is_tried_again_with_its_data, 0, 4);
    tcase_add_loop_test(tcase, a_large_job_that_failed_as_its_pool_stopped_is_run_by_the_next_with_its_data, 0, 2);
    tcase_add_test(tcase, a_large_job_keeps_its_data_whoever_else_dies);
    tcase = tcase_pools(suite, "in an event");
    tcase_add_loop_test(tcase, a_stop_from_the_event_that_a_worker_has_started_ends_the_pool, 0, 8);
    tcase_add_loop_test(tcase, a_resize_from_the_event_that_a_worker_has_started_resizes_the_pool, 0, 6);
    tcase_add_test(tcase, to_poll_in_an_event_is_EDEADLK);
    tcase_add_test(tcase, to_submit_in_an_event_is_EDEADLK_where_it_would_have_to_wait);
    tcase = tcase_pools(suite, "workers that leave, and fail");
    tcase_add_loop_test(tcase, a_detached_worker_whose_job_fails_after_the_pool_is_over_ends, 0, 4);
    tcase_add_test(tcase, the_job_of_a_detached_worker_that_fails_under_the_next_manager_is_tried_again);
    tcase_add_test(tcase, a_job_that_closes_all_descriptors_and_fails_is_tried_again_by_another_worker);
    tcase_add_test(tcase, a_worker_whose_job_failed_in_time_is_not_killed_because_the_manager_is_late);
    tcase_add_loop_test(tcase, a_worker_that_sends_itself_SIGTERM_at_once_is_restarted_with_back_off, 0, 2);
    tcase = tcase_pools(suite, "processes in between");
    tcase_add_loop_test(tcase, a_worker_that_runs_a_pool_of_its_own_hears_its_SIGTERM, 0, 2);
    tcase_add_loop_test(tcase, a_forked_child_of_the_manager_can_free_the_pool_and_run_one_of_its_own, 0, 2);
    tcase_add_loop_test(tcase, workers_that_give_up_privileges_in_start_end_when_the_manager_is_killed, 0, 3);
    tcase = tcase_pools(suite, "descriptors");
    tcase_add_loop_test(tcase, a_child_or_another_pools_worker_does_not_keep_the_port, 0, 2);
    tcase_add_test(tcase, a_worker_that_is_started_late_has_no_more_descriptors_than_the_first);
    tcase_add_test(tcase, a_large_message_is_not_lost_when_the_worker_has_no_free_descriptor);
    tcase_add_loop_test(tcase, a_large_message_is_not_lost_when_the_manager_has_no_free_descriptor, 0, 3);
    tcase = tcase_pools(suite, "memory");
    tcase_add_test(tcase, without_memory_for_an_alarm_workers_are_restarted_all_the_same);
    tcase_add_loop_test(tcase, without_memory_for_an_alarm_a_pool_ends_all_the_same, 0, 3);
    tcase = tcase_pools(suite, "a full queue");
    tcase_add_loop_test(tcase, a_manager_that_submits_into_a_full_queue_makes_progress_while_jobs_fail, 0, 3);
    tcase_add_loop_test(tcase, a_large_job_for_a_full_queue_is_not_written_again_and_again, 0, 2);
    tcase_add_test(tcase, an_oversized_bare_message_does_not_make_a_small_one_a_job_of_any_other_size);
    return suite;
}
