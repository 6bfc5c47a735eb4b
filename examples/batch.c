/* batch: works through a list of commands, several at a time, and says which have failed for good.
 *
 *     $ cat list
 *     gzip -k one
 *     gzip -k two && rm two
 *     exit 3
 *     $ batch list                        five workers; -n NUMBER: so many
 *     batch: worker 2: exit 3: exited with status 3
 *     batch: worker 2: exit 3: exited with status 3
 *     batch: worker 0: exit 3: exited with status 3
 *     batch: failed for good: exit 3
 *     batch: 3 commands: 2 done, 1 failed, 0 left
 *     $ batch --key . list                progress is kept under the key that is made of this directory: whatever ends batch,
 *                                         when it is started again it goes on where it was, until all is done
 *
 * Each line of the list is a command for the shell, which reads nothing, and is tried three times. Under a key the list may have
 * grown at its end when batch is started again.
 *
 * Exit status: 0 only if all commands have succeeded; 1 if one has failed for good; 75 if batch was stopped before the end.
 *
 * It may run as a service: it needs no terminal, SIGTERM and SIGINT let the commands that run come to their end, for ten seconds,
 * SIGHUP replaces the workers, SIGTTIN and SIGTTOU make it one more or less. In ps, all have their titles.
 *
 * There are two pools under one manager. The second has one worker, which hands in the list. It may take up where another was
 * killed, since each line is noted after it was accepted: so one may be run twice, and none is left out. Since SIGHUP and SIGTTIN
 * are for all pools, there may be a second such worker: a lock lets one of them work. */
#include <proc.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LONGEST 4000 /* bytes of a command; any queue takes that */
#define NOT_ALL 75

struct batch {
    struct proc_pool *commands, *list;
    struct proc_counter *handed_in; /* lines */
    struct proc_lock *lock;         /* of the one who hands in; passed on at its end */
    char **lines;
    size_t line_count;
};

/* ---- the workers ---- */

/* The command leads a group of its own, so Ctrl+C is not for it; when its worker is killed, it is, too. */
static int run_command(struct proc_worker *worker, const struct proc_job *job, void *arg)
{
    char command[LONGEST + 1], how[64];
    const char *const argv[] = {"/bin/sh", "-c", command, NULL};
    struct proc_options options = {.argv = argv, .in = PROC_NULL, .death_signal = SIGKILL, .flags = PROC_NEW_GROUP};
    struct proc_exit exit;

    (void)arg;
    snprintf(command, sizeof command, "%.*s", (int)job->size, (const char *)job->data);
    struct proc *shell = proc_spawn(&options);
    if (!shell || proc_wait(shell, &exit, -1) < 0)
        err(1, "%s", proc_spawn_step());
    proc_free(shell);
    if (proc_exit_ok(&exit))
        return 0;
    warnx("worker %u: %s: %s", proc_worker_index(worker), command, proc_exit_string(&exit, how, sizeof how));
    return -1;
}

/* It looks up now and then while somebody else does it, or the queue is full. */
static int hand_in(struct proc_worker *worker, void *arg)
{
    struct batch *batch = arg;

    for (int got; (got = proc_lock_acquire(batch->lock, 200)) <= 0;) {
        if (got < 0)
            err(1, "proc_lock_acquire");
        if (proc_worker_stopping(worker))
            return 1;
    }
    for (size_t next; (next = (size_t)proc_counter_get(batch->handed_in, 0)) < batch->line_count;) {
        const char *line = batch->lines[next];
        int accepted = proc_pool_submit(batch->commands, line, strlen(line), 200);

        if (accepted < 0)
            err(1, "proc_pool_submit");
        if (accepted == 1)
            proc_counter_add(batch->handed_in, 0, 1);
        if (proc_worker_stopping(worker))
            return 1; /* there may be more, for another one */
    }
    return 0;
}

/* ---- the manager ---- */

static void note(const struct proc_pool_event *event, void *arg)
{
    struct batch *batch = arg;
    char how[64];

    if (event->type == PROC_POOL_JOB_DEAD)
        warnx("failed for good: %.*s", (int)event->job->size, (const char *)event->job->data);
    else if (event->type == PROC_POOL_WORKER_EXITED && event->exit.signal)
        warnx("process %d %s", (int)event->pid, proc_exit_string(&event->exit, how, sizeof how));
    else if (event->type == PROC_POOL_WORKER_EXITED && event->pool == batch->list && proc_exit_ok(&event->exit))
        proc_pool_drain(batch->commands); /* the whole list is handed in; it ends when all is done, or stops already */
}

