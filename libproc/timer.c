/* The timerfd is set to the earliest wish. It stays readable once it has expired, until it is set anew: so it is left alone as
 * long as anything is due. */
#include "timer.h"

#include "deadline.h"
#include "kernel.h"

#include <sys/timerfd.h>

void timer_init(struct timer *timer, struct ends *ends)
{
    timer->ends = ends;
    for (int wish = 0; wish < TIMER_WISHES; wish++)
        timer->wish_ns[wish] = NEVER_NS;
    timer->set_ns = NEVER_NS;
}

static int64_t earliest(const struct timer *timer)
{
    int64_t at = NEVER_NS;

    for (int wish = 0; wish < TIMER_WISHES; wish++)
        if (timer->wish_ns[wish] < at)
            at = timer->wish_ns[wish];
    return at;
}

void timer_wish(struct timer *timer, enum timer_wish wish, int64_t at_ns)
{
    timer->wish_ns[wish] = at_ns;
    int64_t at = earliest(timer);
    if (at == timer->set_ns)
        return;
    int64_t now = monotonic_ns();
    if (at <= now && timer->set_ns <= now)
        return;
    struct itimerspec when = {.it_value = {at / 1000000000, at % 1000000000}};
    if (at == NEVER_NS)
        when.it_value = (struct timespec){0};
    raw(SYS_timerfd_settime, timer->ends->fd[END_TIMER], TFD_TIMER_ABSTIME, &when, NULL);
    timer->set_ns = at;
}
