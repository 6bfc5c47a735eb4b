/* Who takes a large message first looks at it in the queue: so one that does not fit stays where it is, and its file is open
 * before it is taken. In between nobody else may take it. So those who do not hold the lock only take messages that are
 * shorter than a reference; the kernel tells them when the next one is not. */
#include "large.h"

#include "kernel.h"
#include "message.h"
#include "segment.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/msg.h>

#ifndef MSG_COPY
#define MSG_COPY 040000
#endif

/* A try waits, too: it is for microseconds, and who finds nothing would take the queue for empty. */
#define SHORT_WHILE_MS 1000

struct reference {
    unsigned char mark[16];
    struct large_name name;
    uint64_t size;
    unsigned char nothing[LARGE_REFERENCE - 40];
};
_Static_assert(sizeof(struct reference) == LARGE_REFERENCE, "a reference has no gaps");

static const unsigned char mark[16] = {0xf1, 'l', 'i', 'b', 'p', 'r', 'o', 'c', 0x9d, 0x07, 0xe2, 0x5c, 0xb8, 0x33, 0xda, 0x01};

/* For those who take messages that may be large. */
struct shared {
    _Alignas(8) char head[SEGMENT_HEADER];
    pthread_mutex_t lock;
};

struct reference_message {
    long type;
    struct reference reference;
};

static bool is_reference(const void *text, size_t size)
{
    return size == sizeof(struct reference) && memcmp(text, mark, sizeof mark) == 0;
}

bool large_looks_like_reference(const void *data, size_t size)
{
    return is_reference(data, size);
}

void large_reference_read(const void *data, struct large_name *name, size_t *size)
{
    struct reference reference;

    memcpy(&reference, data, sizeof reference);
    *name = reference.name;
    *size = reference.size;
}

/* ---- looking at messages without taking them ---- */

static long receive(int queue, struct message *message, size_t room, long type, int flags)
{
    long result;

    do
        result = raw(SYS_msgrcv, queue, message, room, type, IPC_NOWAIT | flags);
    while (result == -EINTR);
    return result;
}

/* The message at that place: its size, or -errno; -ENOMSG: there are not so many. */
static long copy_message(int queue, long place, struct message *message, size_t room)
{
    return receive(queue, message, room, place, MSG_COPY);
}

/* From the last to the first: if one is taken meanwhile, those that follow it move, and none is passed over. */
static bool each_queued(const void *where, large_see_fn *see, void *argument)
{
    int queue = *(const int *)where;
    struct reference_message message;
    struct msqid_ds status = {.msg_qnum = 0};

    if (raw(SYS_msgctl, queue, IPC_STAT, &status) < 0)
        return false;
    for (long place = (long)status.msg_qnum; place-- > 0;) {
        long size = copy_message(queue, place, (struct message *)&message, sizeof message.reference);

        if (size >= 0 && is_reference(&message.reference, (size_t)size))
            see(argument, &message.reference.name);
        if (size < 0 && size != -ENOMSG && size != -E2BIG)
            return false;
    }
    return true;
}

/* Whether a message that lies before the best one so far comes before it for `wanted`, too. */
static bool is_before(long type, long best, long wanted)
{
    if (wanted >= 0)
        return wanted == 0 || type == wanted;
    return (wanted == LONG_MIN || type <= -wanted) && (best == 0 || type <= best);
}

struct next {
    struct message *message, *spare;
    size_t room;
    long size;       /* -ENOMSG: there is none */
    bool hides_some; /* longer than any may be: the limit has been lowered since. Nobody can look at them. */
};

/* For the longest that may be there: the kernel takes its time for each byte of room. */
static int make_room(struct next *next, size_t bytes_in_queue)
{
    size_t limit = message_limit();

    next->room = bytes_in_queue < limit ? bytes_in_queue : limit;
    next->message = calloc(1, sizeof *next->message + next->room);
    next->spare = calloc(1, sizeof *next->spare + next->room);
    return next->message && next->spare ? 0 : -1;
}

static long look_at(int queue, long place, struct next *next)
{
    long size = copy_message(queue, place, next->spare, next->room);

    if (size == -E2BIG)
        next->hides_some |= next->room == message_limit();
    return size == -E2BIG && !next->hides_some ? -EAGAIN : size; /* it has come since there was made room */
}