static void open_pools(struct batch *batch, unsigned workers, const char *file)
{
    struct proc_pool_options commands = {
        .name = "batch",
        .workers = workers,
        .job = run_command,
        .key = file ? proc_key(file, 1) : PROC_PRIVATE,
        .grace_ms = 10000,
        .max_jobs = 1000,
        .event = note,
        .event_arg = batch,
    };
    struct proc_pool_options list = {
        .name = "batch list",
        .workers = 1,
        .main = hand_in,
        .arg = batch,
        .restart = PROC_RESTART_ON_FAILURE,
        .event = note,
        .event_arg = batch,
    };

    if (commands.key == -1)
        err(1, "%s", file);
    batch->handed_in = proc_counter_open(file ? proc_key(file, 2) : PROC_PRIVATE, 1, O_CREAT, 0);
    batch->lock = proc_lock_open(PROC_PRIVATE, 0, 0);
    batch->commands = proc_pool_new(&commands);
    batch->list = proc_pool_new(&list);
    if (!batch->commands && errno == EBUSY)
        errx(1, "%s: another batch is at work there", file);
    if (!batch->handed_in || !batch->lock || !batch->commands || !batch->list)
        err(1, "cannot begin");
}

/* Of all runs under this key. */
static int report(const struct batch *batch, bool has_key)
{
    struct proc_pool_stats stats;

    if (proc_pool_stats(batch->commands, &stats, NULL, 0) < 0)
        err(1, "proc_pool_stats");
    size_t left = batch->line_count - (size_t)proc_counter_get(batch->handed_in, 0) + stats.queued;
    warnx("%zu commands: %" PRIu64 " done, %" PRIu64 " failed, %zu left", batch->line_count, stats.done, stats.dead, left);
    if (left > 0)
        return NOT_ALL;
    if (has_key && (proc_pool_remove(batch->commands) < 0 || proc_counter_remove(batch->handed_in) < 0))
        err(1, "cannot remove what is under the key");
    return stats.dead > 0;
}

/* ---- the beginning ---- */

static void read_list(struct batch *batch, const char *path)
{
    FILE *list = fopen(path, "re");
    char *line = NULL;
    size_t room = 0;

    for (ssize_t size; list && (size = getline(&line, &room, list)) > 0;) {
        line[strcspn(line, "\n")] = '\0';
        if (size > LONGEST)
            errx(1, "%s: a command has more than %d bytes", path, LONGEST);
        batch->lines = realloc(batch->lines, (batch->line_count + 1) * sizeof *batch->lines);
        if (!batch->lines || !(batch->lines[batch->line_count++] = strdup(line)))
            err(1, "memory");
    }
    if (!list || ferror(list))
        err(1, "%s", path);
    free(line);
    fclose(list);
}

static void free_list(struct batch *batch)
{
    while (batch->line_count > 0)
        free(batch->lines[--batch->line_count]);
    free(batch->lines);
}

int main(int argc, char **argv)
{
    static const struct option names[] = {{"key", required_argument, NULL, 'k'}, {0}};
    struct batch batch = {.line_count = 0};
    const char *key_file = NULL;
    unsigned workers = 5;

    for (int option; (option = getopt_long(argc, argv, "k:n:", names, NULL)) != -1;)
        switch (option) {
        case 'k': key_file = optarg; break;
        case 'n': workers = (unsigned)atoi(optarg); break;
        default: optind = argc;
        }
    if (optind + 1 != argc)
        errx(1, "usage: batch [-n WORKERS] [--key FILE] LIST");
    read_list(&batch, argv[optind]);
    open_pools(&batch, workers, key_file);
    if (proc_pool_run_all((struct proc_pool *[]){batch.commands, batch.list}, 2) < 0)
        err(1, "proc_pool_run_all");
    int status = report(&batch, key_file != NULL);
    proc_pool_free(batch.list);
    proc_pool_free(batch.commands);
    proc_counter_close(batch.handed_in);
    proc_lock_close(batch.lock);
    free_list(&batch);
    return status;
}
