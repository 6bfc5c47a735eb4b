/* A worker's clients: frames, turns, slow and broken clients, and the end. The workers are small ones of our own. */
#include "../libproc/clients.h"

#include "clients.h"
#include "listener.h"
#include "seam.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

#define MOST_WORKERS 3
#define LARGE ((size_t)5 << 20)

static struct listener listener;
static const char *address;
static struct clients_options options;
static struct proc *workers[MOST_WORKERS];
static int stops[MOST_WORKERS];
static int told[2], go[2]; /* "hold" says that it has begun, and waits */

static struct shared {
    _Atomic uint64_t ids;
    _Atomic unsigned begun, queue_jobs;
    _Atomic long held, calls, answers;
    atomic_bool clients_end;
} *shared;

/* ---- the worker ---- */

static int answer_large(struct job_source *source, size_t size)
{
    char piece[65536];

    for (size_t done = 0; done < size;) {
        size_t now = size - done < sizeof piece ? size - done : sizeof piece;

        for (size_t i = 0; i < now; i++)
            piece[i] = (char)((done + i) * 7 % 251);
        if (source->reply(source, piece, now) < 0)
            return -1;
        done += now;
    }
    return 0;
}

static int hold(void)
{
    char byte;

    return write(told[1], "", 1) == 1 && read(go[0], &byte, 1) >= 0 ? 0 : -1;
}

static bool asks_for(const struct taken_job *taken, const char *what)
{
    return taken->job.size >= strlen(what) && memcmp(taken->job.data, what, strlen(what)) == 0;
}

/* What each request makes the worker do; the default is an echo in two pieces. */
static int do_job(struct job_source *source, struct taken_job *taken)
{
    char text[64];
    size_t half = taken->job.size / 2;

    shared->begun++;
    if ((uintptr_t)taken->job.data % 8 != 0)
        return -1;
    if (asks_for(taken, "nothing"))
        return 0;
    if (asks_for(taken, "large"))
        return answer_large(source, LARGE);
    if (asks_for(taken, "hold") && hold() < 0)
        return -1;
    if (asks_for(taken, "kill"))
        raise(SIGKILL);
    if (asks_for(taken, "which"))
        return source->reply(source, text, (size_t)sprintf(text, "%d %u", (int)taken->job.id, taken->job.attempt));
    if (asks_for(taken, "jobs"))
        return source->reply(source, text, (size_t)sprintf(text, "%u", shared->queue_jobs));
    if (asks_for(taken, "again") && taken->job.attempt < 3)
        return source->reply(source, "dropped", 7), -1;
    if (asks_for(taken, "never"))
        return source->reply(source, "dropped", 7), -1;
    if (source->reply(source, taken->job.data, half) < 0)
        return -1;
    return source->reply(source, (const char *)taken->job.data + half, taken->job.size - half);
}

static int serve(struct job_source *source)
{
    struct taken_job taken;
    int result;

    while ((result = source->take(source, &taken)) == 1) {
        if (do_job(taken.source, &taken) == 0)
            taken.source->done(taken.source, &taken);
        else {
            enum job_fate expected = taken.job.attempt < options.max_attempts ? JOB_AGAIN : JOB_DEAD;

            if (taken.source->give_back(taken.source, &taken) != expected)
                return 3;
        }
        shared->held = seam_memory_held();
        shared->calls = seam_calls();
    }
    return result == 0 ? 0 : 4;
}

static int work(struct proc *self, void *index)
{
    struct fd_set_all before, after;
    long held = seam_memory_held();

    (void)self;
    options.stop = stops[(intptr_t)index];
    fds_open(&before);
    struct clients *clients = clients_new(&options);
    if (!clients)
        return 2;
    shared->held = held;
    int result = serve(clients_source(clients));
    clients_free(clients);
    fds_open(&after);
    return result ? result : seam_memory_held() != held ? 5 : !fds_same(&before, &after) ? 6 : 0;
}

/* ---- the frame ---- */

