/* loop_libuv: a waiter's descriptor in a loop of libuv's: three children, a signal and an alarm, next to a pipe.
 *
 *     $ loop_libuv
 *     tick 1
 *     early exited with status 1
 *     …
 *
 * What it prints is told in loop_poll. libuv handles SIGCHLD itself as soon as the program, or a library that it uses, calls
 * uv_spawn: the mode with pidfds leaves that signal to it. It waits for none but its own children. */
#include <proc.h>

#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <uv.h>

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

static void on_event(uv_poll_t *poll, int status, int events)
{
    (void)status, (void)events;
    if (!take_events(poll->data))
        uv_close((uv_handle_t *)poll, NULL);
}

static void on_speech(uv_poll_t *poll, int status, int events)
{
    (void)status, (void)events;
    if (!take_speech(poll->data))
        uv_close((uv_handle_t *)poll, NULL);
}

static void watch(uv_poll_t *poll, int fd, uv_poll_cb callback, struct work *work)
{
    int failure = uv_poll_init(uv_default_loop(), poll, fd);

    poll->data = work;
    if (failure == 0)
        failure = uv_poll_start(poll, UV_READABLE, callback);
    if (failure != 0)
        errx(1, "uv_poll: %s", uv_strerror(failure));
}

int main(void)
{
    struct work work = {.ticks = 0};
    uv_poll_t events, speech;

    begin(&work);
    watch(&events, proc_waiter_fd(work.waiter), on_event, &work);
    watch(&speech, proc_out(work.children[SPEAKER]), on_speech, &work);
    uv_run(uv_default_loop(), UV_RUN_DEFAULT); /* until both are closed */
    uv_loop_close(uv_default_loop());
    for (int i = 0; i < CHILDREN; i++)
        proc_free(work.children[i]);
    proc_waiter_free(work.waiter);
    return 0;
}
