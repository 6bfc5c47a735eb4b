/* Queues: System V's, whose messages carry the bytes as they are.
 *
 * The kernel's calls want the type in front of the data, in one piece. So each message is copied once more than the kernel
 * does. */
#include "kernel.h"
#include "large.h"
#include "large_files.h"
#include "message.h"
#include "private_ipc.h"

#include <fcntl.h>
#include <limits.h>
#include <proc/queue.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/msg.h>

/* What fits is passed on the stack: the usual limit of the system for a message. */
#define USUAL_SIZE 8192

/* The text begins a cache line: copies are faster so, ours and the kernel's. */
struct usual_message {
    _Alignas(64) char unused[64 - sizeof(long)];
    long type;
    char text[USUAL_SIZE];
};

static struct message *as_message(struct usual_message *usual)
{
    return (struct message *)&usual->type;
}

struct proc_queue {
    int id;
    bool is_private, is_large;
    struct large large;
    struct private_ipc private_ipc;
};

static int fail(int error)
{
    errno = error;
    return -1;
}

/* ---- opening ---- */

static int make_or_find(key_t key, int flags, int mode, bool *is_new)
{
    for (;;) {
        int id = -1;

        if (key == PROC_PRIVATE || flags & O_CREAT) {
            id = (int)sys(SYS_msgget, key, IPC_CREAT | IPC_EXCL | mode);
            *is_new = id >= 0;
            if (id >= 0 || errno != EEXIST || flags & O_EXCL)
                return id;
        }
        id = (int)sys(SYS_msgget, key, 0);
        if (id >= 0 || errno != ENOENT || !(flags & O_CREAT))
            return id;
    }
}

static int open_queue(struct proc_queue *queue, key_t key, int flags, int mode)
{
    bool is_new = false;

    queue->id = make_or_find(key, flags, mode, &is_new);
    if (queue->id < 0)
        return -1;
    int result = queue->is_large ? large_open(&queue->large, queue->id) : 0;
    if (result == 0)
        return 0;
    if (is_new) {
        raw(SYS_msgctl, queue->id, IPC_RMID, NULL);
        large_files_remove_all(queue->id);
    }
    return fail(-result);
}

/* One that is removed while it is opened is none. */
static int open_one_that_stays(struct proc_queue *queue, key_t key, int flags, int mode)
{
    while (open_queue(queue, key, flags, mode) < 0)
        if (errno != EIDRM || !(flags & O_CREAT))
            return fail(errno == EIDRM ? ENOENT : errno);
    return 0;
}

struct proc_queue *proc_queue_open(key_t key, int flags, mode_t mode)
{
    if (key == -1 || flags & ~(O_CREAT | O_EXCL | PROC_QUEUE_LARGE) || mode & ~(mode_t)0777) {
        errno = EINVAL;
        return NULL;
    }
    struct proc_queue *queue = calloc(1, sizeof *queue);
    if (!queue)
        return NULL;
    queue->is_private = key == PROC_PRIVATE;
    queue->is_large = flags & PROC_QUEUE_LARGE;
    if (open_one_that_stays(queue, key, flags, (int)(mode ? mode : 0600)) < 0) {
        free(queue);
        return NULL;
    }
    if (queue->is_private)
        private_ipc_add(&queue->private_ipc, SYS_msgctl, queue->id, queue->is_large ? large_files_remove_all : NULL);
    return queue;
}

/* ---- pushing ---- */

/* Whether there can be room for a message of that size, which the system allows. If we may not look, the kernel will say. */
static bool has_capacity(const struct proc_queue *queue, size_t size)
{
    struct msqid_ds status = {.msg_qnum = 0};

    return raw(SYS_msgctl, queue->id, IPC_STAT, &status) < 0 || size <= status.msg_qbytes;
}

static bool can_hold(const struct proc_queue *queue, size_t size)
{
    return size <= message_limit() && has_capacity(queue, size);
}

static struct message *fill(struct message *message, long type, const void *data, size_t size)
{
    message->type = type;
    if (size > 0)
        memcpy(message->text, data, size);
    return message;
}

