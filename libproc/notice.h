/* What workers tell their manager, over one pair of sockets for all of them. */
#ifndef LIBPROC_NOTICE_H
#define LIBPROC_NOTICE_H

#include "ends.h"
#include "letter.h"

#include <proc/pool.h>
#include <stdint.h>

enum notice_kind {
    NOTICE_READY,      /* its `start` has returned 0 */
    NOTICE_FAILED,     /* the job in its slot is to be judged */
    NOTICE_CLIENT_JOB, /* a job of a client's has failed: `event` is what to report */
    NOTICE_DETACHED,
    NOTICE_QUEUE_FAILS, /* `event` is the errno: it was removed, or the worker may not read it */
    NOTICE_MAILBOX,    /* both ends of its mailbox are passed along: the manager's, and its own */
    NOTICE_READ,       /* it has taken the last of them */
    NOTICE_LETTER      /* a message to another worker, whose head follows; one that lies in a file is passed along */
};

struct notice {
    uint32_t kind;
    uint32_t slot;   /* whose it is … */
    uint64_t serial; /* … and which process of those that had it */
    union {
        struct {
            uint32_t event, attempt;
            uint64_t id, size;
        } job;
        struct letter_head letter;
    };
};

/* END_CHANNEL of both: where they arrive, and where they are sent, which workers keep when they are forked. */
struct notices {
    struct ends ends, workers;
};
static inline int notices_way_in(const struct notices *notices)
{
    return notices->workers.fd[END_CHANNEL];
}

int notices_open(struct notices *notices);
void notices_close(struct notices *notices);

/* In a worker: waits for room. 0; -errno: -EPIPE: the manager is gone. The packet's head is the notice. */
struct packet;
long notice_send(int socket, const struct notice *notice, struct packet *packet);

#endif
