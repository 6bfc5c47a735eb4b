/* Futexes between processes, with deadlines on the monotonic clock. */
#include "futex.h"

#include "kernel.h"

#include <stddef.h>
#include <time.h>

/* Of linux/futex.h, which not every C library's compiler finds. */
#define FUTEX_WAKE 1
#define FUTEX_WAIT_BITSET 9
#define FUTEX_BITSET_MATCH_ANY 0xffffffffu

/* FUTEX_WAIT_BITSET takes a point in time, so that an interruption needs no reckoning. A deadline of "at once" is one that has
 * passed. */
int futex_sleep(const _Atomic uint32_t *word, uint32_t value, struct deadline deadline)
{
    struct timespec at = {deadline.at_ns / 1000000000, deadline.at_ns % 1000000000};
    long result = raw(SYS_futex, word, FUTEX_WAIT_BITSET, value, deadline.at_ns == INT64_MAX ? NULL : &at, NULL,
                      FUTEX_BITSET_MATCH_ANY);

    if (result == -ETIMEDOUT)
        return 0;
    return result < 0 ? (int)kernel_result(result) : 1;
}

int futex_wait(const _Atomic uint32_t *word, uint32_t value, struct deadline deadline)
{
    int saved = errno, result;

    do
        result = futex_sleep(word, value, deadline);
    while (result < 0 && errno == EINTR);
    if (result >= 0)
        errno = saved;
    return result;
}

int futex_wake(const _Atomic uint32_t *word, int count)
{
    return (int)sys(SYS_futex, word, FUTEX_WAKE, count, NULL, NULL, 0);
}
