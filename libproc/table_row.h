/* One row of a table in shared memory: a name, and a value that is replaced in one step.
 *
 * There are two places for the value. Who holds the row's lock fills the one that is not valid; then one store of the state makes
 * it the valid one. So whoever dies before that store has changed nothing, and readers take no lock: they look at the state
 * before and after. */
#ifndef LIBPROC_TABLE_ROW_H
#define LIBPROC_TABLE_ROW_H

#include "robust.h"
#include "table_name.h"

#include <stdatomic.h>

/* What is in the state: whether the row has a name, whether it has a value, and in which of the two places; how often it was
 * written; and how often it was taken away from a name. */
#define ROW_NAMED UINT64_C(1)
#define ROW_VALUED UINT64_C(2)
#define ROW_PLACE UINT64_C(4)
#define ROW_FLAGS UINT64_C(7)
#define ROW_WRITTEN UINT64_C(8)
#define ROW_LIFE (UINT64_C(1) << 40)

struct row {
    pthread_mutex_t lock;
    _Atomic uint64_t state;
    _Atomic uint32_t sizes[2];
    _Atomic uint64_t name[TABLE_NAME_WORDS];
    _Atomic uint32_t next_free; /* of rows without a name: the next one's number plus 1 */
    _Alignas(8) _Atomic uint64_t values[]; /* two of them, one after the other */
};

static inline uint64_t row_state(const struct row *row)
{
    return atomic_load_explicit(&row->state, memory_order_acquire);
}

static inline uint64_t row_life(uint64_t state)
{
    return state & -ROW_LIFE;
}

static inline size_t row_place(uint64_t state)
{
    return state & ROW_PLACE ? 1 : 0;
}

/* Of the value that is valid in that state. It means something only if the state is the same before and after. */
static inline size_t row_size(const struct row *row, uint64_t state)
{
    return atomic_load_explicit(&row->sizes[row_place(state)], memory_order_acquire);
}

/* From one row to the next, in bytes, with values of up to value_size. */
size_t row_stride(size_t value_size);

/* The name, if the row has it throughout; *state is what it was seen in. */
bool row_has_name(const struct row *row, const struct table_name *name, uint64_t *state);

/* The name of a row, whichever it is. Likewise. */
void row_copy_name(const struct row *row, uint64_t words[TABLE_NAME_WORDS]);

/* A copy of the value that is valid in that state. Likewise. */
void row_copy_value(const struct row *row, uint64_t state, size_t value_size, void *to, size_t size);

/* By the holder of the lock: the new value. */
void row_set_value(struct row *row, size_t value_size, const void *from, size_t size);
void row_clear_value(struct row *row);

/* By the holder of the table's lock: gives a row that has no name one, and takes it away. */
void row_give_name(struct row *row, const struct table_name *name);
void row_take_name(struct row *row);

#endif
