/* For workers that wait for clients, and so not for messages: a descriptor that is readable when the queue may have a job.
 *
 * A process of the pool's waits for messages without taking them. When there is one it rings, and waits until a worker has found
 * the queue empty. */
#ifndef LIBPROC_QUEUE_BELL_H
#define LIBPROC_QUEUE_BELL_H

#include "pool_area.h"

/* The descriptor, or -1 with errno. */
int queue_bell_open(void);

/* In a worker that has found no job: it is silent, and then the worker looks again. If there is one after all, it is to ring
 * for the others; if there is none, who rings may do so when there is. */
void queue_bell_silence(int bell);
void queue_bell_ring(int bell);
void queue_bell_may_ring(struct pool_head *head);

/* The life of who rings, in a slot of its own. 0 when it is to leave; -1 with errno: there is no queue any more. */
int queue_bell_serve(const struct pool_area *area, int queue, uint32_t slot, int bell);

#endif
