/* parallel: a command for each line of input, several at a time; what each writes is printed whole, in the lines' order.
 *
 *     $ find /usr/include -type f | parallel sha256sum {}
 *     $ ls *.c | parallel -j 4 cc -c {} -o {}.o
 *     parallel: line 3 (broken.c): exited with status 1
 *     parallel: 1 of 12 failed
 *
 * {} in any word of the command stands for the line; where there is none, the line becomes the last word. No shell comes in
 * between, so spaces and quotes are safe; an empty line is a line. Jobs read nothing; their out and err are one stream.
 * -j N: so many at a time, else one for each processor.
 *
 * Exit status: how many jobs failed, at most 100; a command that cannot be started fails for each of its lines. 128 and the
 * number of the signal after SIGINT, SIGTERM or SIGHUP, which stop all jobs first. 255: trouble of parallel's own.
 *
 * One poll() serves all: the lines, the outputs, and a waiter, from which the ends of the jobs and the signals come. The output
 * of the first unfinished job goes straight through; that of those after it is held in memory, up to HELD_MOST, from where on
 * they have to wait for the first as well. */
#include <proc.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define PIECE ((size_t)64 << 10)
#define HELD_MOST ((size_t)64 << 20)
#define GRACE_MS 2000 /* between SIGTERM and SIGKILL */

/* ---- a buffer: filled at its end, emptied at its start ---- */

struct buffer {
    char *data;
    size_t start, end, room;
};

static size_t held(const struct buffer *buffer)
{
    return buffer->end - buffer->start;
}

static void make_room(struct buffer *buffer, size_t size)
{
    if (buffer->start > 0)
        memmove(buffer->data, buffer->data + buffer->start, held(buffer));
    buffer->end = held(buffer);
    buffer->start = 0;
    if (buffer->room - buffer->end >= size)
        return;
    buffer->room = 2 * buffer->end + size;
    buffer->data = realloc(buffer->data, buffer->room);
    if (!buffer->data)
        err(255, "memory");
}

/* Reads once; poll has said that this does not block. Returns 0 at end-of-file. */
static size_t fill(struct buffer *buffer, int fd, size_t size)
{
    make_room(buffer, size);
    ssize_t count = read(fd, buffer->data + buffer->end, size);
    if (count < 0)
        err(255, "read");
    buffer->end += (size_t)count;
    return (size_t)count;
}

/* ---- jobs, and all that there is ---- */

struct job {
    struct job *next; /* that of the next line */
    unsigned long number;
    char *line;
    struct buffer output;
    struct proc *proc;       /* NULL when it does not run any more, or could not start */
    size_t place;            /* where it is in `running` */
    struct proc_exit exit;   /* how it ended, or … */
    const char *failed_step; /* … where it failed to start, and why */
    int failure;
};

struct parallel {
    char *const *command;
    struct buffer input;
    bool input_ended;
    struct job *first, **last; /* from the one whose output is printed now to the newest */
    size_t held;               /* output of all of them */
    struct job **running;
    size_t count, most; /* of those that run */
    struct pollfd *fds;
    struct proc_waiter *waiter;
    int stop_signal; /* that came; 0: none */
    unsigned long lines, done, failed;
    FILE *failures; /* what is to be said of them at the end */
    char *failures_text;
    size_t failures_size;
    bool shows_progress, progress_is_shown, at_line_start;
};

/* ---- the command for a line ---- */

static char *fill_in(const char *word, const char *line)
{
    char *text;
    size_t size;
    FILE *stream = open_memstream(&text, &size);

    if (!stream)
        err(255, "memory");
    for (const char *hole; (hole = strstr(word, "{}")); word = hole + 2)
        fprintf(stream, "%.*s%s", (int)(hole - word), word, line);
    fputs(word, stream);
    if (fclose(stream) != 0)
        err(255, "memory");
    return text;
}