/* From the last to the first, as above: those who take short ones meanwhile move what follows them, and one that was passed over
 * would be overtaken by the next of its type. */
static long find_next(int queue, long wanted, struct next *next)
{
    struct msqid_ds status = {.msg_qnum = 0};
    long result = raw(SYS_msgctl, queue, IPC_STAT, &status);
    long best = 0;

    if (result < 0)
        return result;
    if (make_room(next, status.__msg_cbytes) < 0)
        return -ENOMEM;
    next->size = -ENOMSG;
    for (long place = wanted == 0 ? 1 : (long)status.msg_qnum; place-- > 0;) {
        long size = look_at(queue, place, next);

        if (size == -ENOMSG || size == -E2BIG)
            continue;
        if (size < 0)
            return size == -EINVAL ? -EAGAIN : size; /* it was removed, or the limit lowered just now */
        if (!is_before(next->spare->type, best, wanted))
            continue;
        struct message *found = next->spare;
        next->spare = next->message;
        next->message = found;
        next->size = size;
        best = found->type;
    }
    return 0;
}

/* ---- taking one ---- */

/* Where the message is still to be read from. */
struct its_file {
    long fd; /* -1: it is not in a file */
    bool stays; /* it is not ours to remove */
    struct large_name name;
};

/* By its type: of those that are as long as a reference, nobody else takes one now. */
static long receive_now(int queue, struct next *next)
{
    long got = receive(queue, next->message, (size_t)next->size, next->message->type, 0);

    if (got == -E2BIG && next->hides_some) /* one of them is before it */
        return got;
    return got == -ENOMSG || got == -E2BIG ? -EAGAIN : got;
}

/* Another program that knows nothing of our lock may have taken the one that was looked at: then another comes, which goes
 * back. Not for ever: who holds the lock may be the only one to make room. */
static long give_back(int queue, const struct message *message, long size)
{
    return message_send(queue, message, (size_t)size, deadline_in(SHORT_WHILE_MS)) < 0 ? -EBADMSG : -EAGAIN;
}

static long take_plain(int queue, struct next *next, void *buf, size_t size)
{
    if ((size_t)next->size > size)
        return -E2BIG;
    if (next->size < LARGE_REFERENCE)
        return -EAGAIN;
    long got = receive_now(queue, next);
    if (got >= 0 && is_reference(next->message->text, (size_t)got))
        return give_back(queue, next->message, got);
    if (got >= 0)
        memcpy(buf, next->message->text, (size_t)got);
    return got;
}

static long receive_reference(int queue, struct next *next, const struct large_name *expected)
{
    struct reference *reference = (struct reference *)next->message->text;
    long got = receive_now(queue, next);

    if (got < 0 || (is_reference(reference, (size_t)got) && memcmp(&reference->name, expected, sizeof *expected) == 0))
        return got;
    return give_back(queue, next->message, got);
}

static long take_by_reference(const struct large_place *place, struct next *next, size_t room, struct its_file *its_file)
{
    struct reference *reference = (struct reference *)next->message->text;
    struct large_name name = reference->name;
    uint64_t size = reference->size;

    if (size > room)
        return -E2BIG;
    long fd = large_file_open(place, &name);
    if (fd < 0 && fd != -ENOENT)
        return fd;
    long got = receive_reference(place->queue, next, &name);
    if (got < 0) {
        if (fd >= 0)
            raw(SYS_close, fd);
        return got;
    }
    if (fd < 0)
        return -EBADMSG;
    its_file->fd = fd;
    its_file->name = name;
    its_file->stays = large_file_remove(place, &name) < 0;
    return (long)size;
}

/* One of a lower type may have come, or have been passed over, while the others were looked at. One without any bytes is taken by
 * this question: it is the one that is next. */
static long take_lower(int queue, struct next *next)
{
    if (next->message->type == 1)
        return -ENOMSG;
    long lower = receive(queue, next->spare, 0, -(next->message->type - 1), 0);
    if (lower >= 0)
        next->message->type = next->spare->type;
    return lower == -E2BIG ? -EAGAIN : lower;
}

