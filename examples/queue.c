/* queue: jobs wait in line, and the urgent ones are done first.
 *
 *     $ queue
 *     queue 17: 9 messages wait: 2152 bytes of 16384
 *     last push by 4710, Fri Nov 21 16:30:12 2025
 *     with room for 2152 bytes it is full
 *     4713: urgent: job 3 of 4711
 *     4714: urgent: job 3 of 4712
 *     …
 *     4713: normal: 1048576 bytes
 *     …
 *     nothing is left
 *
 * Two producers push jobs under the types 1 to 3; two consumers take the lowest type first. That a message is above the system's
 * limit, as the one of a mebibyte, is no concern of theirs. The end has the last of all types: who gets it knows that no job is
 * left.
 *
 * The same for shells, where all that name the same file share a queue:
 *
 *     $ queue send /tmp 3 'water the flowers'; queue send /tmp 1 'the roof is leaking'; queue send /tmp 2 </etc/services
 *     $ queue receive /tmp                   waits for a message, and prints the one of the lowest type, and a newline
 *     the roof is leaking
 *     $ queue receive /tmp 3 10              only of type 3, waiting for 10 seconds at most; exit status 75: there was none
 *     water the flowers
 *     $ queue stat /tmp                      what ipcs -q shows
 *     $ queue remove /tmp                    with all that is in it: those who wait are told */
#include <proc.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MEBIBYTE 1048576
#define NO_MESSAGE 75

enum { URGENT = 1, NORMAL, SOME_DAY, END };

static const char *const type_names[] = {[URGENT] = "urgent", [NORMAL] = "normal", [SOME_DAY] = "some day"};

/* ---- common to both uses ---- */

struct buffer {
    char *data;
    size_t size;
};

static void grow(struct buffer *buffer)
{
    buffer->size = buffer->size ? 2 * buffer->size : 64;
    buffer->data = realloc(buffer->data, buffer->size);
    if (!buffer->data)
        err(1, "memory");
}

/* A message that does not fit stays where it is, so it is there when the buffer has grown; or another one is, if somebody else
 * was quicker. */
static ssize_t take(struct proc_queue *queue, long type, struct buffer *buffer, long *got_type, int timeout_ms)
{
    ssize_t size;

    if (!buffer->data)
        grow(buffer);
    while ((size = proc_queue_pop(queue, type, buffer->data, buffer->size, got_type, timeout_ms)) < 0 && errno == E2BIG)
        grow(buffer);
    return size;
}

static void push(struct proc_queue *queue, long type, const void *data, size_t size)
{
    if (proc_queue_push(queue, type, data, size, -1) < 0)
        err(1, "proc_queue_push");
}

static void print_stat(struct proc_queue *queue)
{
    struct proc_queue_stat stat;

    if (proc_queue_stat(queue, &stat) < 0)
        err(1, "proc_queue_stat");
    printf("queue %d: %zu messages wait: %zu bytes of %zu\n", proc_queue_id(queue), stat.messages, stat.bytes, stat.capacity);
    if (stat.last_push_time != 0)
        printf("last push by %d, %s", (int)stat.last_push_pid, ctime(&stat.last_push_time));
    if (stat.last_pop_time != 0)
        printf("last pop by %d, %s", (int)stat.last_pop_pid, ctime(&stat.last_pop_time));
}

/* ---- producers and consumers ---- */

static int produce(struct proc *self, void *queue)
{
    static const long types[] = {SOME_DAY, NORMAL, URGENT, SOME_DAY};
    char job[64];

    for (int i = 0; i < 4; i++) {
        int size = snprintf(job, sizeof job, "job %d of %d", i + 1, (int)proc_pid(self));
        push(queue, types[i], job, (size_t)size);
    }
    return 0;
}

static int consume(struct proc *self, void *queue)
{
    struct buffer job = {.data = NULL};
    ssize_t size;
    long type;

    while ((size = take(queue, -END, &job, &type, -1)) >= 0 && type != END)
        if (size < MEBIBYTE)
            printf("%d: %s: %.*s\n", (int)proc_pid(self), type_names[type], (int)size, job.data);
        else
            printf("%d: %s: %zd bytes\n", (int)proc_pid(self), type_names[type], size);
    if (size < 0)
        err(1, "proc_queue_pop");
    free(job.data);
    return 0;
}

static void run_two(proc_main_fn *what, struct proc_queue *queue)
{
    struct proc_options options = {.main = what, .arg = queue, .death_signal = SIGKILL};
    struct proc *children[2];
    struct proc_exit exit;

    for (int i = 0; i < 2; i++)
        if (!(children[i] = proc_spawn(&options)))
            err(1, "proc_spawn");
    for (int i = 0; i < 2; i++) {
        if (proc_wait(children[i], &exit, -1) < 0 || !proc_exit_ok(&exit))
            errx(1, "a child failed");
        proc_free(children[i]);
    }
}