static char **command_for(char *const *words, const char *line)
{
    size_t count = 0;
    bool has_hole = false;

    for (; words[count]; count++)
        has_hole |= strstr(words[count], "{}") != NULL;
    char **command = calloc(count + 2, sizeof *command);
    if (!command)
        err(255, "memory");
    for (size_t i = 0; i < count; i++)
        command[i] = fill_in(words[i], line);
    if (!has_hole)
        command[count] = fill_in("{}", line);
    return command;
}

static void command_free(char **command)
{
    for (char **word = command; *word; word++)
        free(*word);
    free(command);
}

/* ---- children ---- */

/* Each leads a group of its own: a job is stopped with all that it started, and Ctrl+C comes to us alone. If we are killed,
 * it hears of that. */
static void start(struct parallel *all, struct job *job)
{
    char **command = command_for(all->command, job->line);
    struct proc_options options = {
        .argv = (const char *const *)command,
        .in = PROC_NULL,
        .out = PROC_PIPE,
        .err = PROC_TO_STDOUT,
        .death_signal = SIGTERM,
        .flags = PROC_NEW_GROUP,
    };

    job->proc = proc_spawn(&options);
    job->failure = errno;
    job->failed_step = proc_spawn_step();
    command_free(command);
    if (!job->proc)
        return;
    if (proc_waiter_add(all->waiter, job->proc, job) < 0)
        err(255, "proc_waiter_add");
    job->place = all->count++;
    all->running[job->place] = job;
}

/* It has ended, and is reaped. */
static void forget(struct parallel *all, struct job *job)
{
    all->running[job->place] = all->running[--all->count];
    all->running[job->place]->place = job->place;
    proc_free(job->proc);
    job->proc = NULL;
}

/* All are asked at once, and killed once one of them has not ended in time. They are not left to the waiter, which would reap
 * them: what is left of a group is sure to be killed only before that, as by proc_stop. */
static void stop_jobs(struct parallel *all)
{
    int grace_ms = GRACE_MS;

    for (size_t i = 0; i < all->count; i++) {
        proc_kill_group(all->running[i]->proc, SIGTERM);
        proc_kill_group(all->running[i]->proc, SIGCONT);
    }
    for (; all->count > 0; forget(all, all->running[0])) {
        struct pollfd ended = {.fd = proc_pidfd(all->running[0]->proc), .events = POLLIN};

        proc_waiter_remove(all->waiter, all->running[0]->proc);
        if (poll(&ended, 1, grace_ms) == 0)
            grace_ms = 0;
        if (proc_stop(all->running[0]->proc, NULL, 0) < 0)
            err(255, "cannot stop a job");
    }
}

/* ---- lines ---- */

static bool has_room_for_a_job(const struct parallel *all)
{
    return all->count < all->most && all->held < HELD_MOST;
}

/* The next line, if it is there as a whole. */
static char *next_line(struct parallel *all)
{
    struct buffer *input = &all->input;
    size_t size = held(input);

    if (size == 0)
        return NULL;
    char *line = input->data + input->start;
    char *newline = memchr(line, '\n', size);
    if (!newline && !all->input_ended)
        return NULL;
    if (newline)
        size = (size_t)(newline - line);
    input->start += size + (newline != NULL);
    char *copy = strndup(line, size);
    if (!copy)
        err(255, "memory");
    return copy;
}

static void start_jobs(struct parallel *all)
{
    for (char *line; has_room_for_a_job(all) && (line = next_line(all));) {
        struct job *job = calloc(1, sizeof *job);

        if (!job)
            err(255, "memory");
        job->line = line;
        job->number = ++all->lines;
        *all->last = job;
        all->last = &job->next;
        start(all, job);
    }
}

/* ---- output ---- */

static bool wants_output(const struct parallel *all, const struct job *job)
{
    return job == all->first ? held(&job->output) == 0 : all->held < HELD_MOST;
}

static void take_output(struct parallel *all, struct job *job, size_t size)
{
    size_t count = fill(&job->output, proc_out(job->proc), size);

    all->held += count;
    if (count == 0)
        proc_close(job->proc, PROC_CLOSE_OUT);
}

