/* mqserver: workers that are fed through a message queue; behind a socket, where any number of clients hand in lines.
 *
 *     $ mqserver /tmp/mq.sock                         lines of work, from examples/mqclient
 *     $ mqserver -n 2 -d 500 /tmp/mq.sock             two workers, which take 500 ms for each line
 *     mqserver: listens on unix:/tmp/mq.sock
 *     4712: water the flowers
 *     4713: mend the fence
 *     mqserver: process 4712 killed by SIGKILL
 *     mqserver: tried again: feed the cat
 *     ^C
 *     mqserver: 57 lines: 57 done, 0 given up, 0 left
 *     $ mqserver tcp:127.0.0.1:0                      the same for TCP; the port is printed
 *     $ mqserver -k /tmp /tmp/mq.sock                 what is not done at the end stays under the key that is made of /tmp, …
 *     $ mqserver -s /tmp                              … where others look at it, …
 *     2 workers, 1 idle, 1 busy; 61 accepted, 57 done, 0 given up, 3 wait
 *     worker 0: 4712, busy, 29 jobs, 1 restarts
 *     worker 1: 4713, idle, 28 jobs, 0 restarts
 *     $ mqserver -r /tmp                              … or remove it
 *
 * There are two pools. The front has the socket: its workers take a client's request, as a frame, and answer it, so no client
 * holds up another. What they answer is "ok" only when the line is in the queue of the second pool, and "full" when there was no
 * room. From then on it is done, whichever worker is killed. SIGINT or SIGTERM closes the front first; then what was accepted is
 * done (or, under a key, kept for the next start), and the server ends: a second one does not wait for that. SIGHUP replaces all
 * workers, while clients go on.
 *
 * A frame is a length in 4 bytes, the highest first, and so many bytes: "j" and a line, or "s", which asks for the state. */
#include <proc.h>

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST_SHOWN 64 /* workers */

struct server {
    struct proc_pool *front, *jobs;
    int delay_ms;
    bool is_kept; /* under a key */
};

/* ---- the scoreboard ---- */

static struct proc_pool_stats print_sums(struct proc_pool *pool, struct proc_worker_stats *workers, FILE *out)
{
    struct proc_pool_stats stats;

    if (proc_pool_stats(pool, &stats, workers, MOST_SHOWN) < 0)
        err(1, "proc_pool_stats");
    fprintf(out, "%u workers, %u idle, %u busy; %" PRIu64 " accepted, ", stats.workers, stats.idle, stats.busy, stats.submitted);
    fprintf(out, "%" PRIu64 " done, %" PRIu64 " given up, %zu wait\n", stats.done, stats.dead, stats.queued);
    return stats;
}

static void print_state(struct proc_pool *jobs, FILE *out)
{
    static const char *const states[] = {[PROC_WORKER_STARTING] = "starts", [PROC_WORKER_IDLE] = "idle",
                                         [PROC_WORKER_BUSY] = "busy", [PROC_WORKER_STOPPING] = "leaves",
                                         [PROC_WORKER_BACKING_OFF] = "backs off", [PROC_WORKER_GONE] = "gone"};
    struct proc_worker_stats workers[MOST_SHOWN];
    struct proc_pool_stats stats = print_sums(jobs, workers, out);

    for (unsigned i = 0; i < stats.workers && i < MOST_SHOWN; i++)
        fprintf(out, "worker %u: %d, %s, %" PRIu64 " jobs, %u restarts\n", i, (int)workers[i].pid, states[workers[i].state],
                workers[i].jobs, workers[i].restarts);
}

/* ---- the workers of both pools ---- */

static int reply_state(struct proc_worker *worker, const struct proc_job *request, struct proc_pool *jobs)
{
    struct proc_worker_stats unused[MOST_SHOWN];
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    if (!out)
        return -1;
    print_state(jobs, out);
    fputs("front: ", out);
    print_sums(proc_worker_pool(worker), unused, out);
    int result = fclose(out) == 0 ? proc_job_reply(request, text, size) : -1;
    free(text);
    return result;
}

/* In the front. */
static int take_request(struct proc_worker *worker, const struct proc_job *request, void *arg)
{
    const struct server *server = arg;
    const char *text = request->data;

    if (text[0] == 's')
        return reply_state(worker, request, server->jobs);
    if (text[0] != 'j')
        return proc_job_reply(request, "what?", 5);
    int accepted = proc_pool_submit(server->jobs, text + 1, request->size - 1, 0);
    const char *answer = accepted == 1 ? "ok" : accepted == 0 ? "full" : strerror(errno);
    return proc_job_reply(request, answer, strlen(answer));
}

static int do_line(struct proc_worker *worker, const struct proc_job *job, void *arg)
{
    const struct server *server = arg;

    (void)worker;
    for (int left_ms = server->delay_ms; left_ms > 0; left_ms -= 10)
        poll(NULL, 0, left_ms < 10 ? left_ms : 10);
    dprintf(STDOUT_FILENO, "%d: %.*s\n", (int)getpid(), (int)job->size, (const char *)job->data);
    return 0;
}

/* ---- the manager ---- */

