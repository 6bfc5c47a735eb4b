/* A pool's workers: restarts, back-off, reloads, resizes, grace, signals, a main of their own, messages, leaving the pool. */
#include "pools.h"

#include <limits.h>
#include <pthread.h>
#include <sys/resource.h>

/* ---- workers with a main ---- */

static void wait_for_stop(struct proc_worker *worker)
{
    while (!proc_worker_stopping(worker))
        poll(&(struct pollfd){.fd = proc_worker_fd(worker), .events = POLLIN}, 1, -1);
}

static int serve(struct proc_worker *worker, void *arg)
{
    (void)arg;
    wait_for_stop(worker);
    return 0;
}

static struct proc_pool_options usual_main(unsigned workers, proc_worker_fn *main)
{
    struct proc_pool_options options = usual(workers);

    options.job = NULL;
    options.main = main;
    return options;
}

/* What the first, the second, … holder of each index does: it returns that, or … */
enum { SERVE = -1, KILLED = -9 };
struct script {
    unsigned count;
    int acts[8];
};

static int act(struct proc_worker *worker, void *arg)
{
    const struct script *script = arg;
    unsigned generation = proc_worker_generation(worker);
    int what = generation <= script->count ? script->acts[generation - 1] : SERVE;

    board->answers[generation % 16] = generation;
    if (what == KILLED)
        raise(SIGKILL);
    return what == SERVE ? serve(worker, NULL) : what;
}

/* ---- restarts ---- */

START_TEST(a_worker_that_was_killed_is_replaced_under_its_index)
{
    must_make_ready(usual(3));
    pid_t first[3] = {pid_of(0), pid_of(1), pid_of(2)};
    ck_assert_int_eq(kill(first[1], SIGKILL), 0);
    MUST_BECOME(board->count[PROC_POOL_WORKER_READY] == 4);
    ck_assert_int_eq(pid_of(0), first[0]);
    ck_assert_int_eq(pid_of(2), first[2]);
    ck_assert_int_ne(pid_of(1), first[1]);
    ck_assert_int_eq(parent_of(pid_of(1)), getpid());
    ck_assert_uint_eq(worker_stats(1).restarts, 1);
    ck_assert_uint_eq(worker_stats(0).restarts, 0);
    ck_assert_uint_eq(stats_now().restarts, 1);
    const struct happened *exited = last_of(PROC_POOL_WORKER_EXITED, 1);
    ck_assert_int_eq(exited->pid, first[1]);
    ck_assert_int_eq(exited->code, -1);
    ck_assert_int_eq(exited->signal, SIGKILL);
    ck_assert_int_eq(board->starts[1], 2);
    ck_assert_int_eq(board->stops[1], 0);
    const struct happened *started = last_of(PROC_POOL_WORKER_STARTED, 1), *ready = last_of(PROC_POOL_WORKER_READY, 1);
    ck_assert_int_eq(started->pid, pid_of(1));
    ck_assert_int_eq(ready->pid, pid_of(1));
    ck_assert(exited < started && started < ready);
    ck_assert_int_eq(board->count[PROC_POOL_WORKER_KILLED], 0); /* not by the manager */
    must_stop_and_free();
}
END_TEST

START_TEST(whatever_way_a_worker_ends_it_is_started_again)
{
    struct script script = {3, {0, 1, KILLED}};
    struct proc_pool_options options = usual_main(1, act);

    options.arg = &script;
    must_make(options);
    MUST_BECOME(board->answers[4] == 4);
    for (int i = 0; i < 3; i++) {
        const struct happened *exited = nth_of(PROC_POOL_WORKER_EXITED, 0, i);

        ck_assert_int_eq(exited->code, i == 2 ? -1 : i);
        ck_assert_int_eq(exited->signal, i == 2 ? SIGKILL : 0);
        ck_assert_int_eq(exited->pid, nth_of(PROC_POOL_WORKER_STARTED, 0, i)->pid);
    }
    ck_assert_uint_eq(stats_now().restarts, 3);
    must_stop_and_free();
}
END_TEST

START_TEST(on_failure_a_worker_is_started_again_until_it_ends_well)
{
    struct script script = {4, {1, KILLED, 255, 0}};
    struct proc_pool_options options = usual_main(1, act);

    options.arg = &script;
    options.restart = PROC_RESTART_ON_FAILURE;
    must_make(options);
    ck_assert_int_eq(proc_pool_run(pool), 0);
    ck_assert(proc_pool_done(pool));
    ck_assert_int_eq(board->count[PROC_POOL_WORKER_STARTED], 4);
    ck_assert_int_eq(board->count[PROC_POOL_WORKER_EXITED], 4);
    ck_assert_int_eq(worker_stats(0).state, PROC_WORKER_GONE);
    proc_pool_free(pool);
}
END_TEST

static int end_if_first(struct proc_worker *worker, void *arg)
{
    return proc_worker_index(worker) == 0 ? 0 : serve(worker, arg);
}

START_TEST(who_has_ended_well_stays_away_and_the_others_stay)
{
    struct proc_pool_options options = usual_main(2, end_if_first);

    options.restart = PROC_RESTART_ON_FAILURE;
    must_make(options);
    MUST_BECOME(board->count[PROC_POOL_WORKER_EXITED] == 1 && board->count[PROC_POOL_WORKER_READY] == 2);
    MUST_STAY(board->count[PROC_POOL_WORKER_STARTED] == 2, 100);
    ck_assert_int_eq(worker_stats(0).state, PROC_WORKER_GONE);
    ck_assert(!proc_pool_done(pool));
    kill(pid_of(1), SIGKILL);
    MUST_BECOME(board->count[PROC_POOL_WORKER_READY] == 3);
    must_stop_and_free();
}
END_TEST

START_TEST(never_means_never)
{
    struct script script = {1, {_i == 0 ? 0 : _i == 1 ? 1 : KILLED}};
    struct proc_pool_options options = usual_main(3, act);

    options.arg = &script;
    options.restart = PROC_RESTART_NEVER;
    must_make(options);
    ck_assert_int_eq(proc_pool_run(pool), 0);
    ck_assert_int_eq(board->count[PROC_POOL_WORKER_STARTED], 3);
    ck_assert_uint_eq(stats_now().restarts, 0);
    proc_pool_free(pool);
}
END_TEST

static int note_generation(struct proc_worker *worker, void *arg)
{
    board->answers[proc_worker_index(worker)] = proc_worker_generation(worker);
    return note_start(worker, arg);
}

START_TEST(the_generation_counts_the_starts_of_an_index)
{
    struct proc_pool_options options = usual(2);

    options.start = note_generation;
    must_make_ready(options);
    for (int round = 0; round < 3; round++) {
        ck_assert_int_eq(board->answers[0], 1);
        ck_assert_int_eq(board->answers[1], round + 1);
        kill(pid_of(1), SIGKILL);
        MUST_BECOME(board->count[PROC_POOL_WORKER_READY] == 3 + round);
    }
    ck_assert_int_eq(board->answers[1], 4);
    must_stop_and_free();
}
END_TEST

/* ---- start and stop ---- */

static int start_at_the_gate(struct proc_worker *worker, void *arg)
{
    note_start(worker, arg);
    wait_at_gate();
    return 0;
}

START_TEST(a_worker_is_ready_when_its_start_has_returned_and_has_no_job_before)
{
    struct proc_pool_options options = usual(2);

    options.start = start_at_the_gate;
    must_make(options);
    must_submit(0, PASS);
    MUST_BECOME(board->started == 2);
    MUST_STAY(board->count[PROC_POOL_WORKER_READY] == 0 && board->begun == 0, 50);
    board->gate = 1;
    MUST_BECOME(board->count[PROC_POOL_WORKER_READY] == 2 && board->ended == 1);
    must_stop_and_free();
}
END_TEST

START_TEST(start_and_stop_are_called_around_main_too)
{
    must_make_ready(usual_main(2, serve));
    ck_assert_int_eq(board->started, 2);
    ck_assert_int_eq(board->stopped, 0);
    must_stop_and_free();
    ck_assert_int_eq(board->stops[0], 1);
    ck_assert_int_eq(board->stops[1], 1);
}
END_TEST

static int fail_if_second(struct proc_worker *worker, void *arg)
{
    note_start(worker, arg);
    return proc_worker_index(worker) == 1 ? 5 : 0;
}

START_TEST(one_that_cannot_start_waits_longer_and_longer_and_the_others_go_on)
{
    static const int gaps[] = {20, 40, 80, 100, 100};
    struct proc_pool_options options = usual(2);

    options.start = fail_if_second;
    options.backoff_min_ms = 20;
    options.backoff_max_ms = 100;
    must_make(options);
    for (unsigned i = 0; i < 50; i++)
        must_submit(i, PASS);
    MUST_BECOME(board->starts[1] >= 6 && board->ended == 50);
    for (int i = 0; i < 5; i++) {
        const struct happened *exited = nth_of(PROC_POOL_WORKER_EXITED, 1, i);

        ck_assert_int_ne(exited->code, 0);
        ck_assert_int_eq(exited->signal, 0);
        ck_assert_int_ge(nth_of(PROC_POOL_WORKER_STARTED, 1, i + 1)->at_ms - exited->at_ms, gaps[i] - 3);
    }
    ck_assert_int_eq(times(PROC_POOL_WORKER_READY, 1), 0);
    ck_assert_int_eq(times(PROC_POOL_WORKER_STARTED, 0), 1);
    ck_assert_int_eq(board->count[PROC_POOL_WORKER_KILLED], 0);
    must_stop_and_free();
}
END_TEST

static int crash(struct proc_worker *worker, void *arg)
{
    note_start(worker, arg);
    signal(SIGSEGV, SIG_DFL); /* a sanitizer has taken it */
    raise(SIGSEGV);
    return 0;
}

START_TEST(when_everybody_crashes_on_start_the_machine_stays_usable_and_a_stop_is_at_once)
{
    struct proc_pool_options options = usual(8);

    options.start = crash;
    options.backoff_min_ms = options.backoff_max_ms = 0; /* 100 and 30000 */
    must_make(options);
    int64_t begin = now_ms();
    MUST_BECOME(now_ms() - begin > 800);
    ck_assert_int_ge(board->started, 8);
    ck_assert_int_le(board->started, 8 * 5); /* at 0, 100, 300, 700 */
    must_submit(0, PASS); /* for nobody */
    begin = now_ms();
    ck_assert_int_eq(proc_pool_stop(pool), 0);
    MUST_BECOME(proc_pool_done(pool));
    ck_assert_int_lt(now_ms() - begin, 10000);
    proc_pool_free(pool);
}
END_TEST

