/* A job that was accepted is run, whatever is killed: workers, managers, all; jobs that kill; messages of other programs. */
#include "pools.h"

#include <limits.h>

/* ---- workers die ---- */

START_TEST(workers_that_are_killed_while_idle_take_no_job_with_them)
{
    int rounds = ROUNDS(60, 10);

    must_make_ready(usual(3));
    for (int round = 0; round < rounds; round++) {
        MUST_BECOME(stats_now().idle == 3);
        kill(pid_of((unsigned)round % 3), SIGKILL);
        must_submit((unsigned)round, PASS);
        MUST_BECOME(board->ended == round + 1);
    }
    for (int round = 0; round < rounds; round++)
        ck_assert_int_ge(board->orders[round].ends, 1);
    must_stop();
    must_add_up();
    ck_assert_uint_eq(stats_now().done, (unsigned)rounds);
    proc_pool_free(pool);
}
END_TEST

START_TEST(a_job_whose_worker_is_killed_is_run_by_another)
{
    must_make_ready(usual(2));
    must_submit(0, WAIT);
    MUST_BECOME(board->begun == 1);
    pid_t first = board->orders[0].by;
    kill(first, SIGKILL);
    MUST_BECOME(board->begun == 2);
    ck_assert_int_ne(board->orders[0].by, first);
    ck_assert_int_eq(board->orders[0].attempt, 2);
    ck_assert_int_eq(board->count[PROC_POOL_JOB_RETRIED], 1);
    const struct happened *retried = last_of(PROC_POOL_JOB_RETRIED, -1);
    ck_assert_uint_eq(retried->job, 1);
    ck_assert_uint_eq(retried->attempt, 1);
    ck_assert_uint_eq(retried->size, sizeof(struct order));
    ck_assert_int_eq(board->ids[1], 2); /* it is the same job */
    board->gate = 1;
    MUST_BECOME(stats_now().done == 1);
    ck_assert_int_eq(board->orders[0].ends, 1);
    ck_assert_uint_eq(stats_now().retried, 1);
    ck_assert_uint_eq(stats_now().dead, 0);
    must_stop();
    must_add_up();
    proc_pool_free(pool);
}
END_TEST

START_TEST(whatever_way_a_worker_ends_in_a_job_the_job_is_tried_again)
{
    must_make_ready(usual(1));
    must_submit(0, EXIT);
    must_submit(1, DIE_ONCE);
    must_submit(2, PASS);
    MUST_BECOME(board->ended == 2 && board->count[PROC_POOL_JOB_DEAD] == 1);
    ck_assert_int_eq(board->orders[0].begins, 3);
    ck_assert_int_eq(board->orders[1].begins, 2);
    ck_assert_int_eq(board->orders[2].begins, 1);
    must_stop();
    must_add_up();
    ck_assert_uint_eq(stats_now().retried, 3);
    proc_pool_free(pool);
}
END_TEST

static int die_in_stop(struct proc_worker *worker, void *arg)
{
    note_stop(worker, arg);
    if (board->stopped % 2)
        raise(SIGKILL);
    return 0;
}

START_TEST(a_worker_that_is_killed_while_it_stops_takes_no_job_with_it)
{
    struct proc_pool_options options = usual(2);

    options.stop = die_in_stop;
    options.max_jobs = 1;
    must_make(options);
    for (unsigned i = 0; i < 30; i++)
        must_submit(i, PASS);
    MUST_BECOME(board->ended == 30);
    must_stop();
    for (int i = 0; i < 30; i++)
        ck_assert_int_eq(board->orders[i].begins, 1);
    must_add_up();
    ck_assert_uint_eq(stats_now().done, 30);
    proc_pool_free(pool);
}
END_TEST

static int die_in_every_other_start(struct proc_worker *worker, void *arg)
{
    note_start(worker, arg);
    if (proc_worker_generation(worker) % 2)
        raise(SIGKILL);
    return 0;
}

START_TEST(a_worker_that_is_killed_while_it_starts_takes_no_job_with_it)
{
    struct proc_pool_options options = usual(2);

    options.start = die_in_every_other_start;
    options.max_jobs = 2;
    options.backoff_max_ms = 5;
    must_make(options);
    for (unsigned i = 0; i < 40; i++)
        must_submit(i, PASS);
    MUST_BECOME(board->ended == 40);
    for (int i = 0; i < 40; i++)
        ck_assert_int_eq(board->orders[i].begins, 1);
    must_stop();
    ck_assert_uint_eq(stats_now().retried, 0);
    must_add_up();
    proc_pool_free(pool);
}
END_TEST

/* ---- jobs that kill ---- */

