/* signals: every signal that comes, who sent it, and the value that came with it, until SIGTERM or SIGINT.
 *
 *     $ signals
 *     4710 takes signals until SIGTERM or SIGINT
 *     signal 10 (User defined signal 1) from 4711
 *     signal 35 (Real-time signal 1) from 4711, value 1
 *     signal 35 (Real-time signal 1) from 4711, value 2
 *     signal 35 (Real-time signal 1) from 4711, value -3
 *     4711 exited with status 0
 *     signal 28 (Window changed) from the kernel        # the terminal's size has changed
 *     signal 15 (Terminated) from 4720                  # kill 4710, in a shell
 *     the program's own handler has SIGUSR1 again
 *
 * Nothing of this runs inside a signal handler, so anything may be done there. A signal that is sent twice before it is looked
 * at comes once; real-time signals (SIGRTMIN and above) are queued. */
#include <proc.h>

#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* As a program may have had it all along. */
static void handle_usr1(int signo)
{
    static const char text[] = "the program's own handler has SIGUSR1 again\n";

    (void)signo;
    if (write(STDOUT_FILENO, text, sizeof text - 1) < 0)
        _exit(1);
}

/* A child, which sends its parent some. */
static int send_some(struct proc *self, void *unused)
{
    pid_t parent = getppid();

    (void)self, (void)unused;
    kill(parent, SIGUSR1);
    sigqueue(parent, SIGRTMIN + 1, (union sigval){.sival_int = 1});
    sigqueue(parent, SIGRTMIN + 1, (union sigval){.sival_int = 2});
    sigqueue(parent, SIGRTMIN + 1, (union sigval){.sival_int = -3});
    return 0;
}

/* All that can be: neither SIGKILL and SIGSTOP, nor SIGCHLD, by which the waiter hears of the child. */
static void take_all(struct proc_waiter *waiter)
{
    for (int signo = 1; signo <= SIGRTMAX; signo++)
        if (proc_waiter_signal(waiter, signo, NULL) < 0 && errno != EINVAL)
            err(1, "proc_waiter_signal");
}

static void print_signal(const struct proc_event *event)
{
    printf("signal %d (%s) from ", event->signo, strsignal(event->signo));
    if (event->sender != 0)
        printf("%d", (int)event->sender);
    else
        printf("the kernel");
    if (event->value != 0)
        printf(", value %d", event->value);
    printf("\n");
}

int main(void)
{
    struct proc_waiter *waiter = proc_waiter_new(0);
    struct proc_event event = {.signo = 0};
    char how[64];

    if (!waiter)
        err(1, "proc_waiter_new");
    signal(SIGUSR1, handle_usr1);
    take_all(waiter);
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("%d takes signals until SIGTERM or SIGINT\n", (int)getpid());
    struct proc *child = proc_spawn(&(struct proc_options){.main = send_some});
    if (!child || proc_waiter_add(waiter, child, NULL) < 0)
        err(1, "child");
    while (event.signo != SIGTERM && event.signo != SIGINT) {
        if (proc_waiter_next(waiter, &event, -1) < 0)
            err(1, "proc_waiter_next");
        if (event.type == PROC_EVENT_EXIT)
            printf("%d %s\n", (int)event.exit.pid, proc_exit_string(&event.exit, how, sizeof how));
        else
            print_signal(&event);
    }
    proc_free(child);
    proc_waiter_unsignal(waiter, SIGUSR1); /* the others come back with the waiter's end */
    raise(SIGUSR1);
    proc_waiter_free(waiter);
    return 0;
}