START_TEST(a_stop_does_not_wait_for_the_end_of_a_back_off)
{
    struct proc_pool_options options = usual(4);

    options.start = fail_if_second;
    options.backoff_min_ms = options.backoff_max_ms = 600000;
    must_make(options);
    MUST_BECOME(board->count[PROC_POOL_WORKER_READY] == 3 && board->count[PROC_POOL_WORKER_EXITED] == 1);
    must_stop_and_free();
    ck_assert_int_eq(board->starts[1], 1);
}
END_TEST

/* Fails at once up to this generation; later ones take jobs. */
static int fail_at_first(struct proc_worker *worker, void *last)
{
    note_start(worker, NULL);
    return proc_worker_generation(worker) <= *(unsigned *)last ? 1 : 0;
}

START_TEST(the_back_off_starts_over_after_a_worker_that_did_better)
{
    struct proc_pool_options options = usual(1);

    options.start = fail_at_first;
    options.arg = &(unsigned){6};
    options.backoff_min_ms = 20;
    options.backoff_max_ms = 600000;
    must_make(options);
    must_submit(0, PASS);
    MUST_BECOME(board->ended == 1); /* after 20 + 40 + 80 + 160 + 320 + 640 ms; 1280 would be the next */
    kill(pid_of(0), SIGKILL);
    MUST_BECOME(board->count[PROC_POOL_WORKER_READY] == 2);
    if (!runs_instrumented())
        ck_assert_int_lt(last_of(PROC_POOL_WORKER_STARTED, 0)->at_ms - last_of(PROC_POOL_WORKER_EXITED, 0)->at_ms, 1200);
    must_stop_and_free();
}
END_TEST

/* ---- giving up ---- */

START_TEST(more_failures_than_max_restarts_and_the_pool_gives_up)
{
    struct proc_pool_options options = usual(1);

    options.start = fail_at_first;
    options.arg = &(unsigned){UINT_MAX};
    options.max_restarts = 3;
    options.restart_window_ms = 600000;
    must_make(options);
    must_fail(proc_pool_run(pool), ECHILD);
    ck_assert(proc_pool_done(pool));
    ck_assert_int_eq(board->count[PROC_POOL_WORKER_EXITED], 4);
    ck_assert_int_eq(board->count[PROC_POOL_GAVE_UP], 1);
    proc_pool_free(pool);
}
END_TEST

START_TEST(who_gives_up_stops_the_others_in_order)
{
    struct proc_pool_options options = usual(3);

    options.start = fail_if_second;
    options.max_restarts = 2;
    options.restart_window_ms = 600000;
    must_make(options);
    int result = 0;
    MUST_BECOME_BY(result < 0, result = proc_pool_poll(pool, 5));
    ck_assert_int_eq(errno, ECHILD);
    MUST_BECOME_BY(proc_pool_done(pool), proc_pool_poll(pool, 5));
    ck_assert_int_eq(board->count[PROC_POOL_GAVE_UP], 1);
    ck_assert_int_eq(board->stopped, 2);
    ck_assert_int_eq(board->count[PROC_POOL_WORKER_KILLED], 0);
    proc_pool_free(pool);
}
END_TEST

START_TEST(failures_that_are_long_past_do_not_count)
{
    struct proc_pool_options options = usual(1);

    options.start = fail_at_first;
    options.arg = &(unsigned){8};
    options.max_restarts = 3;
    options.restart_window_ms = 100;
    options.backoff_min_ms = options.backoff_max_ms = 60;
    must_make(options);
    MUST_BECOME(board->count[PROC_POOL_WORKER_READY] == 1);
    ck_assert_int_eq(board->count[PROC_POOL_WORKER_EXITED], 8);
    ck_assert_int_eq(board->count[PROC_POOL_GAVE_UP], 0);
    must_stop_and_free();
}
END_TEST

START_TEST(without_a_window_or_a_number_nobody_gives_up)
{
    struct proc_pool_options options = usual(1);

    options.start = fail_at_first;
    options.arg = &(unsigned){8};
    options.max_restarts = _i ? 1 : 0;
    options.restart_window_ms = _i ? 0 : 600000;
    must_make(options);
    MUST_BECOME(board->count[PROC_POOL_WORKER_READY] == 1);
    ck_assert_int_eq(board->count[PROC_POOL_GAVE_UP], 0);
    must_stop_and_free();
}
END_TEST

START_TEST(an_end_that_was_asked_for_is_no_failure)
{
    struct proc_pool_options options = usual(2);

    options.max_restarts = 1;
    options.restart_window_ms = 600000;
    options.max_jobs = 1;
    must_make_ready(options);
    for (unsigned i = 0; i < 20; i++)
        must_submit(i, PASS);
    MUST_BECOME(board->ended == 20);
    for (int i = 1; i <= 3; i++) {
        ck_assert_int_eq(proc_pool_reload(pool), 0);
        MUST_BECOME(board->count[PROC_POOL_RELOADED] == i);
    }
    ck_assert_int_eq(proc_pool_resize(pool, 5), 0);
    MUST_BECOME(board->count[PROC_POOL_RESIZED] == 1);
    ck_assert_int_eq(proc_pool_resize(pool, 1), 0);
    MUST_BECOME(board->count[PROC_POOL_RESIZED] == 2);
    ck_assert_int_eq(board->count[PROC_POOL_GAVE_UP], 0);
    must_stop_and_free();
}
END_TEST

/* ---- a limit on jobs ---- */

START_TEST(a_worker_is_replaced_after_max_jobs_or_up_to_a_quarter_fewer)
{
    enum { JOBS = 400, MOST = 20 };
    struct proc_pool_options options = usual(2);
    struct {
        pid_t pid;
        int jobs;
    } workers[200];
    int nworkers = 0, fewest = MOST;

    options.max_jobs = MOST;
    must_make(options);
    for (unsigned i = 0; i < JOBS; i++)
        must_submit(i, PASS);
    MUST_BECOME(board->ended == JOBS);
    for (int i = 0; i < JOBS; i++) {
        int place = 0;

        ck_assert_int_eq(board->orders[i].begins, 1);
        while (place < nworkers && workers[place].pid != board->orders[i].by)
            place++;
        if (place == nworkers) {
            workers[nworkers].pid = board->orders[i].by;
            workers[nworkers++].jobs = 0;
        }
        workers[place].jobs++;
    }
    must_stop_and_free();
    ck_assert_int_ge(nworkers, JOBS / MOST);
    int complete = 0;
    for (int i = 0; i < nworkers; i++) {
        ck_assert_int_le(workers[i].jobs, MOST);
        if (workers[i].jobs < MOST - MOST / 4) /* of each index, the last one has not come so far */
            ck_assert_int_le(++complete, 2);
        else if (workers[i].jobs < fewest)
            fewest = workers[i].jobs;
    }
    ck_assert_int_lt(fewest, MOST); /* that there are twenty by chance is out of the question */
    ck_assert_int_eq(board->count[PROC_POOL_WORKER_KILLED], 0);
    ck_assert_int_eq(board->stopped, board->started);
}
END_TEST

START_TEST(with_max_jobs_1_each_job_has_its_own_worker)
{
    struct proc_pool_options options = usual(2);

    options.max_jobs = 1;
    options.backoff_min_ms = options.backoff_max_ms = 600000; /* it is no failure: there is none */
    must_make(options);
    for (unsigned i = 0; i < 20; i++)
        must_submit(i, PASS);
    MUST_BECOME(board->ended == 20);
    for (int i = 0; i < 20; i++)
        for (int j = 0; j < i; j++)
            ck_assert_int_ne(board->orders[i].by, board->orders[j].by);
    must_stop_and_free();
}
END_TEST

START_TEST(a_worker_is_reported_ready_before_it_is_reported_ended)
{
    struct proc_pool_options options = usual(3);
    int started = 0, ready = 0, jobs = ROUNDS(600, 60);

    options.max_jobs = 1;
    must_make_ready(options);
    for (int i = 0; i < jobs; i++)
        must_submit((unsigned)i, PASS);
    MUST_BECOME(board->count[PROC_POOL_WORKER_EXITED] == jobs && stats_now().idle == 3);
    must_stop_and_free();
    for (int i = 0; i < board->nhappened; i++) {
        started += board->list[i].type == PROC_POOL_WORKER_STARTED;
        ready += board->list[i].type == PROC_POOL_WORKER_READY;
    }
    ck_assert_int_eq(started, jobs + 3);
    ck_assert_int_eq(ready, started);
}
END_TEST

/* Whatever was left to do. */
static void poll_some(void)
{
    while (proc_pool_poll(pool, 50) > 0)
        ;
}

START_TEST(many_restarts_leave_nothing_in_the_manager)
{
    struct proc_pool_options options = usual(3);
    int jobs = ROUNDS(300, 60);

    options.max_jobs = 1;
    must_make_ready(options);
    must_submit(0, PASS);
    MUST_BECOME(board->count[PROC_POOL_WORKER_READY] == 4 && board->count[PROC_POOL_WORKER_EXITED] == 1);
    int descriptors = fds_count();
    long memory = seam_memory_held();
    for (int i = 0; i < jobs; i++)
        must_submit((unsigned)i, i % 10 == 0 ? DIE_ONCE : PASS);
    int wanted = 1 + jobs + (jobs + 9) / 10;
    MUST_BECOME(board->count[PROC_POOL_WORKER_EXITED] == wanted && stats_now().idle == 3);
    poll_some();
    ck_assert_int_eq(fds_count(), descriptors);
    ck_assert_int_lt(seam_memory_held() - memory, 20); /* much less than there were restarts */
    must_stop_and_free();
}
END_TEST

/* ---- stuck workers ---- */