static void tell(const struct proc_pool_event *event, void *arg)
{
    const struct proc_job *job = event->job;
    char how[64];

    (void)arg;
    if (event->type == PROC_POOL_WORKER_EXITED && !proc_exit_ok(&event->exit))
        warnx("process %d %s", (int)event->pid, proc_exit_string(&event->exit, how, sizeof how));
    else if (event->type == PROC_POOL_JOB_RETRIED)
        warnx("tried again: %.*s", (int)job->size, (const char *)job->data);
    else if (event->type == PROC_POOL_JOB_DEAD)
        warnx("given up: %.*s", (int)job->size, (const char *)job->data);
}

static struct proc_waiter *make_waiter(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct proc_waiter *waiter = proc_waiter_new(PROC_WAITER_PIDFD);

    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        if (!waiter || proc_waiter_signal(waiter, signals[i], NULL) < 0)
            err(1, "waiter");
    return waiter;
}

static void take_signals(const struct server *server, struct proc_waiter *waiter)
{
    struct proc_event event;

    while (proc_waiter_next(waiter, &event, 0) == 1)
        if (event.signo == SIGHUP) {
            proc_pool_reload(server->front);
            proc_pool_reload(server->jobs);
        } else if (proc_pool_done(server->front)) {
            proc_pool_stop(server->jobs);
        } else {
            proc_pool_stop(server->front);
        }
}

static void look_after(struct proc_pool *pool)
{
    if (!proc_pool_done(pool) && proc_pool_poll(pool, 0) < 0)
        err(1, "proc_pool_poll");
}

static void manage(const struct server *server)
{
    struct proc_waiter *waiter = make_waiter();
    bool is_open = true;
    struct pollfd fds[] = {{.fd = proc_pool_fd(server->front), .events = POLLIN},
                           {.fd = proc_pool_fd(server->jobs), .events = POLLIN},
                           {.fd = proc_waiter_fd(waiter), .events = POLLIN}};

    for (;;) {
        look_after(server->front);
        look_after(server->jobs);
        if (proc_pool_done(server->jobs))
            break;
        if (is_open && proc_pool_done(server->front)) {
            is_open = false; /* nobody hands in any more */
            fds[0].fd = -1;
            if ((server->is_kept ? proc_pool_stop : proc_pool_drain)(server->jobs) < 0)
                err(1, "cannot stop");
            continue;
        }
        if (poll(fds, 3, -1) < 0 && errno != EINTR)
            err(1, "poll");
        take_signals(server, waiter);
    }
    proc_waiter_free(waiter);
}

/* ---- the beginning ---- */

/* The front's workers need the queue: it is made first. */
static void open_pools(struct server *server, unsigned workers, key_t key, const char *place)
{
    char address[256];
    struct proc_pool_options jobs = {.name = "mqserver", .workers = workers, .job = do_line, .arg = server, .key = key};
    struct proc_pool_options front = {.name = "mqserver front", .workers = 2, .job = take_request, .arg = server};

    jobs.event = front.event = tell;
    front.listen = address;
    snprintf(address, sizeof address, "%s%s", strncmp(place, "tcp:", 4) == 0 ? "" : "unix:", place);
    server->jobs = proc_pool_new(&jobs);
    if (!server->jobs)
        err(1, "proc_pool_new");
    server->front = proc_pool_new(&front);
    if (!server->front)
        err(1, "%s", address);
    server->is_kept = key != PROC_PRIVATE;
    if (proc_pool_port(server->front) >= 0)
        warnx("listens on port %d", proc_pool_port(server->front));
    else
        warnx("listens on %s", address);
}

static void report(struct proc_pool *jobs)
{
    struct proc_pool_stats stats;

    if (proc_pool_stats(jobs, &stats, NULL, 0) < 0)
        err(1, "proc_pool_stats");
    warnx("%" PRIu64 " lines: %" PRIu64 " done, %" PRIu64 " given up, %zu left", stats.submitted, stats.done, stats.dead,
          stats.queued);
}

/* As another process. */
static int visit(const char *file, bool removes)
{
    struct proc_pool *jobs = proc_pool_attach(proc_key(file, 1));

    if (!jobs || (removes && proc_pool_remove(jobs) < 0))
        err(1, "%s", file);
    if (!removes)
        print_state(jobs, stdout);
    proc_pool_free(jobs);
    return 0;
}

int main(int argc, char **argv)
{
    struct server server = {.delay_ms = 0};
    unsigned workers = 4;
    key_t key = PROC_PRIVATE;

    for (int option; (option = getopt(argc, argv, "d:k:n:r:s:")) != -1;)
        switch (option) {
        case 'd': server.delay_ms = atoi(optarg); break;
        case 'n': workers = (unsigned)atoi(optarg); break;
        case 'k':
            if ((key = proc_key(optarg, 1)) == -1)
                err(1, "%s", optarg);
            break;
        case 's': return visit(optarg, false);
        case 'r': return visit(optarg, true);
        default: optind = argc;
        }
    if (optind + 1 != argc)
        errx(1, "usage: mqserver [-n WORKERS] [-d MILLISECONDS] [-k FILE] SOCKET, or mqserver -s FILE, or mqserver -r FILE");
    open_pools(&server, workers, key, argv[optind]);
    manage(&server);
    report(server.jobs);
    proc_pool_free(server.front);
    proc_pool_free(server.jobs);
    return 0;
}