static void listen_at(const char *where)
{
    static char bound[PATH_MAX];

    ck_assert_int_eq(listener_open(&listener, where), 0);
    snprintf(bound, sizeof bound, "%s", where);
    if (listener.port > 0)
        sprintf(strrchr(bound, ':') + 1, "%d", listener.port);
    address = bound;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert(shared != MAP_FAILED);
    options = (struct clients_options){.listener = listener.fd, .timeout_ms = -1, .max_job_size = LARGE, .max_attempts = 3,
                                       .ids = &shared->ids, .queue_bell = -1};
    for (int i = 0; i < MOST_WORKERS; i++)
        stops[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ck_assert_int_eq(pipe2(told, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(go, O_CLOEXEC), 0);
}

static void start_worker(int index)
{
    uint64_t nothing;

    if (read(stops[index], &nothing, sizeof nothing) < 0)
        ck_assert_int_eq(errno, EAGAIN);
    workers[index] = must_spawn((struct proc_options){.main = work, .arg = (void *)(intptr_t)index});
}

static void start(int count)
{
    char where[PATH_MAX];

    snprintf(where, sizeof where, "unix:%s", temporary("socket"));
    listen_at(where);
    for (int i = 0; i < count; i++)
        start_worker(i);
}

static void ask_to_stop(int index)
{
    ck_assert_int_eq(eventfd_write(stops[index], 1), 0);
}

static void must_stop(int index)
{
    struct proc_exit exit = must_end(workers[index]);

    workers[index] = NULL;
    ck_assert_msg(exit.code == 0, "the worker has ended with %d, signal %d", exit.code, exit.signal);
}

/* Stops the workers: they have left neither memory nor descriptors. */
static void finish(void)
{
    for (int i = 0; i < MOST_WORKERS; i++) {
        if (workers[i]) {
            ask_to_stop(i);
            must_stop(i);
        }
        close(stops[i]);
    }
    listener_close(&listener);
    for (int i = 0; i < 2; i++) {
        close(told[i]);
        close(go[i]);
    }
    munmap(shared, sizeof *shared);
}

static void must_begin(void)
{
    struct pollfd pollfd = {.fd = told[0], .events = POLLIN};
    char byte;

    ck_assert_msg(poll(&pollfd, 1, CLIENT_PATIENCE_MS) == 1, "nobody has begun");
    ck_assert_int_eq(read(told[0], &byte, 1), 1);
}

static void let_go(void)
{
    ck_assert_int_eq(write(go[1], "", 1), 1);
}

static void must_be_large(int fd)
{
    size_t size;
    const char *answer = client_answer(fd, &size);

    ck_assert_uint_eq(size, LARGE);
    for (size_t i = 0; i < size; i++)
        if (answer[i] != (char)(i * 7 % 251))
            ck_abort_msg("byte %zu is wrong", i);
}

/* ---- frames ---- */

static char large[LARGE];

START_TEST(a_request_has_an_answer)
{
    start(1);
    for (int i = 0; i < 3; i++) {
        int client = client_connect(address);

        for (int j = 0; j < i + 1; j++) {
            client_ask_text(client, "hello");
            client_must_hear(client, "hello");
        }
        close(client);
    }
    finish();
}
END_TEST

START_TEST(so_it_is_over_tcp)
{
    const char *const addresses[] = {"tcp:127.0.0.1:0", "tcp:[::1]:0"};

    for (int i = 0; i < 2; i++) {
        struct listener probe;

        if (listener_open(&probe, addresses[i]) < 0)
            continue;
        listener_close(&probe);
        listen_at(addresses[i]);
        start_worker(0);
        int client = client_connect(address), other = client_connect(address);
        client_ask_text(client, "one");
        client_ask_text(client, "large");
        client_ask_text(other, "two");
        client_must_hear(client, "one");
        client_must_hear(other, "two");
        must_be_large(client);
        close(client);
        ask_to_stop(0);
        client_must_see_the_end(other);
        close(other);
        finish();
    }
}
END_TEST

START_TEST(no_reply_is_an_empty_frame)
{
    start(1);
    int client = client_connect(address);
    client_ask_text(client, "nothing");
    client_must_hear(client, "");
    client_ask_text(client, "x");
    client_must_hear(client, "x");
    close(client);
    finish();
}
END_TEST

START_TEST(frames_may_be_cut_anywhere)
{
    const char bytes[] = "\0\0\0\3one\0\0\0\5three\0\0\0\7nothing\0\0\0\1x";
    const size_t size = sizeof bytes - 1;

    start(1);
    for (size_t cut = 0; cut <= size; cut++) {
        int client = client_connect(address);

        client_send(client, bytes, cut);
        if (cut >= 7)
            client_must_hear(client, "one");
        client_send(client, bytes + cut, size - cut);
        if (cut < 7)
            client_must_hear(client, "one");
        client_must_hear(client, "three");
        client_must_hear(client, "");
        client_must_hear(client, "x");
        close(client);
    }
    finish();
}
END_TEST

START_TEST(bytes_may_come_one_by_one)
{
    const char bytes[] = "\0\0\0\3one\0\0\0\3two";

    start(1);
    int client = client_connect(address);
    for (size_t i = 0; i < sizeof bytes - 1; i++) {
        int unread = 1;

        client_send(client, bytes + i, 1);
        while (unread > 0) /* so that each is read alone */
            ck_assert_int_eq(ioctl(client, TIOCOUTQ, &unread), 0);
    }
    client_must_hear(client, "one");
    client_must_hear(client, "two");
    close(client);
    finish();
}
END_TEST

/* Many requests in one piece. */
static void ask_often(int client, int count, const char *format)
{
    size_t size = 0;

    for (int i = 0; i < count; i++) {
        int length = sprintf(large + size + 4, format, i * 37);

        memcpy(large + size, (char[]){0, 0, 0, (char)length}, 4);
        size += 4 + (size_t)length;
    }
    client_send(client, large, size);
}

START_TEST(answers_come_in_the_order_of_the_requests)
{
    char text[16];

    start(1);
    int client = client_connect(address);
    ask_often(client, 2000, "%d");
    for (int i = 0; i < 2000; i++) {
        sprintf(text, "%d", i * 37);
        client_must_hear(client, text);
    }
    close(client);
    finish();
}
END_TEST

START_TEST(requests_of_all_sizes)
{
    const size_t sizes[] = {1, 499, 500, 501, 504, 508, 512, 4095, 4096, 8180, 8188, 8192,
                            16380, 65536, 1000000, LARGE - 1, LARGE};
    size_t size;

    start(1);
    int client = client_connect(address);
    for (size_t i = 0; i < LARGE; i++)
        large[i] = (char)(i * 13 % 253);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        client_ask(client, large, sizes[i]);
        const char *answer = client_answer(client, &size);
        ck_assert_uint_eq(size, sizes[i]);
        ck_assert_int_eq(memcmp(answer, large, size), 0);
    }
    close(client);
    finish();
}
END_TEST

static void *send_sizes(void *client)
{
    for (size_t size = 1; size < 3000; size += 7)
        client_ask(*(int *)client, large, size);
    return NULL;
}

START_TEST(pipelined_requests_of_all_sizes)
{
    pthread_t sender;
    size_t size;

    start(1);
    int client = client_connect(address);
    for (size_t i = 0; i < LARGE; i++)
        large[i] = (char)(i * 13 % 253);
    ck_assert_int_eq(pthread_create(&sender, NULL, send_sizes, &client), 0);
    for (size_t expected = 1; expected < 3000; expected += 7) {
        const char *answer = client_answer(client, &size);
        ck_assert_uint_eq(size, expected);
        ck_assert_int_eq(memcmp(answer, large, size), 0);
    }
    pthread_join(sender, NULL);
    close(client);
    finish();
}
END_TEST

START_TEST(an_empty_or_too_large_request_ends_the_connection)
{
    const char *const bad[] = {"\0\0\0\0", "\0\x50\0\1", "\xff\xff\xff\xff"};

    start(1);
    for (int i = 0; i < 3; i++) {
        int client = client_connect(address), other = client_connect(address);

        client_ask_text(client, "good");
        client_send(client, bad[i], 4);
        client_send(client, "more than is read at once", 25);
        client_must_hear(client, "good");
        client_must_see_the_end(client);
        close(client);
        client_ask_text(other, "x");
        client_must_hear(other, "x");
        close(other);
    }
    ck_assert_uint_eq(shared->begun, 6);
    finish();
}
END_TEST

START_TEST(a_client_may_send_and_close_its_side)
{
    start(1);
    int client = client_connect(address);
    client_ask_text(client, "one");
    client_ask_text(client, "large");
    client_ask_text(client, "two");
    ck_assert_int_eq(shutdown(client, SHUT_WR), 0);
    client_must_hear(client, "one");
    must_be_large(client);
    client_must_hear(client, "two");
    client_must_see_the_end(client);
    close(client);
    finish();
}
END_TEST

/* ---- attempts ---- */

START_TEST(a_failed_job_is_tried_again_at_once)
{
    start(1);
    int client = client_connect(address);
    client_ask_text(client, "again");
    client_must_hear(client, "again");
    ck_assert_uint_eq(shared->begun, 3);
    ck_assert_uint_eq(shared->ids, 1);
    client_ask_text(client, "which");
    client_must_hear(client, "2 1");
    close(client);
    finish();
}
END_TEST

START_TEST(a_dead_job_ends_its_connection)
{
    start(1);
    int client = client_connect(address), other = client_connect(address);
    client_ask_text(client, "before");
    client_must_hear(client, "before");
    client_ask_text(client, "never");
    client_ask_text(client, "after");
    client_must_see_the_end(client);
    close(client);
    ck_assert_uint_eq(shared->begun, 1 + 3);
    client_ask_text(other, "x");
    client_must_hear(other, "x");
    close(other);
    finish();
}
END_TEST

/* ---- several clients ---- */

START_TEST(clients_are_served_in_turn)
{
    int clients[4];
    size_t size;

    start(1);
    for (int i = 0; i < 4; i++) {
        clients[i] = client_connect(address);
        client_ask_text(clients[i], "x");
        client_must_hear(clients[i], "x");
    }
    client_ask_text(clients[3], "hold");
    must_begin();
    for (int i = 0; i < 3; i++)
        ask_often(clients[i], 4, "which");
    poll(NULL, 0, 5); /* so long that the worker looks around before it goes on */
    let_go();
    for (int round = 0; round < 4; round++) {
        int ids = 0;

        for (int i = 0; i < 3; i++)
            ids += atoi(client_answer(clients[i], &size));
        ck_assert_int_eq(ids, 3 * (7 + 3 * round)); /* 6, 7, 8; then 9, 10, 11; … */
    }
    for (int i = 0; i < 4; i++)
        close(clients[i]);
    finish();
}
END_TEST

START_TEST(a_busy_client_does_not_keep_others_out)
{
    size_t size;

    start(1);
    int busy = client_connect(address);
    ask_often(busy, 1000, "which");
    for (int i = 0; i < 5; i++) {
        int client = client_connect(address);

        client_ask_text(client, "x");
        client_must_hear(client, "x");
        close(client);
    }
    for (int i = 0; i < 1000; i++)
        client_answer(busy, &size);
    close(busy);
    finish();
}
END_TEST

START_TEST(who_does_not_read_delays_nobody)
{
    start(1);
    int slow = client_connect(address);
    client_ask_text(slow, "large");
    client_ask_text(slow, "large");
    client_ask_text(slow, "last");
    for (int i = 0; i < 100; i++) {
        int quick = client_connect(address);

        client_ask_text(quick, "x");
        client_must_hear(quick, "x");
        close(quick);
    }
    ck_assert_uint_eq(shared->begun, 101); /* no more is read from it as long as its answer is not sent */
    must_be_large(slow);
    must_be_large(slow);
    client_must_hear(slow, "last");
    close(slow);
    finish();
}
END_TEST

START_TEST(a_length_alone_costs_nothing_and_memory_is_given_back)
{
    size_t size;

    start(1);
    int client = client_connect(address), other = client_connect(address);
    for (int i = 0; i < 2; i++) {
        client_ask_text(client, "x");
        client_must_hear(client, "x");
        client_ask_text(other, "x");
        client_must_hear(other, "x");
    }
    long few = shared->held + 1; /* and what has room for a length, if that was given back meanwhile */
    client_send(client, "\0\x50\0\0", 4);
    client_ask_text(other, "x");
    client_must_hear(other, "x");
    client_ask_text(other, "x");
    client_must_hear(other, "x");
    ck_assert_int_le(shared->held, few);
    client_send(client, large, LARGE);
    client_answer(client, &size);
    ck_assert_uint_eq(size, LARGE);
    client_ask_text(other, "x");
    client_must_hear(other, "x");
    client_ask_text(other, "x");
    client_must_hear(other, "x");
    ck_assert_int_le(shared->held, few);
    close(client);
    close(other);
    finish();
}
END_TEST

static void must_wait(int index)
{
    int64_t deadline = now_ms() + 20000;

    while (status_of(proc_pid(workers[index]), "State")[0] != 'S' && now_ms() < deadline)
        sched_yield();
}

START_TEST(clients_that_stay_are_spread_over_the_workers)
{
    int clients[2 * MOST_WORKERS];

    start(MOST_WORKERS);
    for (int i = 0; i < MOST_WORKERS; i++) { /* each has begun */
        clients[i] = client_connect(address);
        client_ask_text(clients[i], "hold");
        must_begin();
    }
    for (int i = 0; i < MOST_WORKERS; i++)
        let_go();
    for (int i = 0; i < MOST_WORKERS; i++) {
        client_must_hear(clients[i], "hold");
        close(clients[i]);
    }
    for (int i = 0; i < 2 * MOST_WORKERS; i++) {
        for (int j = 0; j < MOST_WORKERS; j++)
            must_wait(j);
        clients[i] = client_connect(address);
        if (i % 2) {
            client_ask_text(clients[i], "x");
            client_must_hear(clients[i], "x");
        }
    }
    for (int half = 0; half < 2; half++) {
        for (int i = 0; i < MOST_WORKERS; i++)
            client_ask_text(clients[half * MOST_WORKERS + i], "hold");
        for (int i = 0; i < MOST_WORKERS; i++)
            must_begin(); /* all at the same time */
        for (int i = 0; i < MOST_WORKERS; i++)
            let_go();
        for (int i = 0; i < MOST_WORKERS; i++)
            client_must_hear(clients[half * MOST_WORKERS + i], "hold");
    }
    for (int i = 0; i < 2 * MOST_WORKERS; i++)
        close(clients[i]);
    finish();
}
END_TEST

/* ---- clients that break ---- */

static int break_off(struct proc *self, void *bytes)
{
    int fd = client_try(address);

    (void)self;
    if (fd < 0 || send(fd, large, (size_t)(intptr_t)bytes, MSG_NOSIGNAL) < 0)
        return 1;
    raise(SIGKILL);
    return 2;
}

START_TEST(a_client_that_is_killed_in_a_request_is_forgotten)
{
    start(1);
    memcpy(large, "\0\0\4\0", 4);
    for (intptr_t bytes = 1; bytes < 2000; bytes = bytes * 2 + 1) {
        struct proc *client = must_spawn((struct proc_options){.main = break_off, .arg = (void *)bytes});

        ck_assert_int_eq(must_end(client).signal, SIGKILL);
    }
    finish();
}
END_TEST

START_TEST(a_client_that_leaves_before_its_answer_harms_nobody)
{
    start(1);
    for (int i = 0; i < 20; i++) {
        int client = client_connect(address), other = client_connect(address);

        client_ask_text(client, i % 2 ? "large" : "hold");
        if (i % 2 == 0)
            must_begin();
        close(client);
        if (i % 2 == 0)
            let_go();
        client_ask_text(other, "x");
        client_must_hear(other, "x");
        close(other);
    }
    finish();
}
END_TEST

START_TEST(a_client_of_a_killed_worker_sees_the_end)
{
    start(1);
    int client = client_connect(address), other = client_connect(address);
    client_ask_text(other, "x");
    client_must_hear(other, "x");
    client_ask_text(client, "kill");
    client_must_see_the_end(client);
    client_must_see_the_end(other);
    ck_assert_int_eq(must_end(workers[0]).signal, SIGKILL);
    close(client);
    close(other);
    start_worker(0);
    client = client_connect(address);
    client_ask_text(client, "x");
    client_must_hear(client, "x");
    close(client);
    finish();
}
END_TEST

/* ---- time ---- */

static void start_impatient(int timeout_ms)
{
    start(0);
    options.timeout_ms = timeout_ms;
    start_worker(0);
}

START_TEST(an_idle_client_is_dropped)
{
    start_impatient(100);
    int64_t before = now_ms();
    int client = client_connect(address), asked = client_connect(address);
    client_ask_text(asked, "x");
    client_must_hear(asked, "x");
    client_must_see_the_end(client);
    client_must_see_the_end(asked);
    ck_assert_int_ge(now_ms() - before, 99);
    close(client);
    close(asked);
    finish();
}
END_TEST

START_TEST(a_request_must_be_whole_in_time)
{
    start_impatient(150);
    int client = client_connect(address);
    int64_t before = now_ms();
    char byte;
    long got;

    client_send(client, "\0\0\1\0", 4);
    for (;;) { /* a byte now and then makes it no better */
        struct pollfd pollfd = {.fd = client, .events = POLLIN};

        if (poll(&pollfd, 1, 10) == 1)
            break;
        ck_assert_int_lt(now_ms() - before, 20000);
        if (send(client, "", 1, MSG_NOSIGNAL) < 0)
            break;
    }
    got = client_read(client, &byte, 1);
    ck_assert_msg(got == 0 || got == -ECONNRESET, "%ld", got);
    ck_assert_int_ge(now_ms() - before, 149);
    close(client);
    finish();
}
END_TEST

static int drip(struct proc *self, void *unused)
{
    int fd = client_try(address);

    (void)self, (void)unused;
    if (fd < 0 || send(fd, "\0\x40\0\0", 4, MSG_NOSIGNAL) < 0)
        return 1;
    while (send(fd, "", 1, MSG_NOSIGNAL) == 1)
        continue;
    return errno == EPIPE || errno == ECONNRESET ? 0 : 2;
}

START_TEST(not_even_when_something_arrives_all_the_time)
{
    start_impatient(100);
    ck_assert_int_eq(must_end(must_spawn((struct proc_options){.main = drip})).code, 0);
    ck_assert_uint_eq(shared->begun, 0);
    finish();
}
END_TEST

START_TEST(an_answer_must_be_taken_in_time)
{
    size_t total = 0;
    long got;

    start_impatient(150);
    int client = client_connect(address);
    client_ask_text(client, "large");
    while (shared->begun == 0)
        sched_yield();
    struct pollfd pollfd = {.fd = client, .events = POLLRDHUP};
    ck_assert_int_eq(poll(&pollfd, 1, 20000), 1);
    while ((got = client_read(client, large, sizeof large)) > 0)
        total += (size_t)got;
    ck_assert_uint_lt(total, LARGE);
    close(client);
    finish();
}
END_TEST

START_TEST(the_worker_is_no_excuse_for_a_timeout)
{
    start_impatient(100);
    int idle = client_connect(address), client = client_connect(address);
    client_ask_text(idle, "x");
    client_must_hear(idle, "x");
    client_ask_text(client, "hold");
    must_begin();
    client_send(idle, "\0\0\0\1", 4);
    poll(NULL, 0, 300); /* while it works, it listens to nobody */
    client_send(idle, "y", 1);
    let_go();
    client_must_hear(client, "hold");
    client_must_hear(idle, "y");
    close(client);
    close(idle);
    finish();
}
END_TEST

START_TEST(a_worker_that_waits_makes_no_calls)
{
    start(1);
    int client = client_connect(address);
    client_ask_text(client, "x");
    client_must_hear(client, "x");
    client_ask_text(client, "x");
    client_must_hear(client, "x");
    long before = shared->calls;
    poll(NULL, 0, 300);
    client_ask_text(client, "x");
    client_must_hear(client, "x");
    client_ask_text(client, "x");
    client_must_hear(client, "x");
    ck_assert_int_le(shared->calls - before, 40);
    close(client);
    finish();
}
END_TEST

/* ---- failures ---- */

START_TEST(a_worker_without_descriptors_waits_for_one)
{
    const int failures[] = {EMFILE, ENFILE, ENOMEM, ECONNABORTED};

    start(1);
    for (int i = 0; i < 4; i++) {
        seam_fail(SYS_accept4, 1, failures[i]);
        int client = client_connect(address);
        client_ask_text(client, "x");
        client_must_hear(client, "x");
        ck_assert(seam_end());
        close(client);
    }
    finish();
}
END_TEST

static int work_with_few_descriptors(struct proc *self, void *index)
{
    struct fd_set_all open;
    rlim_t highest = 0;

    fds_open(&open);
    for (rlim_t fd = 0; fd < 32768; fd++)
        if (open.open[fd / 8] & (1 << fd % 8))
            highest = fd;
    if (setrlimit(RLIMIT_NOFILE, &(struct rlimit){highest + 5, highest + 5}) < 0)
        return 9;
    return work(self, index);
}

START_TEST(nor_does_it_spin)
{
    int clients[40];

    start(0);
    workers[0] = must_spawn((struct proc_options){.main = work_with_few_descriptors});
    for (int i = 0; i < 40; i++) {
        clients[i] = client_connect(address);
        client_ask_text(clients[i], "x");
    }
    client_must_hear(clients[0], "x");
    long before = shared->calls;
    poll(NULL, 0, 200);
    client_ask_text(clients[0], "x");
    client_must_hear(clients[0], "x");
    ck_assert_int_le(shared->calls - before, 1000);
    for (int i = 0; i < 40; i++) {
        if (i > 0)
            client_must_hear(clients[i], "x");
        close(clients[i]);
    }
    finish();
}
END_TEST

START_TEST(a_failure_in_the_beginning_leaves_nothing)
{
    const long calls[] = {SYS_epoll_create1, SYS_epoll_ctl};
    long held;

    start(0);
    held = seam_memory_held();
    options.stop = stops[0];
    options.queue_bell = stops[1];
    for (int i = 0; i < 2; i++)
        for (int nth = 1; nth <= (i ? 3 : 1); nth++) {
            seam_fail(calls[i], nth, EIO);
            ck_assert_ptr_null(clients_new(&options));
            ck_assert_int_eq(errno, EIO);
            ck_assert(seam_end());
        }
    seam_fail_memory(1);
    ck_assert_ptr_null(clients_new(&options));
    seam_end_memory();
    clients_free(NULL);
    clients_free(clients_new(&options));
    ck_assert_int_eq(seam_memory_held(), held);
    finish();
}
END_TEST

START_TEST(a_failure_of_any_call_costs_one_connection_at_most)
{
    const long calls[] = {SYS_recvfrom, SYS_sendto, SYS_epoll_ctl, SYS_epoll_pwait, SYS_accept4, SYS_shutdown};
    char byte;

    start(1);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        for (int nth = 1; nth < 6; nth++) {
            int client = client_connect(address);

            seam_fail(calls[i], nth, i % 2 ? ENOMEM : EINTR);
            for (int round = 0; round < 3; round++) {
                if (send(client, "\0\0\0\1x", 5, MSG_NOSIGNAL) < 0 || client_read(client, &byte, 1) != 1)
                    break;
                ck_assert_int_eq(client_read(client, large, 4), 4);
            }
            close(client);
            seam_end();
            client = client_connect(address);
            client_ask_text(client, "x");
            client_must_hear(client, "x");
            close(client);
        }
    finish();
}
END_TEST

/* ---- the queue ---- */

static int take_from_bell(struct job_source *source, struct taken_job *taken)
{
    static _Alignas(8) const char data[] = "queue";
    eventfd_t value;

    if (eventfd_read(options.queue_bell, &value) < 0)
        return 0;
    taken->source = source;
    taken->job = (struct proc_job){1000, 1, data, 5};
    return 1;
}

static void queue_job_done(struct job_source *source, struct taken_job *taken)
{
    (void)source, (void)taken;
    shared->queue_jobs++;
}

static int no_reply(struct job_source *source, const void *data, size_t size)
{
    (void)source, (void)data, (void)size;
    return 0;
}

START_TEST(jobs_of_the_queue_and_of_clients_take_turns)
{
    struct job_source queue = {.take = take_from_bell, .done = queue_job_done, .reply = no_reply};
    size_t size;

    start(0);
    options.queue_bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
    options.queue = &queue;
    int client = client_connect(address);
    client_ask_text(client, "hold");
    start_worker(0);
    must_begin();
    ck_assert_int_eq(eventfd_write(options.queue_bell, 300), 0);
    ask_often(client, 150, "jobs");
    let_go();
    client_must_hear(client, "hold");
    for (int i = 0; i < 150; i++) {
        int jobs = atoi(client_answer(client, &size));

        ck_assert_int_ge(jobs, i - 20);
        ck_assert_int_le(jobs, i + 20);
    }
    while (shared->queue_jobs < 300)
        sched_yield();
    ck_assert_int_eq(eventfd_write(options.queue_bell, 5), 0);
    while (shared->queue_jobs < 305)
        sched_yield();
    close(client);
    finish();
    close(options.queue_bell);
}
END_TEST

/* ---- the end ---- */

START_TEST(a_stop_ends_idle_connections_and_waits_for_nobody)
{
    start(1);
    int client = client_connect(address);
    client_ask_text(client, "x");
    client_must_hear(client, "x");
    int64_t before = now_ms();
    ask_to_stop(0);
    client_must_see_the_end(client);
    close(client);
    must_stop(0);
    ck_assert_int_lt(now_ms() - before, 5000);
    finish();
}
END_TEST

/* A worker that leaves after its third job, of its own accord. */
static int work_a_little(struct proc *self, void *unused)
{
    struct clients *clients = clients_new(&options);
    struct taken_job taken;
    int jobs = 0;

    (void)self, (void)unused;
    while (clients && clients_source(clients)->take(clients_source(clients), &taken) == 1) {
        if (do_job(taken.source, &taken) == 0)
            taken.source->done(taken.source, &taken);
        if (++jobs == 3)
            clients_stop(clients);
    }
    clients_free(clients);
    return jobs;
}

START_TEST(a_worker_may_stop_by_itself)
{
    start(0);
    options.stop = stops[0];
    struct proc *worker = must_spawn((struct proc_options){.main = work_a_little});
    int client = client_connect(address), other = client_connect(address);
    client_ask_text(client, "x");
    client_must_hear(client, "x");
    client_ask_text(other, "x");
    client_must_hear(other, "x");
    client_ask_text(client, "hold");
    must_begin();
    client_ask_text(client, "one more");
    client_ask_text(other, "and one");
    let_go();
    client_must_hear(client, "hold");
    client_must_hear(client, "one more");
    client_must_hear(other, "and one");
    client_must_see_the_end(client);
    client_must_see_the_end(other);
    close(client);
    close(other);
    ck_assert_int_eq(must_end(worker).code, 5);
    finish();
}
END_TEST

START_TEST(a_client_that_stays_does_not_keep_the_worker)
{
    start(1);
    int client = client_connect(address);
    client_ask_text(client, "x");
    client_must_hear(client, "x");
    ask_to_stop(0);
    must_stop(0);
    client_must_see_the_end(client);
    close(client);
    finish();
}
END_TEST

START_TEST(a_stop_serves_what_has_arrived_and_what_is_arriving)
{
    int clients[4];

    start(1);
    for (int i = 0; i < 4; i++) {
        clients[i] = client_connect(address);
        client_ask_text(clients[i], "x");
        client_must_hear(clients[i], "x");
    }
    client_ask_text(clients[0], "hold");
    must_begin();
    client_ask_text(clients[0], "large");
    client_ask_text(clients[0], "later");
    client_ask_text(clients[1], "arrived");
    client_ask_text(clients[1], "again");
    client_send(clients[2], "\0\0\0\10half", 8);
    ask_to_stop(0);
    let_go();
    client_must_hear(clients[0], "hold");
    client_must_hear(clients[1], "arrived");
    client_must_hear(clients[1], "again");
    client_must_see_the_end(clients[1]);
    client_must_see_the_end(clients[3]);
    client_send(clients[2], "more", 4);
    client_must_hear(clients[2], "halfmore");
    client_must_see_the_end(clients[2]);
    must_be_large(clients[0]);
    client_must_hear(clients[0], "later");
    client_must_see_the_end(clients[0]);
    for (int i = 0; i < 4; i++)
        close(clients[i]);
    must_stop(0);
    finish();
}
END_TEST

START_TEST(a_stop_waits_a_moment_for_a_first_request)
{
    start(1);
    int served = client_connect(address), fresh = client_connect(address), silent = client_connect(address);
    client_ask_text(served, "x");
    client_must_hear(served, "x");
    client_ask_text(served, "x");
    client_must_hear(served, "x");
    while (shared->begun < 2)
        sched_yield();
    int64_t before = now_ms();
    ask_to_stop(0);
    client_must_see_the_end(served);
    client_ask_text(fresh, "at last");
    client_must_hear(fresh, "at last");
    client_must_see_the_end(fresh);
    client_must_see_the_end(silent);
    ck_assert_int_ge(now_ms() - before, 900);
    close(served);
    close(fresh);
    close(silent);
    must_stop(0);
    finish();
}
END_TEST

/* One that connects for each request; another that stays as long as it can. A process of its own: the workers, forked from
 * ours, would hold its end open. Its exit code says what went wrong. */
static int ask_on_and_on(struct proc *self, void *stays)
{
    int fd = -1;

    (void)self;
    while (!shared->clients_end) {
        char answer[5];

        if (fd < 0 && (fd = client_try(address)) < 0)
            return 1;
        if (send(fd, "\0\0\0\1x", 5, MSG_NOSIGNAL) != 5 && (!stays || errno != EPIPE))
            return 2;
        ssize_t got = recv(fd, answer, 5, MSG_WAITALL);
        bool ended = got == 0 && stays;
        if (got != 5 && !ended)
            return got < 0 ? 3 : 4;
        shared->answers += got == 5;
        if (!stays || ended) {
            close(fd);
            fd = -1;
        }
    }
    return 0;
}

static void stop_while_clients_ask(void *stays)
{
    struct proc *clients[3];

    start(0);
    for (int i = 0; i < 3; i++)
        clients[i] = must_spawn((struct proc_options){.main = ask_on_and_on, .arg = stays});
    start_worker(0);
    start_worker(1);
    for (int i = 0; i < (runs_shortened() ? 20 : 200); i++) {
        long before = shared->answers;

        ask_to_stop(i % 2);
        must_stop(i % 2);
        start_worker(i % 2);
        while (shared->answers < before + 20 && proc_running(clients[0]))
            sched_yield();
    }
    shared->clients_end = true;
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(must_end(clients[i]).code, 0);
    finish();
}

START_TEST(no_client_sees_a_reset_when_workers_stop)
{
    stop_while_clients_ask(NULL);
}
END_TEST

START_TEST(nor_do_those_that_stay)
{
    static int yes;

    stop_while_clients_ask(&yes);
}
END_TEST

Suite *suite_make(void)
{
    Suite *suite = suite_create("clients");
    TCase *frames = tcase_checked(suite, "frames");
    TCase *several = tcase_checked(suite, "several clients");
    TCase *broken = tcase_checked(suite, "broken clients");
    TCase *time = tcase_checked(suite, "time");
    TCase *end = tcase_checked(suite, "the end");

    tcase_add_test(frames, a_request_has_an_answer);
    tcase_add_test(frames, so_it_is_over_tcp);
    tcase_add_test(frames, no_reply_is_an_empty_frame);
    tcase_add_test(frames, frames_may_be_cut_anywhere);
    tcase_add_test(frames, bytes_may_come_one_by_one);
    tcase_add_test(frames, answers_come_in_the_order_of_the_requests);
    tcase_add_test(frames, requests_of_all_sizes);
    tcase_add_test(frames, pipelined_requests_of_all_sizes);
    tcase_add_test(frames, an_empty_or_too_large_request_ends_the_connection);
    tcase_add_test(frames, a_client_may_send_and_close_its_side);
    tcase_add_test(frames, a_failed_job_is_tried_again_at_once);
    tcase_add_test(frames, a_dead_job_ends_its_connection);
    tcase_add_test(several, clients_are_served_in_turn);
    tcase_add_test(several, a_busy_client_does_not_keep_others_out);
    tcase_add_test(several, who_does_not_read_delays_nobody);
    tcase_add_test(several, a_length_alone_costs_nothing_and_memory_is_given_back);
    tcase_add_test(several, clients_that_stay_are_spread_over_the_workers);
    tcase_add_test(several, jobs_of_the_queue_and_of_clients_take_turns);
    tcase_add_test(broken, a_client_that_is_killed_in_a_request_is_forgotten);
    tcase_add_test(broken, a_client_that_leaves_before_its_answer_harms_nobody);
    tcase_add_test(broken, a_client_of_a_killed_worker_sees_the_end);
    tcase_add_test(time, an_idle_client_is_dropped);
    tcase_add_test(time, a_request_must_be_whole_in_time);
    tcase_add_test(time, not_even_when_something_arrives_all_the_time);
    tcase_add_test(time, an_answer_must_be_taken_in_time);
    tcase_add_test(time, the_worker_is_no_excuse_for_a_timeout);
    tcase_add_test(time, a_worker_that_waits_makes_no_calls);
    tcase_add_test(broken, a_worker_without_descriptors_waits_for_one);
    tcase_add_test(broken, nor_does_it_spin);
    tcase_add_test(broken, a_failure_in_the_beginning_leaves_nothing);
    tcase_add_test(broken, a_failure_of_any_call_costs_one_connection_at_most);
    tcase_add_test(end, a_stop_ends_idle_connections_and_waits_for_nobody);
    tcase_add_test(end, a_worker_may_stop_by_itself);
    tcase_add_test(end, a_client_that_stays_does_not_keep_the_worker);
    tcase_add_test(end, a_stop_serves_what_has_arrived_and_what_is_arriving);
    tcase_add_test(end, a_stop_waits_a_moment_for_a_first_request);
    tcase_add_test(end, no_client_sees_a_reset_when_workers_stop);
    tcase_add_test(end, nor_do_those_that_stay);
    return suite;
}
