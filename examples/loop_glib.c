/* loop_glib: a waiter's descriptor in a main loop of GLib's: three children, a signal and an alarm, next to a pipe.
 *
 *     $ loop_glib
 *     tick 1
 *     early exited with status 1
 *     …
 *
 * What it prints is told in loop_poll. GLib, where it has no pidfds, handles SIGCHLD from the first g_child_watch_add on, or
 * whatever calls that: the mode with pidfds leaves that signal to it. It waits for none but its own children. */
#include <proc.h>

#include <err.h>
#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>

enum { EARLY, CALLER, SPEAKER, CHILDREN };

struct work {
    struct proc_waiter *waiter;
    struct proc *children[CHILDREN];
    int ticks;
    bool was_called;
    GMainLoop *loop;
    int sources;
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

/* Both are called again as long as they return true. */
static gboolean on_event(gint fd, GIOCondition condition, gpointer work)
{
    (void)fd, (void)condition;
    return take_events(work);
}

static gboolean on_speech(gint fd, GIOCondition condition, gpointer work)
{
    (void)fd, (void)condition;
    return take_speech(work);
}

static void on_removal(gpointer data)
{
    struct work *work = data;

    if (--work->sources == 0)
        g_main_loop_quit(work->loop);
}

static void watch(struct work *work, int fd, GUnixFDSourceFunc function)
{
    g_unix_fd_add_full(G_PRIORITY_DEFAULT, fd, G_IO_IN | G_IO_HUP, function, work, on_removal);
    work->sources++;
}

int main(void)
{
    struct work work = {.loop = g_main_loop_new(NULL, FALSE)};

    begin(&work);
    watch(&work, proc_waiter_fd(work.waiter), on_event);
    watch(&work, proc_out(work.children[SPEAKER]), on_speech);
    g_main_loop_run(work.loop);
    g_main_loop_unref(work.loop);
    for (int i = 0; i < CHILDREN; i++)
        proc_free(work.children[i]);
    proc_waiter_free(work.waiter);
    return 0;
}
