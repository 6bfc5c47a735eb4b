/* The rows of a table and the way to them: which rows there are, how one is found, made and taken away. */
#ifndef LIBPROC_TABLE_STORE_H
#define LIBPROC_TABLE_STORE_H

#include "segment.h"
#include "table_index.h"
#include "table_row.h"

struct table_head;

struct table_store {
    struct mapping mapping;
    struct table_head *head;
    struct table_index index;
    char *rows;
    size_t nrows, value_size, stride;
};

int table_store_open(struct table_store *store, size_t rows, size_t value_size, key_t key, int flags, mode_t mode);

/* The row of that name, and the state in which it was seen to have it; NULL: there is none. Takes no lock. */
struct row *table_store_find(struct table_store *store, const struct table_name *name, uint64_t *state);

/* The same row, locked; NULL with errno. With `make` there is one afterwards, but it may not have a value: ENOSPC. */
struct row *table_store_lock(struct table_store *store, const struct table_name *name, bool make);

/* Gives the locked row a value, or takes it. */
void table_store_set(struct table_store *store, struct row *row, const void *value, size_t size);
void table_store_clear(struct table_store *store, struct row *row);

/* Unlocks it; if it has no value, it is taken away. */
void table_store_unlock(struct table_store *store, struct row *row);

/* How many rows were ever used, and each of them. */
size_t table_store_used(const struct table_store *store);
struct row *table_store_row(const struct table_store *store, size_t number);

#endif
