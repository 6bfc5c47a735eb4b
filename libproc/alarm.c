/* The process's own interval timers, whose signals a waiter or a handler may take. */
#include "kernel.h"

#include <proc/waiter.h>
#include <sys/time.h>

int proc_alarm(int64_t interval_us, int which)
{
    int64_t us = interval_us > 0 ? interval_us : 0;
    struct timeval interval = {us / 1000000, us % 1000000};
    struct itimerval timer = {interval, interval};

    return (int)sys(SYS_setitimer, which, &timer, NULL);
}
