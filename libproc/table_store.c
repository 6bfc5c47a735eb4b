/* The structure has one lock, for who makes a row or takes one away. Its truth is in the rows: each says whether it has a name.
 * The index and the chain of free rows are made anew from them when a holder of that lock has died.
 *
 * A row first gets its name, and its value later, under its own lock. Without one it is not seen by readers. If its maker dies
 * in between, it is left behind; such rows are collected when there are no free ones any more.
 *
 * Who holds a row's lock never waits for the structure's. */
#include "table_store.h"

#include <errno.h>

/* So often a reader looks again when the index moves under his eyes, before he does without it. */
#define LOOKS 100

struct table_head {
    pthread_mutex_t lock;
    struct table_index_head index;
    _Atomic uint32_t free;      /* the first free row's number plus 1; 0: none */
    _Atomic uint32_t used;      /* rows from this number on were never used */
    _Atomic uint64_t unsettled; /* lower half: rows with a name and without a value, or too many; upper half: changes of that */
};

#define HEAD_SIZE 128 /* two cache lines */
_Static_assert(sizeof(struct table_head) <= HEAD_SIZE, "the head has outgrown its place");

/* ---- opening ---- */

static int fail(int error)
{
    errno = error;
    return -1;
}

int table_store_open(struct table_store *store, size_t rows, size_t value_size, key_t key, int flags, mode_t mode)
{
    if (rows == 0)
        return fail(EINVAL);
    if (rows > INT32_MAX || value_size > INT32_MAX)
        return fail(ENOMEM);
    size_t stride = row_stride(value_size), entries = table_index_entries(rows), size;
    size_t before_rows = HEAD_SIZE + entries * sizeof(uint64_t);
    if (__builtin_mul_overflow(rows, stride, &size) || __builtin_add_overflow(size, before_rows, &size))
        return fail(ENOMEM);
    if (segment_open(&store->mapping, SEGMENT_TABLE, (uint32_t)value_size, size, key, flags, mode) < 0)
        return -1;
    char *body = segment_body(&store->mapping);
    store->head = (struct table_head *)body;
    store->index = (struct table_index){&store->head->index, (_Atomic uint64_t *)(body + HEAD_SIZE), entries - 1};
    store->rows = body + before_rows;
    store->nrows = rows;
    store->value_size = value_size;
    store->stride = stride;
    robust_set_up(&store->head->lock);
    return 0;
}

size_t table_store_used(const struct table_store *store)
{
    return atomic_load(&store->head->used);
}

struct row *table_store_row(const struct table_store *store, size_t number)
{
    return (struct row *)(store->rows + number * store->stride);
}

static uint32_t number_of(const struct table_store *store, const struct row *row)
{
    return (uint32_t)((size_t)((const char *)row - store->rows) / store->stride);
}

/* ---- the structure's lock ---- */

#define CHANGE (UINT64_C(1) << 32)

static void note_unsettled(struct table_store *store)
{
    atomic_fetch_add(&store->head->unsettled, CHANGE + 1);
}

static void note_settled(struct table_store *store)
{
    atomic_fetch_add(&store->head->unsettled, CHANGE - 1);
}

static void add_to_free(struct table_store *store, struct row *row)
{
    atomic_store(&row->next_free, atomic_load(&store->head->free));
    atomic_store(&store->head->free, number_of(store, row) + 1);
}

static void make_structure_anew(struct table_store *store)
{
    table_index_begin_anew(&store->index);
    atomic_store(&store->head->free, 0);
    for (size_t number = table_store_used(store); number-- > 0;) {
        struct row *row = table_store_row(store, number);
        uint64_t words[TABLE_NAME_WORDS];

        if (!(row_state(row) & ROW_NAMED)) {
            add_to_free(store, row);
            continue;
        }
        row_copy_name(row, words);
        table_index_insert(&store->index, table_name_hash(words), (uint32_t)number);
    }
    table_index_end_anew(&store->index);
}

static int lock_structure(struct table_store *store)
{
    int result = robust_lock(&store->head->lock, -1);

    if (result == 2)
        make_structure_anew(store);
    return result < 0 ? -1 : 0;
}

static void unlock_structure(struct table_store *store)
{
    robust_unlock(&store->head->lock);
}

/* ---- finding ---- */

struct search {
    const struct table_store *store;
    const struct table_name *name;
    struct row *row;
    uint64_t state;
};

static bool is_the_one(void *argument, uint32_t number)
{
    struct search *search = argument;

    if (number >= search->store->nrows)
        return false;
    search->row = table_store_row(search->store, number);
    return row_has_name(search->row, search->name, &search->state);
}

static enum table_index_answer look(const struct table_store *store, struct search *search)
{
    return table_index_find(&store->index, search->name->hash, is_the_one, search);
}

/* The long way, for who sees the index move again and again: it may be that its mover was stopped. */
static bool find_in_rows(struct search *search)
{
    for (size_t number = 0; number < table_store_used(search->store); number++)
        if (is_the_one(search, (uint32_t)number))
            return true;
    return false;
}

struct row *table_store_find(struct table_store *store, const struct table_name *name, uint64_t *state)
{
    struct search search = {.store = store, .name = name};
    enum table_index_answer answer = TABLE_INDEX_MOVED;

