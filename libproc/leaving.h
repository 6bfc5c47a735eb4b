/* How a worker is asked to leave: SIGTERM, from its manager or whoever; and a signal from the kernel when the manager dies.
 *
 * It is the process's matter, as its signals are; so there is one in each process, and a process that is no worker has none. */
#ifndef LIBPROC_LEAVING_H
#define LIBPROC_LEAVING_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Set by the handler. */
struct leaving {
    volatile sig_atomic_t asked;
    volatile sig_atomic_t waits; /* in a call that the signal is to end, or about to begin one */
};
extern struct leaving leaving;

/* By the one thread that will wait, before any signal can come. manager: the process that it is to leave with. */
void leaving_prepare(pid_t manager);

/* Asks the kernel to tell of the manager's death; when that comes, the process ends after grace_ms at the latest (-1: never).
 * -1: it is gone already, or errno. */
int leaving_follow_manager(int grace_ms);

/* The kernel forgets it when a process becomes another user. */
void leaving_follow_manager_again(void);
void leaving_unfollow_manager(void);
bool leaving_manager_is_gone(void);

/* A descriptor that is readable from the moment that it is asked; -1 with errno. The same at each call. */
int leaving_fd(void);

/* As if the signal had come. */
void leaving_ask(void);

/* Around a call that waits, on that thread: a signal in between ends it with EINTR, also one that comes just before it begins.
 * Then waits is to be followed by a look at asked. */
static inline void leaving_wait_begins(void)
{
    leaving.waits = 1;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

void leaving_stop_ringing(void);

static inline void leaving_wait_ends(void)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    leaving.waits = 0;
    if (__builtin_expect(leaving.asked, 0))
        leaving_stop_ringing();
}

#endif
