/* Nothing is ever marked as deleted: what lies behind a removed entry moves up, so that searches do not become longer with the
 * years. Who looks something up meanwhile may miss an entry that jumps over him; he sees that there were moves, and looks again.
 */
#include "table_index.h"

size_t table_index_entries(size_t rows)
{
    size_t entries = 2;

    while (entries < 2 * rows)
        entries *= 2;
    return entries;
}

static uint64_t entry_of(uint32_t hash, uint32_t row)
{
    return (uint64_t)hash << 32 | (row + 1);
}

static void set_entry(struct table_index *index, size_t place, uint64_t entry)
{
    atomic_store_explicit(&index->entries[place], entry, memory_order_release);
}

void table_index_insert(struct table_index *index, uint32_t hash, uint32_t row)
{
    size_t place = hash & index->mask;

    while (table_index_entry_at(index, place) != 0)
        place = table_index_after(index, place);
    set_entry(index, place, entry_of(hash, row));
}

/* Odd while it goes on, and another number than ever before afterwards; also if somebody died in the middle of it. */
static void begin_moves(struct table_index *index)
{
    uint64_t moves = atomic_load(&index->head->moves);

    atomic_store(&index->head->moves, (moves | 1) + (moves & 1) * 2);
}

static void end_moves(struct table_index *index)
{
    atomic_fetch_add(&index->head->moves, 1);
}

/* Whether an entry that belongs to `home` and is at `place` is still found when it is at `hole`, which lies before. */
static bool may_move(const struct table_index *index, size_t home, size_t hole, size_t place)
{
    return ((place - home) & index->mask) >= ((place - hole) & index->mask);
}

static void close_up(struct table_index *index, size_t hole)
{
    for (size_t place = table_index_after(index, hole);; place = table_index_after(index, place)) {
        uint64_t entry = table_index_entry_at(index, place);

        if (entry == 0)
            break;
        if (!may_move(index, table_index_hash_in(entry) & index->mask, hole, place))
            continue;
        set_entry(index, hole, entry);
        hole = place;
    }
    set_entry(index, hole, 0);
}

void table_index_remove(struct table_index *index, uint32_t hash, uint32_t row)
{
    size_t place = hash & index->mask;

    for (uint64_t entry; (entry = table_index_entry_at(index, place)) != entry_of(hash, row);) {
        if (entry == 0)
            return;
        place = table_index_after(index, place);
    }
    begin_moves(index);
    close_up(index, place);
    end_moves(index);
}

void table_index_begin_anew(struct table_index *index)
{
    begin_moves(index);
    for (size_t place = 0; place <= index->mask; place++)
        set_entry(index, place, 0);
}

void table_index_end_anew(struct table_index *index)
{
    end_moves(index);
}
