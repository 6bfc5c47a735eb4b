/* Shared memory: a System V segment under a key, or memory for the opener and its children. */
#ifndef PROC_SHM_H
#define PROC_SHM_H

#include <proc/key.h>
#include <stddef.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct proc_shm;

/* Opens the memory of that key, and maps it. flags: O_CREAT makes it, filled with zeros, if there is none; with O_EXCL it must
 * not exist. size in bytes; 0: as large as it is. mode: permissions, 0: 0600. With PROC_PRIVATE it is always made. ENOENT,
 * EEXIST, EACCES; EINVAL: it is smaller than size, or unknown flags; ENOMEM, ENOSPC: limits of the system. */
struct proc_shm *proc_shm_open(key_t key, size_t size, int flags, mode_t mode);

/* Where it is mapped in this process and in the children that it forks; elsewhere it may be at another address. */
void *proc_shm_data(const struct proc_shm *shm);

/* How large it is: at least what was asked for. */
size_t proc_shm_size(const struct proc_shm *shm);

/* Removes the key. Who has it mapped keeps it; it is gone when the last of them has closed it or ended. EPERM: it is another
 * user's. To remove it twice, or a private one, does nothing. */
int proc_shm_remove(struct proc_shm *shm);

/* Unmaps it in this process. Accepts NULL, keeps errno. */
void proc_shm_close(struct proc_shm *shm);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