/* refusal: what a first attempt was answered; 0: there was none. */
static long send(const struct proc_queue *queue, const struct message *message, size_t size, struct deadline deadline,
                 long refusal)
{
    long result = refusal == -EAGAIN ? -ETIMEDOUT : message_send(queue->id, message, size, deadline_in(0));

    if ((result == -EINVAL && !can_hold(queue, size)) || (result == -ETIMEDOUT && !has_capacity(queue, size)))
        return -EMSGSIZE;
    bool may_wait = result == -ETIMEDOUT && deadline_left_ns(deadline) > 0;
    return may_wait ? message_send(queue->id, message, size, deadline) : result;
}

static long send_copy(const struct proc_queue *queue, long type, const void *data, size_t size, struct deadline deadline,
                      long refusal)
{
    struct usual_message usual;
    struct message *message = as_message(&usual);

    if (size > USUAL_SIZE) {
        if (!can_hold(queue, size))
            return -EMSGSIZE;
        message = malloc(sizeof *message + size);
        if (!message)
            return -ENOMEM;
    }
    long result = send(queue, fill(message, type, data, size), size, deadline, refusal);
    if (size > USUAL_SIZE)
        free(message);
    return result;
}

/* Else who takes it would look for its file. */
static bool is_to_be_raw(const struct proc_queue *queue, const void *data, size_t size)
{
    return !queue->is_large || !large_looks_like_reference(data, size);
}

static int push_patiently(struct proc_queue *queue, long type, const void *data, size_t size, int timeout_ms, long refusal)
{
    struct deadline deadline = deadline_in(timeout_ms);
    long result = is_to_be_raw(queue, data, size) ? send_copy(queue, type, data, size, deadline, refusal) : -EMSGSIZE;

    if (result == -EMSGSIZE && queue->is_large && can_hold(queue, LARGE_REFERENCE))
        result = large_send(&queue->large, type, data, size, deadline);
    if (result == -ETIMEDOUT)
        return 0;
    return result < 0 ? fail((int)-result) : 1;
}

int proc_queue_push(struct proc_queue *queue, long type, const void *data, size_t size, int timeout_ms)
{
    struct usual_message usual;
    struct message *message = as_message(&usual);
    long result = 0;

    if (type < 1 || timeout_ms < -1)
        return fail(EINVAL);
    if (size <= USUAL_SIZE && is_to_be_raw(queue, data, size)) {
        result = message_try_send(queue->id, fill(message, type, data, size), size);
        if (result == 0)
            return 1;
        if (result != -EAGAIN && result != -EINTR && result != -EINVAL) /* which has several reasons */
            return fail((int)-result);
    }
    return push_patiently(queue, type, data, size, timeout_ms, result);
}

/* ---- popping ---- */

static size_t least(size_t one, size_t other)
{
    return one < other ? one : other;
}

/* What may be taken without asking what it is. */
static size_t usual_room(const struct proc_queue *queue, size_t size)
{
    return least(size, queue->is_large ? LARGE_REFERENCE - 1 : USUAL_SIZE);
}

/* Of `result` bytes; -errno is passed on. */
static long empty(const struct message *message, long result, void *buf, long *found)
{
    if (result > 0)
        memcpy(buf, message->text, (size_t)result);
    if (result >= 0)
        *found = message->type;
    return result;
}

/* A message may be longer than the limit, if that has been lowered since. */
static size_t longest_in(const struct proc_queue *queue)
{
    struct msqid_ds status = {.msg_qnum = 0};
    size_t limit = message_limit();

    raw(SYS_msgctl, queue->id, IPC_STAT, &status);
    return status.__msg_cbytes > limit ? status.__msg_cbytes : limit;
}

