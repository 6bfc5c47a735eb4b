/* Sleeping until a word in shared memory changes. */
#ifndef LIBPROC_FUTEX_H
#define LIBPROC_FUTEX_H

#include "deadline.h"

#include <stdatomic.h>

/* Sleeps as long as the word is `value`: 1 when woken, 0 when the time ran out, -1 with errno; EAGAIN: it is another value. */
int futex_wait(const _Atomic uint32_t *word, uint32_t value, struct deadline deadline);

/* The same, but a signal ends it, too: -1 with EINTR. */
int futex_sleep(const _Atomic uint32_t *word, uint32_t value, struct deadline deadline);

/* Wakes up to `count` sleepers; returns how many. */
int futex_wake(const _Atomic uint32_t *word, int count);

#endif
