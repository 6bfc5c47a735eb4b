/* A table as its users see it. */
#include "table_store.h"

#include <errno.h>
#include <proc/table.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* So often a reader copies a value that others replace meanwhile, before he tries to make them wait. */
#define COPIES 200

struct proc_table {
    struct table_store store;
};

static int fail(int error)
{
    errno = error;
    return -1;
}

struct proc_table *proc_table_open(key_t key, size_t rows, size_t value_size, int flags, mode_t mode)
{
    struct proc_table *table = calloc(1, sizeof *table);

    if (table && table_store_open(&table->store, rows, value_size, key, flags, mode) == 0)
        return table;
    free(table);
    return NULL;
}

/* ---- callbacks ---- */

/* The tables of whose callbacks this thread is in one. */
struct calling {
    const struct mapping *mapping;
    struct calling *outer;
};

static _Thread_local struct calling *innermost;

static bool is_same(const struct mapping *one, const struct mapping *other)
{
    return one == other || (one->id >= 0 && one->id == other->id);
}

/* What a callback may not do; and every call makes the name fit for a search. */
static int enter(const struct proc_table *table)
{
    for (const struct calling *calling = innermost; calling; calling = calling->outer)
        if (is_same(calling->mapping, &table->store.mapping))
            return fail(EDEADLK);
    return 0;
}

static int enter_with(const struct proc_table *table, struct table_name *name, const char *text)
{
    return enter(table) < 0 ? -1 : table_name_make(name, text);
}

/* A child that is forked in a callback is in none: it may never leave it. */
static void forget_calls(void)
{
    innermost = NULL;
}

__attribute__((constructor)) static void stand_by_at_forks(void)
{
    pthread_atfork(NULL, NULL, forget_calls);
}

static struct calling begin_call(const struct proc_table *table)
{
    return (struct calling){&table->store.mapping, innermost};
}

/* ---- reading ---- */

/* What a row was at one moment. */
struct snapshot {
    uint64_t name[TABLE_NAME_WORDS];
    void *value; /* room for so many bytes */
    size_t room, size;
};

enum sight { SEEN, TOO_LARGE, EMPTY, CHANGED };

static enum sight look(const struct table_store *store, const struct row *row, struct snapshot *snapshot)
{
    uint64_t state = row_state(row);
    enum sight sight = SEEN;

    if (!(state & ROW_VALUED))
        return EMPTY;
    snapshot->size = row_size(row, state);
    if (snapshot->size > snapshot->room)
        sight = TOO_LARGE;
    else
        row_copy_value(row, state, store->value_size, snapshot->value, snapshot->size);
    row_copy_name(row, snapshot->name);
    return row_state(row) == state ? sight : CHANGED;
}

/* Who holds the lock for long, as in an update, does not write all the while: then it is enough to look again. */
static enum sight look_under_lock(const struct table_store *store, struct row *row, struct snapshot *snapshot)
{
    if (robust_lock(&row->lock, 0) <= 0)
        return CHANGED;
    enum sight sight = look(store, row, snapshot);
    robust_unlock(&row->lock);
    return sight;
}

static enum sight see(const struct table_store *store, struct row *row, struct snapshot *snapshot)
{
    enum sight sight;

    do {
        sight = CHANGED;
        for (int i = 0; i < COPIES && sight == CHANGED; i++)
            sight = look(store, row, snapshot);
        if (sight == CHANGED)
            sight = look_under_lock(store, row, snapshot);
    } while (sight == CHANGED);
    return sight;
}

/* The row may become another's while it is looked at. */
static enum sight see_named(struct table_store *store, const struct table_name *name, struct snapshot *snapshot)
{
    for (;;) {
        uint64_t state;
        struct row *row = table_store_find(store, name, &state);
        enum sight sight = row ? see(store, row, snapshot) : EMPTY;

        if (!row || row_life(row_state(row)) == row_life(state))
            return sight;
    }
}

static ssize_t get(struct table_store *store, const struct table_name *name, void *buf, size_t size)
{
    struct snapshot snapshot; /* to fill it with zeros would take longer than all the rest */

    snapshot.value = buf;
    snapshot.room = size;
    switch (see_named(store, name, &snapshot)) {
    case SEEN:
        return (ssize_t)snapshot.size;
    case TOO_LARGE:
        return fail(ERANGE);
    default:
        return fail(ENOENT);
    }
}

/* A copy that was begun may prove to be too large, when the value changes under our eyes: then buf is to be as it was. */
static ssize_t get_apart(struct table_store *store, const struct table_name *name, void *buf, size_t size)
{
    char few[256];
    void *copy = size <= sizeof few ? few : malloc(size);

    if (!copy)
        return -1;
    ssize_t result = get(store, name, copy, size);
    if (result > 0)
        memcpy(buf, copy, (size_t)result);
    if (copy != few) {
        int failure = errno;

        free(copy);
        errno = failure;
    }
    return result;
}

ssize_t proc_table_get(struct proc_table *table, const char *name, void *buf, size_t size)
{
    struct table_name wanted;

    if (enter_with(table, &wanted, name) < 0)
        return -1;
    bool fits_anyway = size >= table->store.value_size;
    return fits_anyway ? get(&table->store, &wanted, buf, size) : get_apart(&table->store, &wanted, buf, size);
}

