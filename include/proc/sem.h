/* Counting semaphores between processes: System V's, given back by the kernel when their holder dies. */
#ifndef PROC_SEM_H
#define PROC_SEM_H

#include <proc/key.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct proc_sem;

#define PROC_SEM_MAX 32767           /* the highest value */
#define PROC_SEM_NO_UNDO 0x40000000  /* flag: what this process acquires and does not release stays acquired when it ends */

/* Opens the semaphore of that key. flags: O_CREAT makes it with the value `initial` if there is none; with O_EXCL it must not
 * exist; PROC_SEM_NO_UNDO. mode: permissions, 0: 0600. With PROC_PRIVATE it is always made, for this process and the children
 * that it starts afterwards. ENOENT, EEXIST, EACCES; EINVAL: initial above PROC_SEM_MAX, unknown flags, or something else
 * under that key; ENOSPC: a limit of the system. */
struct proc_sem *proc_sem_open(key_t key, unsigned initial, int flags, mode_t mode);

/* Takes one, waiting up to timeout_ms for it. Returns 1, 0 when the time ran out, -1 with errno. EIDRM, EINVAL: it was removed;
 * ENOSPC: the limit on what the kernel keeps to undo. */
int proc_sem_acquire(struct proc_sem *sem, int timeout_ms);

/* Gives one back; also one that was not acquired, which then is taken back when this process ends, unless PROC_SEM_NO_UNDO.
 * ERANGE: the value would be above PROC_SEM_MAX; EIDRM, EINVAL: it was removed; ENOSPC as above. */
int proc_sem_release(struct proc_sem *sem);

/* How many can be acquired now; -1 with errno. */
int proc_sem_value(struct proc_sem *sem);

/* Removes it from the system: those who wait for it get EIDRM. EPERM: it is another user's. */
int proc_sem_remove(struct proc_sem *sem);

/* Frees it in this process; what is acquired stays acquired. A private one is removed by the process that made it, here or when
 * that process exits. Accepts NULL, keeps errno. */
void proc_sem_close(struct proc_sem *sem);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
