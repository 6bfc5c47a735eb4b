/* System V messages, sent and received by a deadline. */
#ifndef LIBPROC_MESSAGE_H
#define LIBPROC_MESSAGE_H

#include "deadline.h"
#include "kernel.h"

#include <stddef.h>
#include <sys/ipc.h>

struct message {
    long type;
    char text[];
};

/* All of these: -errno on failure, and errno is left alone. */

/* One attempt, inline: after a system call the processor does not know any more where the functions return to, and each return
 * costs as much as a small message. */
static inline long message_try_send(int queue, const struct message *message, size_t size)
{
    return raw(SYS_msgsnd, queue, message, size, IPC_NOWAIT);
}

static inline long message_try_receive(int queue, struct message *message, size_t size, long type, int flags)
{
    return raw(SYS_msgrcv, queue, message, size, type, flags);
}

/* -ETIMEDOUT; never -EINTR. */
long message_send(int queue, const struct message *message, size_t size, struct deadline deadline);
long message_receive(int queue, struct message *message, size_t size, long type, struct deadline deadline); /* its size */

/* No message can be longer, whatever the queue. */
size_t message_limit(void);

#endif