/* What a child wrote before it ended is in the pipe by now. Whom it left behind may write more: not ours to wait for. */
static void take_rest(struct parallel *all, struct job *job)
{
    int waiting = 0;

    if (proc_out(job->proc) >= 0 && ioctl(proc_out(job->proc), FIONREAD, &waiting) == 0 && waiting > 0)
        take_output(all, job, (size_t)waiting);
}

static void hide_progress(struct parallel *all)
{
    if (all->progress_is_shown)
        fputs("\r\033[K", stderr);
    all->progress_is_shown = false;
}

/* Not while there is something to print. The terminal may be that of the output as well. */
static void show_progress(struct parallel *all)
{
    if (!all->shows_progress || !all->at_line_start || (all->first && held(&all->first->output) > 0))
        return;
    fprintf(stderr, "\r%lu done, %lu failed, %zu running\033[K", all->done, all->failed, all->count);
    all->progress_is_shown = true;
}

/* A pipe that is ready for writing takes PIPE_BUF bytes without blocking. */
static void print_some(struct parallel *all)
{
    struct buffer *output = &all->first->output;
    const char *text = output->data + output->start;

    hide_progress(all);
    ssize_t count = write(STDOUT_FILENO, text, held(output) < PIPE_BUF ? held(output) : PIPE_BUF);
    if (count < 0 && errno != EAGAIN)
        err(255, "standard output");
    if (count <= 0)
        return;
    all->at_line_start = text[count - 1] == '\n';
    output->start += (size_t)count;
    all->held -= (size_t)count;
}

/* ---- results ---- */

static void note_result(struct parallel *all, const struct job *job)
{
    bool started = job->exit.pid != 0;
    char how[64];

    all->done++;
    if (started && proc_exit_ok(&job->exit))
        return;
    all->failed++;
    fprintf(all->failures, "parallel: line %lu (%.80s): ", job->number, job->line);
    if (started)
        fprintf(all->failures, "%s\n", proc_exit_string(&job->exit, how, sizeof how));
    else
        fprintf(all->failures, "%s: %s\n", job->failed_step, strerror(job->failure));
}

/* From the first on, those that have ended and are printed, or will not be. */
static void retire_jobs(struct parallel *all)
{
    for (struct job *job; (job = all->first) && !job->proc && (all->stop_signal || held(&job->output) == 0);) {
        if (!all->stop_signal)
            note_result(all, job);
        all->first = job->next;
        if (!all->first)
            all->last = &all->first;
        free(job->output.data);
        free(job->line);
        free(job);
    }
}

static int report(struct parallel *all)
{
    hide_progress(all);
    if (fclose(all->failures) != 0)
        err(255, "memory");
    fputs(all->failures_text, stderr);
    if (all->failed > 0)
        warnx("%lu of %lu failed", all->failed, all->done);
    if (all->stop_signal)
        warnx("%s: stopped after %lu lines", strsignal(all->stop_signal), all->done);
    if (all->stop_signal)
        return 128 + all->stop_signal;
    return all->failed < 100 ? (int)all->failed : 100;
}

/* ---- events ---- */

/* Up to a signal. What a job left behind lives on. */
static void take_events(struct parallel *all)
{
    struct proc_event event;

    while (!all->stop_signal && proc_waiter_next(all->waiter, &event, 0) == 1) {
        struct job *job = event.data;

        if (event.type == PROC_EVENT_SIGNAL) {
            all->stop_signal = event.signo;
        } else {
            take_rest(all, job);
            job->exit = event.exit;
            forget(all, job);
        }
    }
}

enum { EVENTS, INPUT, OUTPUT, JOBS }; /* places in fds; of each job, its output */

static void watch(struct parallel *all)
{
    bool reads = !all->input_ended && has_room_for_a_job(all);
    bool prints = all->first && held(&all->first->output) > 0;

    all->fds[EVENTS] = (struct pollfd){.fd = proc_waiter_fd(all->waiter), .events = POLLIN};
    all->fds[INPUT] = (struct pollfd){.fd = reads ? STDIN_FILENO : -1, .events = POLLIN};
    all->fds[OUTPUT] = (struct pollfd){.fd = prints ? STDOUT_FILENO : -1, .events = POLLOUT};
    for (size_t i = 0; i < all->count; i++) {
        const struct job *job = all->running[i];
        int out = proc_out(job->proc);

        all->fds[JOBS + i] = (struct pollfd){.fd = wants_output(all, job) ? out : -1, .events = POLLIN};
    }
}