START_TEST(a_job_that_kills_every_worker_is_dead_after_max_attempts_and_holds_up_nobody)
{
    static const unsigned limits[] = {0, 1, 2, 5};
    struct proc_pool_options options = usual(2);
    unsigned most = limits[_i] ? limits[_i] : 3;

    options.max_attempts = limits[_i];
    must_make_ready(options);
    for (unsigned i = 0; i < 100; i++)
        must_submit(i, i == 10 ? DIE : PASS);
    MUST_BECOME(board->count[PROC_POOL_JOB_DEAD] == 1 && board->ended == 99);
    ck_assert_int_eq(board->orders[10].begins, (int)most);
    const struct happened *dead = last_of(PROC_POOL_JOB_DEAD, -1);
    ck_assert_uint_eq(dead->attempt, most);
    ck_assert_uint_eq(dead->job, 11);
    ck_assert_uint_eq(dead->size, sizeof(struct order));
    ck_assert_uint_eq(dead->number, 10);
    ck_assert_int_eq(board->count[PROC_POOL_JOB_RETRIED], (int)most - 1);
    for (unsigned i = 0; i + 1 < most; i++)
        ck_assert_uint_eq(nth_of(PROC_POOL_JOB_RETRIED, -1, (int)i)->attempt, i + 1);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(board->orders[i].ends, i != 10);
    must_stop();
    ck_assert_uint_eq(stats_now().dead, 1);
    ck_assert_uint_eq(stats_now().done, 99);
    must_add_up();
    proc_pool_free(pool);
}
END_TEST

START_TEST(a_job_that_returns_minus_1_is_tried_again_and_its_worker_lives)
{
    struct proc_pool_options options = usual(1);

    options.max_attempts = 4;
    must_make_ready(options);
    must_submit(0, FAIL);
    must_submit(1, FAIL_ONCE);
    must_submit(2, PASS);
    MUST_BECOME(board->count[PROC_POOL_JOB_DEAD] == 1 && board->ended == 2);
    ck_assert_int_eq(board->orders[0].begins, 4);
    ck_assert_int_eq(board->orders[1].begins, 2);
    ck_assert_int_eq(board->orders[2].begins, 1);
    ck_assert_int_eq(board->count[PROC_POOL_JOB_RETRIED], 4);
    ck_assert_int_eq(board->count[PROC_POOL_WORKER_STARTED], 1);
    must_stop();
    ck_assert_uint_eq(stats_now().retried, 4);
    must_add_up();
    proc_pool_free(pool);
}
END_TEST

static int return_number(struct proc_worker *worker, const struct proc_job *job, void *arg)
{
    (void)worker, (void)arg;
    board->begun++;
    return job->attempt == 2 ? 0 : (int)order_of(job).number - 1000;
}

START_TEST(whatever_a_job_returns_but_0_it_is_tried_again)
{
    static const unsigned numbers[] = {0, 998, 1001, 1256, 4095};
    struct proc_pool_options options = usual(1);

    options.job = return_number;
    must_make(options);
    for (int i = 0; i < 5; i++)
        must_submit(numbers[i], PASS);
    must_submit(1000, PASS); /* 0 */
    MUST_BECOME(board->begun == 11);
    must_stop();
    ck_assert_uint_eq(stats_now().done, 6);
    ck_assert_uint_eq(stats_now().retried, 5);
    proc_pool_free(pool);
}
END_TEST

START_TEST(a_job_that_is_tried_again_comes_after_those_that_wait)
{
    static const int wanted[] = {0, 1, 2, 3, 0};

    must_make(usual(1));
    must_submit(0, FAIL_ONCE);
    for (unsigned i = 1; i < 4; i++)
        must_submit(i, PASS);
    MUST_BECOME(board->ended == 4);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(board->turns[i], wanted[i]);
    must_stop_and_free();
}
END_TEST

START_TEST(jobs_that_kill_do_not_stop_each_other)
{
    struct proc_pool_options options = usual(3);

    options.backoff_max_ms = 5;
    must_make_ready(options);
    for (unsigned i = 0; i < 60; i++)
        must_submit(i, i % 3 == 0 ? DIE : i % 3 == 1 ? DIE_ONCE : PASS);
    MUST_BECOME(board->ended == 40 && board->count[PROC_POOL_JOB_DEAD] == 20);
    for (int i = 0; i < 60; i++)
        ck_assert_int_eq(board->orders[i].begins, 3 - i % 3);
    must_stop();
    must_add_up();
    proc_pool_free(pool);
}
END_TEST

/* More than there are slots for them to wait in. */
START_TEST(any_number_of_jobs_may_wait_for_another_try)
{
    int jobs = ROUNDS(1000, 400), submitted = 0;

    must_make_ready(usual(2));
    while (submitted < jobs) {
        struct order order = {(unsigned)submitted, submitted % 20 == 0 ? FAIL : FAIL_ONCE};
        int result = proc_pool_submit(pool, &order, sizeof order, 0);

        ck_assert_int_ge(result, 0);
        submitted += result;
        if (!result)
            give_turn();
    }
    MUST_BECOME(board->ended + board->count[PROC_POOL_JOB_DEAD] == jobs);
    for (int i = 0; i < jobs; i++)
        ck_assert_int_eq(board->orders[i].begins, i % 20 == 0 ? 3 : 2);
    must_stop();
    must_add_up();
    proc_pool_free(pool);
}
END_TEST