int proc_table_has(struct proc_table *table, const char *name)
{
    struct table_name wanted;
    uint64_t state;

    if (enter_with(table, &wanted, name) < 0)
        return -1;
    return table_store_find(&table->store, &wanted, &state) && state & ROW_VALUED;
}

size_t proc_table_count(struct proc_table *table)
{
    size_t count = 0;

    if (enter(table) < 0)
        return 0;
    for (size_t number = table_store_used(&table->store); number-- > 0;)
        count += (row_state(table_store_row(&table->store, number)) & ROW_VALUED) != 0;
    return count;
}

static int call_each(struct proc_table *table, struct snapshot *snapshot, proc_table_each_fn *each, void *arg)
{
    struct calling calling = begin_call(table);
    int result = 0;

    innermost = &calling;
    for (size_t number = 0; result == 0 && number < table_store_used(&table->store); number++)
        if (see(&table->store, table_store_row(&table->store, number), snapshot) == SEEN)
            result = each((const char *)snapshot->name, snapshot->value, snapshot->size, arg);
    innermost = calling.outer;
    return result;
}

int proc_table_each(struct proc_table *table, proc_table_each_fn *each, void *arg)
{
    struct snapshot snapshot = {.room = table->store.value_size};

    if (enter(table) < 0)
        return -1;
    snapshot.value = malloc(snapshot.room + 1);
    if (!snapshot.value)
        return -1;
    int result = call_each(table, &snapshot, each, arg);
    int failure = errno;
    free(snapshot.value);
    errno = failure;
    return result;
}

/* ---- writing ---- */

int proc_table_put(struct proc_table *table, const char *name, const void *value, size_t size)
{
    struct table_name wanted;

    if (enter_with(table, &wanted, name) < 0)
        return -1;
    if (size > table->store.value_size)
        return fail(EMSGSIZE);
    struct row *row = table_store_lock(&table->store, &wanted, true);
    if (!row)
        return -1;
    table_store_set(&table->store, row, value, size);
    table_store_unlock(&table->store, row);
    return 0;
}

int proc_table_delete(struct proc_table *table, const char *name)
{
    struct table_name wanted;

    if (enter_with(table, &wanted, name) < 0)
        return -1;
    struct row *row = table_store_lock(&table->store, &wanted, false);
    if (!row)
        return -1;
    bool was_there = row_state(row) & ROW_VALUED;
    if (was_there)
        table_store_clear(&table->store, row);
    table_store_unlock(&table->store, row);
    return was_there ? 0 : fail(ENOENT);
}

/* What a locked row's value is, in size bytes of room; a row that is just made has an empty one. */
static size_t value_of(const struct table_store *store, const struct row *row, void *value)
{
    uint64_t state = row_state(row);
    size_t size = state & ROW_VALUED ? row_size(row, state) : 0;

    row_copy_value(row, state, store->value_size, value, size);
    return size;
}

static int add_to(struct table_store *store, struct row *row, int64_t delta, int64_t *sum)
{
    uint64_t state = row_state(row), value = 0;

    if (state & ROW_VALUED && row_size(row, state) != sizeof value)
        return fail(EINVAL);
    value_of(store, row, &value);
    value += (uint64_t)delta;
    table_store_set(store, row, &value, sizeof value);
    *sum = (int64_t)value;
    return 0;
}

int64_t proc_table_add(struct proc_table *table, const char *name, int64_t delta)
{
    struct table_name wanted;
    int64_t sum = 0;

    if (enter_with(table, &wanted, name) < 0)
        return -1;
    if (table->store.value_size < sizeof sum)
        return fail(EINVAL);
    struct row *row = table_store_lock(&table->store, &wanted, true);
    if (!row)
        return -1;
    int result = add_to(&table->store, row, delta, &sum);
    table_store_unlock(&table->store, row);
    if (result < 0)
        return fail(EINVAL);
    errno = 0;
    return sum;
}

static int call_update(struct proc_table *table, struct row *row, void *value, proc_table_update_fn *update, void *arg)
{
    struct calling calling = begin_call(table);
    size_t size = value_of(&table->store, row, value);

    innermost = &calling;
    int result = update(value, &size, arg);
    innermost = calling.outer;
    if (result != 0)
        return result;
    if (size > table->store.value_size)
        return fail(EMSGSIZE);
    table_store_set(&table->store, row, value, size);
    return 0;
}

/* The callback works on a copy: what it has done counts when it returns, and not before. */
int proc_table_update(struct proc_table *table, const char *name, proc_table_update_fn *update, void *arg)
{
    struct table_name wanted;

    if (enter_with(table, &wanted, name) < 0)
        return -1;
    void *value = calloc(1, table->store.value_size + 1);
    if (!value)
        return -1;
    struct row *row = table_store_lock(&table->store, &wanted, true);
    int result = row ? call_update(table, row, value, update, arg) : -1;
    int failure = errno;
    if (row)
        table_store_unlock(&table->store, row);
    free(value);
    errno = failure;
    return result;
}

/* ---- the end ---- */

int proc_table_remove(struct proc_table *table)
{
    if (enter(table) < 0)
        return -1;
    return mapping_remove(&table->store.mapping);
}

void proc_table_close(struct proc_table *table)
{
    if (!table)
        return;
    mapping_close(&table->store.mapping);
    free(table);
}
