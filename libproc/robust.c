/* The C library's robust mutexes: the kernel walks through those that a thread holds when it dies, execs or exits, and wakes
 * the next. Nobody else can have that, since a thread has but one such list, and it is the C library's.
 *
 * There is no set-up to be left half done: a new mutex is all zeros but for its kind, which every opener writes. */
#include "robust.h"

#include "deadline.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#define WORDS (sizeof(pthread_mutex_t) / sizeof(uint32_t))

static void make_new(pthread_mutex_t *mutex)
{
    pthread_mutexattr_t kind;

    memset(mutex, 0, sizeof *mutex);
    pthread_mutexattr_init(&kind);
    pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
    pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_init(mutex, &kind);
    pthread_mutexattr_destroy(&kind);
}

void robust_set_up(pthread_mutex_t *mutex)
{
    union {
        pthread_mutex_t mutex;
        uint32_t words[WORDS];
    } fresh;
    _Atomic uint32_t *words = (_Atomic uint32_t *)mutex;

    make_new(&fresh.mutex);
    for (size_t i = 0; i < WORDS; i++)
        if (fresh.words[i])
            atomic_store(&words[i], fresh.words[i]);
}

#ifndef __has_feature
#define __has_feature(feature) 0
#endif

/* Older C libraries do not have it, and the thread sanitizer does not know it. */
#if !defined __GLIBC_PREREQ || defined __SANITIZE_THREAD__ || __has_feature(thread_sanitizer)
#define HAS_CLOCKLOCK 0
#else
#define HAS_CLOCKLOCK __GLIBC_PREREQ(2, 30)
#endif

#if HAS_CLOCKLOCK
static int lock_until(pthread_mutex_t *mutex, struct deadline deadline)
{
    struct timespec at = {deadline.at_ns / 1000000000, deadline.at_ns % 1000000000};

    return pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, &at);
}
#else
/* There is but the clock on the wall, which may jump: it is trusted for a moment at a time. */
#define MOMENT_NS INT64_C(100000000)

static int lock_until(pthread_mutex_t *mutex, struct deadline deadline)
{
    for (;;) {
        int64_t left = deadline_left_ns(deadline);
        int64_t moment = left < MOMENT_NS ? left : MOMENT_NS;
        struct timespec at;

        clock_gettime(CLOCK_REALTIME, &at);
        int64_t nanoseconds = at.tv_nsec + moment;
        at.tv_sec += nanoseconds / 1000000000;
        at.tv_nsec = nanoseconds % 1000000000;
        int failure = pthread_mutex_timedlock(mutex, &at);
        if (failure != ETIMEDOUT || moment == left)
            return failure;
    }
}
#endif

static int wait_for(pthread_mutex_t *mutex, int timeout_ms)
{
#ifdef __GLIBC__ /* others only tell who waits that it is his own */
    if (timeout_ms == 0)
        return ETIMEDOUT;
#endif
    return timeout_ms < 0 ? pthread_mutex_lock(mutex) : lock_until(mutex, deadline_in(timeout_ms));
}

int robust_fail(int failure)
{
    errno = failure;
    return -1;
}

int robust_lock_otherwise(pthread_mutex_t *mutex, int timeout_ms, int failure)
{
    if (failure == EBUSY)
        failure = wait_for(mutex, timeout_ms);
    if (failure == EOWNERDEAD) {
        pthread_mutex_consistent(mutex);
        return 2;
    }
    if (failure == ETIMEDOUT)
        return 0;
    return failure ? robust_fail(failure) : 1;
}
