/* A lock between processes, which is handed on when its holder dies. They must know each other by the same process numbers: no
 * two of them in different PID namespaces. */
#ifndef PROC_LOCK_H
#define PROC_LOCK_H

#include <proc/key.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct proc_lock;

/* Opens the lock of that key. flags: O_CREAT makes it, free, if there is none; with O_EXCL it must not exist. mode:
 * permissions, 0: 0600. With PROC_PRIVATE it is always made, for this process and the children that it starts afterwards.
 * ENOENT, EEXIST, EACCES; EINVAL: there is something else under that key, or a lock of another C library's; ENOMEM, ENOSPC:
 * limits of the system. */
struct proc_lock *proc_lock_open(key_t key, int flags, mode_t mode);

/* Takes the lock for this thread, waiting up to timeout_ms for it. Returns 1; 2 when it is ours and the one before died while
 * he held it, so that what it protects may be half done: who dies before he has put that right leaves another 2; 0 when the
 * time ran out; -1 with errno. EDEADLK: this thread holds it. */
int proc_lock_acquire(struct proc_lock *lock, int timeout_ms);

/* EPERM: this thread does not hold it. */
int proc_lock_release(struct proc_lock *lock);

/* Removes the key. Who has the lock open keeps it. EPERM: it is another user's. To remove it twice, or a private one, does
 * nothing. */
int proc_lock_remove(struct proc_lock *lock);

/* Unmaps it in this process; if this thread took it through this handle, it is released first. Accepts NULL, keeps errno. */
void proc_lock_close(struct proc_lock *lock);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