START_TEST(a_worker_stuck_in_a_job_is_killed_and_the_job_is_tried_again)
{
    struct proc_pool_options options = usual(2);

    options.job_timeout_ms = runs_instrumented() ? 1500 : 250;
    must_make_ready(options);
    int64_t begin = now_ms();
    must_submit(0, WAIT);
    for (unsigned i = 1; i < 100; i++)
        must_submit(i, PASS);
    MUST_BECOME(board->ended == 99);
    MUST_BECOME(board->count[PROC_POOL_JOB_DEAD] == 1);
    ck_assert_int_eq(board->orders[0].begins, 3);
    ck_assert_int_eq(board->orders[0].ends, 0);
    ck_assert_int_eq(board->count[PROC_POOL_WORKER_KILLED], 3);
    ck_assert_int_eq(board->count[PROC_POOL_JOB_RETRIED], 2);
    for (int i = 0; i < 3; i++) {
        const struct happened *killed = nth_of(PROC_POOL_WORKER_KILLED, -1, i);

        ck_assert_int_ge(killed->at_ms - begin, (i + 1) * (options.job_timeout_ms - 2));
        const struct happened *exited = nth_of(PROC_POOL_WORKER_EXITED, -1, i);
        ck_assert_int_eq(exited->pid, killed->pid);
        ck_assert_int_eq(exited->signal, SIGKILL);
        ck_assert(killed < exited);
    }
    must_stop_and_free();
}
END_TEST

static int take_a_while(struct proc_worker *worker, const struct proc_job *job, void *arg)
{
    nanosleep(&(struct timespec){.tv_nsec = 30000000}, NULL);
    return obey(worker, job, arg);
}

START_TEST(each_job_has_its_own_time)
{
    struct proc_pool_options options = usual(1);

    options.job = take_a_while;
    options.job_timeout_ms = runs_instrumented() ? 3000 : 600;
    must_make(options);
    for (unsigned i = 0; i < 40; i++)
        must_submit(i, PASS);
    MUST_BECOME(board->ended == 40);
    ck_assert_int_eq(board->count[PROC_POOL_WORKER_STARTED], 1);
    must_stop_and_free();
}
END_TEST

static int be_alive_if_first(struct proc_worker *worker, void *arg)
{
    (void)arg;
    while (!proc_worker_stopping(worker)) {
        if (proc_worker_index(worker) == 0)
            proc_worker_alive(worker);
        nap();
    }
    return 0;
}

START_TEST(a_worker_without_a_heartbeat_is_killed)
{
    struct proc_pool_options options = usual_main(2, be_alive_if_first);

    options.heartbeat_ms = runs_instrumented() ? 3000 : 400;
    must_make(options);
    MUST_BECOME(times(PROC_POOL_WORKER_KILLED, 1) == 2 && times(PROC_POOL_WORKER_EXITED, 1) == 2);
    ck_assert_int_eq(times(PROC_POOL_WORKER_KILLED, 0), 0);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_ge(nth_of(PROC_POOL_WORKER_KILLED, 1, i)->at_ms - nth_of(PROC_POOL_WORKER_STARTED, 1, i)->at_ms,
                         options.heartbeat_ms - 2);
        ck_assert_int_eq(nth_of(PROC_POOL_WORKER_EXITED, 1, i)->signal, SIGKILL);
    }
    must_stop_and_free();
}
END_TEST

static int beat_for_ever(struct proc_worker *worker, void *arg)
{
    (void)arg;
    while (!proc_worker_stopping(worker)) {
        for (int i = 0; i < 1000; i++)
            proc_worker_alive(worker);
        nap();
    }
    board->answers[1] = seam_calls();
    for (int i = 0; i < 1000; i++)
        proc_worker_alive(worker);
    board->answers[2] = seam_calls();
    return 0;
}

START_TEST(a_heartbeat_costs_no_system_call)
{
    struct proc_pool_options options = usual_main(1, beat_for_ever);

    options.heartbeat_ms = 60000;
    must_make_ready(options);
    must_stop_and_free();
    ck_assert_int_eq(board->answers[1], board->answers[2]);
}
END_TEST

/* ---- reloading ---- */

/* How many of the first `upto` events make a worker ready, less those that end one that was. */
static void must_always_have(int workers)
{
    int ready = 0, reached = 0;

    for (int i = 0; i < board->nhappened; i++) {
        ready += board->list[i].type == PROC_POOL_WORKER_READY;
        ready -= board->list[i].type == PROC_POOL_WORKER_EXITED;
        reached += ready >= workers;
        ck_assert_msg(!reached || ready >= workers, "only %d were ready; %s", ready, board_text());
    }
}

START_TEST(a_reload_replaces_each_worker_by_one_that_is_ready_before)
{
    struct proc_pool_options options = usual(3);
    pid_t old[3];
    unsigned jobs = 0;

    must_make_ready(options);
    for (unsigned i = 0; i < 3; i++)
        old[i] = pid_of(i);
    ck_assert_int_eq(proc_pool_reload(pool), 0);
    MUST_BECOME_BY(board->count[PROC_POOL_RELOADED] == 1, (must_submit(jobs++ % ORDERS, PASS), give_turn()));
    for (unsigned i = 0; i < 3; i++) {
        ck_assert(!lives(old[i]));
        ck_assert(lives(pid_of(i)));
        ck_assert_int_eq(board->starts[i], 2);
        ck_assert_int_eq(board->stops[i], 1);
        ck_assert_int_eq(nth_of(PROC_POOL_WORKER_EXITED, (int)i, 0)->code, 0);
    }
    must_always_have(3);
    MUST_BECOME(board->ended == (int)jobs);
    ck_assert_int_eq(board->count[PROC_POOL_WORKER_KILLED], 0);
    ck_assert_uint_eq(stats_now().restarts, 3);
    ck_assert_uint_eq(stats_now().retried, 0);
    MUST_STAY(board->count[PROC_POOL_RELOADED] == 1, 50);
    must_stop_and_free();
}
END_TEST

START_TEST(while_the_old_one_finishes_its_job_the_new_one_takes_the_next)
{
    must_make_ready(usual(1));
    pid_t old = pid_of(0);
    must_submit(0, WAIT);
    MUST_BECOME(board->begun == 1);
    ck_assert_int_eq(proc_pool_reload(pool), 0);
    must_submit(1, PASS);
    MUST_BECOME(board->ended == 1);
    ck_assert(lives(old));
    ck_assert_int_ne(board->orders[1].by, old);
    MUST_BECOME(pid_of(0) == board->orders[1].by); /* the newest holder */
    ck_assert_int_eq(board->count[PROC_POOL_RELOADED], 0);
    board->gate = 1;
    MUST_BECOME(board->count[PROC_POOL_RELOADED] == 1);
    ck_assert_int_eq(board->orders[0].begins, 1);
    ck_assert_int_eq(board->orders[0].ends, 1);
    ck_assert(!lives(old));
    must_stop_and_free();
}
END_TEST

START_TEST(a_reload_during_a_reload_replaces_all_that_were_started_before)
{
    struct proc_pool_options options = usual(2);

    board->gate = 1;
    options.start = start_at_the_gate;
    must_make_ready(options);
    board->gate = 0;
    ck_assert_int_eq(proc_pool_reload(pool), 0);
    MUST_BECOME(board->started == 3); /* and waits */
    int before = board->nhappened;
    ck_assert_int_eq(proc_pool_reload(pool), 0);
    board->gate = 1;
    MUST_BECOME(board->count[PROC_POOL_RELOADED] == 1);
    for (unsigned i = 0; i < 2; i++) {
        const struct happened *started = last_of(PROC_POOL_WORKER_STARTED, (int)i);

        ck_assert_int_eq(started->pid, pid_of(i));
        ck_assert_int_ge(started - board->list, before);
    }
    MUST_STAY(board->count[PROC_POOL_RELOADED] == 1, 100);
    ck_assert_int_eq(board->count[PROC_POOL_WORKER_STARTED], board->count[PROC_POOL_WORKER_EXITED] + 2);
    must_always_have(2);
    must_submit(0, PASS);
    MUST_BECOME(board->ended == 1);
    must_stop_and_free();
}
END_TEST

START_TEST(a_stop_during_a_reload_stops_all)
{
    struct proc_pool_options options = usual(3);

    board->gate = 1;
    options.start = start_at_the_gate;
    must_make_ready(options);
    board->gate = 0;
    ck_assert_int_eq(proc_pool_reload(pool), 0);
    MUST_BECOME(board->started == 4);
    ck_assert_int_eq(proc_pool_stop(pool), 0);
    MUST_BECOME(board->stopped >= 3);
    board->gate = 1;
    MUST_BECOME(proc_pool_done(pool));
    ck_assert_int_eq(board->count[PROC_POOL_WORKER_STARTED], 4);
    ck_assert_int_eq(board->count[PROC_POOL_WORKER_EXITED], 4);
    ck_assert_int_eq(board->count[PROC_POOL_WORKER_KILLED], 0);
    proc_pool_free(pool);
}
END_TEST

static int fail_if_told(struct proc_worker *worker, void *arg)
{
    note_start(worker, arg);
    return (int)board->answers[0];
}

START_TEST(when_the_new_ones_cannot_start_the_old_ones_stay)
{
    struct proc_pool_options options = usual(2);

    options.start = fail_if_told;
    must_make_ready(options);
    pid_t old[2] = {pid_of(0), pid_of(1)};
    board->answers[0] = 1;
    ck_assert_int_eq(proc_pool_reload(pool), 0);
    MUST_BECOME(board->count[PROC_POOL_WORKER_EXITED] >= 3);
    for (int i = 0; i < 2; i++)
        ck_assert(lives(old[i]));
    must_submit(0, PASS);
    must_submit(1, PASS);
    MUST_BECOME(board->ended == 2);
    for (int i = 0; i < 2; i++)
        ck_assert(board->orders[i].by == old[0] || board->orders[i].by == old[1]);
    ck_assert_int_eq(board->count[PROC_POOL_RELOADED], 0);
    board->answers[0] = 0;
    MUST_BECOME(board->count[PROC_POOL_RELOADED] == 1);
    for (int i = 0; i < 2; i++)
        ck_assert(!lives(old[i]));
    must_stop_and_free();
}
END_TEST

START_TEST(a_replacement_that_is_killed_is_replaced_and_the_reload_ends)
{
    struct proc_pool_options options = usual(2);

    board->gate = 1;
    options.start = start_at_the_gate;
    must_make_ready(options);
    board->gate = 0;
    ck_assert_int_eq(proc_pool_reload(pool), 0);
    MUST_BECOME(board->started == 3);
    kill(last_of(PROC_POOL_WORKER_STARTED, -1)->pid, SIGKILL);
    MUST_BECOME(board->started == 4);
    for (int i = 0; i < 2; i++)
        kill(nth_of(PROC_POOL_WORKER_STARTED, i, 0)->pid, SIGKILL); /* the old ones, too */
    board->gate = 1;
    MUST_BECOME(board->count[PROC_POOL_RELOADED] == 1);
    MUST_BECOME(stats_now().idle == 2);
    MUST_BECOME(board->count[PROC_POOL_WORKER_STARTED] == board->count[PROC_POOL_WORKER_EXITED] + 2);
    must_stop_and_free();
}
END_TEST

