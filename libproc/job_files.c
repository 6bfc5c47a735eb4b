/* The files of jobs have names of their own kind: those who sweep the files of a large queue look for their messages in the
 * queue, and a job may be in a slot. What comes with a reference of such a queue is renamed. */
#include "job_files.h"

#include "kernel.h"
#include "large.h"

#include <stdlib.h>
#include <sys/msg.h>

#ifndef MSG_COPY
#define MSG_COPY 040000
#endif

static long open_file(int queue, const struct large_name *name, struct large_place *place)
{
    struct large_place before;
    long result = large_place_find(place, queue, LARGE_JOBS);

    if (result < 0)
        return result;
    long fd = large_file_open(place, name);
    if (fd != -ENOENT)
        return fd;
    before = *place;
    before.kind = LARGE_MESSAGES;
    large_file_rename(&before, place, name);
    fd = large_file_open(place, name);
    return fd == -ENOENT ? -EBADMSG : fd;
}

long job_file_read(int queue, const struct job_body *body, void **data)
{
    struct large_place place;
    long fd = open_file(queue, &body->name, &place);

    if (fd < 0)
        return fd;
    *data = malloc(body->size > 0 ? body->size : 1);
    long result = *data ? large_file_read(fd, *data, body->size) : -ENOMEM;
    raw(SYS_close, fd);
    if (result < 0) {
        free(*data);
        *data = NULL;
    }
    return result;
}

void job_file_remove(int queue, const struct job_body *body)
{
    struct large_place place;

    if (body->is_in_file && large_place_find(&place, queue, LARGE_JOBS) == 0)
        large_file_remove(&place, &body->name);
}

/* ---- sweeping ---- */

struct where {
    int queue;
    const struct pool_area *area;
};

/* As long as what names a file can be. */
struct short_message {
    long type;
    char text[LARGE_REFERENCE];
};

/* From the last to the first: what is taken meanwhile is in a slot, and those are looked at afterwards. */
static bool see_queued(int queue, large_see_fn *see, void *argument)
{
    struct short_message message;
    struct large_name name;
    struct msqid_ds status = {.msg_qnum = 0};

    if (raw(SYS_msgctl, queue, IPC_STAT, &status) < 0)
        return false;
    for (long place = (long)status.msg_qnum; place-- > 0;) {
        long size = raw(SYS_msgrcv, queue, &message, sizeof message.text, place, IPC_NOWAIT | MSG_COPY);

        if (size >= 0 && job_message_names_file(message.text, size, sizeof message.text, &name))
            see(argument, &name);
        if (size < 0 && size != -ENOMSG && size != -E2BIG)
            return false;
    }
    return true;
}

/* Also what a slot has held before: a worker of an earlier manager may just be moving it to a slot that was looked at already. */
static void see_slots(const struct pool_area *area, large_see_fn *see, void *argument)
{
    uint32_t used = atomic_load(&area->head->slots_used);

    for (uint32_t i = 0; i < used; i++) {
        const struct slot_message *message = pool_area_message(area, i);
        int64_t length = atomic_load(&area->slots[i].length);
        struct large_name name;

        if (atomic_load(&message->type) != 0 &&
            job_message_names_file(message->text, length, pool_area_message_room(area), &name))
            see(argument, &name);
    }
}

static bool see_all(const void *argument, large_see_fn *see, void *its_argument)
{
    const struct where *where = argument;

    if (!see_queued(where->queue, see, its_argument))
        return false;
    see_slots(where->area, see, its_argument);
    return true;
}

void job_files_sweep(int queue, const struct pool_area *area)
{
    struct large_place place;
    struct where where = {queue, area};

    if (large_place_find(&place, queue, LARGE_JOBS) == 0)
        large_files_sweep(&place, see_all, &where);
}
