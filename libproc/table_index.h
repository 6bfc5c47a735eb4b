/* Where the row of a name is: open addressing with linear probing, in shared memory.
 *
 * Any number of processes look things up without a lock, while one, who holds the table's lock, changes it. */
#ifndef LIBPROC_TABLE_INDEX_H
#define LIBPROC_TABLE_INDEX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table_index_head {
    _Atomic uint64_t moves; /* odd while entries change their places */
};

struct table_index {
    struct table_index_head *head;
    _Atomic uint64_t *entries; /* 0: none. Else the hash, and the row's number plus 1 */
    size_t mask;               /* how many entries there are is a power of 2: this is one less */
};

/* Entries for so many rows: at least twice as many, so that a search ends soon. */
size_t table_index_entries(size_t rows);

/* Asked of each row that may be the one that is searched for. */
typedef bool table_index_is_fn(void *search, uint32_t row);

enum table_index_answer { TABLE_INDEX_NONE, TABLE_INDEX_FOUND, TABLE_INDEX_MOVED };

static inline uint64_t table_index_entry_at(const struct table_index *index, size_t place)
{
    return atomic_load_explicit(&index->entries[place], memory_order_acquire);
}

static inline uint32_t table_index_hash_in(uint64_t entry)
{
    return (uint32_t)(entry >> 32);
}

static inline size_t table_index_after(const struct table_index *index, size_t place)
{
    return (place + 1) & index->mask;
}

/* TABLE_INDEX_MOVED: entries moved meanwhile, it may be there all the same. Never so for who holds the lock. Inline, with what
 * it asks of each row: every call of a table goes through here. */
static inline enum table_index_answer table_index_find(const struct table_index *index, uint32_t hash, table_index_is_fn *is,
                                                       void *search)
{
    uint64_t moves = atomic_load_explicit(&index->head->moves, memory_order_acquire);
    size_t place = hash & index->mask;

    /* Half of the entries are empty; but what is seen while they move need not look so. */
    for (size_t i = 0; i <= index->mask; i++, place = table_index_after(index, place)) {
        uint64_t entry = table_index_entry_at(index, place);

        if (entry == 0)
            break;
        if (table_index_hash_in(entry) == hash && is(search, (uint32_t)entry - 1))
            return TABLE_INDEX_FOUND;
    }
    if (moves % 2 == 0 && atomic_load_explicit(&index->head->moves, memory_order_acquire) == moves)
        return TABLE_INDEX_NONE;
    return TABLE_INDEX_MOVED;
}

/* Under the lock. */
void table_index_insert(struct table_index *index, uint32_t hash, uint32_t row);
void table_index_remove(struct table_index *index, uint32_t hash, uint32_t row);

/* Whoever held the lock died: all is to be inserted anew between these two. */
void table_index_begin_anew(struct table_index *index);
void table_index_end_anew(struct table_index *index);

#endif
