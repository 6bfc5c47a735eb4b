/* alarm: a signal each 100 ms, ten times, by proc_alarm; the signal comes through a waiter, and not to a handler.
 *
 *     $ alarm
 *     #1      alarm
 *     …
 *     #10     alarm
 *     no more
 *
 * There is one timer of this kind in a process, and its signal interrupts nothing here, since the waiter has it.
 * proc_waiter_alarm has as many timers as one likes, and takes no signal for them: loop_poll shows one. */
#include <proc.h>

#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <sys/time.h>

int main(void)
{
    struct proc_waiter *waiter = proc_waiter_new(PROC_WAITER_PIDFD); /* without children: SIGCHLD is left alone */
    struct proc_event event;

    /* In this order: a SIGALRM that nobody takes ends the program. */
    if (!waiter || proc_waiter_signal(waiter, SIGALRM, NULL) < 0)
        err(1, "waiter");
    if (proc_alarm(100 * 1000, ITIMER_REAL) < 0)
        err(1, "proc_alarm");
    for (int count = 1; count <= 10; count++) {
        if (proc_waiter_next(waiter, &event, -1) < 0)
            err(1, "proc_waiter_next");
        printf("#%d\talarm\n", count);
    }
    proc_alarm(-1, ITIMER_REAL);
    while (proc_waiter_next(waiter, &event, 0) == 1) /* one that came before it was switched off */
        ;
    printf("%s\n", proc_waiter_next(waiter, &event, 300) == 0 ? "no more" : "one more");
    proc_waiter_free(waiter);
    return 0;
}
