/* System V messages, sent and received by a deadline. */
#ifndef LIBPROC_MESSAGE_H
#define LIBPROC_MESSAGE_H

#include "deadline.h"

#include <stddef.h>

struct message {
    long type;
    char text[];
};

/* -errno on failure, and errno is left alone: -ETIMEDOUT. */
long message_send(int queue, const struct message *message, size_t size, struct deadline deadline);
long message_receive(int queue, struct message *message, size_t size, long type, struct deadline deadline); /* its size */

/* No message can be longer, whatever the queue. */
size_t message_limit(void);

#endif