/* One that is longer than usual; -EAGAIN: somebody else has taken it. */
static long take_long(const struct proc_queue *queue, long type, void *buf, size_t size, long *found)
{
    size_t room = least(size, longest_in(queue));
    struct message *message = room > USUAL_SIZE ? malloc(sizeof *message + room) : NULL;

    if (!message)
        return room > USUAL_SIZE ? -ENOMEM : -E2BIG;
    long result = empty(message, message_receive(queue->id, message, room, type, deadline_in(0)), buf, found);
    free(message);
    return result == -ETIMEDOUT ? -EAGAIN : result;
}

static long take_usual(const struct proc_queue *queue, long type, void *buf, size_t size, long *found, struct deadline deadline)
{
    struct usual_message usual;
    struct message *message = as_message(&usual);

    usual.type = 0;
    long result = message_receive(queue->id, message, usual_room(queue, size), type, deadline);

    return empty(message, result, buf, found);
}

static ssize_t pop_patiently(struct proc_queue *queue, long type, void *buf, size_t size, long *found, int timeout_ms)
{
    struct deadline deadline = deadline_in(timeout_ms);
    long result;

    do {
        result = take_usual(queue, type, buf, size, found, deadline);
        if (result == -E2BIG)
            result = queue->is_large ? large_take(&queue->large, type, buf, size, found, deadline)
                                     : take_long(queue, type, buf, size, found);
    } while (result == -EAGAIN);
    return result < 0 ? fail((int)-result) : result;
}

ssize_t proc_queue_pop(struct proc_queue *queue, long type, void *buf, size_t size, long *got_type, int timeout_ms)
{
    struct usual_message usual;
    struct message *message = as_message(&usual);
    long found;

    if (timeout_ms < -1)
        return fail(EINVAL);
    usual.type = 0;
    long result = message_try_receive(queue->id, message, usual_room(queue, size), type, timeout_ms < 0 ? 0 : IPC_NOWAIT);
    if (result == -ENOMSG && timeout_ms == 0)
        return fail(ETIMEDOUT);
    if (result == -ENOMSG || result == -E2BIG || result == -EINTR)
        result = pop_patiently(queue, type, buf, size, &found, timeout_ms);
    else if (empty(message, result, buf, &found) < 0)
        return fail((int)-result);
    if (got_type && result >= 0)
        *got_type = found;
    return result;
}

/* ---- the queue itself ---- */

static int status_of(const struct proc_queue *queue, struct msqid_ds *status)
{
    return (int)sys(SYS_msgctl, queue->id, IPC_STAT, status);
}

int proc_queue_stat(struct proc_queue *queue, struct proc_queue_stat *stat)
{
    struct msqid_ds status = {.msg_qnum = 0};

    if (status_of(queue, &status) < 0)
        return -1;
    *stat = (struct proc_queue_stat){
        .messages = status.msg_qnum,
        .bytes = status.__msg_cbytes,
        .capacity = status.msg_qbytes,
        .last_push_pid = status.msg_lspid,
        .last_pop_pid = status.msg_lrpid,
        .last_push_time = status.msg_stime,
        .last_pop_time = status.msg_rtime,
    };
    return 0;
}

int proc_queue_set_capacity(struct proc_queue *queue, size_t bytes)
{
    struct msqid_ds status = {.msg_qnum = 0};

    if (bytes == 0 || bytes > INT_MAX) /* the kernel would cut it to an int */
        return fail(EINVAL);
    if (status_of(queue, &status) < 0)
        return -1;
    status.msg_qbytes = bytes;
    return (int)sys(SYS_msgctl, queue->id, IPC_SET, &status);
}

int proc_queue_id(const struct proc_queue *queue)
{
    return queue->id;
}

int proc_queue_remove(struct proc_queue *queue)
{
    if (sys(SYS_msgctl, queue->id, IPC_RMID, NULL) < 0)
        return -1;
    if (queue->is_large)
        large_files_remove_all(queue->id);
    queue->private_ipc.id = -1;
    return 0;
}

void proc_queue_close(struct proc_queue *queue)
{
    int saved = errno;

    if (!queue)
        return;
    if (queue->is_private)
        private_ipc_remove(&queue->private_ipc);
    if (queue->is_large)
        large_close(&queue->large);
    free(queue);
    errno = saved;
}