/* ---- resizing ---- */

START_TEST(a_pool_grows_and_shrinks)
{
    must_make_ready(usual(2));
    ck_assert_int_eq(proc_pool_resize(pool, 5), 0);
    MUST_BECOME(board->count[PROC_POOL_RESIZED] == 1 && stats_now().idle == 5);
    ck_assert_uint_eq(stats_now().workers, 5);
    pid_t pids[5];
    for (unsigned i = 0; i < 5; i++) {
        pids[i] = pid_of(i);
        ck_assert_int_eq(parent_of(pids[i]), getpid());
    }
    ck_assert_int_eq(proc_pool_resize(pool, 1), 0);
    MUST_BECOME(board->count[PROC_POOL_RESIZED] == 2 && board->count[PROC_POOL_WORKER_EXITED] == 4);
    ck_assert_uint_eq(stats_now().workers, 1);
    ck_assert_int_eq(pid_of(0), pids[0]);
    for (unsigned i = 1; i < 5; i++) {
        ck_assert(!lives(pids[i]));
        ck_assert_int_eq(worker_stats(i).state, PROC_WORKER_GONE);
        ck_assert_int_eq(worker_stats(i).pid, 0);
        ck_assert_int_eq(board->stops[i], 1);
    }
    MUST_STAY(board->count[PROC_POOL_WORKER_STARTED] == 5, 50);
    ck_assert_int_eq(proc_pool_resize(pool, 2), 0);
    MUST_BECOME(board->starts[1] == 2);
    must_submit(0, PASS);
    MUST_BECOME(board->ended == 1);
    ck_assert_int_eq(board->count[PROC_POOL_WORKER_KILLED], 0);
    must_stop_and_free();
}
END_TEST

START_TEST(who_is_one_too_many_finishes_his_job)
{
    must_make_ready(usual(3));
    for (unsigned i = 0; i < 3; i++)
        must_submit(i, WAIT);
    MUST_BECOME(board->begun == 3);
    ck_assert_int_eq(proc_pool_resize(pool, 1), 0);
    MUST_STAY(board->count[PROC_POOL_WORKER_EXITED] == 0, 30);
    board->gate = 1;
    MUST_BECOME(board->count[PROC_POOL_WORKER_EXITED] == 2 && board->ended == 3);
    ck_assert_int_eq(board->begun, 3);
    must_stop_and_free();
}
END_TEST

START_TEST(who_is_wanted_again_while_he_leaves_is_replaced)
{
    must_make_ready(usual(2));
    must_submit(0, WAIT);
    must_submit(1, WAIT);
    MUST_BECOME(board->begun == 2);
    ck_assert_int_eq(proc_pool_resize(pool, 1), 0);
    MUST_STAY(board->count[PROC_POOL_WORKER_EXITED] == 0, 20);
    ck_assert_int_eq(proc_pool_resize(pool, 2), 0);
    board->gate = 1;
    MUST_BECOME(board->count[PROC_POOL_WORKER_EXITED] <= 1 && stats_now().idle == 2 && stats_now().workers == 2);
    for (unsigned i = 0; i < 2; i++)
        ck_assert(lives(pid_of(i)));
    must_stop_and_free();
}
END_TEST

START_TEST(a_pool_is_resized_during_a_reload)
{
    struct proc_pool_options options = usual(2);

    board->gate = 1;
    options.start = start_at_the_gate;
    must_make_ready(options);
    board->gate = 0;
    ck_assert_int_eq(proc_pool_reload(pool), 0);
    MUST_BECOME(board->started == 3);
    ck_assert_int_eq(proc_pool_resize(pool, _i), 0);
    board->gate = 1;
    MUST_BECOME(board->count[PROC_POOL_RELOADED] == 1);
    MUST_BECOME((int)stats_now().idle == _i);
    MUST_BECOME(board->count[PROC_POOL_WORKER_STARTED] == board->count[PROC_POOL_WORKER_EXITED] + _i);
    ck_assert_uint_eq(stats_now().workers, (unsigned)_i);
    must_submit(0, PASS);
    MUST_BECOME(board->ended == 1);
    must_stop_and_free();
}
END_TEST

/* ---- grace ---- */

static int be_stubborn_below(struct proc_worker *worker, void *count)
{
    if (proc_worker_index(worker) >= *(unsigned *)count)
        return serve(worker, NULL);
    signal(SIGTERM, SIG_IGN);
    board->begun++;
    wait_at_gate();
    return 0;
}

START_TEST(a_worker_that_ignores_sigterm_is_killed_after_its_grace_and_others_are_not)
{
    struct proc_pool_options options = usual_main(4, be_stubborn_below);

    options.arg = &(unsigned){1};
    options.grace_ms = runs_instrumented() ? 3000 : 400;
    must_make_ready(options);
    MUST_BECOME(board->begun == 1);
    int64_t begin = now_ms();
    must_stop();
    ck_assert_int_eq(board->count[PROC_POOL_WORKER_KILLED], 1);
    const struct happened *killed = last_of(PROC_POOL_WORKER_KILLED, 0);
    ck_assert_ptr_nonnull(killed);
    ck_assert_int_ge(killed->at_ms - begin, options.grace_ms - 2);
    ck_assert_int_eq(last_of(PROC_POOL_WORKER_EXITED, 0)->signal, SIGKILL);
    ck_assert(killed < last_of(PROC_POOL_WORKER_EXITED, 0));
    for (int i = 1; i < 4; i++) {
        ck_assert_int_eq(last_of(PROC_POOL_WORKER_EXITED, i)->code, 0);
        ck_assert_int_eq(board->stops[i], 1);
    }
    proc_pool_free(pool);
}
END_TEST

START_TEST(each_worker_has_its_own_grace)
{
    struct proc_pool_options options = usual_main(3, be_stubborn_below);
    int64_t asked[3];

    options.arg = &(unsigned){3};
    options.grace_ms = 300;
    must_make_ready(options);
    MUST_BECOME(board->begun == 3);
    for (unsigned left = 2; left >= 1; left--) {
        asked[left] = now_ms();
        ck_assert_int_eq(proc_pool_resize(pool, left), 0);
        MUST_BECOME(now_ms() - asked[left] >= 150);
    }
    asked[0] = now_ms();
    must_stop();
    for (int i = 0; i < 3; i++)
        ck_assert_int_ge(last_of(PROC_POOL_WORKER_KILLED, i)->at_ms - asked[i], 298);
    ck_assert_int_eq(board->count[PROC_POOL_WORKER_KILLED], 3);
    proc_pool_free(pool);
}
END_TEST

START_TEST(a_reload_kills_the_stubborn_after_their_grace)
{
    struct proc_pool_options options = usual_main(2, be_stubborn_below);

    options.arg = &(unsigned){1};
    options.grace_ms = 300;
    must_make_ready(options);
    MUST_BECOME(board->begun == 1);
    int64_t begin = now_ms();
    ck_assert_int_eq(proc_pool_reload(pool), 0);
    MUST_BECOME(board->count[PROC_POOL_RELOADED] == 1);
    ck_assert_int_eq(board->count[PROC_POOL_WORKER_KILLED], 1);
    ck_assert_int_ge(last_of(PROC_POOL_WORKER_KILLED, 0)->at_ms - begin, 298);
    must_always_have(2);
    MUST_BECOME(board->begun == 2);
    must_stop();
    ck_assert_int_eq(board->count[PROC_POOL_WORKER_KILLED], 2);
    proc_pool_free(pool);
}
END_TEST

START_TEST(without_a_limit_on_its_grace_nobody_is_killed)
{
    struct proc_pool_options options = usual_main(2, be_stubborn_below);

    options.arg = &(unsigned){1};
    options.grace_ms = -1;
    must_make_ready(options);
    MUST_BECOME(board->begun == 1);
    ck_assert_int_eq(proc_pool_stop(pool), 0);
    MUST_BECOME(board->stopped == 1);
    MUST_STAY(!proc_pool_done(pool), 200);
    board->gate = 1;
    MUST_BECOME(proc_pool_done(pool));
    ck_assert_int_eq(board->count[PROC_POOL_WORKER_KILLED], 0);
    proc_pool_free(pool);
}
END_TEST

START_TEST(a_stopped_worker_is_woken_to_leave)
{
    must_make_ready(usual(2));
    kill(pid_of(1), SIGSTOP);
    MUST_BECOME(status_of(pid_of(1), "State")[0] == 'T');
    must_stop_and_free();
    ck_assert_int_eq(board->stopped, 2);
    ck_assert_int_eq(board->count[PROC_POOL_WORKER_KILLED], 0);
}
END_TEST

START_TEST(a_second_sigterm_changes_nothing)
{
    struct proc_pool_options options = usual_main(3, be_stubborn_below);

    options.key = unused_key();
    options.arg = &(unsigned){1};
    options.grace_ms = 600;
    struct proc *manager = must_manage_ready(options);
    MUST_BECOME(board->begun == 1);
    int64_t begin = now_ms();
    proc_kill(manager, SIGTERM);
    MUST_BECOME(board->stopped == 2);
    for (int i = 0; i < 10; i++) {
        proc_kill(manager, i % 2 ? SIGINT : SIGTERM);
        proc_kill(manager, i % 2 ? SIGHUP : SIGTTIN);
        nap();
    }
    ck_assert_int_eq(must_end(manager).code, 0);
    ck_assert_int_eq(board->count[PROC_POOL_WORKER_KILLED], 1);
    ck_assert_int_ge(last_of(PROC_POOL_WORKER_KILLED, 0)->at_ms - begin, 598);
    ck_assert_int_eq(board->count[PROC_POOL_WORKER_STARTED], 3);
    ck_assert_int_eq(board->count[PROC_POOL_WORKER_EXITED], 3);
    must_remove_and_free();
}
END_TEST

/* ---- signals ---- */

START_TEST(sigterm_and_sigint_stop_it)
{
    static const int signals[] = {SIGTERM, SIGINT};
    struct proc_pool_options options = usual(2);

    options.key = unused_key();
    struct proc *manager = must_manage_ready(options);
    must_submit(0, WAIT);
    MUST_BECOME(board->begun == 1);
    proc_kill(manager, signals[_i]);
    MUST_BECOME(board->stopped == 1);
    ck_assert(proc_running(manager));
    board->gate = 1;
    ck_assert_int_eq(must_end(manager).code, 0);
    ck_assert_int_eq(board->ended, 1);
    ck_assert_int_eq(board->stopped, 2);
    ck_assert_int_eq(board->count[PROC_POOL_WORKER_KILLED], 0);
    must_remove_and_free();
}
END_TEST

