/* Where what lies in a pool's memory. */
#include "pool_area.h"

#include "message.h"

#include <errno.h>
#include <fcntl.h>

#define PAGE 4096u /* of any size: only the unit in which the shape is said */
#define LEAST_ROWS 64u
#define MOST_ROWS 16384u
#define SPARE_SLOTS 64u /* for jobs that wait for their next try, and detached workers */

#define CACHE_LINE 64u

static size_t aligned(size_t size, size_t to)
{
    return (size + to - 1) / to * to;
}

/* ---- the shape ---- */

static uint32_t rows_for(unsigned workers)
{
    if (workers >= MOST_ROWS / 2)
        return MOST_ROWS;
    return 2 * workers > LEAST_ROWS ? 2 * workers : LEAST_ROWS;
}

/* For the longest message that the system allows now. */
static uint32_t pages_for_message(void)
{
    size_t pages = aligned(sizeof(struct slot_message) + message_limit(), PAGE) / PAGE;

    return pages < 1024 ? (uint32_t)pages : 1024;
}

static uint32_t shape_of(uint32_t rows, uint32_t pages)
{
    return rows << 16 | pages;
}

struct layout {
    size_t rows, slots, messages, size; /* where they begin */
    uint32_t row_count, slot_count;
    size_t message_size;
};

static struct layout layout_of(uint32_t shape)
{
    struct layout layout = {.row_count = shape >> 16, .message_size = (size_t)(shape & 0xffff) * PAGE};

    layout.slot_count = 2 * layout.row_count + SPARE_SLOTS;
    layout.rows = aligned(sizeof(struct pool_head), CACHE_LINE);
    layout.slots = aligned(layout.rows + (layout.row_count + 1) * sizeof(struct pool_row), CACHE_LINE);
    /* A message begins a page, so that it needs no more of them than it must. */
    layout.messages =
        aligned(SEGMENT_HEADER + layout.slots + layout.slot_count * sizeof(struct slot), PAGE) - SEGMENT_HEADER;
    layout.size = layout.messages + layout.slot_count * layout.message_size;
    return layout;
}

static void lay_out(struct pool_area *area, const struct layout *layout)
{
    char *body = segment_body(&area->mapping);

    area->head = (struct pool_head *)body;
    area->rows = (struct pool_row *)(body + layout->rows);
    area->slots = (struct slot *)(body + layout->slots);
    area->messages = body + layout->messages;
    area->row_count = layout->row_count;
    area->slot_count = layout->slot_count;
    area->message_size = layout->message_size;
    robust_set_up(&area->head->manager);
}

/* ---- opening ---- */

static int make(struct pool_area *area, key_t key, unsigned workers, int flags)
{
    uint32_t shape = shape_of(rows_for(workers), pages_for_message());
    struct layout layout = layout_of(shape);

    if (segment_open(&area->mapping, SEGMENT_POOL, shape, layout.size, key, flags, 0600) < 0)
        return -1;
    lay_out(area, &layout);
    return 0;
}

int pool_area_attach(struct pool_area *area, key_t key)
{
    uint32_t shape;

    if (segment_find(&area->mapping, SEGMENT_POOL, &shape, key) < 0)
        return -1;
    struct layout layout = layout_of(shape);
    if (area->mapping.size != SEGMENT_HEADER + layout.size) {
        mapping_close(&area->mapping);
        errno = EINVAL;
        return -1;
    }
    lay_out(area, &layout);
    return 0;
}

/* One that has just been made, and does not say yet what it is, is finished in the maker's place. */
static int attach_or_make(struct pool_area *area, key_t key, unsigned workers, bool *is_new)
{
    for (;;) {
        *is_new = false;
        if (pool_area_attach(area, key) == 0)
            return 0;
        if (errno != ENOENT && errno != EIDRM && errno != EAGAIN)
            return -1;
        *is_new = errno != EAGAIN;
        if (make(area, key, workers, *is_new ? O_CREAT | O_EXCL : 0) == 0)
            return 0;
        if (errno != EEXIST && errno != ENOENT && errno != EIDRM)
            return -1;
    }
}

int pool_area_open(struct pool_area *area, key_t key, unsigned workers, bool *is_new)
{
    if (workers > MOST_ROWS) {
        errno = ENOSPC;
        return -1;
    }
    if (key == PROC_PRIVATE)
        return make(area, key, workers, O_CREAT);
    if (attach_or_make(area, key, workers, is_new) < 0)
        return -1;
    if (workers <= area->row_count)
        return 0;
    pool_area_close(area);
    errno = ENOSPC;
    return -1;
}

void pool_area_close(struct pool_area *area)
{
    if (area->head)
        mapping_close(&area->mapping);
    area->head = NULL;
}

/* ---- what is in it ---- */

struct slot_message *pool_area_message(const struct pool_area *area, uint32_t slot)
{
    return (struct slot_message *)(area->messages + slot * area->message_size);
}

size_t pool_area_message_room(const struct pool_area *area)
{
    return area->message_size - sizeof(struct slot_message);
}

struct slot_place pool_area_place(const struct pool_area *area, uint32_t slot)
{
    return (struct slot_place){&area->slots[slot], pool_area_message(area, slot), slot};
}

void pool_area_nudge_taken(const struct pool_area *area)
{
    uint32_t nudges = atomic_load(&area->head->nudges);

    while (nudges > 0 && !atomic_compare_exchange_weak(&area->head->nudges, &nudges, nudges - 1))
        ;
}

static bool is_to_be_tried(enum slot_state state)
{
    return state == SLOT_WAITING || state == SLOT_MOVING || state == SLOT_FAILED || state == SLOT_PARTING;
}

struct pool_sums pool_area_sums(const struct pool_area *area)
{
    struct pool_sums sums = {.done = 0};
    uint32_t used = atomic_load(&area->head->slots_used);

    for (uint32_t i = 0; i < used && i < area->slot_count; i++) {
        const struct slot *slot = &area->slots[i];

        sums.done += slot_done(slot);
        sums.retried += atomic_load(&slot->retried);
        sums.dead += atomic_load(&slot->dead);
        sums.came += atomic_load(&slot->came);
        sums.waiting += is_to_be_tried(slot_state(slot));
    }
    return sums;
}
