/* Message queues between processes: System V's, with timeouts, and with messages of any size. */
#ifndef PROC_QUEUE_H
#define PROC_QUEUE_H

#include <proc/key.h>
#include <stddef.h>
#include <sys/types.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct proc_queue;

#define PROC_QUEUE_LARGE 0x20000000 /* flag: messages above the system's limit travel through files in shared memory */

/* Opens the queue of that key. flags: O_CREAT makes it if there is none; with O_EXCL it must not exist; PROC_QUEUE_LARGE, with
 * which all sides open it, or none. mode: permissions, 0: 0600. With PROC_PRIVATE it is always made, for this process and the
 * children that it starts afterwards. ENOENT, EEXIST; EINVAL: unknown flags; ENOSPC: the limit on queues. With PROC_QUEUE_LARGE
 * also EACCES: this user may not read and write it; EINVAL: its users have another C library; ENOSYS: the kernel cannot look at a
 * message without taking it. */
struct proc_queue *proc_queue_open(key_t key, int flags, mode_t mode);

/* Appends a message of `size` bytes (data may be NULL for none) under a type above 0, waiting up to timeout_ms for room. Returns
 * 1, 0 when the time ran out, -1 with errno. EMSGSIZE: it is above the system's limit for messages or the queue's capacity; with
 * PROC_QUEUE_LARGE, one of these is below the 2048 bytes that a large message takes there. EINVAL: the type; EACCES: this user
 * may not write it; EIDRM, EINVAL: it was removed; ENOSPC, EFBIG: no room for the file of a large one. */
int proc_queue_push(struct proc_queue *queue, long type, const void *data, size_t size, int timeout_ms);

/* Takes a message, waiting up to timeout_ms for it, and returns its size; *got_type (which may be NULL) is its type. type 0: the
 * oldest message; above 0: the oldest of that type; below 0: the oldest of the lowest type that is not above -type. -1 with
 * errno. ETIMEDOUT: the time ran out, also with a timeout of 0; E2BIG: it is larger than buf, and stays where it is; EACCES: this
 * user may not read it; EIDRM, EINVAL: it was removed; EBADMSG: the file of a large message is gone, and the message with it. */
ssize_t proc_queue_pop(struct proc_queue *queue, long type, void *buf, size_t size, long *got_type, int timeout_ms);

struct proc_queue_stat {
    size_t messages;                       /* in the queue */
    size_t bytes;                          /* in all of them; a large one counts with what it takes in the queue */
    size_t capacity;                       /* in bytes */
    pid_t last_push_pid, last_pop_pid;     /* 0: nobody yet; of a call that had to wait for a time, maybe its helper's */
    time_t last_push_time, last_pop_time;  /* 0: never; seconds since the epoch */
};

int proc_queue_stat(struct proc_queue *queue, struct proc_queue_stat *stat);

/* Less than is in it is no error: it is full then. EPERM: more than /proc/sys/kernel/msgmnb takes a privilege, and so does
 * another user's queue. EINVAL: 0, or more than the kernel can count. */
int proc_queue_set_capacity(struct proc_queue *queue, size_t bytes);

/* The number by which ipcs and msgctl() know it. */
int proc_queue_id(const struct proc_queue *queue);

/* Removes it from the system, with its messages: those who wait get EIDRM. EPERM: it is another user's. */
int proc_queue_remove(struct proc_queue *queue);

/* Frees it in this process. A private one is removed by the process that made it, here or when it exits, but not
 * when it is killed. Accepts NULL, keeps errno. */
void proc_queue_close(struct proc_queue *queue);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