START_TEST(a_full_queue_does_not_hinder_another_try)
{
    struct proc_pool_options options = usual(2);
    static char bytes[4000];
    int jobs = 0;

    must_make_ready(options);
    must_submit(0, WAIT);
    must_submit(1, WAIT);
    MUST_BECOME(board->begun == 2);
    memcpy(bytes, &(struct order){2, PASS}, sizeof(struct order));
    while (proc_pool_submit(pool, bytes, sizeof bytes, 0) == 1)
        jobs++;
    for (int i = 0; i < 2; i++)
        kill(board->orders[i].by, SIGKILL);
    MUST_BECOME(board->count[PROC_POOL_JOB_RETRIED] == 2);
    board->gate = 1;
    MUST_BECOME(board->ended == jobs + 2);
    must_stop();
    must_add_up();
    proc_pool_free(pool);
}
END_TEST

/* ---- other programs' messages ---- */

struct bare {
    long type;
    unsigned char bytes[8192];
};

static int note_bare(struct proc_worker *worker, const struct proc_job *job, void *arg)
{
    const unsigned char *bytes = job->data;
    uint64_t sum = 0;

    (void)worker, (void)arg;
    for (size_t i = 0; i < job->size; i++)
        sum = sum * 31 + bytes[i];
    board->answers[0] = (int64_t)job->size;
    board->answers[1] = (int64_t)sum;
    board->answers[2] = (int64_t)job->id;
    board->begun++;
    return board->answers[3] && job->attempt < (unsigned)board->answers[3] ? -1 : 0;
}

static int64_t bare_sum(const struct bare *bare, size_t size)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < size; i++)
        sum = sum * 31 + bare->bytes[i];
    return (int64_t)sum;
}

static void must_send_bare(key_t key, const struct bare *bare, size_t size)
{
    int result = msgsnd(msgget(key, 0), bare, size, 0);

    ck_assert_msg(result == 0, "msgsnd of %zu: %s", size, strerror(errno));
}

START_TEST(a_bare_message_of_any_type_and_size_is_a_job)
{
    static const long types[] = {1, 2, 1000, LONG_MAX};
    static const size_t sizes[] = {0, 1, 7, 8, 16, 24, 32, 40, 64, 1000, 8192};
    struct proc_pool_options options = usual(1);
    static struct bare bare;
    int sent = 0;

    options.key = unused_key();
    options.job = note_bare;
    must_make_ready(options);
    for (int i = 0; i < 11; i++)
        for (int j = 0; j < 4; j++) {
            bare.type = types[j];
            for (size_t k = 0; k < sizes[i]; k++)
                bare.bytes[k] = (unsigned char)(k * 3 + (size_t)j + 1);
            must_send_bare(options.key, &bare, sizes[i]);
            sent++;
            MUST_BECOME(board->begun == sent);
            ck_assert_int_eq(board->answers[0], sizes[i]);
            ck_assert_int_eq(board->answers[1], bare_sum(&bare, sizes[i]));
            ck_assert_int_gt(board->answers[2], 0);
        }
    MUST_BECOME(stats_now().done == (unsigned)sent);
    ck_assert_uint_eq(stats_now().submitted, (unsigned)sent);
    board->answers[3] = 2; /* the second attempt is good */
    must_send_bare(options.key, &bare, 100);
    MUST_BECOME(board->begun == sent + 2);
    ck_assert_int_eq(board->answers[0], 100);
    must_stop();
    must_add_up();
    must_remove_and_free();
}
END_TEST