START_TEST(sighup_and_sigusr1_reload_it)
{
    static const int signals[] = {SIGHUP, SIGUSR1};
    struct proc_pool_options options = usual(2);

    options.key = unused_key();
    struct proc *manager = must_manage_ready(options);
    for (int i = 1; i <= 3; i++) {
        proc_kill(manager, signals[_i]);
        MUST_BECOME(board->count[PROC_POOL_RELOADED] == i);
    }
    ck_assert_int_eq(board->starts[0], 4);
    ck_assert_int_eq(board->starts[1], 4);
    must_end_well(manager);
    must_remove_and_free();
}
END_TEST

START_TEST(sigttin_and_sigttou_make_it_one_more_or_less)
{
    struct proc_pool_options options = usual(2);

    options.key = unused_key();
    struct proc *manager = must_manage_ready(options);
    proc_kill(manager, SIGTTIN);
    MUST_BECOME(stats_now().workers == 3 && stats_now().idle == 3);
    for (unsigned left = 2; left >= 1; left--) {
        proc_kill(manager, SIGTTOU);
        MUST_BECOME(stats_now().workers == left && stats_now().idle == left);
    }
    proc_kill(manager, SIGTTOU); /* changes nothing */
    proc_kill(manager, SIGHUP);
    MUST_BECOME(board->count[PROC_POOL_RELOADED] == 1);
    ck_assert_uint_eq(stats_now().workers, 1);
    proc_kill(manager, SIGTTIN);
    MUST_BECOME(stats_now().workers == 2 && stats_now().idle == 2);
    must_end_well(manager);
    must_remove_and_free();
}
END_TEST

START_TEST(a_signal_to_the_whole_group_is_one_orderly_stop)
{
    for (int round = 0; round < ROUNDS(20, 4); round++) {
        struct proc_pool_options options = usual(4);
        int started = board->started, stopped = board->stopped, ended = board->ended;
        int exited = board->count[PROC_POOL_WORKER_EXITED];

        options.key = unused_key();
        board->gate = 0;
        struct proc *manager = must_manage_ready(options);
        must_submit(0, WAIT);
        must_submit(1, WAIT);
        MUST_BECOME(board->begun == ended + 2);
        ck_assert_int_eq(kill(-proc_pid(manager), _i ? SIGTERM : SIGINT), 0);
        MUST_BECOME(board->stopped == stopped + 2); /* of the idle ones */
        board->gate = 1;
        ck_assert_int_eq(must_end(manager).code, 0);
        ck_assert_int_eq(board->started, started + 4);
        ck_assert_int_eq(board->stopped, stopped + 4);
        ck_assert_int_eq(board->ended, ended + 2);
        ck_assert_int_eq(board->count[PROC_POOL_WORKER_EXITED], exited + 4);
        ck_assert_int_eq(last_of(PROC_POOL_WORKER_EXITED, -1)->code, 0);
        ck_assert_int_eq(board->count[PROC_POOL_WORKER_KILLED], 0);
        ck_assert_uint_eq(stats_now().retried, 0);
        must_remove_and_free();
    }
}
END_TEST

START_TEST(a_reload_of_the_whole_group_is_one_reload)
{
    struct proc_pool_options options = usual(2);

    options.key = unused_key();
    struct proc *manager = must_manage_ready(options);
    ck_assert_int_eq(kill(-proc_pid(manager), SIGHUP), 0);
    MUST_BECOME(board->count[PROC_POOL_RELOADED] == 1);
    ck_assert_int_eq(board->started, 4);
    ck_assert_int_eq(board->stopped, 2);
    must_end_well(manager);
    must_remove_and_free();
}
END_TEST

START_TEST(a_worker_has_an_empty_mask_and_only_sigterm_makes_it_leave)
{
    static const int ignored[] = {SIGINT, SIGHUP, SIGUSR1, SIGTTIN, SIGTTOU};
    struct proc_pool_options options = usual(1);
    sigset_t mask;

    if (no_pidfds()) {
        skip("without pidfds the pool needs SIGCHLD, which this test lets through");
        return;
    }
    sigfillset(&mask);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    must_make_ready(options);
    sigemptyset(&mask);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    pid_t pid = pid_of(0);
    ck_assert_uint_eq(strtoull(status_of(pid, "SigBlk"), NULL, 16), 0);
    ck_assert(has_signal(pid, "SigCgt", SIGTERM));
    for (int i = 0; i < 5; i++) {
        ck_assert(has_signal(pid, "SigIgn", ignored[i]));
        kill(pid, ignored[i]);
    }
    must_submit(0, PASS);
    MUST_BECOME(board->ended == 1);
    ck_assert_int_eq(board->orders[0].by, pid);
    must_submit(1, WAIT);
    MUST_BECOME(board->begun == 2);
    kill(pid, SIGTERM);
    MUST_STAY(lives(pid), 30);
    board->gate = 1;
    MUST_BECOME(board->count[PROC_POOL_WORKER_READY] == 2);
    ck_assert_int_eq(board->orders[1].begins, 1);
    ck_assert_int_eq(board->orders[1].ends, 1);
    ck_assert_int_eq(last_of(PROC_POOL_WORKER_EXITED, 0)->code, 0);
    ck_assert_int_eq(board->stopped, 1);
    must_stop_and_free();
}
END_TEST

static const int used_signals[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGTTIN, SIGTTOU, SIGCHLD, SIGPIPE, SIGALRM};
#define USED_SIGNALS ((int)(sizeof used_signals / sizeof *used_signals))

static void note_call(int signo)
{
    (void)signo;
    board->wrong++;
}

static void be_asked_to_stop(const struct proc_pool_event *event, void *arg)
{
    note_event(event, arg);
    if (event->type == PROC_POOL_WORKER_READY && board->count[PROC_POOL_WORKER_READY] == 2)
        for (int i = 0; i < 6; i++)
            kill(getpid(), used_signals[i]);
}

/* A program with habits of its own, by `_i`: default ones, handlers, ignored signals, blocked signals. */
START_TEST(after_a_run_dispositions_and_mask_are_as_before)
{
    struct proc_pool_options options = usual(2);
    struct sigaction before[USED_SIGNALS], after[USED_SIGNALS];
    char status[3][64];
    static const char *const fields[] = {"SigBlk", "SigIgn", "SigCgt"};
    sigset_t mask, pending, none;

    sigemptyset(&none);
    sigemptyset(&mask);
    for (int i = 0; i < USED_SIGNALS; i++) {
        struct sigaction action = {.sa_handler = _i == 1 ? note_call : SIG_IGN, .sa_flags = SA_RESTART | SA_NODEFER};

        sigaddset(&action.sa_mask, SIGWINCH);
        if (_i == 1 || _i == 2)
            ck_assert_int_eq(sigaction(used_signals[i], &action, NULL), 0);
        sigaction(used_signals[i], NULL, &before[i]);
        sigaddset(&mask, used_signals[i]);
    }
    sigaddset(&mask, SIGWINCH);
    if (_i == 3)
        ck_assert_int_eq(sigprocmask(SIG_SETMASK, &mask, NULL), 0);
    for (int i = 0; i < 3; i++)
        strcpy(status[i], status_of(getpid(), fields[i]));
    options.event = be_asked_to_stop;
    must_make(options);
    ck_assert_int_eq(proc_pool_run(pool), 0);
    proc_pool_free(pool);
    ck_assert_int_eq(board->wrong, 0);
    for (int i = 0; i < 3; i++)
        ck_assert_str_eq(status_of(getpid(), fields[i]), status[i]);
    for (int i = 0; i < USED_SIGNALS; i++) {
        sigaction(used_signals[i], NULL, &after[i]);
        ck_assert(after[i].sa_handler == before[i].sa_handler);
        ck_assert_int_eq(after[i].sa_flags, before[i].sa_flags);
        ck_assert_int_eq(sigismember(&after[i].sa_mask, SIGWINCH), sigismember(&before[i].sa_mask, SIGWINCH));
    }
    sigpending(&pending);
    for (int i = 0; i < 6; i++)
        ck_assert(!sigismember(&pending, used_signals[i]));
    sigprocmask(SIG_SETMASK, &none, NULL);
    ck_assert_int_eq(board->stopped, 2);
    if (_i == 1) {
        raise(SIGTERM);
        ck_assert_int_eq(board->wrong, 1);
    }
}
END_TEST

static int work_as_before(struct proc *self, void *unused)
{
    (void)self, (void)unused;
    signal(SIGCHLD, SIG_IGN);
    struct proc_pool_options options = usual(2);
    pool = proc_pool_new(&options);
    while (board->count[PROC_POOL_WORKER_READY] < 4) {
        if (proc_pool_poll(pool, 5) < 0)
            return 1;
        if (board->count[PROC_POOL_WORKER_READY] == 2)
            for (int i = 0; i < 2; i++)
                kill(board->list[i].pid, SIGKILL);
    }
    proc_pool_stop(pool);
    while (!proc_pool_done(pool))
        if (proc_pool_poll(pool, 5) < 0)
            return 2;
    proc_pool_free(pool);
    return 0;
}

START_TEST(a_pool_works_where_sigchld_is_ignored)
{
    ck_assert_int_eq(must_end(must_spawn((struct proc_options){.main = work_as_before})).code, 0);
}
END_TEST

/* ---- main ---- */

static int read_for_ever(struct proc_worker *worker, void *pipe_end)
{
    char byte;

    board->answers[0] = proc_worker_stopping(worker);
    board->begun++;
    board->answers[1] = read(*(int *)pipe_end, &byte, 1);
    board->answers[2] = errno;
    board->answers[3] = proc_worker_stopping(worker);
    return 6;
}

START_TEST(a_call_that_blocks_returns_with_eintr_when_it_is_time_to_leave)
{
    int ends[2];
    struct proc_pool_options options = usual_main(1, read_for_ever);

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    options.arg = &ends[0];
    must_make_ready(options);
    MUST_BECOME(board->begun == 1 && status_of(pid_of(0), "State")[0] == 'S');
    must_stop_and_free();
    ck_assert_int_eq(board->answers[0], 0);
    ck_assert_int_eq(board->answers[1], -1);
    ck_assert_int_eq(board->answers[2], EINTR);
    ck_assert_int_eq(board->answers[3], 1);
    ck_assert_int_eq(last_of(PROC_POOL_WORKER_EXITED, 0)->code, 6); /* what main has returned */
    ck_assert_int_eq(board->stopped, 1);
    close(ends[0]);
    close(ends[1]);
}
END_TEST

