/* Pools that take jobs from clients, as a whole. The manager is a process of its own, and so are clients that are many: a worker,
 * forked from ours, would hold their connections open. */
#include "clients.h"
#include "seam.h"

#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>

static struct shared {
    atomic_bool is_made, clients_end;
    _Atomic int port, reloads, ready, retried, dead, job_failures, queued;
    _Atomic long answers, submitted;
    struct proc_pool_stats stats; /* when it had stopped */
} *shared;

static char address[PATH_MAX];
static struct proc_pool_options options;
static struct proc *manager;

/* ---- the pool ---- */

static bool asks_for(const struct proc_job *job, const char *what)
{
    return job->size >= strlen(what) && memcmp(job->data, what, strlen(what)) == 0;
}

static int answer(struct proc_worker *worker, const struct proc_job *job, void *arg)
{
    char text[32];

    (void)worker, (void)arg;
    if (asks_for(job, "queued")) {
        if (proc_job_reply(job, "x", 1) == 0 || errno != EINVAL)
            shared->job_failures++;
        shared->queued++;
        return 0;
    }
    if (asks_for(job, "kill"))
        raise(SIGKILL);
    if (asks_for(job, "never"))
        return -1;
    if (asks_for(job, "submit"))
        return proc_pool_submit(proc_worker_pool(worker), "queued", 6, 1000) == 1 ? 0 : -1;
    if (asks_for(job, "pid"))
        return proc_job_reply(job, text, (size_t)sprintf(text, "%d", (int)getpid()));
    if (proc_job_reply(job, job->data, 1) < 0)
        return -1;
    return proc_job_reply(job, (const char *)job->data + 1, job->size - 1);
}

static void on_event(const struct proc_pool_event *event, void *arg)
{
    (void)arg;
    shared->reloads += event->type == PROC_POOL_RELOADED;
    shared->ready += event->type == PROC_POOL_WORKER_READY;
    shared->retried += event->type == PROC_POOL_JOB_RETRIED;
    shared->dead += event->type == PROC_POOL_JOB_DEAD;
}

static int manage(struct proc *self, void *unused)
{
    struct proc_pool *pool = proc_pool_new(&options);

    (void)self, (void)unused;
    if (!pool)
        return 100;
    for (long i = 0; i < shared->submitted; i++)
        if (proc_pool_submit(pool, "queued", 6, 0) != 1)
            return 101;
    errno = 0;
    shared->port = proc_pool_port(pool);
    if (shared->port < 0 && errno != EINVAL)
        return 102;
    shared->is_made = true;
    int result = proc_pool_run(pool);
    int stats = proc_pool_stats(pool, &shared->stats, NULL, 0);
    proc_pool_free(pool);
    return result < 0 ? 103 : stats < 0 ? 104 : 0;
}

static void prepare(void)
{
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert(shared != MAP_FAILED);
    snprintf(address, sizeof address, "unix:%s", temporary("socket"));
    options = (struct proc_pool_options){.workers = 2, .job = answer, .listen = address, .event = on_event};
}

static void start_manager(void)
{
    shared->is_made = false;
    manager = must_spawn((struct proc_options){.main = manage});
    while (!shared->is_made && proc_running(manager))
        sched_yield();
    ck_assert(shared->is_made);
}

static void start(void)
{
    prepare();
    start_manager();
}

static void finish(void)
{
    ck_assert_int_eq(proc_kill(manager, SIGTERM), 0);
    struct proc_exit exit = must_end(manager);
    ck_assert_msg(exit.code == 0, "the manager has ended with %d, signal %d", exit.code, exit.signal);
    ck_assert_int_eq(shared->job_failures, 0);
}

static void must_answer(void)
{
    int client = client_connect(address);

    client_ask_text(client, "hello");
    client_must_hear(client, "hello");
    close(client);
}

/* ---- what is promised ---- */

START_TEST(clients_are_answered_and_counted)
{
    start();
    for (int i = 0; i < 10; i++)
        must_answer();
    int client = client_connect(address);
    for (int i = 0; i < 10; i++) {
        client_ask_text(client, "again");
        client_must_hear(client, "again");
    }
    close(client);
    finish();
    ck_assert_int_eq(shared->port, -1);
    ck_assert_uint_eq(shared->stats.submitted, 20);
    ck_assert_uint_eq(shared->stats.done, 20);
    ck_assert_uint_eq(shared->stats.dead, 0);
    ck_assert_uint_eq(shared->stats.retried, 0);
    ck_assert_uint_eq(shared->stats.queued, 0);
}
END_TEST

START_TEST(the_kernel_may_choose_the_port)
{
    prepare();
    options.listen = "tcp:127.0.0.1:0";
    start_manager();
    ck_assert_int_gt(shared->port, 0);
    snprintf(address, sizeof address, "tcp:127.0.0.1:%d", shared->port);
    must_answer();
    struct proc_pool_options same = options;
    same.listen = address;
    ck_assert_ptr_null(proc_pool_new(&same));
    ck_assert_int_eq(errno, EADDRINUSE);
    finish();
}
END_TEST

