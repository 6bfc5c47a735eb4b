/* What the suites of the table share. */
#ifndef TESTS_TABLES_H
#define TESTS_TABLES_H

#include "harness.h"
#include "table_name.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/shm.h>

#define ROUNDS(often, seldom) (runs_shortened() ? (seldom) : (often))

static struct proc_table *table;

static inline struct proc_table *must_open(size_t rows, size_t value_size)
{
    struct proc_table *opened = proc_table_open(PROC_PRIVATE, rows, value_size, 0, 0);

    ck_assert_ptr_nonnull(opened);
    return opened;
}

/* A new one; what a test that failed has left is taken away. */
static inline struct proc_table *must_create(key_t key, size_t rows, size_t value_size)
{
    shmctl(shmget(key, 0, 0), IPC_RMID, NULL);
    struct proc_table *opened = proc_table_open(key, rows, value_size, O_CREAT | O_EXCL, 0);

    ck_assert_ptr_nonnull(opened);
    return opened;
}

static inline void must_fail(int64_t result, int failure)
{
    int saved = errno;

    ck_assert_int_eq(result, -1);
    ck_assert_msg(saved == failure, "errno is %s, not %s", strerror(saved), strerror(failure));
    errno = 0;
}

static inline void must_put(const char *name, const char *text)
{
    ck_assert_msg(proc_table_put(table, name, text, strlen(text)) == 0, "put %s: %s", name, strerror(errno));
}

/* The value as a string, in a static buffer; "-" if there is no such row. */
static inline const char *value_of(const char *name)
{
    static char text[256];
    ssize_t size = proc_table_get(table, name, text, sizeof text - 1);

    if (size < 0 && errno == ENOENT)
        return "-";
    ck_assert_int_ge(size, 0);
    text[size] = '\0';
    return text;
}

static inline int count_one(const char *name, const void *value, size_t size, void *count)
{
    (void)name, (void)value, (void)size;
    ++*(size_t *)count;
    return 0;
}

static inline size_t found_by_each(void)
{
    size_t count = 0;

    ck_assert_int_eq(proc_table_each(table, count_one, &count), 0);
    return count;
}

static inline void must_have(size_t rows)
{
    ck_assert_uint_eq(proc_table_count(table), rows);
    ck_assert_uint_eq(found_by_each(), rows);
}

static inline const char *numbered(size_t number)
{
    static char names[4][32];
    static unsigned next;
    char *name = names[next++ % 4];

    snprintf(name, sizeof names[0], "row %zu", number);
    return name;
}

/* Fills it up with new rows, and says how many it took; then it has none. */
static inline size_t room_of(struct proc_table *full)
{
    size_t rows = 0;

    while (proc_table_put(full, numbered(rows), "", 0) == 0)
        rows++;
    ck_assert_int_eq(errno, ENOSPC);
    for (size_t i = 0; i < rows; i++)
        ck_assert_int_eq(proc_table_delete(full, numbered(i)), 0);
    return rows;
}

static inline size_t size_under(key_t key)
{
    struct shmid_ds status;

    ck_assert_int_eq(shmctl(shmget(key, 0, 0), IPC_STAT, &status), 0);
    return status.shm_segsz;
}

static inline uint32_t hash_of(const char *text)
{
    struct table_name name;

    ck_assert_int_eq(table_name_make(&name, text), 0);
    return name.hash;
}

#endif
