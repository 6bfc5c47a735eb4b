/* Waiting for a message with a timeout, which the kernel does not offer: how late the message comes, what processor time it
 * costs, and what it costs when none comes. Beside it what has no timeout, and what looks again and again.
 *
 * Environment: BENCH_QUEUE_WAIT_SECONDS (2), of those who wait for nothing; 60 tells what a minute costs: who is
 * helped pays once for each wait, so it cannot be reckoned from less. */
#include "batches.h"
#include "ipc_apart.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 20
#define WAITS 10 /* in each turn */
#define SECONDS 2
#define PAUSE_NS 1000000 /* at least so long, and at most twice, is waited for a message */
#define PATIENCE_MS 60000
#define SHORTEST_POLL_NS 50000
#define LONGEST_POLL_NS 1000000

/* Someone who waits: the time at which a message was sent is what is in it. */
struct message {
    long type;
    int64_t sent_ns;
};

struct waiter {
    const char *name;
    bool (*wait)(const struct waiter *, struct message *, int timeout_ms); /* false: the time ran out */
    int id; /* of a queue of its own */
    struct proc_queue *queue;
    struct proc *process;
    struct series late, processor; /* microseconds */
};

/* ---- the ways ---- */

static bool wait_libproc(const struct waiter *waiter, struct message *message, int timeout_ms)
{
    ssize_t size = proc_queue_pop(waiter->queue, 0, &message->sent_ns, sizeof message->sent_ns, NULL, timeout_ms);

    if (size < 0 && errno != ETIMEDOUT)
        err(1, "proc_queue_pop");
    return size >= 0;
}

static bool wait_libproc_for_ever(const struct waiter *waiter, struct message *message, int timeout_ms)
{
    (void)timeout_ms;
    return wait_libproc(waiter, message, -1);
}

static bool receive(const struct waiter *waiter, struct message *message, int flags)
{
    ssize_t size = msgrcv(waiter->id, message, sizeof message->sent_ns, 0, flags);

    if (size < 0 && errno != ENOMSG)
        err(1, "msgrcv");
    return size >= 0;
}

static bool wait_bare(const struct waiter *waiter, struct message *message, int timeout_ms)
{
    (void)timeout_ms;
    return receive(waiter, message, 0);
}

static bool wait_polling(const struct waiter *waiter, struct message *message, int timeout_ms)
{
    int64_t end = bench_now_ns() + (int64_t)timeout_ms * 1000000;
    struct timespec pause = {0, SHORTEST_POLL_NS};

    while (!receive(waiter, message, IPC_NOWAIT)) {
        if (bench_now_ns() >= end)
            return false;
        nanosleep(&pause, NULL);
        pause.tv_nsec = pause.tv_nsec * 2 < LONGEST_POLL_NS ? pause.tv_nsec * 2 : LONGEST_POLL_NS;
    }
    return true;
}

/* ---- in the process of one who waits ---- */