START_TEST(the_socket_is_there_from_the_making_to_the_freeing)
{
    struct stat status;

    prepare();
    struct proc_pool *pool = proc_pool_new(&options);
    ck_assert_ptr_nonnull(pool);
    ck_assert_int_eq(proc_pool_port(pool), -1);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(stat(address + 5, &status), 0);
    ck_assert(S_ISSOCK(status.st_mode));
    ck_assert_ptr_null(proc_pool_new(&options));
    ck_assert_int_eq(errno, EADDRINUSE);
    close(client_connect(address));
    proc_pool_free(pool);
    ck_assert_int_lt(stat(address + 5, &status), 0);
    start_manager();
    must_answer();
    ck_assert_ptr_null(proc_pool_new(&options));
    ck_assert_int_eq(errno, EADDRINUSE);
    must_answer();
    finish();
    ck_assert_int_lt(stat(address + 5, &status), 0);
}
END_TEST

START_TEST(a_client_that_connects_before_the_workers_start_is_answered)
{
    prepare();
    shared->submitted = 3;
    struct proc_pool *pool = proc_pool_new(&options);
    ck_assert_ptr_nonnull(pool);
    int client = client_connect(address);
    client_ask_text(client, "early");
    int64_t deadline = now_ms() + 20000;
    struct pollfd pollfd = {.fd = client, .events = POLLIN};
    while (poll(&pollfd, 1, 0) == 0 && now_ms() < deadline)
        ck_assert_int_ge(proc_pool_poll(pool, 20), 0);
    client_must_hear(client, "early");
    ck_assert_int_eq(proc_pool_stop(pool), 0);
    close(client);
    while (!proc_pool_done(pool))
        ck_assert_int_ge(proc_pool_poll(pool, 1000), 0);
    proc_pool_free(pool);
}
END_TEST

START_TEST(a_worker_that_dies_ends_its_connections_and_is_replaced)
{
    start();
    for (int i = 0; i < 4; i++) {
        int client = client_connect(address);

        client_ask_text(client, "x");
        client_must_hear(client, "x");
        client_ask_text(client, "kill");
        client_must_see_the_end(client);
        close(client);
    }
    must_answer();
    int64_t deadline = now_ms() + 20000;
    while (shared->ready < 2 + 4 && now_ms() < deadline)
        sched_yield();
    ck_assert_int_eq(shared->ready, 2 + 4);
    finish();
    ck_assert_uint_eq(shared->stats.restarts, 4);
}
END_TEST

START_TEST(a_dead_job_ends_its_connection_and_is_counted)
{
    start();
    int client = client_connect(address);
    client_ask_text(client, "never");
    client_must_see_the_end(client);
    close(client);
    must_answer();
    finish();
    ck_assert_uint_eq(shared->stats.submitted, 2);
    ck_assert_uint_eq(shared->stats.done, 1);
    ck_assert_uint_eq(shared->stats.dead, 1);
    ck_assert_uint_eq(shared->stats.retried, 2);
    ck_assert_int_eq(shared->retried, 2);
    ck_assert_int_eq(shared->dead, 1);
}
END_TEST

START_TEST(the_queue_has_jobs_as_well)
{
    prepare();
    shared->submitted = 100;
    start_manager();
    for (int i = 0; i < 50; i++) {
        int client = client_connect(address);

        client_ask_text(client, "submit");
        client_must_hear(client, "");
        close(client);
    }
    int64_t deadline = now_ms() + 20000;
    while (shared->queued < 150 && now_ms() < deadline)
        sched_yield();
    ck_assert_int_eq(shared->queued, 150);
    finish();
    ck_assert_uint_eq(shared->stats.done, 200);
}
END_TEST

START_TEST(a_job_of_the_queue_wakes_a_worker_that_waits_for_clients)
{
    start();
    for (int i = 1; i <= 5; i++) {
        int client = client_connect(address);

        client_ask_text(client, "submit");
        client_must_hear(client, "");
        close(client);
        int64_t deadline = now_ms() + 20000;
        while (shared->queued < i && now_ms() < deadline)
            sched_yield();
        ck_assert_int_eq(shared->queued, i);
    }
    finish();
}
END_TEST

/* ---- changes of workers ---- */

/* Connects for each request, as fast as it can. Its exit code says what went wrong. */
static int ask_on_and_on(struct proc *self, void *unused)
{
    char heard[5];

    (void)self, (void)unused;
    while (!shared->clients_end) {
        int fd = client_try(address);

        if (fd < 0)
            return 1;
        if (send(fd, "\0\0\0\1x", 5, MSG_NOSIGNAL) != 5)
            return 2;
        ssize_t got = recv(fd, heard, 5, MSG_WAITALL);
        if (got != 5)
            return got < 0 ? 3 : 4;
        close(fd);
        shared->answers++;
    }
    return 0;
}