/* ---- messages ---- */

static char large[5 << 20];

static int64_t sum_of(const char *bytes, ssize_t size)
{
    int64_t sum = size;

    for (ssize_t i = 0; i < size; i += 97)
        sum = (sum * 31 + bytes[i]) & 0xffffffff;
    return sum;
}

static void fill_large(unsigned seed)
{
    for (size_t i = 0; i < sizeof large; i++)
        large[i] = (char)(i * 13 + seed);
}

static char room[6 << 20];

/* Notes each message: how many, and of the last one the size, the sender and a sum. */
static int note_messages(struct proc_worker *worker, void *arg)
{
    (void)arg;
    for (;;) {
        int from = -7;
        ssize_t size = proc_worker_recv(worker, room, sizeof room, &from, -1);

        if (size < 0 || from < -2)
            board->wrong++;
        if (size < 0)
            return 1;
        if (from == -2)
            return size == 0 ? 0 : 2;
        int64_t *notes = (int64_t[]){size, from, sum_of(room, size), getpid()};
        for (int i = 0; i < 4; i++)
            board->answers[i] = notes[i];
        board->begun++;
    }
}

static const size_t message_sizes[] = {0, 1, 1024, 60000, 70000, 300000, 5 << 20};
#define MESSAGE_SIZES ((int)(sizeof message_sizes / sizeof *message_sizes))

START_TEST(the_manager_sends_messages_of_any_size)
{
    must_make_ready(usual_main(2, note_messages));
    for (int i = 0; i < MESSAGE_SIZES; i++) {
        fill_large((unsigned)i);
        ck_assert_int_eq(proc_pool_send(pool, 1, large, message_sizes[i]), 0);
        MUST_BECOME(board->begun == i + 1);
        ck_assert_int_eq(board->answers[0], message_sizes[i]);
        ck_assert_int_eq(board->answers[1], -1);
        ck_assert_int_eq(board->answers[2], sum_of(large, (ssize_t)message_sizes[i]));
        ck_assert_int_eq(board->answers[3], pid_of(1));
    }
    must_fail(proc_pool_send(pool, 2, "x", 1), EINVAL);
    must_fail(proc_pool_send(pool, UINT_MAX, "x", 1), EINVAL);
    must_stop_and_free();
    ck_assert_int_eq(board->wrong, 0);
}
END_TEST

/* Sends one of each size to the worker of the index below (0: to itself). */
static int send_all(struct proc_worker *worker, void *arg)
{
    unsigned index = proc_worker_index(worker);

    if (index == 0 && board->gate == 0)
        return note_messages(worker, arg);
    if (index == 2)
        return serve(worker, arg);
    for (int i = 0; i < MESSAGE_SIZES; i++) {
        fill_large((unsigned)i);
        if (proc_pool_send(proc_worker_pool(worker), 0, large, message_sizes[i]) != 0)
            board->wrong++;
        while (board->begun < i + 1 && board->gate == 0)
            nap();
        board->wrong += board->gate == 0 && (board->answers[0] != (int64_t)message_sizes[i] || board->answers[1] != index ||
                                             board->answers[2] != sum_of(large, (ssize_t)message_sizes[i]));
    }
    board->wrong += proc_pool_send(proc_worker_pool(worker), 3, "x", 1) != -1 || errno != EINVAL;
    return note_messages(worker, arg);
}

START_TEST(workers_send_each_other_messages_of_any_size)
{
    must_make_ready(usual_main(3, send_all));
    MUST_BECOME(board->begun == MESSAGE_SIZES);
    must_stop_and_free();
    ck_assert_int_eq(board->wrong, 0);
}
END_TEST

START_TEST(a_worker_sends_itself_messages)
{
    board->gate = 1; /* all at once */
    must_make_ready(usual_main(1, send_all));
    MUST_BECOME(board->begun == MESSAGE_SIZES);
    ck_assert_int_eq(board->answers[1], 0);
    must_stop_and_free();
    ck_assert_int_eq(board->wrong, 0);
}
END_TEST

static int note_numbers(struct proc_worker *worker, void *arg)
{
    int number, from;

    (void)arg;
    for (int next = 0;; next++) {
        if (proc_worker_recv(worker, &number, sizeof number, &from, -1) != sizeof number)
            return from == -2 ? 0 : 1;
        board->wrong += number != next;
        board->begun++;
    }
}

START_TEST(many_messages_wait_in_order_while_nobody_reads)
{
    int count = ROUNDS(3000, 500);

    must_make_ready(usual_main(1, note_numbers));
    kill(pid_of(0), SIGSTOP);
    for (int i = 0; i < count; i++) {
        ck_assert_int_eq(proc_pool_send(pool, 0, &i, sizeof i), 0);
        if (i % 100 == 0)
            give_turn();
    }
    kill(pid_of(0), SIGCONT);
    MUST_BECOME(board->begun == count);
    ck_assert_int_eq(board->wrong, 0);
    must_stop_and_free();
}
END_TEST

static int read_if_second(struct proc_worker *worker, void *arg)
{
    return proc_worker_generation(worker) == 1 ? serve(worker, arg) : note_messages(worker, arg);
}

START_TEST(messages_wait_for_the_newest_holder_of_the_index)
{
    must_make_ready(usual_main(1, read_if_second));
    fill_large(1);
    ck_assert_int_eq(proc_pool_send(pool, 0, "first", 5), 0);
    ck_assert_int_eq(proc_pool_send(pool, 0, large, sizeof large), 0);
    MUST_STAY(board->begun == 0, 30); /* given to the first one, if to anyone */
    ck_assert_int_eq(proc_pool_send(pool, 0, "third", 5), 0);
    if (_i == 0)
        kill(pid_of(0), SIGKILL);
    else
        ck_assert_int_eq(proc_pool_reload(pool), 0);
    MUST_BECOME(board->begun == 3);
    ck_assert_int_eq(board->answers[2], sum_of("third", 5));
    MUST_BECOME(board->count[PROC_POOL_WORKER_EXITED] == 1);
    kill(pid_of(0), SIGKILL);
    MUST_BECOME(board->count[PROC_POOL_WORKER_READY] == 3);
    ck_assert_int_eq(proc_pool_send(pool, 0, "fourth", 6), 0);
    MUST_BECOME(board->begun >= 4);
    ck_assert_int_eq(board->answers[2], sum_of("fourth", 6));
    MUST_STAY(board->begun == 4, 30); /* what was read is not given again */
    must_stop_and_free();
    ck_assert_int_eq(board->wrong, 0);
}
END_TEST

START_TEST(messages_to_a_worker_that_backs_off_wait)
{
    struct proc_pool_options options = usual_main(1, note_messages);

    options.start = fail_if_told;
    options.backoff_min_ms = options.backoff_max_ms = 200;
    must_make_ready(options);
    board->answers[0] = 1;
    kill(pid_of(0), SIGKILL);
    MUST_BECOME(board->count[PROC_POOL_WORKER_EXITED] == 2);
    ck_assert_int_eq(proc_pool_send(pool, 0, "while it is away", 16), 0);
    board->answers[0] = 0;
    MUST_BECOME(board->begun == 1);
    ck_assert_int_eq(board->answers[0], 16);
    must_stop_and_free();
}
END_TEST

static int look_at_messages(struct proc_worker *worker, void *arg)
{
    int fd = proc_worker_fd(worker), from = 5;
    struct pollfd polled = {.fd = fd, .events = POLLIN};
    char few[10];

    (void)arg;
    board->answers[0] = fd > 2 && fcntl(fd, F_GETFD) == FD_CLOEXEC;
    board->answers[1] = poll(&polled, 1, 0);
    board->answers[2] = proc_worker_recv(worker, few, sizeof few, &from, 0) == -1 ? errno : 0;
    board->answers[3] = proc_worker_recv(worker, few, sizeof few, NULL, 20) == -1 ? errno : 0;
    board->begun++;
    for (int i = 0; i < 2; i++) {
        board->answers[4 + i * 4] = poll(&polled, 1, 60000);
        board->answers[5 + i * 4] = proc_worker_recv(worker, few, sizeof few, &from, -1) == -1 ? errno : 0;
        board->answers[6 + i * 4] = proc_worker_recv(worker, NULL, 0, &from, 0) == -1 ? errno : 0;
        board->answers[7 + i * 4] = proc_worker_recv(worker, room, sizeof room, &from, 0);
        board->wrong += from != -1;
    }
    board->answers[12] = poll(&polled, 1, 0);
    board->begun++;
    while (poll(&polled, 1, -1) != 1)
        ;
    board->answers[13] = proc_worker_recv(worker, room, sizeof room, &from, 60000);
    board->answers[14] = from;
    board->answers[15] = proc_worker_stopping(worker);
    return 0;
}

START_TEST(a_message_above_the_buffer_stays_and_the_descriptor_says_what_is_there)
{
    must_make_ready(usual_main(1, look_at_messages));
    MUST_BECOME(board->begun == 1);
    ck_assert_int_eq(board->answers[0], 1);
    ck_assert_int_eq(board->answers[1], 0);
    ck_assert_int_eq(board->answers[2], ETIMEDOUT);
    ck_assert_int_eq(board->answers[3], ETIMEDOUT);
    ck_assert_int_eq(proc_pool_send(pool, 0, large, 1000), 0);
    ck_assert_int_eq(proc_pool_send(pool, 0, large, sizeof large), 0);
    MUST_BECOME(board->begun == 2);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(board->answers[4 + i * 4], 1);
        ck_assert_int_eq(board->answers[5 + i * 4], EMSGSIZE);
        ck_assert_int_eq(board->answers[6 + i * 4], EMSGSIZE);
        ck_assert_int_eq(board->answers[7 + i * 4], i ? (int64_t)sizeof large : 1000);
    }
    ck_assert_int_eq(board->answers[12], 0);
    must_stop_and_free();
    ck_assert_int_eq(board->answers[13], 0);
    ck_assert_int_eq(board->answers[14], -2);
    ck_assert_int_eq(board->answers[15], 1);
    ck_assert_int_eq(board->wrong, 0);
}
END_TEST

