/* The way into a pool's queue. The header and the data are one message; what is larger lies in a file, and is named by the
 * message. */
#include "job_queue.h"

#include "job_message.h"
#include "kernel.h"
#include "message.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/msg.h>

/* As in queue.c: what fits is passed on the stack, and its text begins a cache line. */
#define USUAL_SIZE 8192

struct job_message {
    _Alignas(64) char unused[64 - sizeof(long)];
    long type;
    struct job_header header;
    char data[];
};

struct usual_job {
    _Alignas(64) char bytes[sizeof(struct job_message) + USUAL_SIZE];
};

static int fail(int error)
{
    errno = error;
    return -1;
}

int job_queue_open(key_t key, bool may_make)
{
    return (int)sys(SYS_msgget, key, may_make ? IPC_CREAT | 0600 : 0);
}

static struct message *as_message(struct job_message *job)
{
    return (struct message *)&job->type;
}

static size_t text_size(size_t data_size)
{
    return sizeof(struct job_header) + data_size;
}

static void fill(struct job_message *job, struct job_header header, const void *data, size_t size)
{
    job->type = JOB_TYPE;
    job->header = header;
    if (size > 0)
        memcpy(job->data, data, size);
}

/* ---- in a file ---- */

static long send_name(int queue, const struct large_place *place, struct job_header header, const struct ipc_perm *owner,
                      const void *data, struct deadline deadline)
{
    struct usual_job room;
    struct job_message *job = (struct job_message *)room.bytes;
    struct large_name name;
    long fd = large_file_make(place, owner, data, header.size, &name);

    if (fd < 0)
        return fd;
    fill(job, header, &name, sizeof name);
    long result = message_send(queue, as_message(job), text_size(sizeof name), deadline);
    if (result < 0)
        large_file_remove(place, &name);
    large_file_sent(fd);
    return result;
}

static long submit_file(int queue, uint64_t id, const void *data, size_t size, struct deadline deadline)
{
    struct large_place place;
    struct msqid_ds status = {.msg_qnum = 0};
    long result = raw(SYS_msgctl, queue, IPC_STAT, &status);

    /* A file for nothing would be costly, where it is tried again and again. */
    bool is_full = status.__msg_cbytes + text_size(sizeof(struct large_name)) > status.msg_qbytes ||
                   status.msg_qnum >= status.msg_qbytes;
    if (result == 0 && is_full && deadline_left_ns(deadline) == 0)
        return -ETIMEDOUT;
    if (result == 0)
        result = large_place_find(&place, queue, LARGE_JOBS);
    return result < 0 ? result : send_name(queue, &place, job_header_of(id, size, JOB_IN_FILE), &status.msg_perm, data, deadline);
}

/* ---- in a message ---- */

static bool has_capacity(int queue, size_t size)
{
    struct msqid_ds status = {.msg_qnum = 0};

    return raw(SYS_msgctl, queue, IPC_STAT, &status) < 0 || text_size(size) <= status.msg_qbytes;
}

static bool fits_a_message(int queue, size_t size)
{
    return text_size(size) <= message_limit() && has_capacity(queue, size);
}

static long send_long(int queue, uint64_t id, const void *data, size_t size, struct deadline deadline)
{
    struct job_message *job = aligned_alloc(64, (sizeof *job + size + 63) / 64 * 64);

    if (!job)
        return -ENOMEM;
    fill(job, job_header_of(id, size, 0), data, size);
    long result = message_send(queue, as_message(job), text_size(size), deadline);
    free(job);
    return result;
}

static long submit_patiently(int queue, uint64_t id, const void *data, size_t size, int timeout_ms)
{
    struct deadline deadline = deadline_in(timeout_ms);

    return fits_a_message(queue, size) ? send_long(queue, id, data, size, deadline)
                                       : submit_file(queue, id, data, size, deadline);
}

/* First without a wait, from the stack. What cannot be sent so is looked at more closely: EINVAL has several reasons. */
static long submit(int queue, uint64_t id, const void *data, size_t size, int timeout_ms)
{
    struct usual_job room;
    struct job_message *job = (struct job_message *)room.bytes;

    if (text_size(size) <= USUAL_SIZE) {
        fill(job, job_header_of(id, size, 0), data, size);
        long result = message_try_send(queue, as_message(job), text_size(size));
        if (result == -EAGAIN && has_capacity(queue, size)) /* it has been full, no more */
            return timeout_ms == 0 ? -ETIMEDOUT
                                   : message_send(queue, as_message(job), text_size(size), deadline_in(timeout_ms));
        if (result != -EAGAIN && result != -EINTR && result != -EINVAL)
            return result;
    }
    return submit_patiently(queue, id, data, size, timeout_ms);
}

int job_queue_submit(const struct pool_area *area, int queue, const void *data, size_t size, int timeout_ms)
{
    struct pool_head *head = area->head;

    if (size > atomic_load_explicit(&head->max_job_size, memory_order_relaxed))
        return fail(EMSGSIZE);
    uint64_t id = atomic_fetch_add_explicit(&head->last_id, 1, memory_order_relaxed) + 1;
    long result = submit(queue, id, data, size, timeout_ms);
    if (result < 0)
        return result == -ETIMEDOUT ? 0 : fail((int)-result);
    atomic_fetch_add_explicit(&head->submitted, 1, memory_order_relaxed);
    return 1;
}

/* ---- what else is in it ---- */

size_t job_queue_messages(int queue)
{
    struct msqid_ds status = {.msg_qnum = 0};

    return raw(SYS_msgctl, queue, IPC_STAT, &status) < 0 ? 0 : status.msg_qnum;
}

size_t job_queue_length(const struct pool_area *area, int queue)
{
    size_t nudges = atomic_load(&area->head->nudges), messages = job_queue_messages(queue);

    return messages > nudges ? messages - nudges : 0;
}

/* Where there is no room for it, no worker waits. */
void job_queue_nudge(const struct pool_area *area, int queue)
{
    struct message nudge = {.type = NUDGE_TYPE};

    atomic_fetch_add(&area->head->nudges, 1);
    if (message_send(queue, &nudge, 0, deadline_in(0)) < 0)
        atomic_fetch_sub(&area->head->nudges, 1);
}

void job_queue_take_nudges(const struct pool_area *area, int queue)
{
    struct message nudge;

    while (raw(SYS_msgrcv, queue, &nudge, 0, NUDGE_TYPE, IPC_NOWAIT) == 0)
        ;
    atomic_store(&area->head->nudges, 0);
}
