/* loop_libev: a waiter's descriptor in a loop of libev's: three children, a signal and an alarm, next to a pipe.
 *
 *     $ loop_libev
 *     tick 1
 *     early exited with status 1
 *     …
 *
 * What it prints is told in loop_poll. libev's default loop handles SIGCHLD, and reaps every child, whosever it is: one of ours
 * would still be reported, but how it ended could be told from Linux 6.15 on only. So this is a loop of its own, which does not
 * reap, and the mode with pidfds leaves SIGCHLD to whoever else in the program wants it. */
#include <proc.h>

#include <err.h>
#include <ev.h>
#include <signal.h>
#include <stdio.h>

enum { EARLY, CALLER, SPEAKER, CHILDREN };

struct work {
    struct proc_waiter *waiter;
    struct proc *children[CHILDREN];
    int ticks;
    bool was_called;
};

static void begin(struct work *work)
{
    static char names[][8] = {"early", "caller", "speaker"};
    static const char *const scripts[] = {"sleep 0.12; exit 1", "sleep 0.22; kill -USR1 $PPID; exit 2",
                                          "sleep 0.24; echo hello; sleep 0.02; kill -TERM $$"};
    struct proc_waiter *waiter = work->waiter = proc_waiter_new(PROC_WAITER_PIDFD);

    if (!waiter || proc_waiter_signal(waiter, SIGUSR1, NULL) < 0 || proc_waiter_alarm(waiter, 100000, 100000, NULL) < 0)
        err(1, "waiter");
    for (int i = 0; i < CHILDREN; i++) {
        struct proc_options options = {.argv = (const char *[]){"sh", "-c", scripts[i], NULL}, .out = PROC_PIPE};

        work->children[i] = proc_spawn(&options);
        if (!work->children[i] || proc_waiter_add(waiter, work->children[i], names[i]) < 0)
            err(1, "%s", names[i]);
    }
}

static void handle(struct work *work, const struct proc_event *event)
{
    pid_t caller = proc_pid(work->children[CALLER]);
    char how[64];

    if (event->type == PROC_EVENT_EXIT) {
        printf("%s %s\n", (char *)event->data, proc_exit_string(&event->exit, how, sizeof how));
    } else if (event->type == PROC_EVENT_SIGNAL) {
        printf("SIGUSR1 from %s\n", event->sender == caller ? "caller" : "a stranger");
        work->was_called = true;
    } else if (event->type == PROC_EVENT_ALARM) {
        printf("tick %d\n", ++work->ticks);
        if (work->ticks == 3)
            proc_waiter_cancel(work->waiter, event->alarm);
    }
}

/* False when there is nothing left to wait for. */
static bool take_events(struct work *work)
{
    struct proc_event event;

    while (proc_waiter_next(work->waiter, &event, 0) == 1)
        handle(work, &event);
    return proc_waiter_children(work->waiter) > 0 || !work->was_called || work->ticks < 3;
}

/* False at end-of-file. */
static bool take_speech(struct work *work)
{
    char text[100];
    ssize_t size = proc_read(work->children[SPEAKER], text, sizeof text);

    if (size > 0)
        printf("speaker says: %.*s", (int)size, text);
    return size > 0;
}

static void on_event(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)events;
    if (!take_events(watcher->data))
        ev_io_stop(loop, watcher);
}

static void on_speech(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)events;
    if (!take_speech(watcher->data))
        ev_io_stop(loop, watcher);
}

int main(void)
{
    struct work work = {.ticks = 0};
    struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
    ev_io events, speech;

    if (!loop)
        errx(1, "ev_loop_new");
    begin(&work);
    ev_io_init(&events, on_event, proc_waiter_fd(work.waiter), EV_READ);
    ev_io_init(&speech, on_speech, proc_out(work.children[SPEAKER]), EV_READ);
    events.data = speech.data = &work;
    ev_io_start(loop, &events);
    ev_io_start(loop, &speech);
    ev_run(loop, 0); /* until both are stopped */
    ev_loop_destroy(loop);
    for (int i = 0; i < CHILDREN; i++)
        proc_free(work.children[i]);
    proc_waiter_free(work.waiter);
    return 0;
}
