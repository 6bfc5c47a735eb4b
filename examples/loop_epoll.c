/* loop_epoll: a waiter's descriptor in an epoll: three children, a signal and an alarm, next to a pipe.
 *
 *     $ loop_epoll
 *     tick 1
 *     early exited with status 1
 *     …
 *
 * What it prints is told in loop_poll. The descriptor may be watched level- or edge-triggered, since every event that is there
 * is taken each time. */
#include <proc.h>

#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

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

static void watch(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        err(1, "epoll_ctl");
}

int main(void)
{
    struct work work = {.ticks = 0};
    bool awaits = true, listens = true;
    struct epoll_event ready;
    int epoll = epoll_create1(EPOLL_CLOEXEC);

    begin(&work);
    watch(epoll, proc_waiter_fd(work.waiter));
    watch(epoll, proc_out(work.children[SPEAKER]));
    while (awaits || listens) {
        int count = epoll_wait(epoll, &ready, 1, -1);

        if (count < 0 && errno != EINTR) /* as after SIGSTOP and SIGCONT */
            err(1, "epoll_wait");
        if (count == 1 && ready.data.fd == proc_waiter_fd(work.waiter))
            awaits = take_events(&work);
        else if (count == 1 && !(listens = take_speech(&work)))
            proc_close(work.children[SPEAKER], PROC_CLOSE_OUT); /* and so it leaves the epoll */
    }
    close(epoll);
    for (int i = 0; i < CHILDREN; i++)
        proc_free(work.children[i]);
    proc_waiter_free(work.waiter);
    return 0;
}