/* Without an assertion: those write into a file, too. */
static int send_beyond_a_limit(struct proc *self, void *options)
{
    struct rlimit limit = {100000, 100000};

    (void)self;
    pool = proc_pool_new(options);
    while (board->count[PROC_POOL_WORKER_READY] == 0)
        if (proc_pool_poll(pool, 5) < 0)
            return 1;
    if (setrlimit(RLIMIT_FSIZE, &limit) < 0)
        return 2;
    int failure = proc_pool_send(pool, 0, large, sizeof large) == -1 ? errno : 0;
    if (proc_pool_send(pool, 0, "small", 5) < 0)
        return 3;
    for (int64_t end = now_ms() + PATIENCE_MS; board->begun == 0; proc_pool_poll(pool, 5))
        if (now_ms() > end)
            return 4;
    proc_pool_free(pool);
    return failure;
}

START_TEST(a_message_that_finds_no_room_is_an_error_and_no_signal)
{
    struct proc_pool_options options = usual_main(1, note_messages);
    struct proc_exit exit = must_end(must_spawn((struct proc_options){.main = send_beyond_a_limit, .arg = &options}));

    ck_assert_int_eq(exit.signal, 0);
    ck_assert_int_eq(exit.code, EFBIG);
    ck_assert_int_eq(board->answers[0], 5);
}
END_TEST

static int talk_in_jobs(struct proc_worker *worker, const struct proc_job *job, void *arg)
{
    struct order order = order_of(job);
    unsigned other = 1 - proc_worker_index(worker), got = 0;
    int from;

    (void)arg;
    if (proc_pool_send(proc_worker_pool(worker), other, &order.number, sizeof order.number) != 0)
        board->wrong++;
    board->begun++;
    if (proc_worker_recv(worker, &got, sizeof got, &from, 60000) != sizeof got || from != (int)other || got != 1 - order.number)
        board->wrong++;
    board->ended++;
    return 0;
}

START_TEST(jobs_send_and_receive_messages_as_well)
{
    struct proc_pool_options options = usual(2);

    options.job = talk_in_jobs;
    must_make_ready(options);
    must_submit(0, PASS);
    must_submit(1, PASS);
    MUST_BECOME(board->ended == 2);
    ck_assert_int_eq(board->wrong, 0);
    must_stop_and_free();
}
END_TEST

START_TEST(messages_wait_in_each_state_of_a_reload)
{
    struct proc_pool_options options = usual_main(1, note_messages);

    must_make_ready(options);
    for (int i = 0; i < 50; i++) /* in each state that a worker may be in */
        ck_assert_int_eq(proc_pool_send(pool, 0, large, (size_t)i * 2000), 0);
    ck_assert_int_eq(proc_pool_reload(pool), 0);
    MUST_BECOME(board->count[PROC_POOL_RELOADED] == 1 && board->begun >= 50);
    must_stop_and_free();
    ck_assert_int_le(board->begun, 100); /* what the old one has read, the new one may be given again */
    ck_assert_int_eq(board->wrong, 0);
}
END_TEST

static int be_left_alone(struct proc_worker *worker, void *arg)
{
    int from = 7;

    (void)arg;
    signal(SIGTERM, SIG_IGN); /* so that it sees what is said to the others */
    board->begun++;
    wait_at_gate();
    board->answers[0] = proc_pool_send(proc_worker_pool(worker), 0, "x", 1) == -1 ? errno : 0;
    board->answers[1] = proc_worker_recv(worker, room, sizeof room, &from, 60000);
    board->answers[2] = board->answers[1] == 0 ? from : errno;
    board->answers[3] = proc_worker_stopping(worker);
    board->answers[4] = proc_worker_detach(worker) == -1 ? errno : 0;
    board->ended++;
    return 0;
}

START_TEST(when_the_manager_is_gone_workers_are_told)
{
    struct proc_pool_options options = usual_main(1, be_left_alone);

    adopt();
    options.key = unused_key();
    struct proc *manager = must_manage_ready(options);
    MUST_BECOME(board->begun == 1);
    must_kill(manager);
    board->gate = 1;
    bury();
    ck_assert_int_eq(board->ended, 1);
    ck_assert_int_eq(board->answers[0], EPIPE);
    ck_assert(board->answers[1] == 0 ? board->answers[2] == -2 : board->answers[2] == EPIPE);
    ck_assert_int_eq(board->answers[3], 1);
    ck_assert(board->answers[4] == EPIPE || board->answers[4] == ESHUTDOWN);
    must_remove_and_free();
}
END_TEST

/* ---- leaving the pool ---- */

static int detach_and_obey(struct proc_worker *worker, const struct proc_job *job, void *arg)
{
    if (order_of(job).what == WAIT || order_of(job).what == DIE_ONCE) {
        board->answers[0] = proc_worker_detach(worker);
        board->answers[1] = proc_worker_detach(worker) == -1 ? errno : 0;
    }
    return obey(worker, job, arg);
}

START_TEST(who_leaves_the_pool_is_replaced_at_once_and_finishes_his_job)
{
    struct proc_pool_options options = usual(1);

    options.job = detach_and_obey;
    options.job_timeout_ms = 100;
    options.grace_ms = 100;
    must_make_ready(options);
    must_submit(0, WAIT);
    must_submit(1, PASS);
    MUST_BECOME(board->ended == 1);
    ck_assert_int_eq(board->answers[0], 0);
    pid_t left = board->orders[0].by;
    ck_assert_int_ne(board->orders[1].by, left);
    ck_assert_int_eq(pid_of(0), board->orders[1].by);
    MUST_STAY(lives(left) && board->count[PROC_POOL_WORKER_KILLED] == 0, 300); /* no timeout is for him */
    ck_assert_int_eq(proc_pool_reload(pool), 0);
    MUST_BECOME(board->count[PROC_POOL_RELOADED] == 1);
    MUST_STAY(lives(left), 200); /* nor a signal */
    board->gate = 1;
    MUST_BECOME(!lives(left));
    ck_assert_int_eq(board->orders[0].begins, 1);
    ck_assert_int_eq(board->orders[0].ends, 1);
    MUST_BECOME(stats_now().done == 2);
    ck_assert_uint_eq(stats_now().retried, 0);
    MUST_BECOME(kill(left, 0) < 0); /* reaped */
    must_stop();
    must_add_up();
    proc_pool_free(pool);
}
END_TEST

START_TEST(who_has_left_the_pool_outlives_it)
{
    struct proc_pool_options options = usual(2);

    options.job = detach_and_obey;
    options.grace_ms = 100;
    must_make_ready(options);
    must_submit(0, WAIT);
    MUST_BECOME(board->begun == 1 && board->count[PROC_POOL_WORKER_READY] == 3);
    pid_t left = board->orders[0].by;
    must_stop();
    ck_assert(lives(left));
    proc_pool_free(pool);
    ck_assert(lives(left));
    board->gate = 1;
    manages = false;
    MUST_BECOME(board->orders[0].ends == 1 && !lives(left));
    int64_t end = now_ms() + PATIENCE_MS;
    do { /* the library reaps it when it has to do with pools again, and the last of its threads has ended */
        must_make(usual(1));
        proc_pool_free(pool);
        manages = false;
        nap();
    } while (kill(left, 0) == 0 && now_ms() < end);
    ck_assert_int_eq(kill(left, 0), -1);
}
END_TEST

START_TEST(the_job_of_one_who_has_left_and_dies_is_tried_again)
{
    struct proc_pool_options options = usual(1);

    options.job = detach_and_obey;
    must_make_ready(options);
    must_submit(0, DIE_ONCE);
    MUST_BECOME(board->ended == 1);
    ck_assert_int_eq(board->orders[0].begins, 2);
    ck_assert_int_eq(board->orders[0].attempt, 2);
    ck_assert_uint_eq(stats_now().retried, 1);
    MUST_BECOME(kill(board->orders[0].by, 0) < 0); /* the second one has left as well, and is reaped */
    must_stop();
    ck_assert_uint_eq(stats_now().done, 1);
    must_add_up();
    proc_pool_free(pool);
}
END_TEST

static int detach_in_main(struct proc_worker *worker, void *arg)
{
    if (proc_worker_generation(worker) > 1)
        return serve(worker, arg);
    board->answers[0] = proc_worker_detach(worker);
    board->begun++;
    wait_at_gate();
    board->ended++;
    return 0;
}

START_TEST(a_main_leaves_the_pool_as_well)
{
    struct proc_pool_options options = usual_main(1, detach_in_main);

    options.heartbeat_ms = 0;
    options.grace_ms = 100;
    must_make(options);
    MUST_BECOME(board->begun == 1 && board->count[PROC_POOL_WORKER_READY] == 2);
    pid_t left = nth_of(PROC_POOL_WORKER_STARTED, 0, 0)->pid;
    ck_assert_int_ne(pid_of(0), left);
    ck_assert_int_eq(proc_pool_reload(pool), 0);
    MUST_BECOME(board->count[PROC_POOL_RELOADED] == 1);
    MUST_STAY(lives(left), 200);
    board->gate = 1;
    MUST_BECOME(board->ended == 1 && kill(left, 0) < 0);
    MUST_STAY(board->count[PROC_POOL_WORKER_STARTED] == 3, 50);
    must_stop_and_free();
}
END_TEST

static int detach_late(struct proc_worker *worker, const struct proc_job *job, void *arg)
{
    board->begun++;
    while (!proc_worker_stopping(worker))
        nap();
    board->answers[0] = proc_worker_detach(worker) == -1 ? errno : 0;
    (void)job, (void)arg;
    return 0;
}

START_TEST(who_is_to_leave_already_cannot_leave_the_pool)
{
    struct proc_pool_options options = usual(1);

    options.job = detach_late;
    must_make_ready(options);
    must_submit(0, PASS);
    MUST_BECOME(board->begun == 1);
    must_stop_and_free();
    ck_assert_int_eq(board->answers[0], ESHUTDOWN);
}
END_TEST

/* ---- the manager's end ---- */

static int stay_in_start(struct proc_worker *worker, void *arg)
{
    note_start(worker, arg);
    return serve(worker, arg);
}

