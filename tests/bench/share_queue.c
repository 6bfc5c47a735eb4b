/* Messages: the library beside bare msgsnd() and msgrcv(), POSIX queues and PHP, through one and the same queue where they can.
 *
 * The bare calls want the type in front of the text. The library takes the text as it is, so it copies; a bare candidate
 * that does so as well tells what is copying. */
#include "batches.h"
#include "ipc_apart.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/msg.h>
#include <sys/stat.h>
#include <unistd.h>

#define LARGEST 8192
#define USUAL_CAPACITY 16384
#define RAISED_CAPACITY (1u << 20)
#define POSIX_MESSAGES 10 /* what the kernel allows to everyone */
#define PATIENCE_MS 60000

/* Types; the POSIX queues are one for each. */
enum { FORTH = 1, BACK = 2 };

static struct proc_queue *queue;
static key_t key;
static int id;
static mqd_t posix[BACK + 1];
static size_t size;
static char *sent, *taken;
static struct {
    long type;
    char text[LARGEST];
} message;

/* ---- the ways ---- */

struct way {
    void (*push)(long type);
    void (*pop)(long type); /* 0: any */
};

static void libproc_push(long type)
{
    if (proc_queue_push(queue, type, sent, size, -1) != 1)
        batch_fail("proc_queue_push");
}

static void libproc_pop(long type)
{
    if (proc_queue_pop(queue, type, taken, LARGEST, NULL, -1) != (ssize_t)size)
        batch_fail("proc_queue_pop");
}

static void timed_push(long type)
{
    if (proc_queue_push(queue, type, sent, size, PATIENCE_MS) != 1)
        batch_fail("proc_queue_push");
}

static void timed_pop(long type)
{
    if (proc_queue_pop(queue, type, taken, LARGEST, NULL, PATIENCE_MS) != (ssize_t)size)
        batch_fail("proc_queue_pop");
}

static void bare_push(long type)
{
    message.type = type;
    if (msgsnd(id, &message, size, 0) < 0)
        batch_fail("msgsnd");
}

static void bare_pop(long type)
{
    if (msgrcv(id, &message, LARGEST, type, 0) != (ssize_t)size)
        batch_fail("msgrcv");
}

static void copying_push(long type)
{
    memcpy(message.text, sent, size);
    bare_push(type);
}

static void copying_pop(long type)
{
    bare_pop(type);
    memcpy(taken, message.text, size);
}

static void posix_push(long type)
{
    if (mq_send(posix[type], sent, size, 0) < 0)
        batch_fail("mq_send");
}

static void posix_pop(long type)
{
    if (mq_receive(posix[type ? type : FORTH], taken, LARGEST, NULL) != (ssize_t)size)
        batch_fail("mq_receive");
}

static struct way libproc = {libproc_push, libproc_pop}, timed = {timed_push, timed_pop}, bare = {bare_push, bare_pop},
                  copying = {copying_push, copying_pop}, posix_queue = {posix_push, posix_pop};

/* ---- what is done with them ---- */

static void push_and_pop(void *arg, unsigned count)
{
    const struct way *way = arg;

    while (count-- > 0) {
        way->push(FORTH);
        way->pop(0);
    }
}

static void push(void *arg, unsigned count)
{
    const struct way *way = arg;

    while (count-- > 0)
        way->push(FORTH);
}

static void pop(void *arg, unsigned count)
{
    const struct way *way = arg;

    while (count-- > 0)
        way->pop(0);
}

static void ask(void *arg, unsigned count)
{
    const struct way *way = arg;

    while (count-- > 0) {
        way->push(FORTH);
        way->pop(BACK);
    }
}

static void answer(void *arg, unsigned count)
{
    const struct way *way = arg;

    while (count-- > 0) {
        way->pop(FORTH);
        way->push(BACK);
    }
}

struct job {
    const char *title;
    batch_fn *first, *second;
    const char *php_first, *php_second;
};

static const struct job both = {"push + pop", push_and_pop, NULL, "both", NULL},
                        stream = {"a stream of messages", push, pop, "push", "pop"},
                        round_trip = {"a question and its answer", ask, answer, "ask", "answer"};

/* ---- the report ---- */

enum { LIBPROC, TIMED, BARE, COPYING, POSIX, PHP, WAYS };

