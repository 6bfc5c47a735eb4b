/* Everything in a row is written and read word by word with atomic operations, since readers may look while it is written, and
 * in an order that lets them find out: a word that they see of a newer value brings a newer state with it. */
#include "table_row.h"

#include <string.h>

#define LINE 64

size_t row_stride(size_t value_size)
{
    size_t words = (value_size + sizeof(uint64_t) - 1) / sizeof(uint64_t);

    return (sizeof(struct row) + 2 * words * sizeof(uint64_t) + LINE - 1) / LINE * LINE;
}

static uint64_t load(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_acquire);
}

static void store(_Atomic uint64_t *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_release);
}

static void set_state(struct row *row, uint64_t old, uint64_t flags)
{
    store(&row->state, row_life(old) | ((old + ROW_WRITTEN) & ~row_life(UINT64_MAX) & ~ROW_FLAGS) | flags);
}

bool row_has_name(const struct row *row, const struct table_name *name, uint64_t *state)
{
    *state = row_state(row);
    if (!(*state & ROW_NAMED))
        return false;
    for (size_t i = 0; i < name->used; i++)
        if (load(&row->name[i]) != name->words[i])
            return false;
    return row_life(row_state(row)) == row_life(*state);
}

void row_copy_name(const struct row *row, uint64_t words[TABLE_NAME_WORDS])
{
    for (size_t i = 0; i < TABLE_NAME_WORDS; i++)
        words[i] = load(&row->name[i]);
}

static size_t first_word(uint64_t state, size_t value_size)
{
    return row_place(state) * ((value_size + sizeof(uint64_t) - 1) / sizeof(uint64_t));
}

void row_copy_value(const struct row *row, uint64_t state, size_t value_size, void *to, size_t size)
{
    const _Atomic uint64_t *from = row->values + first_word(state, value_size);
    char *at = to;
    uint64_t word;

    for (; size >= sizeof word; size -= sizeof word, at += sizeof word) {
        word = load(from++);
        memcpy(at, &word, sizeof word);
    }
    if (size > 0) {
        word = load(from);
        memcpy(at, &word, size);
    }
}

static void fill(_Atomic uint64_t *to, const char *from, size_t size)
{
    uint64_t word;

    for (; size >= sizeof word; size -= sizeof word, from += sizeof word) {
        memcpy(&word, from, sizeof word);
        store(to++, word);
    }
    if (size > 0) {
        word = 0;
        memcpy(&word, from, size);
        store(to, word);
    }
}

void row_set_value(struct row *row, size_t value_size, const void *from, size_t size)
{
    uint64_t state = row_state(row);
    uint64_t flags = ((state & ROW_FLAGS) ^ ROW_PLACE) | ROW_VALUED;

    fill(row->values + first_word(flags, value_size), from, size);
    atomic_store_explicit(&row->sizes[row_place(flags)], (uint32_t)size, memory_order_release);
    set_state(row, state, flags);
}

void row_clear_value(struct row *row)
{
    uint64_t state = row_state(row);

    set_state(row, state, state & ROW_FLAGS & ~ROW_VALUED);
}

void row_give_name(struct row *row, const struct table_name *name)
{
    uint64_t state = row_state(row);

    for (size_t i = 0; i < TABLE_NAME_WORDS; i++)
        store(&row->name[i], i < name->used ? name->words[i] : 0);
    set_state(row, state, ROW_NAMED);
}

void row_take_name(struct row *row)
{
    store(&row->state, row_life(row_state(row)) + ROW_LIFE);
}
