/* mixed: two kinds of workers under one manager, and messages between them.
 *
 *     $ mixed lines /usr/include/[a-f]*.h
 *     mixed: 47 rows, 0 that it had already, 0 given up
 *     $ head -n 2 lines
 *     253 /usr/include/aio.h
 *     63 /usr/include/aliases.h
 *     $ mixed -n 8 -p 20 FILE PATH ...   eight fetchers, which take 20 ms more for each
 *
 * The fetchers are handed jobs: each counts the lines of a file, and sends the row that it has found to the writer, as a
 * message. The writer has a loop of its own. It asks for rows by submitting jobs, a few ahead, and writes what comes into FILE in
 * the order of the arguments. Kill any of them as you like: FILE has each row once, in order.
 *
 * That is not hard, because the writer knows nothing but FILE. If it is killed, the next one looks how many rows are there, and
 * asks for those after them. A fetcher that is killed leaves a job, which another one takes. So a row may come twice, and the
 * second is dropped. A message that nobody has read waits for the writer's replacement. A job that was given up has a row with
 * a question mark: the manager sends it. When SIGHUP replaces the writer, a lock sees to it that only one of them writes. After
 * SIGTERM or SIGINT, the same command goes on where it was stopped.
 *
 * Exit status: 0 when all rows are in FILE. */
#include <proc.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AHEAD 64 /* rows that were asked for; so the queue is never full */
#define WRITER 0 /* it is the only worker of its pool */
#define NOT_DONE 75
#define TEXT_MOST 4200

struct mixed {
    struct proc_pool *fetchers, *writers;
    struct proc_lock *lock; /* of the one who writes; passed on at its end */
    const char *out;
    char **paths;
    size_t count;
    int pause_ms;
};

/* Sent as far as the text goes, with its NUL. */
struct row {
    size_t number;
    char text[TEXT_MOST];
};

static int send_row(const struct mixed *mixed, size_t number, long lines)
{
    struct row row = {.number = number};

    if (lines < 0)
        snprintf(row.text, sizeof row.text, "? %s", mixed->paths[number]);
    else
        snprintf(row.text, sizeof row.text, "%ld %s", lines, mixed->paths[number]);
    return proc_pool_send(mixed->writers, WRITER, &row, offsetof(struct row, text) + strlen(row.text) + 1);
}

/* ---- a fetcher ---- */

static long lines_in(const char *path)
{
    FILE *file = fopen(path, "re");
    long lines = 0;

    if (!file)
        return -1;
    for (int byte; (byte = getc_unlocked(file)) != EOF;)
        lines += byte == '\n';
    fclose(file);
    return lines;
}

static int fetch(struct proc_worker *worker, const struct proc_job *job, void *arg)
{
    const struct mixed *mixed = arg;
    size_t number;

    (void)worker;
    memcpy(&number, job->data, sizeof number);
    if (mixed->pause_ms > 0)
        poll(NULL, 0, mixed->pause_ms);
    return send_row(mixed, number, lines_in(mixed->paths[number])); /* if it cannot be sent, the job is tried again */
}

/* ---- the writer ---- */

struct writer {
    const struct mixed *mixed;
    int fd;
    size_t next, asked;           /* the row that is to be written, and to be asked for */
    char ahead[AHEAD][TEXT_MOST]; /* rows that came before their turn; "": not yet */
    size_t had, given_up;         /* rows that came twice, and that the manager has sent */
};

