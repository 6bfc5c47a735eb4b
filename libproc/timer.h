/* A waiter's timer: one timerfd, for all who want to be woken. */
#ifndef LIBPROC_TIMER_H
#define LIBPROC_TIMER_H

#include "ends.h"

#include <stdint.h>

#define NEVER_NS INT64_MAX

enum timer_wish { TIMER_ALARM, TIMER_SWEEP, TIMER_WISHES };

struct timer {
    struct ends *ends; /* END_TIMER */
    int64_t wish_ns[TIMER_WISHES];
    int64_t set_ns; /* what the timerfd is set to */
};

void timer_init(struct timer *timer, struct ends *ends);

/* END_TIMER is readable from that time on, or that of another wish; NEVER_NS takes the wish back. */
void timer_wish(struct timer *timer, enum timer_wish wish, int64_t at_ns);

#endif