/* The message's size. What does not lie in a file is in buf. */
static long take(const struct large_place *place, long wanted, struct next *next, void *buf, size_t size,
                 struct its_file *its_file)
{
    long result = find_next(place->queue, wanted, next);

    if (result < 0)
        return result;
    if (next->size < 0)
        return next->hides_some ? -E2BIG : -EAGAIN;
    if (wanted < 0) {
        long lower = take_lower(place->queue, next);

        if (lower != -ENOMSG)
            return lower;
    }
    if (is_reference(next->message->text, (size_t)next->size))
        return take_by_reference(place, next, size, its_file);
    return take_plain(place->queue, next, buf, size);
}

static int lock_until(pthread_mutex_t *lock, struct deadline deadline)
{
    int64_t left_ms = deadline_left_ns(deadline) / 1000000;

    if (deadline.at_ns == INT64_MAX)
        return robust_lock(lock, -1);
    return robust_lock(lock, left_ms > SHORT_WHILE_MS ? (int)left_ms : SHORT_WHILE_MS);
}

static long take_locked(struct large *large, long wanted, struct next *next, void *buf, size_t size, struct deadline deadline,
                        struct its_file *its_file)
{
    int locked = lock_until(&large->shared->lock, deadline);

    if (locked <= 0)
        return locked == 0 ? -ETIMEDOUT : -errno;
    long result = take(&large->place, wanted, next, buf, size, its_file);
    robust_unlock(&large->shared->lock);
    if (locked == 2) /* he may have left a file behind */
        large_files_sweep(&large->place, each_queued, &large->place.queue);
    return result;
}

static long read_file(const struct large_place *place, const struct its_file *file, void *buf, size_t size)
{
    long failure = large_file_read(file->fd, buf, size);

    raw(SYS_close, file->fd);
    if (file->stays)
        large_file_empty(place, &file->name);
    return failure < 0 ? failure : (long)size;
}

long large_take(struct large *large, long type, void *buf, size_t size, long *found, struct deadline deadline)
{
    struct its_file its_file = {.fd = -1};
    struct next next = {.message = NULL};
    long result = take_locked(large, type, &next, buf, size, deadline, &its_file);

    if (result >= 0 && next.message)
        *found = next.message->type;
    free(next.message);
    free(next.spare);
    return its_file.fd < 0 ? result : read_file(&large->place, &its_file, buf, (size_t)result);
}

/* ---- sending ---- */

long large_send(const struct large *large, long type, const void *data, size_t size, struct deadline deadline)
{
    struct reference_message message = {.type = type, .reference.size = size};
    long fd = large_file_make(&large->place, &large->owner, data, size, &message.reference.name);

    if (fd < 0)
        return fd;
    memcpy(message.reference.mark, mark, sizeof mark);
    long result = message_send(large->place.queue, (struct message *)&message, sizeof message.reference, deadline);
    if (result < 0)
        large_file_remove(&large->place, &message.reference.name);
    large_file_sent(fd);
    return result;
}

/* ---- opening ---- */

static bool can_look(int queue)
{
    struct message message;

    return copy_message(queue, 0, &message, 0) != -ENOSYS;
}

int large_open(struct large *large, int queue)
{
    struct msqid_ds status = {.msg_qnum = 0};
    long result = raw(SYS_msgctl, queue, IPC_STAT, &status);

    if (result < 0) /* its number was just given out */
        return result == -EINVAL ? -EIDRM : (int)result;
    if (!can_look(queue))
        return -ENOSYS;
    result = large_place_find(&large->place, queue, LARGE_MESSAGES);
    if (result < 0)
        return (int)result;
    long memory = large_files_share(&large->place, &status.msg_perm, sizeof(struct shared));
    if (memory < 0)
        return (int)memory;
    large->owner = status.msg_perm;
    large->shared = (struct shared *)memory;
    if (large_files_abandoned(&large->place)) {
        large_close(large);
        return -EIDRM;
    }
    if (!segment_is(large->shared, SEGMENT_QUEUE, 0)) {
        large_close(large);
        return -EINVAL;
    }
    robust_set_up(&large->shared->lock);
    large_files_sweep(&large->place, each_queued, &large->place.queue);
    return 0;
}

void large_close(struct large *large)
{
    raw(SYS_munmap, large->shared, sizeof *large->shared);
}