static void must_go_on(void)
{
    int64_t deadline = now_ms() + 20000;
    long before = shared->answers;

    while (shared->answers < before + 20 && now_ms() < deadline)
        sched_yield();
    ck_assert_int_ge(shared->answers, before + 20);
}

static void change_while_clients_ask(void (*change)(int number), int times)
{
    struct proc *clients[3];

    for (int i = 0; i < 3; i++)
        clients[i] = must_spawn((struct proc_options){.main = ask_on_and_on});
    for (int i = 0; i < times; i++) {
        change(i);
        must_go_on();
    }
    shared->clients_end = true;
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(must_end(clients[i]).code, 0);
    finish();
    ck_assert_uint_eq(shared->stats.dead, 0);
    ck_assert_uint_ge(shared->stats.done, shared->answers);
}

static void reload(int number)
{
    int64_t deadline = now_ms() + 20000;

    ck_assert_int_eq(proc_kill(manager, SIGHUP), 0);
    while (shared->reloads <= number && now_ms() < deadline)
        sched_yield();
    ck_assert_int_eq(shared->reloads, number + 1);
}

START_TEST(no_client_is_refused_or_cut_off_by_reloads)
{
    start();
    change_while_clients_ask(reload, runs_shortened() ? 5 : 20);
}
END_TEST

START_TEST(nor_over_tcp)
{
    prepare();
    options.listen = "tcp:127.0.0.1:0";
    start_manager();
    snprintf(address, sizeof address, "tcp:127.0.0.1:%d", shared->port);
    change_while_clients_ask(reload, runs_shortened() ? 5 : 20);
}
END_TEST

static void await_a_start(int number)
{
    int64_t deadline = now_ms() + 20000;

    (void)number;
    for (int before = shared->ready; shared->ready == before && now_ms() < deadline;)
        sched_yield();
}

START_TEST(nor_when_workers_have_done_their_share)
{
    prepare();
    options.max_jobs = 200;
    start_manager();
    change_while_clients_ask(await_a_start, runs_shortened() ? 5 : 20);
}
END_TEST

START_TEST(what_was_asked_before_a_worker_has_done_its_share_is_answered)
{
    int clients[3];

    prepare();
    options.workers = 1;
    options.max_jobs = 2; /* up to a quarter fewer: not of so few */
    start_manager();
    for (int i = 0; i < 3; i++) {
        clients[i] = client_connect(address);
        for (int j = 0; j < 3; j++)
            client_ask_text(clients[i], "hello");
    }
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 3; j++)
            client_must_hear(clients[i], "hello");
        close(clients[i]);
    }
    finish();
    ck_assert_uint_eq(shared->stats.done, 9);
}
END_TEST

START_TEST(a_new_manager_gets_the_socket_of_one_that_was_killed)
{
    start();
    must_answer();
    ck_assert_int_eq(proc_kill(manager, SIGKILL), 0);
    must_end(manager);
    int64_t deadline = now_ms() + 20000;
    struct proc_pool *pool;
    while (!(pool = proc_pool_new(&options)) && errno == EADDRINUSE && now_ms() < deadline)
        poll(NULL, 0, 5); /* its workers have it until they have left */
    ck_assert_ptr_nonnull(pool);
    proc_pool_free(pool);
    start_manager();
    must_answer();
    finish();
}
END_TEST

Suite *suite_make(void)
{
    Suite *suite = suite_create("pool, listen");
    TCase *promises = tcase_checked(suite, "promises");
    TCase *changes = tcase_checked(suite, "changes");

    tcase_add_test(promises, clients_are_answered_and_counted);
    tcase_add_test(promises, the_kernel_may_choose_the_port);
    tcase_add_test(promises, the_socket_is_there_from_the_making_to_the_freeing);
    tcase_add_test(promises, a_client_that_connects_before_the_workers_start_is_answered);
    tcase_add_test(promises, a_worker_that_dies_ends_its_connections_and_is_replaced);
    tcase_add_test(promises, a_dead_job_ends_its_connection_and_is_counted);
    tcase_add_test(promises, the_queue_has_jobs_as_well);
    tcase_add_test(promises, a_job_of_the_queue_wakes_a_worker_that_waits_for_clients);
    tcase_add_test(changes, no_client_is_refused_or_cut_off_by_reloads);
    tcase_add_test(changes, nor_over_tcp);
    tcase_add_test(changes, nor_when_workers_have_done_their_share);
    tcase_add_test(changes, what_was_asked_before_a_worker_has_done_its_share_is_answered);
    tcase_add_test(changes, a_new_manager_gets_the_socket_of_one_that_was_killed);
    return suite;
}