static double used_us(int who)
{
    struct rusage usage;

    getrusage(who, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

/* With that of whoever helped. */
static double processor_us(void)
{
    return used_us(RUSAGE_SELF) + used_us(RUSAGE_CHILDREN);
}

static double median_lateness_us(const struct waiter *waiter, unsigned count)
{
    struct message message;
    struct series late;

    series_make(&late, "", count);
    for (unsigned i = 0; i < count; i++) {
        if (!waiter->wait(waiter, &message, PATIENCE_MS))
            errx(1, "%s: no message", waiter->name);
        late.values[i] = (double)(bench_now_ns() - message.sent_ns) / 1e3;
    }
    double median = series_quantile(&late, 0.5);
    series_release(&late);
    return median;
}

static void wait_for_nothing(const struct waiter *waiter, unsigned ms)
{
    struct message message;

    if (waiter->wait(waiter, &message, (int)ms))
        errx(1, "%s: a message", waiter->name);
}

/* Lines: "messages COUNT", "nothing MS". Answers: how late, and the processor time of all. */
static int serve_waits(struct proc *self, void *arg)
{
    const struct waiter *waiter = arg;
    char line[64];
    unsigned number;

    (void)self;
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        double before = processor_us(), late = 0;

        if (sscanf(line, "messages %u", &number) == 1)
            late = median_lateness_us(waiter, number);
        else if (sscanf(line, "nothing %u", &number) == 1)
            wait_for_nothing(waiter, number);
        printf("%f %f\n", late, processor_us() - before);
        fflush(stdout);
    }
    return 0;
}

/* ---- on the other side ---- */

static void tell(const struct waiter *waiter, const char *what, unsigned number)
{
    if (peer_tell(waiter->process, "%s %u", what, number) < 0)
        err(1, "%s", waiter->name);
}

static void hear(const struct waiter *waiter, double *late, double *processor)
{
    const char *answer = peer_hear(waiter->process);

    if (!answer || sscanf(answer, "%lf %lf", late, processor) != 2)
        errx(1, "%s: does not answer", waiter->name);
}

static void pause_for_a_while(void)
{
    struct timespec pause = {0, PAUSE_NS + (long)random() % PAUSE_NS};

    nanosleep(&pause, NULL);
}

static void take_turn(struct waiter *waiter, unsigned round)
{
    double late, processor;

    tell(waiter, "messages", WAITS);
    for (unsigned i = 0; i < WAITS; i++) {
        struct message message = {.type = 1};

        pause_for_a_while();
        message.sent_ns = bench_now_ns();
        if (msgsnd(waiter->id, &message, sizeof message.sent_ns, 0) < 0)
            err(1, "msgsnd");
    }
    hear(waiter, &late, &processor);
    waiter->late.values[round] = late;
    waiter->processor.values[round] = processor / WAITS;
}

static void start(struct waiter *waiter, unsigned rounds)
{
    waiter->process = peer_fork(serve_waits, waiter);
    if (!waiter->process)
        err(1, "%s", waiter->name);
    series_make(&waiter->late, waiter->name, rounds);
    series_make(&waiter->processor, waiter->name, rounds);
}

static void stop(struct waiter *waiter)
{
    proc_free(waiter->process);
    series_release(&waiter->late);
    series_release(&waiter->processor);
}

/* ---- the report ---- */

enum { TIMED, FOR_EVER, BARE, POLLING, WAITERS };

static void print(const struct waiter *waiters, enum place place)
{
    bench_title("a message for one who waits, %s: how late it comes", place_name(place));
    bench_print_heads("microseconds");
    for (int i = 0; i < WAITERS; i++)
        bench_print_series(&waiters[i].late);
    for (int i = 0; i < WAITERS; i++)
        if (i != BARE)
            bench_print_ratio(&waiters[i].late, &waiters[BARE].late, GOAL_NONE);
    bench_title("the same: processor time of who waits, and of who helps him");
    bench_print_heads("microseconds");
    for (int i = 0; i < WAITERS; i++)
        bench_print_series(&waiters[i].processor);
}

static void compare_lateness(struct waiter *waiters, enum place place)
{
    unsigned rounds = bench_setting("BENCH_ROUNDS", ROUNDS);
    size_t order[WAITERS];

    if (!stay_on_processor(place == OTHER_PROCESSOR)) {
        bench_title("a message for one who waits, %s", place_name(place));
        bench_note("left out: one processor");
        return;
    }
    for (int i = 0; i < WAITERS; i++)
        start(&waiters[i], rounds);
    stay_on_processor(0);
    for (unsigned round = 0; round < rounds; round++) {
        bench_shuffle(order, WAITERS);
        for (size_t i = 0; i < WAITERS; i++)
            take_turn(&waiters[order[i]], round);
    }
    print(waiters, place);
    for (int i = 0; i < WAITERS; i++)
        stop(&waiters[i]);
}

/* All at the same time: each counts its own. */
static void compare_waiting_for_nothing(struct waiter *waiters)
{
    static const int those[] = {TIMED, POLLING};
    unsigned seconds = bench_setting("BENCH_QUEUE_WAIT_SECONDS", SECONDS);
    double late, processor;

    bench_title("a queue in which nothing comes for %u seconds: processor time of who waits, and of who helps him", seconds);
    for (size_t i = 0; i < BENCH_COUNT(those); i++) {
        start(&waiters[those[i]], 1);
        tell(&waiters[those[i]], "nothing", seconds * 1000);
    }
    for (size_t i = 0; i < BENCH_COUNT(those); i++) {
        hear(&waiters[those[i]], &late, &processor);
        bench_note("%-42s %10.2f milliseconds", waiters[those[i]].name, processor / 1e3);
        stop(&waiters[those[i]]);
    }
}

static void make_queue(struct waiter *waiter)
{
    waiter->queue = proc_queue_open(ipc_new_key(), O_CREAT | O_EXCL, 0);
    if (!waiter->queue)
        err(1, "proc_queue_open");
    waiter->id = proc_queue_id(waiter->queue);
}

int main(void)
{
    struct waiter waiters[WAITERS] = {
        [TIMED] = {.name = "libproc with a timeout", .wait = wait_libproc},
        [FOR_EVER] = {.name = "libproc for ever", .wait = wait_libproc_for_ever},
        [BARE] = {.name = "bare for ever", .wait = wait_bare},
        [POLLING] = {.name = "bare, looking again", .wait = wait_polling},
    };

    ipc_apart();
    for (int i = 0; i < WAITERS; i++)
        make_queue(&waiters[i]);
    for (enum place place = SAME_PROCESSOR; place <= OTHER_PROCESSOR; place++)
        compare_lateness(waiters, place);
    compare_waiting_for_nothing(waiters);
    for (int i = 0; i < WAITERS; i++) {
        proc_queue_remove(waiters[i].queue);
        proc_queue_close(waiters[i].queue);
    }
    return 0;
}
