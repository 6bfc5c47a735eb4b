/* Points in time on the monotonic clock, so that a wait that is interrupted goes on for what is left of it. */
#ifndef LIBPROC_DEADLINE_H
#define LIBPROC_DEADLINE_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

struct deadline {
    int64_t at_ns; /* INT64_MAX: never; 0: at once */
};

int64_t monotonic_ns(void);

/* timeout_ms as in the public calls: -1 for ever, 0 a try. */
struct deadline deadline_in(int timeout_ms);
int64_t deadline_left_ns(struct deadline deadline); /* 0 when it has passed */

/* poll() until the deadline. Returns how many are ready, 0 when the time ran out, -1 with errno, never EINTR. */
int deadline_poll(struct deadline deadline, struct pollfd *fds, unsigned count);

#endif
