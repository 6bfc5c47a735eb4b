/* Telling what a message is. A header says how long the message must be, so that chance does not make one. */
#include "job_message.h"

#include "large.h"

static const unsigned char mark[8] = {0xf1, 'j', 'o', 'b', 0x9d, 0x1c, 0xe2, 0x01};

struct job_header job_header_of(uint64_t id, size_t size, uint32_t flags)
{
    struct job_header header = {.id = id, .size = size, .attempt = 1, .flags = flags};

    memcpy(header.mark, mark, sizeof mark);
    return header;
}

static size_t size_after(const struct job_header *header)
{
    return header->flags & JOB_IN_FILE ? sizeof(struct large_name) : header->size;
}

/* length: SLOT_LENGTH_UNKNOWN: the header is believed, if what it says can be. */
static bool read_header(const char *text, int64_t length, size_t room, struct job_header *header)
{
    if (length != SLOT_LENGTH_UNKNOWN && length < (int64_t)sizeof *header)
        return false;
    memcpy(header, text, sizeof *header);
    if (memcmp(header->mark, mark, sizeof mark) != 0 || header->attempt == 0)
        return false;
    size_t rest = size_after(header);
    return length == SLOT_LENGTH_UNKNOWN ? rest <= room - sizeof *header : rest == (size_t)length - sizeof *header;
}

/* A reference of a large queue: its length is known in any case. */
static bool is_reference(const char *text, int64_t length)
{
    return (length == SLOT_LENGTH_UNKNOWN || length == LARGE_REFERENCE) && large_looks_like_reference(text, LARGE_REFERENCE);
}

/* It is a job from the moment that its length is known. */
static void note(struct slot *slot, uint64_t id, uint32_t attempt, uint32_t flags, int64_t length)
{
    slot->id = id;
    slot->attempt = attempt;
    slot->flags = flags;
    slot_job_comes(slot);
    atomic_store_explicit(&slot->length, length, memory_order_release);
    slot_job_has_come(slot);
}

static enum message_kind note_bare(const struct pool_area *area, struct slot *slot, const char *text, int64_t length)
{
    bool is_damaged = length == SLOT_LENGTH_UNKNOWN && !is_reference(text, length);
    int64_t known = is_damaged ? (int64_t)pool_area_message_room(area) : length == SLOT_LENGTH_UNKNOWN ? LARGE_REFERENCE : length;

    note(slot, atomic_fetch_add(&area->head->last_id, 1) + 1, 1, SLOT_BARE | (is_damaged ? SLOT_DAMAGED : 0), known);
    atomic_fetch_add(&area->head->submitted, 1); /* at last: too few are known to be so, too many are not */
    return is_damaged ? MESSAGE_DAMAGED : MESSAGE_JOB;
}

enum message_kind job_message_settle(const struct pool_area *area, uint32_t slot_number, int64_t length)
{
    struct slot *slot = &area->slots[slot_number];
    struct slot_message *message = pool_area_message(area, slot_number);
    struct job_header header;

    if (read_header(message->text, length, pool_area_message_room(area), &header)) {
        note(slot, header.id, header.attempt, 0, (int64_t)(sizeof header + size_after(&header)));
        return MESSAGE_JOB;
    }
    if (atomic_load(&message->type) == NUDGE_TYPE && length <= 0)
        return MESSAGE_NUDGE;
    return note_bare(area, slot, message->text, length);
}

struct job_body job_message_body(const struct pool_area *area, uint32_t slot_number)
{
    const struct slot *slot = &area->slots[slot_number];
    const char *text = pool_area_message(area, slot_number)->text;
    int64_t length = atomic_load(&slot->length);
    struct job_body body = {.data = text, .size = (size_t)length};
    struct job_header header;

    if (slot->flags & SLOT_DAMAGED)
        return body;
    if (slot->flags & SLOT_BARE) {
        body.is_in_file = is_reference(text, length);
        if (body.is_in_file)
            large_reference_read(text, &body.name, &body.size);
        return body;
    }
    memcpy(&header, text, sizeof header);
    body.size = header.size;
    body.data = text + sizeof header;
    body.is_in_file = header.flags & JOB_IN_FILE;
    if (body.is_in_file)
        memcpy(&body.name, text + sizeof header, sizeof body.name);
    return body;
}

bool job_message_names_file(const char *text, int64_t length, size_t room, struct large_name *name)
{
    struct job_header header;
    size_t size;

    if (read_header(text, length, room, &header)) {
        memcpy(name, text + sizeof header, sizeof *name);
        return header.flags & JOB_IN_FILE;
    }
    if (!is_reference(text, length))
        return false;
    large_reference_read(text, name, &size);
    return true;
}