/* Bytes at random, and our own messages cut, lengthened and changed. */
START_TEST(whatever_lies_in_the_queue_the_pool_goes_on)
{
    struct proc_pool_options options = usual(2);
    static struct bare own, bare;
    unsigned seed = 1;
    int sent = 0;

    options.key = unused_key();
    options.job = note_bare;
    options.max_job_size = _i == 0 ? 0 : _i == 1 ? 100 : 20000;
    options.max_attempts = 1;
    options.backoff_max_ms = 5;
    must_make(options);
    ck_assert_int_eq(proc_pool_submit(pool, "this is a job", 13, 0), 1);
    ssize_t own_size = msgrcv(msgget(options.key, 0), &own, sizeof own.bytes, 0, IPC_NOWAIT);
    ck_assert_int_ge(own_size, 13);
    for (int round = 0; round < ROUNDS(600, 60); round++) {
        size_t size = (size_t)(rand_r(&seed) % (round % 10 == 0 ? 8193 : 100));

        bare.type = rand_r(&seed) % 3 + 1;
        for (size_t i = 0; i < size; i++)
            bare.bytes[i] = (unsigned char)rand_r(&seed);
        if (round % 2) {
            bare.type = own.type;
            memcpy(bare.bytes, own.bytes, (size_t)own_size < size ? (size_t)own_size : size);
            if (round % 4 == 3 && size > 0)
                bare.bytes[(size_t)rand_r(&seed) % size] ^= (unsigned char)(1 << rand_r(&seed) % 8);
        }
        MUST_BECOME(msgsnd(msgget(options.key, 0), &bare, size, IPC_NOWAIT) == 0);
        sent++;
    }
    MUST_BECOME(messages_under(options.key) == 0 && stats_now().busy == 0);
    ck_assert_int_eq(board->count[PROC_POOL_WORKER_EXITED], 0);
    MUST_BECOME((int)(stats_now().done + stats_now().dead) >= sent);
    struct order order = {1, PASS};
    int before = board->begun;
    ck_assert_int_eq(proc_pool_submit(pool, &order, sizeof order, PATIENCE_MS), 1);
    MUST_BECOME(board->begun == before + 1);
    must_stop();
    must_remove_and_free();
}
END_TEST

START_TEST(a_bare_message_above_max_job_size_is_in_nobodys_way)
{
    struct proc_pool_options options = usual(1);
    static struct bare bare = {.type = 5};

    options.key = unused_key();
    options.max_job_size = 100;
    options.job = note_bare;
    must_make(options);
    must_send_bare(options.key, &bare, sizeof bare.bytes);
    must_send_bare(options.key, &bare, 101);
    must_send_bare(options.key, &bare, 3);
    MUST_BECOME(board->begun >= 1 && board->answers[0] == 3);
    MUST_BECOME(messages_under(options.key) == 0);
    MUST_BECOME(stats_now().done + stats_now().dead == 3); /* run, or told; not dropped in silence */
    ck_assert_int_eq(board->begun + board->count[PROC_POOL_JOB_DEAD] + board->count[PROC_POOL_JOB_DAMAGED], 3);
    must_stop();
    must_remove_and_free();
}
END_TEST

START_TEST(a_queue_that_was_there_is_taken_over_with_its_messages)
{
    struct proc_pool_options options = usual(1);
    static struct bare bare = {.type = 9};

    options.key = unused_key();
    options.job = note_bare;
    ck_assert_int_ge(msgget(options.key, IPC_CREAT | 0600), 0);
    for (size_t i = 0; i < 10; i++)
        must_send_bare(options.key, &bare, i * 10);
    must_make(options);
    MUST_BECOME(board->begun == 10);
    ck_assert_int_eq(board->answers[0], 90);
    must_stop();
    must_add_up();
    must_remove_and_free();
}
END_TEST

START_TEST(php_hands_in_jobs)
{
    struct proc_pool_options options = usual(1);
    char script[1024];

    options.key = unused_key();
    options.job = note_bare;
    must_make_ready(options);
    snprintf(script, sizeof script,
             "if (!function_exists('msg_send')) exit(77);"
             "$q = msg_get_queue(%d, 0600);"
             "foreach (['', 'x', str_repeat('ab', 4096), 'from php'] as $i => $job)"
             "    if (!msg_send($q, $i + 1, $job, false)) exit(1);",
             options.key);
    struct proc *child = php(script);
    if (!child) {
        skip("php is missing");
    } else {
        MUST_BECOME(!proc_running(child));
        int code = must_end(child).code;
        if (code == 77) {
            skip("this php has no sysvmsg");
        } else {
            ck_assert_int_eq(code, 0);
            MUST_BECOME(board->begun == 4);
            ck_assert_int_eq(board->answers[0], 8);
            struct bare bare = {.bytes = "from php"};
            ck_assert_int_eq(board->answers[1], bare_sum(&bare, 8));
        }
    }
    must_stop();
    must_remove_and_free();
}
END_TEST

/* ---- large jobs ---- */

static int check_large(struct proc_worker *worker, const struct proc_job *job, void *arg)
{
    const unsigned char *bytes = job->data;
    struct order order = order_of(job);

    (void)worker, (void)arg;
    for (size_t i = sizeof order; i < job->size; i++)
        if (bytes[i] != (unsigned char)(i * 5 + order.number)) {
            board->wrong++;
            break;
        }
    return obey(worker, job, arg);
}

static void must_submit_large(unsigned number, enum what what, size_t size)
{
    static unsigned char bytes[3 << 20];
    struct order order = {number, what};

    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(i * 5 + number);
    memcpy(bytes, &order, sizeof order);
    int result = proc_pool_submit(pool, bytes, size, PATIENCE_MS);
    ck_assert_msg(result == 1, "submit of %zu: %d, %s", size, result, strerror(errno));
}