/* A push that may wait for ever would wait until there is room again. */
static void fill(struct proc_queue *queue)
{
    struct proc_queue_stat stat;

    if (proc_queue_stat(queue, &stat) < 0 || proc_queue_set_capacity(queue, stat.bytes) < 0)
        err(1, "proc_queue_set_capacity");
    int pushed = proc_queue_push(queue, URGENT, "one more", 8, 100);
    if (pushed < 0)
        err(1, "proc_queue_push");
    printf("with room for %zu bytes it %s\n", stat.bytes, pushed ? "has room" : "is full");
    if (proc_queue_set_capacity(queue, stat.capacity) < 0)
        err(1, "proc_queue_set_capacity");
}

/* One after the other, to show the order; they might as well run all at once. */
static int demonstrate(void)
{
    struct proc_queue *queue = proc_queue_open(PROC_PRIVATE, PROC_QUEUE_LARGE, 0);
    static char picture[MEBIBYTE];

    if (!queue)
        err(1, "proc_queue_open");
    setvbuf(stdout, NULL, _IOLBF, 0);
    run_two(produce, queue);
    push(queue, NORMAL, picture, sizeof picture);
    print_stat(queue);
    fill(queue);
    push(queue, END, "", 0);
    push(queue, END, "", 0);
    run_two(consume, queue);
    if (proc_queue_pop(queue, 0, picture, sizeof picture, NULL, 100) < 0 && errno == ETIMEDOUT)
        printf("nothing is left\n");
    proc_queue_close(queue); /* and the system is as before: it was private */
    return 0;
}

/* ---- for shells: what follows the file is in `arguments`, NULL at the end ---- */

static int send_message(struct proc_queue *queue, char **arguments)
{
    struct buffer input = {.data = NULL};
    long type = atol(arguments[0]);
    size_t size = 0;

    if (arguments[1]) {
        push(queue, type, arguments[1], strlen(arguments[1]));
        return 0;
    }
    do {
        grow(&input);
        size += fread(input.data + size, 1, input.size - size, stdin);
    } while (size == input.size);
    if (ferror(stdin))
        err(1, "standard input");
    push(queue, type, input.data, size);
    free(input.data);
    return 0;
}

static int receive_message(struct proc_queue *queue, char **arguments)
{
    struct buffer message = {.data = NULL};
    long type = arguments[0] ? atol(arguments[0]) : -LONG_MAX;
    int timeout_ms = arguments[0] && arguments[1] ? atoi(arguments[1]) * 1000 : -1;

    ssize_t size = take(queue, type, &message, NULL, timeout_ms);
    if (size < 0 && errno != ETIMEDOUT)
        err(1, "no message"); /* EIDRM: the queue was removed */
    if (size >= 0) {
        fwrite(message.data, 1, (size_t)size, stdout);
        putchar('\n');
    }
    free(message.data);
    return size < 0 ? NO_MESSAGE : 0;
}

static int print_stat_only(struct proc_queue *queue, char **arguments)
{
    (void)arguments;
    print_stat(queue);
    return 0;
}

static int remove_queue(struct proc_queue *queue, char **arguments)
{
    (void)arguments;
    if (proc_queue_remove(queue) < 0)
        err(1, "proc_queue_remove");
    return 0;
}

static const struct verb {
    const char *name;
    int least, most; /* arguments */
    int flags;
    int (*run)(struct proc_queue *queue, char **arguments);
} verbs[] = {
    {"send", 1, 2, O_CREAT, send_message},
    {"receive", 0, 2, O_CREAT, receive_message},
    {"stat", 0, 0, 0, print_stat_only},
    {"remove", 0, 0, 0, remove_queue},
};

static const struct verb *verb_for(int argc, char **argv)
{
    for (size_t i = 0; argc > 2 && i < sizeof verbs / sizeof verbs[0]; i++)
        if (strcmp(argv[1], verbs[i].name) == 0 && argc - 3 >= verbs[i].least && argc - 3 <= verbs[i].most)
            return &verbs[i];
    errx(1, "usage: queue, queue send FILE TYPE [TEXT], queue receive FILE [TYPE [SECONDS]], queue stat FILE, queue remove FILE");
}

int main(int argc, char **argv)
{
    if (argc == 1)
        return demonstrate();
    const struct verb *verb = verb_for(argc, argv);
    key_t key = proc_key(argv[2], 'Q');
    if (key == -1)
        err(1, "%s", argv[2]);
    struct proc_queue *queue = proc_queue_open(key, PROC_QUEUE_LARGE | verb->flags, 0);
    if (!queue)
        err(1, "proc_queue_open");
    int status = verb->run(queue, argv + 3);
    proc_queue_close(queue);
    if (fflush(stdout) != 0)
        err(1, "standard output");
    return status;
}
