/* 64-bit counters that processes share: atomic, without a lock, and each to be waited for. */
#ifndef PROC_COUNTER_H
#define PROC_COUNTER_H

#include <proc/key.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct proc_counter;

/* Opens `count` counters, numbered from 0, which are 0 when they are made. flags: O_CREAT makes them if there are none; with
 * O_EXCL they must not exist. mode: permissions, 0: 0600. With PROC_PRIVATE they are always made. ENOENT, EEXIST, EACCES;
 * EINVAL: there is something else under that key, or another number of counters; ENOMEM, ENOSPC: limits of the system. */
struct proc_counter *proc_counter_open(key_t key, size_t count, int flags, mode_t mode);

/* Any number of threads and processes may call these at once. An i that is not below count is EINVAL, and changes nothing: the
 * result is 0 or false, errno is set, and a library that was built for debugging stops the program. */
int64_t proc_counter_add(struct proc_counter *counter, size_t i, int64_t delta); /* returns the new value; it wraps around */
int64_t proc_counter_get(const struct proc_counter *counter, size_t i);
void proc_counter_set(struct proc_counter *counter, size_t i, int64_t value);
bool proc_counter_cas(struct proc_counter *counter, size_t i, int64_t expected, int64_t desired); /* false: it was another one */

/* Sleeps as long as the counter is while_equal and nobody wakes it. Returns 1 when it is another value, or after a
 * proc_counter_wake; 0 when the time ran out; -1 with errno. To change a counter wakes nobody: that is proc_counter_wake's. */
int proc_counter_wait(struct proc_counter *counter, size_t i, int64_t while_equal, int timeout_ms);

/* Wakes up to n of those who wait for that counter, and returns how many it woke. */
int proc_counter_wake(struct proc_counter *counter, size_t i, int n);

/* Removes the key. Who has the counters open keeps them. EPERM: they are another user's. To remove them twice, or private
 * ones, does nothing. */
int proc_counter_remove(struct proc_counter *counter);

/* Unmaps them in this process. Accepts NULL, keeps errno. */
void proc_counter_close(struct proc_counter *counter);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