START_TEST(large_jobs_are_jobs_like_others)
{
    static const size_t sizes[] = {8, 8000, 8100, 8192, 8193, 20000, 65536, 1 << 20, 3 << 20};
    struct proc_pool_options options = usual(2);

    options.job = check_large;
    options.max_job_size = 3 << 20;
    options.key = _i ? unused_key() : 0;
    must_make_ready(options);
    for (unsigned i = 0; i < 36; i++)
        must_submit_large(i, i % 4 == 1 ? DIE_ONCE : i % 4 == 2 ? FAIL_ONCE : PASS, sizes[i % 9]);
    must_submit_large(100, DIE, 1 << 20);
    MUST_BECOME(board->ended == 36 && board->count[PROC_POOL_JOB_DEAD] == 1);
    ck_assert_int_eq(board->wrong, 0);
    for (int i = 0; i < 36; i++)
        ck_assert_int_eq(board->orders[i].begins, i % 4 == 1 || i % 4 == 2 ? 2 : 1);
    const struct happened *dead = last_of(PROC_POOL_JOB_DEAD, -1);
    ck_assert_uint_eq(dead->size, 1 << 20);
    ck_assert_uint_eq(dead->number, 100);
    must_stop();
    must_add_up();
    if (_i)
        proc_pool_remove(pool);
    proc_pool_free(pool);
}
END_TEST

START_TEST(no_file_of_a_large_job_is_left_when_the_pool_is_removed)
{
    struct proc_pool_options options = usual(2);

    options.job = check_large;
    options.max_job_size = 1 << 20;
    options.key = _i ? unused_key() : 0;
    must_make_ready(options);
    must_submit_large(0, WAIT, 100000);
    must_submit_large(1, WAIT, 1 << 20);
    MUST_BECOME(board->begun == 2);
    kill(board->orders[0].by, SIGKILL);
    MUST_BECOME(board->begun == 3);
    for (unsigned i = 2; i < 6; i++)
        must_submit_large(i, PASS, 100000);
    if (_i)
        ck_assert_int_eq(proc_pool_remove(pool), 0);
    proc_pool_free(pool); /* the harness looks for files */
}
END_TEST

START_TEST(large_jobs_wait_under_the_key)
{
    struct proc_pool_options options = usual(2);

    adopt();
    options.job = check_large;
    options.max_job_size = 1 << 20;
    options.key = unused_key();
    struct proc *manager = must_manage_ready(options);
    must_submit_large(0, WAIT, 100000);
    must_submit_large(1, WAIT, 1 << 20);
    MUST_BECOME(board->begun == 2);
    for (unsigned i = 2; i < 6; i++)
        must_submit_large(i, PASS, 100000 + i);
    for (int i = 0; i < 2; i++)
        kill(board->orders[i].by, SIGSTOP);
    must_kill(manager);
    for (int i = 0; i < 2; i++)
        kill(board->orders[i].by, SIGKILL);
    bury();
    board->gate = 1;
    manager = must_manage(options);
    MUST_BECOME(board->ended == 6);
    ck_assert_int_eq(board->wrong, 0);
    ck_assert_int_eq(board->orders[0].attempt, 2);
    ck_assert_int_eq(board->orders[5].attempt, 1);
    must_end_well(manager);
    must_add_up();
    must_remove_and_free();
}
END_TEST

/* From slot to slot: with the first worker's death, and the second one's, and another manager in between. */
START_TEST(a_large_job_keeps_its_file_until_it_is_done)
{
    struct proc_pool_options options = usual(2);

    adopt();
    options.job = check_large;
    options.max_job_size = 1 << 20;
    options.key = unused_key();
    struct proc *manager = must_manage_ready(options);
    must_submit_large(0, WAIT, 100000);
    for (int attempt = 1; attempt <= 2; attempt++) {
        MUST_BECOME(board->begun == attempt);
        if (attempt == 2) {
            kill(board->orders[0].by, SIGSTOP);
            must_kill(manager);
            manager = must_manage_ready(options);
        }
        kill(board->orders[0].by, SIGKILL);
    }
    board->gate = 1;
    MUST_BECOME(stats_now().done + stats_now().dead == 1);
    ck_assert_int_eq(board->begun, 3);
    ck_assert_int_eq(board->ended, 1);
    ck_assert_int_eq(board->wrong, 0);
    must_end_well(manager);
    bury();
    must_remove_and_free();
}
END_TEST

/* ---- managers die ---- */

