/* Deadlines: what is left of a timeout after each interruption, in nanoseconds. */
#include "deadline.h"

#include "kernel.h"

#include <time.h>

int64_t monotonic_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now); /* the vDSO's: no system call, and no failure for this clock */
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

struct deadline deadline_in(int timeout_ms)
{
    if (timeout_ms < 0)
        return (struct deadline){INT64_MAX};
    if (timeout_ms == 0)
        return (struct deadline){0};
    return (struct deadline){monotonic_ns() + timeout_ms * INT64_C(1000000)};
}

int64_t deadline_left_ns(struct deadline deadline)
{
    if (deadline.at_ns == 0 || deadline.at_ns == INT64_MAX)
        return deadline.at_ns;
    int64_t left = deadline.at_ns - monotonic_ns();
    return left > 0 ? left : 0;
}

int deadline_poll(struct deadline deadline, struct pollfd *fds, unsigned count)
{
    for (;;) {
        int64_t left = deadline_left_ns(deadline);
        struct timespec timeout = {left / 1000000000, left % 1000000000};
        long ready = raw(SYS_ppoll, fds, count, deadline.at_ns == INT64_MAX ? NULL : &timeout, NULL, 0);

        if (ready != -EINTR)
            return (int)kernel_result(ready);
    }
}