START_TEST(when_the_manager_is_killed_no_worker_stays_behind)
{
    struct proc_pool_options options = usual(3);

    adopt();
    options.key = unused_key();
    if (_i == 1)
        options.start = stay_in_start;
    if (_i == 2)
        options.job = NULL, options.main = serve;
    struct proc *manager = must_manage(options);
    MUST_BECOME(board->started == 3 && board->count[PROC_POOL_WORKER_STARTED] == 3);
    if (_i == 3)
        kill(nth_of(PROC_POOL_WORKER_STARTED, -1, 1)->pid, SIGSTOP);
    must_kill(manager);
    if (_i == 3)
        kill(nth_of(PROC_POOL_WORKER_STARTED, -1, 1)->pid, SIGCONT);
    bury();
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(kill(nth_of(PROC_POOL_WORKER_STARTED, -1, i)->pid, 0), -1);
    must_remove_and_free();
}
END_TEST

static void *sleep_in_thread(void *unused)
{
    (void)unused;
    for (;;)
        pause();
    return NULL;
}

/* Its threads do not die all at once: for a moment it is still there when its workers hear of its death. */
static int manage_with_threads(struct proc *self, void *options)
{
    pthread_t thread;

    for (int i = 0; i < 20; i++)
        pthread_create(&thread, NULL, sleep_in_thread, NULL);
    return manage(self, options);
}

static int be_deaf(struct proc_worker *worker, void *arg)
{
    (void)worker, (void)arg;
    board->begun++;
    wait_at_gate();
    return 0;
}

START_TEST(when_the_manager_is_killed_the_deaf_end_after_their_grace)
{
    struct proc_pool_options options = usual_main(2, be_deaf);

    adopt();
    options.key = unused_key();
    options.grace_ms = 200;
    if (_i)
        manager_main = manage_with_threads;
    for (int round = 0; round < (_i ? ROUNDS(5, 2) : 1); round++) {
        board->begun = 0;
        struct proc *manager = must_manage_ready(options);
        MUST_BECOME(board->begun == 2);
        int64_t begin = now_ms();
        must_kill(manager);
        bury();
        ck_assert_int_ge(now_ms() - begin, 198);
    }
    must_remove_and_free();
}
END_TEST

START_TEST(the_workers_of_a_killed_manager_finish_their_jobs)
{
    struct proc_pool_options options = usual(3);

    adopt();
    options.key = unused_key();
    struct proc *manager = must_manage_ready(options);
    for (unsigned i = 0; i < 3; i++)
        must_submit(i, WAIT);
    MUST_BECOME(board->begun == 3);
    must_submit(3, PASS);
    must_kill(manager);
    nap();
    board->gate = 1;
    bury();
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(board->orders[i].ends, 1);
    ck_assert_int_eq(board->begun, 3);
    ck_assert_int_eq(messages_under(options.key), 1);
    ck_assert_int_eq(board->stopped, 3);
    must_remove_and_free();
}
END_TEST

START_TEST(a_private_pool_goes_with_its_killed_manager)
{
    struct proc_pool_options options = usual(2);
    int queues = objects_of("msg"), segments = objects_of("shm");

    adopt();
    options.max_job_size = 100000;
    for (int round = 0; round < (_i ? ROUNDS(40, 10) : 1); round++) {
        struct proc *manager = must_spawn((struct proc_options){.main = _i ? manage_with_threads : manage, .arg = &options});

        MUST_BECOME(board->count[PROC_POOL_WORKER_READY] == 2 * (round + 1));
        must_kill(manager);
        bury();
        ck_assert_int_eq(objects_of("msg"), queues);
        ck_assert_int_eq(objects_of("shm"), segments);
    }
}
END_TEST

Suite *suite_make(void)
{
    Suite *suite = suite_create("pool_workers");
    TCase *tcase = tcase_pools(suite, "restarts");

    tcase_add_test(tcase, a_worker_that_was_killed_is_replaced_under_its_index);
    tcase_add_test(tcase, whatever_way_a_worker_ends_it_is_started_again);
    tcase_add_test(tcase, on_failure_a_worker_is_started_again_until_it_ends_well);
    tcase_add_test(tcase, who_has_ended_well_stays_away_and_the_others_stay);
    tcase_add_loop_test(tcase, never_means_never, 0, 3);
    tcase_add_test(tcase, the_generation_counts_the_starts_of_an_index);
    tcase = tcase_pools(suite, "starts");
    tcase_add_test(tcase, a_worker_is_ready_when_its_start_has_returned_and_has_no_job_before);
    tcase_add_test(tcase, start_and_stop_are_called_around_main_too);
    tcase_add_test(tcase, one_that_cannot_start_waits_longer_and_longer_and_the_others_go_on);
    tcase_add_test(tcase, when_everybody_crashes_on_start_the_machine_stays_usable_and_a_stop_is_at_once);
    tcase_add_test(tcase, a_stop_does_not_wait_for_the_end_of_a_back_off);
    tcase_add_test(tcase, the_back_off_starts_over_after_a_worker_that_did_better);
    tcase = tcase_pools(suite, "giving up");
    tcase_add_test(tcase, more_failures_than_max_restarts_and_the_pool_gives_up);
    tcase_add_test(tcase, who_gives_up_stops_the_others_in_order);
    tcase_add_test(tcase, failures_that_are_long_past_do_not_count);
    tcase_add_loop_test(tcase, without_a_window_or_a_number_nobody_gives_up, 0, 2);
    tcase_add_test(tcase, an_end_that_was_asked_for_is_no_failure);
    tcase = tcase_pools(suite, "limits");
    tcase_add_test(tcase, a_worker_is_replaced_after_max_jobs_or_up_to_a_quarter_fewer);
    tcase_add_test(tcase, with_max_jobs_1_each_job_has_its_own_worker);
    tcase_add_test(tcase, a_worker_is_reported_ready_before_it_is_reported_ended);
    tcase_add_test(tcase, many_restarts_leave_nothing_in_the_manager);
    tcase_add_test(tcase, a_worker_stuck_in_a_job_is_killed_and_the_job_is_tried_again);
    tcase_add_test(tcase, each_job_has_its_own_time);
    tcase_add_test(tcase, a_worker_without_a_heartbeat_is_killed);
    tcase_add_test(tcase, a_heartbeat_costs_no_system_call);
    tcase = tcase_pools(suite, "reload");
    tcase_add_test(tcase, a_reload_replaces_each_worker_by_one_that_is_ready_before);
    tcase_add_test(tcase, while_the_old_one_finishes_its_job_the_new_one_takes_the_next);
    tcase_add_test(tcase, a_reload_during_a_reload_replaces_all_that_were_started_before);
    tcase_add_test(tcase, a_stop_during_a_reload_stops_all);
    tcase_add_test(tcase, when_the_new_ones_cannot_start_the_old_ones_stay);
    tcase_add_test(tcase, a_replacement_that_is_killed_is_replaced_and_the_reload_ends);
    tcase = tcase_pools(suite, "resize");
    tcase_add_test(tcase, a_pool_grows_and_shrinks);
    tcase_add_test(tcase, who_is_one_too_many_finishes_his_job);
    tcase_add_test(tcase, who_is_wanted_again_while_he_leaves_is_replaced);
    tcase_add_loop_test(tcase, a_pool_is_resized_during_a_reload, 1, 5);
    tcase = tcase_pools(suite, "grace");
    tcase_add_test(tcase, a_worker_that_ignores_sigterm_is_killed_after_its_grace_and_others_are_not);
    tcase_add_test(tcase, each_worker_has_its_own_grace);
    tcase_add_test(tcase, a_reload_kills_the_stubborn_after_their_grace);
    tcase_add_test(tcase, without_a_limit_on_its_grace_nobody_is_killed);
    tcase_add_test(tcase, a_stopped_worker_is_woken_to_leave);
    tcase_add_test(tcase, a_second_sigterm_changes_nothing);
    tcase = tcase_pools(suite, "signals");
    tcase_add_loop_test(tcase, sigterm_and_sigint_stop_it, 0, 2);
    tcase_add_loop_test(tcase, sighup_and_sigusr1_reload_it, 0, 2);
    tcase_add_test(tcase, sigttin_and_sigttou_make_it_one_more_or_less);
    tcase_add_loop_test(tcase, a_signal_to_the_whole_group_is_one_orderly_stop, 0, 2);
    tcase_add_test(tcase, a_reload_of_the_whole_group_is_one_reload);
    tcase_add_test(tcase, a_worker_has_an_empty_mask_and_only_sigterm_makes_it_leave);
    tcase_add_loop_test(tcase, after_a_run_dispositions_and_mask_are_as_before, 0, 4);
    tcase_add_test(tcase, a_pool_works_where_sigchld_is_ignored);
    tcase_add_test(tcase, a_call_that_blocks_returns_with_eintr_when_it_is_time_to_leave);
    tcase = tcase_pools(suite, "messages");
    tcase_add_test(tcase, the_manager_sends_messages_of_any_size);
    tcase_add_test(tcase, workers_send_each_other_messages_of_any_size);
    tcase_add_test(tcase, a_worker_sends_itself_messages);
    tcase_add_test(tcase, many_messages_wait_in_order_while_nobody_reads);
    tcase_add_loop_test(tcase, messages_wait_for_the_newest_holder_of_the_index, 0, 2);
    tcase_add_test(tcase, messages_to_a_worker_that_backs_off_wait);
    tcase_add_test(tcase, a_message_above_the_buffer_stays_and_the_descriptor_says_what_is_there);
    tcase_add_test(tcase, a_message_that_finds_no_room_is_an_error_and_no_signal);
    tcase_add_test(tcase, jobs_send_and_receive_messages_as_well);
    tcase_add_test(tcase, messages_wait_in_each_state_of_a_reload);
    tcase_add_test(tcase, when_the_manager_is_gone_workers_are_told);
    tcase = tcase_pools(suite, "leaving");
    tcase_add_test(tcase, who_leaves_the_pool_is_replaced_at_once_and_finishes_his_job);
    tcase_add_test(tcase, who_has_left_the_pool_outlives_it);
    tcase_add_test(tcase, the_job_of_one_who_has_left_and_dies_is_tried_again);
    tcase_add_test(tcase, a_main_leaves_the_pool_as_well);
    tcase_add_test(tcase, who_is_to_leave_already_cannot_leave_the_pool);
    tcase = tcase_pools(suite, "orphans");
    tcase_add_loop_test(tcase, when_the_manager_is_killed_no_worker_stays_behind, 0, 4);
    tcase_add_loop_test(tcase, when_the_manager_is_killed_the_deaf_end_after_their_grace, 0, 2);
    tcase_add_test(tcase, the_workers_of_a_killed_manager_finish_their_jobs);
    tcase_add_loop_test(tcase, a_private_pool_goes_with_its_killed_manager, 0, 2);
    return suite;
}