START_TEST(a_job_in_hand_when_the_manager_is_killed_is_finished_and_not_run_again)
{
    struct proc_pool_options options = usual(2);

    adopt();
    options.key = unused_key();
    struct proc *manager = must_manage_ready(options);
    must_submit(0, WAIT);
    must_submit(1, WAIT);
    MUST_BECOME(board->begun == 2);
    must_submit(2, PASS);
    must_kill(manager);
    if (_i == 0) { /* the next one comes when they have finished, or before */
        board->gate = 1;
        bury();
    }
    manager = must_manage(options);
    MUST_BECOME(board->orders[2].ends == 1);
    board->gate = 1;
    MUST_BECOME(stats_now().done == 3);
    must_end_well(manager);
    bury();
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(board->orders[i].begins, 1);
        ck_assert_int_eq(board->orders[i].ends, 1);
    }
    ck_assert_uint_eq(stats_now().submitted, 3);
    ck_assert_uint_eq(stats_now().retried, 0);
    must_add_up();
    must_remove_and_free();
}
END_TEST

START_TEST(a_job_whose_worker_and_manager_are_killed_is_run_by_the_next)
{
    struct proc_pool_options options = usual(3);

    adopt();
    options.key = unused_key();
    struct proc *manager = must_manage_ready(options);
    for (unsigned i = 0; i < 3; i++)
        must_submit(i, WAIT);
    MUST_BECOME(board->begun == 3);
    pid_t workers[3];
    for (int i = 0; i < 3; i++)
        kill(workers[i] = board->orders[i].by, SIGSTOP);
    if (_i == 0) { /* workers first, while the manager cannot see it; or the manager first; or between two managers */
        proc_kill(manager, SIGSTOP);
        for (int i = 0; i < 3; i++)
            kill(workers[i], SIGKILL);
    }
    must_kill(manager);
    if (_i == 2)
        manager = must_manage_ready(options);
    for (int i = 0; i < 3; i++)
        kill(workers[i], SIGKILL);
    if (_i != 2) {
        bury();
        options.workers = 1; /* fewer than before */
        manager = must_manage(options);
    }
    board->gate = 1;
    MUST_BECOME(board->ended == 3);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(board->orders[i].begins, 2);
        ck_assert_int_eq(board->orders[i].attempt, 2);
    }
    must_end_well(manager);
    bury();
    ck_assert_uint_eq(stats_now().done, 3);
    ck_assert_uint_eq(stats_now().retried, 3);
    must_add_up();
    must_remove_and_free();
}
END_TEST

START_TEST(attempts_are_counted_across_managers)
{
    struct proc_pool_options options = usual(1);

    adopt();
    options.key = unused_key();
    struct proc *manager = NULL;
    for (int attempt = 1; attempt <= 3; attempt++) {
        manager = must_manage(options);
        if (attempt == 1)
            must_submit(0, WAIT);
        MUST_BECOME(board->begun == attempt);
        ck_assert_int_eq(board->orders[0].attempt, attempt);
        kill(board->orders[0].by, SIGSTOP);
        must_kill(manager);
        kill(board->orders[0].by, SIGKILL);
        bury();
    }
    manager = must_manage_ready(options);
    MUST_BECOME(board->count[PROC_POOL_JOB_DEAD] == 1);
    ck_assert_uint_eq(last_of(PROC_POOL_JOB_DEAD, -1)->attempt, 3);
    ck_assert_int_eq(board->begun, 3);
    must_end_well(manager);
    ck_assert_uint_eq(stats_now().dead, 1);
    must_add_up();
    must_remove_and_free();
}
END_TEST

START_TEST(counts_and_numbers_go_on_with_the_next_manager)
{
    struct proc_pool_options options = usual(2);

    options.key = unused_key();
    for (int round = 1; round <= 3; round++) {
        must_make_ready(options);
        for (unsigned i = 0; i < 10; i++)
            must_submit(i, PASS);
        MUST_BECOME(board->ended == 10 * round);
        must_stop();
        ck_assert_uint_eq(stats_now().submitted, (unsigned)(10 * round));
        ck_assert_uint_eq(stats_now().done, (unsigned)(10 * round));
        for (int id = 1; id <= 10 * round; id++)
            ck_assert_int_eq(board->ids[id], 1);
        proc_pool_free(pool);
    }
    pool = proc_pool_attach(options.key);
    ck_assert_ptr_nonnull(pool);
    must_remove_and_free();
}
END_TEST