    for (int i = 0; i < LOOKS && answer == TABLE_INDEX_MOVED; i++)
        answer = look(store, &search);
    bool is_there = answer == TABLE_INDEX_MOVED ? find_in_rows(&search) : answer == TABLE_INDEX_FOUND;
    *state = search.state;
    return is_there ? search.row : NULL;
}

/* ---- taking a row away: under the structure's lock ---- */

/* Whether it was without a value, and nobody is about to give it one. */
static bool take_away(struct table_store *store, struct row *row)
{
    uint64_t words[TABLE_NAME_WORDS];

    if (robust_lock(&row->lock, 0) <= 0)
        return false;
    bool is_left = (row_state(row) & (ROW_NAMED | ROW_VALUED)) == ROW_NAMED;
    if (is_left) {
        row_copy_name(row, words);
        row_take_name(row);
        table_index_remove(&store->index, table_name_hash(words), number_of(store, row));
        add_to_free(store, row);
        note_settled(store);
    }
    robust_unlock(&row->lock);
    return is_left;
}

/* Of rows whose makers died. Whoever is between a change and the note of it has the lock of his row, so what is locked counts;
 * and if something is noted meanwhile, the number stays as it is. So it may be too large, and then the next look is for nothing,
 * but never too small. */
static void collect_left_behind(struct table_store *store)
{
    uint64_t noted = atomic_load(&store->head->unsettled), busy = 0;

    for (size_t number = 0; number < store->nrows; number++) {
        struct row *row = table_store_row(store, number);

        if (!(row_state(row) & ROW_NAMED))
            continue;
        if (robust_lock(&row->lock, 0) <= 0) {
            busy++;
            continue;
        }
        bool is_left = !(row_state(row) & ROW_VALUED);
        robust_unlock(&row->lock);
        if (is_left && take_away(store, row))
            noted += CHANGE - 1;
        else
            busy += is_left;
    }
    atomic_compare_exchange_strong(&store->head->unsettled, &noted, (noted & -CHANGE) | busy);
}

/* ---- making a row: under the structure's lock ---- */

static struct row *take_free(struct table_store *store)
{
    struct table_head *head = store->head;
    uint32_t used = atomic_load(&head->used);

    if (atomic_load(&head->free) == 0 && used < store->nrows) {
        atomic_store(&head->used, used + 1);
        return table_store_row(store, used);
    }
    if (atomic_load(&head->free) == 0 && (uint32_t)atomic_load(&head->unsettled) != 0)
        collect_left_behind(store);
    uint32_t first = atomic_load(&head->free);
    if (first == 0) {
        errno = ENOSPC;
        return NULL;
    }
    struct row *row = table_store_row(store, first - 1);
    atomic_store(&head->free, atomic_load(&row->next_free));
    return row;
}

/* Locked, since from the moment that others find it they could give it a value. Who holds the lock of a row without a name
 * only sees that it is none. */
static struct row *make_row(struct table_store *store, const struct table_name *name)
{
    struct row *row = take_free(store);

    if (!row)
        return NULL;
    robust_set_up(&row->lock);
    if (robust_lock(&row->lock, -1) < 0) {
        add_to_free(store, row);
        return NULL;
    }
    note_unsettled(store);
    row_give_name(row, name);
    table_index_insert(&store->index, name->hash, number_of(store, row));
    return row;
}

/* The row, locked; NULL without an error: somebody else has made it meanwhile. */
static struct row *make_unless_there(struct table_store *store, const struct table_name *name, bool *is_there)
{
    struct search search = {.store = store, .name = name};
    struct row *row = NULL;

    if (lock_structure(store) < 0)
        return NULL;
    *is_there = look(store, &search) == TABLE_INDEX_FOUND;
    if (!*is_there)
        row = make_row(store, name);
    unlock_structure(store);
    return row;
}

/* ---- locking ---- */

static struct row *nothing(int error)
{
    errno = error;
    return NULL;
}

struct row *table_store_lock(struct table_store *store, const struct table_name *name, bool make)
{
    for (;;) {
        uint64_t state;
        struct row *row = table_store_find(store, name, &state);

        if (!row && !make)
            return nothing(ENOENT);
        if (!row) {
            bool is_there = false;

            row = make_unless_there(store, name, &is_there);
            if (row || !is_there)
                return row;
            continue;
        }
        if (robust_lock(&row->lock, -1) < 0)
            return NULL;
        if (row_life(row_state(row)) == row_life(state)) /* nobody has taken it away in between */
            return row;
        robust_unlock(&row->lock);
    }
}

void table_store_set(struct table_store *store, struct row *row, const void *value, size_t size)
{
    bool had_value = row_state(row) & ROW_VALUED;

    row_set_value(row, store->value_size, value, size);
    if (!had_value)
        note_settled(store);
}

void table_store_clear(struct table_store *store, struct row *row)
{
    note_unsettled(store);
    row_clear_value(row);
}

void table_store_unlock(struct table_store *store, struct row *row)
{
    bool has_value = row_state(row) & ROW_VALUED;

    robust_unlock(&row->lock);
    if (has_value || lock_structure(store) < 0)
        return;
    take_away(store, row);
    unlock_structure(store);
}