static void serve(struct parallel *all)
{
    for (size_t i = 0; i < all->count; i++)
        if (all->fds[JOBS + i].revents)
            take_output(all, all->running[i], PIECE);
    if (all->fds[EVENTS].revents)
        take_events(all);
    if (all->fds[OUTPUT].revents)
        print_some(all);
    if (all->fds[INPUT].revents)
        all->input_ended = fill(&all->input, STDIN_FILENO, PIECE) == 0;
}

static bool is_finished(const struct parallel *all)
{
    return !all->first && all->input_ended && held(&all->input) == 0;
}

static void run(struct parallel *all)
{
    while (!all->stop_signal && (start_jobs(all), retire_jobs(all), !is_finished(all))) {
        watch(all);
        show_progress(all);
        if (poll(all->fds, JOBS + all->count, -1) >= 0)
            serve(all);
        else if (errno != EINTR)
            err(255, "poll");
    }
    if (all->stop_signal)
        stop_jobs(all);
    retire_jobs(all);
}

/* ---- the beginning ---- */

/* What would end us comes here instead, but for what we were told to ignore, by nohup for one. The mode with pidfds, since each
 * job has one in any case, by which its group is signalled. */
static struct proc_waiter *make_waiter(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct proc_waiter *waiter = proc_waiter_new(PROC_WAITER_PIDFD);
    struct sigaction action;

    if (!waiter)
        err(255, "proc_waiter_new");
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        if (sigaction(signals[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN &&
            proc_waiter_signal(waiter, signals[i], NULL) < 0)
            err(255, "proc_waiter_signal");
    return waiter;
}

static long processors(void)
{
    cpu_set_t usable;

    return sched_getaffinity(0, sizeof usable, &usable) == 0 ? CPU_COUNT(&usable) : sysconf(_SC_NPROCESSORS_ONLN);
}

/* A running job takes two descriptors: its output and its pidfd. */
static size_t as_many_as_possible(long wanted)
{
    long room = sysconf(_SC_OPEN_MAX) / 2 - 16;

    if (room < 1)
        room = 1;
    return (size_t)(wanted < room ? wanted : room);
}

static void parse(struct parallel *all, int argc, char **argv)
{
    long wanted = processors();

    for (int option; (option = getopt(argc, argv, "+j:")) != -1;)
        wanted = option == 'j' ? atol(optarg) : 0;
    if (optind == argc || wanted < 1)
        errx(255, "usage: parallel [-j N] COMMAND [ARGUMENT ...] <LINES");
    all->most = as_many_as_possible(wanted);
    all->command = argv + optind;
}

static void prepare(struct parallel *all)
{
    if (fcntl(STDIN_FILENO, F_GETFD) < 0 || fcntl(STDOUT_FILENO, F_GETFD) < 0)
        err(255, "standard streams"); /* a descriptor of ours would get the number of one that is closed */
    all->last = &all->first;
    all->running = calloc(all->most, sizeof(struct job *));
    all->fds = calloc(JOBS + all->most, sizeof(struct pollfd));
    all->failures = open_memstream(&all->failures_text, &all->failures_size);
    if (!all->running || !all->fds || !all->failures)
        err(255, "memory");
    all->waiter = make_waiter();
    all->shows_progress = isatty(STDERR_FILENO);
    all->at_line_start = true;
}

static void release(struct parallel *all)
{
    proc_waiter_free(all->waiter);
    free(all->input.data);
    free(all->running);
    free(all->fds);
    free(all->failures_text);
}

int main(int argc, char **argv)
{
    struct parallel all = {.count = 0};

    parse(&all, argc, argv);
    prepare(&all);
    run(&all);
    int status = report(&all);
    release(&all);
    return status;
}