static void compare(const struct job *job, enum place place, size_t bytes, size_t capacity)
{
    char key_text[16], size_text[16];

    size = bytes;
    snprintf(key_text, sizeof key_text, "%d", key);
    snprintf(size_text, sizeof size_text, "%zu", size);
    const char *const *php_first = PEER("php", "share_php.php", "queue", key_text, size_text, job->php_first);
    const char *const *php_second = PEER("php", "share_php.php", "queue", key_text, size_text, job->php_second);
    struct side ours = {.run = job->first}, others = {.run = job->second};
    struct batch ways[WAYS] = {
        [LIBPROC] = {.name = "libproc", .first = ours, .second = others, .arg = &libproc},
        [TIMED] = {.name = "libproc with timeouts", .first = ours, .second = others, .arg = &timed, .beside = true},
        [BARE] = {.name = "bare", .first = ours, .second = others, .arg = &bare},
        [COPYING] = {.name = "bare with copies", .first = ours, .second = others, .arg = &copying},
        [POSIX] = {.name = "POSIX queue", .first = ours, .second = others, .arg = &posix_queue, .beside = true},
        [PHP] = {.name = "PHP", .first.peer = php_first, .second.peer = job->second ? php_second : NULL, .beside = true},
    };

    bench_title("%s of %zu bytes, %s, a queue of %zu KiB", job->title, size, place_name(place), capacity / 1024);
    if (posix[FORTH] == -1)
        ways[POSIX].left_out = "the kernel has none";
    else if (capacity != USUAL_CAPACITY)
        ways[POSIX].left_out = "another limit";
    if (!run_batches(ways, WAYS, place)) {
        bench_note("left out: one processor");
        return;
    }
    print_batches(ways, WAYS);
    bench_print_ratio(&ways[LIBPROC].series, &ways[BARE].series, GOAL_AT_MOST(1.03));
    bench_print_ratio(&ways[LIBPROC].series, &ways[COPYING].series, GOAL_NONE);
    bench_print_ratio(&ways[COPYING].series, &ways[BARE].series, GOAL_NONE);
    bench_print_ratio(&ways[TIMED].series, &ways[BARE].series, GOAL_NONE);
    bench_print_ratio(&ways[LIBPROC].series, &ways[POSIX].series, GOAL_NONE);
    bench_print_ratio(&ways[LIBPROC].series, &ways[PHP].series, GOAL_NONE);
    release_batches(ways, WAYS);
}

static void compare_raised(void)
{
    if (!ipc_allow_capacity(RAISED_CAPACITY))
        bench_note("kernel.msgmnb: %s", strerror(errno));
    if (proc_queue_set_capacity(queue, RAISED_CAPACITY) < 0) {
        bench_title("streams through a queue of %u KiB", RAISED_CAPACITY / 1024);
        bench_note("left out: %s", strerror(errno));
        return;
    }
    for (enum place place = SAME_PROCESSOR; place <= OTHER_PROCESSOR; place++) {
        compare(&stream, place, 128, RAISED_CAPACITY);
        compare(&stream, place, LARGEST, RAISED_CAPACITY);
    }
}

/* ---- queues ---- */

/* Without a name from here on. */
static mqd_t make_posix_queue(void)
{
    struct mq_attr shape = {.mq_maxmsg = POSIX_MESSAGES, .mq_msgsize = LARGEST};
    char name[64];

    snprintf(name, sizeof name, "/libproc-bench-%d", getpid());
    mqd_t made = mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR, &shape);
    if (made != -1)
        mq_unlink(name);
    return made;
}

static void make_queues(void)
{
    key = ipc_new_key();
    queue = proc_queue_open(key, O_CREAT | O_EXCL, 0);
    if (!queue)
        err(1, "proc_queue_open");
    id = proc_queue_id(queue);
    if (proc_queue_set_capacity(queue, USUAL_CAPACITY) < 0)
        err(1, "proc_queue_set_capacity");
    posix[FORTH] = make_posix_queue();
    posix[BACK] = make_posix_queue();
    sent = calloc(2, LARGEST);
    if (!sent)
        err(1, "calloc");
    taken = sent + LARGEST;
}

int main(void)
{
    static const size_t sizes[] = {16, 128, 1024, LARGEST};

    ipc_apart();
    make_queues();
    for (size_t i = 0; i < BENCH_COUNT(sizes); i++)
        compare(&both, NOWHERE, sizes[i], USUAL_CAPACITY);
    for (enum place place = SAME_PROCESSOR; place <= OTHER_PROCESSOR; place++) {
        for (size_t i = 0; i < BENCH_COUNT(sizes); i++)
            compare(&stream, place, sizes[i], USUAL_CAPACITY);
        compare(&round_trip, place, 128, USUAL_CAPACITY);
    }
    compare_raised();
    proc_queue_remove(queue);
    proc_queue_close(queue);
    return 0;
}