START_TEST(what_nobody_has_taken_is_still_there_when_all_have_died)
{
    struct proc_pool_options options = usual(2);
    static struct bare bare = {.type = 1};
    unsigned bytes = sizeof(unsigned), submitted = 0;

    adopt();
    options.key = unused_key();
    struct proc *manager = must_manage_ready(options);
    must_submit(0, WAIT);
    must_submit(0, WAIT);
    MUST_BECOME(board->begun == 2);
    if (_i == 0) /* as many as fit */
        for (struct order order = {1, PASS}; proc_pool_submit(pool, &order, sizeof order, 0) == 1; order.number++)
            submitted++;
    else /* 1,000, which fit when they are small enough */
        for (submitted = 0; submitted < 1000; submitted++) {
            unsigned number = submitted + 1;

            memcpy(bare.bytes, &number, bytes);
            must_send_bare(options.key, &bare, bytes);
        }
    ck_assert_int_eq(messages_under(options.key), submitted);
    for (int i = 0; i < 2; i++)
        kill(nth_of(PROC_POOL_WORKER_STARTED, -1, i)->pid, SIGSTOP);
    must_kill(manager);
    for (int i = 0; i < 2; i++)
        kill(nth_of(PROC_POOL_WORKER_STARTED, -1, i)->pid, SIGKILL);
    bury();
    ck_assert_int_eq(messages_under(options.key), submitted);
    board->gate = 1;
    manager = must_manage(options);
    MUST_BECOME(board->ended == (int)submitted + 2);
    for (unsigned i = 1; i <= submitted; i++)
        ck_assert_int_eq(board->orders[i].begins, 1);
    must_end_well(manager);
    must_add_up();
    ck_assert_uint_eq(stats_now().done, submitted + 2);
    must_remove_and_free();
}
END_TEST

static void stop_at_first(const struct proc_pool_event *event, void *type)
{
    note_event(event, NULL);
    if ((int)event->type == *(int *)type && board->managers == 1)
        raise(SIGKILL);
}

/* Killed in the middle of an event of each kind, with jobs in every state. */
START_TEST(a_manager_that_dies_in_any_event_loses_no_job)
{
    struct proc_pool_options options = usual(2);
    int type = _i;

    adopt();
    options.key = unused_key();
    options.event = stop_at_first;
    options.event_arg = &type;
    options.max_attempts = 2;
    if (_i == PROC_POOL_WORKER_KILLED)
        options.job_timeout_ms = 300;
    struct proc *manager = must_manage(options);
    for (unsigned i = 0; i < 20; i++)
        must_submit(i, i == 3 ? DIE : i == 4 ? FAIL : i == 5 ? DIE_ONCE : i == 6 ? FAIL_ONCE : PASS);
    if (_i == PROC_POOL_WORKER_KILLED)
        must_submit(20, WAIT);
    MUST_BECOME(board->nhappened > 0);
    if (_i == PROC_POOL_RELOADED)
        proc_kill(manager, SIGHUP);
    if (_i == PROC_POOL_RESIZED)
        proc_kill(manager, SIGTTIN);
    ck_assert_int_eq(must_end(manager).signal, SIGKILL);
    board->gate = 1;
    manager = must_manage(options);
    MUST_BECOME(stats_now().done + stats_now().dead == stats_now().submitted);
    must_end_well(manager);
    bury();
    for (int i = 0; i < 20; i++) {
        ck_assert_int_ge(board->orders[i].ends, i != 3 && i != 4);
        ck_assert_int_le(board->orders[i].begins, 2);
    }
    ck_assert_uint_eq(stats_now().dead, 2);
    must_add_up();
    must_remove_and_free();
}
END_TEST

/* Several processes want to be the next manager. */
START_TEST(of_several_new_managers_one_wins)
{
    struct proc_pool_options options = usual(2);
    struct proc *rivals[4];

    adopt();
    options.key = unused_key();
    for (int round = 0; round < ROUNDS(10, 2); round++) {
        struct proc *winner = NULL;
        int ready = board->count[PROC_POOL_WORKER_READY];

        for (int i = 0; i < 4; i++)
            rivals[i] = must_spawn((struct proc_options){.main = manage, .arg = &options});
        manages = false;
        MUST_BECOME(proc_running(rivals[0]) + proc_running(rivals[1]) + proc_running(rivals[2]) + proc_running(rivals[3]) == 1);
        MUST_BECOME(board->count[PROC_POOL_WORKER_READY] == ready + 2);
        for (int i = 0; i < 4; i++)
            if (proc_running(rivals[i]))
                winner = rivals[i];
            else
                ck_assert_int_gt(must_end(rivals[i]).code, 0); /* it could not be made, or run */
        ck_assert_int_eq(board->failure, EBUSY);
        proc_pool_free(pool);
        pool = proc_pool_attach(options.key);
        must_submit(0, PASS);
        MUST_BECOME(board->ended == round + 1);
        if (round % 2)
            must_end_well(winner);
        else
            must_kill(winner);
    }
    bury();
    must_remove_and_free();
}
END_TEST

/* ---- stopping ---- */

START_TEST(a_stop_that_comes_before_the_next_wait_is_not_missed)
{
    struct proc_pool_options options = usual(2);

    for (int round = 0; round < ROUNDS(200, 30); round++) {
        board->begun = board->ended = board->turn = 0;
        must_make_ready(options);
        if (round % 2) { /* from the end of a job */
            must_submit(0, PASS);
            must_submit(1, PASS);
            if (round % 4 == 3)
                MUST_BECOME(board->ended > 0);
        }
        must_stop_and_free();
        ck_assert_int_eq(board->count[PROC_POOL_WORKER_KILLED], 0);
    }
    ck_assert_int_eq(board->stopped, board->started);
}
END_TEST