/* Begins behind the last row that is there as a whole. */
static void look_at_file(struct writer *writer)
{
    char piece[4096];
    off_t end = 0, place = 0;
    ssize_t size;

    writer->fd = open(writer->mixed->out, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (writer->fd < 0)
        err(1, "%s", writer->mixed->out);
    for (; (size = read(writer->fd, piece, sizeof piece)) > 0; place += size)
        for (ssize_t i = 0; i < size; i++)
            if (piece[i] == '\n') {
                writer->next++;
                end = place + i + 1;
            }
    if (size < 0 || ftruncate(writer->fd, end) < 0 || lseek(writer->fd, end, SEEK_SET) < 0)
        err(1, "%s", writer->mixed->out);
    writer->asked = writer->next;
}

static void ask(struct writer *writer)
{
    for (; writer->asked < writer->mixed->count && writer->asked < writer->next + AHEAD; writer->asked++) {
        int accepted = proc_pool_submit(writer->mixed->fetchers, &writer->asked, sizeof writer->asked, 0);

        if (accepted < 0 && errno != ESHUTDOWN) /* then the stop comes to us, too */
            err(1, "proc_pool_submit");
        if (accepted != 1)
            return; /* there is still so much of what an earlier writer has asked for */
    }
}

static void keep(struct writer *writer, const struct row *row)
{
    char *place = writer->ahead[row->number % AHEAD];

    if (row->number < writer->next || row->number >= writer->next + AHEAD || place[0])
        writer->had++;
    else
        memcpy(place, row->text, sizeof row->text);
}

static void write_rows(struct writer *writer)
{
    for (char *place; (place = writer->ahead[writer->next % AHEAD])[0]; writer->next++) {
        if (dprintf(writer->fd, "%s\n", place) < 0)
            err(1, "%s", writer->mixed->out);
        place[0] = '\0';
    }
}

/* While it is replaced there are two. */
static bool has_its_turn(struct proc_worker *worker, const struct mixed *mixed)
{
    for (int got; (got = proc_lock_acquire(mixed->lock, 200)) <= 0;) {
        if (got < 0)
            err(1, "proc_lock_acquire");
        if (proc_worker_stopping(worker))
            return false;
    }
    return true;
}

/* Returns 0 only when all is done. Until then it looks up now and then: it may ask for more when there is room. */
static int write_all(struct proc_worker *worker, void *arg)
{
    static struct writer writer;
    struct row row;
    int from;

    writer.mixed = arg;
    if (proc_worker_index(worker) != WRITER)
        return 0; /* SIGTTIN is for all pools, but one writer is enough */
    if (!has_its_turn(worker, arg))
        return NOT_DONE;
    look_at_file(&writer);
    while (writer.next < writer.mixed->count) {
        struct pollfd news = {.fd = proc_worker_fd(worker), .events = POLLIN};

        ask(&writer);
        if (poll(&news, 1, 100) == 0)
            continue;
        ssize_t size = proc_worker_recv(worker, &row, sizeof row, &from, 0);
        if (size < 0 && errno == ETIMEDOUT)
            continue;
        if (size < 0)
            err(1, "proc_worker_recv");
        if (size == 0 && from == -2)
            return NOT_DONE; /* the stop */
        writer.given_up += from == -1;
        keep(&writer, &row);
        write_rows(&writer);
    }
    warnx("%zu rows, %zu that it had already, %zu given up", writer.next, writer.had, writer.given_up);
    return 0;
}

/* ---- the manager ---- */

static void note(const struct proc_pool_event *event, void *arg)
{
    const struct mixed *mixed = arg;
    size_t number;
    char how[64];

    if (event->type == PROC_POOL_WORKER_EXITED && event->exit.signal) {
        warnx("process %d %s", (int)event->pid, proc_exit_string(&event->exit, how, sizeof how));
    } else if (event->type == PROC_POOL_WORKER_EXITED && event->pool == mixed->writers && event->worker == WRITER &&
               proc_exit_ok(&event->exit)) {
        proc_pool_stop(mixed->fetchers); /* nobody asks for anything any more */
    } else if (event->type == PROC_POOL_JOB_DEAD) {
        memcpy(&number, event->job->data, sizeof number);
        if (send_row(mixed, number, -1) < 0)
            err(1, "proc_pool_send");
    }
}

static void manage(struct mixed *mixed, unsigned workers)
{
    struct proc_pool_options fetchers = {.name = "mixed fetch", .workers = workers, .job = fetch};
    struct proc_pool_options writers = {.name = "mixed write", .workers = 1, .main = write_all};

    writers.restart = PROC_RESTART_ON_FAILURE;
    fetchers.arg = fetchers.event_arg = writers.arg = writers.event_arg = mixed;
    fetchers.event = writers.event = note;
    mixed->lock = proc_lock_open(PROC_PRIVATE, 0, 0);
    mixed->fetchers = proc_pool_new(&fetchers);
    mixed->writers = proc_pool_new(&writers);
    if (!mixed->lock || !mixed->fetchers || !mixed->writers)
        err(1, "proc_pool_new");
    if (proc_pool_run_all((struct proc_pool *[]){mixed->fetchers, mixed->writers}, 2) < 0)
        err(1, "proc_pool_run_all");
    proc_pool_free(mixed->fetchers);
    proc_pool_free(mixed->writers);
    proc_lock_close(mixed->lock);
}

int main(int argc, char **argv)
{
    struct mixed mixed = {.pause_ms = 0};
    unsigned workers = 4;

    for (int option; (option = getopt(argc, argv, "n:p:")) != -1;)
        switch (option) {
        case 'n': workers = (unsigned)atoi(optarg); break;
        case 'p': mixed.pause_ms = atoi(optarg); break;
        default: optind = argc;
        }
    if (optind >= argc)
        errx(1, "usage: mixed [-n FETCHERS] [-p MILLISECONDS] FILE PATH ...");
    mixed.out = argv[optind];
    mixed.paths = argv + optind + 1;
    mixed.count = (size_t)(argc - optind - 1);
    manage(&mixed, workers);
    return lines_in(mixed.out) == (long)mixed.count ? 0 : 1;
}
