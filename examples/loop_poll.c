/* loop_poll: a waiter's descriptor in a loop around poll(2): three children, a signal and an alarm, next to a pipe.
 *
 *     $ loop_poll
 *     tick 1
 *     early exited with status 1
 *     tick 2
 *     SIGUSR1 from caller
 *     caller exited with status 2
 *     speaker says: hello
 *     speaker killed by SIGTERM
 *     tick 3
 *
 * The order is that in which things happen. loop_epoll, loop_libuv, loop_libev and loop_glib do the same in other loops.
 *
 * For children, signals and alarms alone no loop around the waiter is needed: proc_waiter_next waits by itself. Here something
 * else is watched as well: what one of the children writes. */
#include <proc.h>

#include <err.h>
#include <errno.h>
#include <poll.h>
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
    struct proc_waiter *waiter = work->waiter = proc_waiter_new(0);

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

int main(void)
{
    struct work work = {.ticks = 0};
    bool awaits = true, listens = true;

    begin(&work);
    while (awaits || listens) {
        struct pollfd fds[] = {
            {.fd = proc_waiter_fd(work.waiter), .events = POLLIN},
            {.fd = listens ? proc_out(work.children[SPEAKER]) : -1, .events = POLLIN},
        };

        if (poll(fds, 2, -1) < 0)
            err(1, "poll");
        if (fds[0].revents)
            awaits = take_events(&work);
        if (fds[1].revents)
            listens = take_speech(&work);
    }
    for (int i = 0; i < CHILDREN; i++)
        proc_free(work.children[i]);
    proc_waiter_free(work.waiter);
    return 0;
}