START_TEST(a_worker_that_is_asked_to_leave_while_jobs_come_leaves_and_loses_none)
{
    unsigned jobs = 0;

    must_make_ready(usual(2));
    for (int round = 0; round < ROUNDS(100, 15); round++) {
        for (int i = 0; i < 5; i++)
            must_submit(jobs++, PASS);
        kill(last_of(PROC_POOL_WORKER_READY, round % 2)->pid, SIGTERM);
        MUST_BECOME(board->count[PROC_POOL_WORKER_READY] == round + 3);
    }
    MUST_BECOME(board->ended == (int)jobs);
    for (unsigned i = 0; i < jobs; i++)
        ck_assert_int_eq(board->orders[i].begins, 1);
    must_stop();
    ck_assert_uint_eq(stats_now().retried, 0);
    must_add_up();
    ck_assert_int_eq(board->count[PROC_POOL_WORKER_KILLED], 0);
    proc_pool_free(pool);
}
END_TEST

Suite *suite_make(void)
{
    Suite *suite = suite_create("pool_jobs");
    TCase *tcase = tcase_pools(suite, "workers die");

    tcase_add_test(tcase, workers_that_are_killed_while_idle_take_no_job_with_them);
    tcase_add_test(tcase, a_job_whose_worker_is_killed_is_run_by_another);
    tcase_add_test(tcase, whatever_way_a_worker_ends_in_a_job_the_job_is_tried_again);
    tcase_add_test(tcase, a_worker_that_is_killed_while_it_stops_takes_no_job_with_it);
    tcase_add_test(tcase, a_worker_that_is_killed_while_it_starts_takes_no_job_with_it);
    tcase = tcase_pools(suite, "jobs that kill");
    tcase_add_loop_test(tcase, a_job_that_kills_every_worker_is_dead_after_max_attempts_and_holds_up_nobody, 0, 4);
    tcase_add_test(tcase, a_job_that_returns_minus_1_is_tried_again_and_its_worker_lives);
    tcase_add_test(tcase, whatever_a_job_returns_but_0_it_is_tried_again);
    tcase_add_test(tcase, a_job_that_is_tried_again_comes_after_those_that_wait);
    tcase_add_test(tcase, jobs_that_kill_do_not_stop_each_other);
    tcase_add_test(tcase, any_number_of_jobs_may_wait_for_another_try);
    tcase_add_test(tcase, a_full_queue_does_not_hinder_another_try);
    tcase = tcase_pools(suite, "bare messages");
    tcase_add_test(tcase, a_bare_message_of_any_type_and_size_is_a_job);
    tcase_add_loop_test(tcase, whatever_lies_in_the_queue_the_pool_goes_on, 0, 3);
    tcase_add_test(tcase, a_bare_message_above_max_job_size_is_in_nobodys_way);
    tcase_add_test(tcase, a_queue_that_was_there_is_taken_over_with_its_messages);
    tcase_add_test(tcase, php_hands_in_jobs);
    tcase = tcase_pools(suite, "large jobs");
    tcase_add_loop_test(tcase, large_jobs_are_jobs_like_others, 0, 2);
    tcase_add_loop_test(tcase, no_file_of_a_large_job_is_left_when_the_pool_is_removed, 0, 2);
    tcase_add_test(tcase, large_jobs_wait_under_the_key);
    tcase_add_test(tcase, a_large_job_keeps_its_file_until_it_is_done);
    tcase = tcase_pools(suite, "managers die");
    tcase_add_loop_test(tcase, a_job_in_hand_when_the_manager_is_killed_is_finished_and_not_run_again, 0, 2);
    tcase_add_loop_test(tcase, a_job_whose_worker_and_manager_are_killed_is_run_by_the_next, 0, 3);
    tcase_add_test(tcase, attempts_are_counted_across_managers);
    tcase_add_test(tcase, counts_and_numbers_go_on_with_the_next_manager);
    tcase_add_loop_test(tcase, what_nobody_has_taken_is_still_there_when_all_have_died, 0, 2);
    tcase_add_loop_test(tcase, a_manager_that_dies_in_any_event_loses_no_job, PROC_POOL_WORKER_STARTED, PROC_POOL_JOB_DAMAGED);
    tcase_add_loop_test(tcase, a_manager_that_dies_in_any_event_loses_no_job, PROC_POOL_RELOADED, PROC_POOL_GAVE_UP);
    tcase_add_test(tcase, of_several_new_managers_one_wins);
    tcase = tcase_pools(suite, "stopping");
    tcase_add_test(tcase, a_stop_that_comes_before_the_next_wait_is_not_missed);
    tcase_add_test(tcase, a_worker_that_is_asked_to_leave_while_jobs_come_leaves_and_loses_none);
    return suite;
}
