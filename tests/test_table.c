/* Tables that processes share. */
#include "harness.h"
#include "seam.h"
#include "table_index.h"
#include "table_name.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

static struct proc_table *table;

static struct proc_table *must_open(size_t rows, size_t value_size)
{
    struct proc_table *opened = proc_table_open(PROC_PRIVATE, rows, value_size, 0, 0);

    ck_assert_ptr_nonnull(opened);
    return opened;
}

/* A new one; what a test that failed has left is taken away. */
static struct proc_table *must_create(key_t key, size_t rows, size_t value_size)
{
    shmctl(shmget(key, 0, 0), IPC_RMID, NULL);
    struct proc_table *opened = proc_table_open(key, rows, value_size, O_CREAT | O_EXCL, 0);

    ck_assert_ptr_nonnull(opened);
    return opened;
}

static void must_fail(int64_t result, int failure)
{
    int saved = errno;

    ck_assert_int_eq(result, -1);
    ck_assert_msg(saved == failure, "errno is %s, not %s", strerror(saved), strerror(failure));
    errno = 0;
}

static void must_put(const char *name, const char *text)
{
    ck_assert_msg(proc_table_put(table, name, text, strlen(text)) == 0, "put %s: %s", name, strerror(errno));
}

/* The value as a string, in a static buffer; "-" if there is no such row. */
static const char *value_of(const char *name)
{
    static char text[256];
    ssize_t size = proc_table_get(table, name, text, sizeof text - 1);

    if (size < 0 && errno == ENOENT)
        return "-";
    ck_assert_int_ge(size, 0);
    text[size] = '\0';
    return text;
}

static int count_one(const char *name, const void *value, size_t size, void *count)
{
    (void)name, (void)value, (void)size;
    ++*(size_t *)count;
    return 0;
}

static size_t found_by_each(void)
{
    size_t count = 0;

    ck_assert_int_eq(proc_table_each(table, count_one, &count), 0);
    return count;
}

static void must_have(size_t rows)
{
    ck_assert_uint_eq(proc_table_count(table), rows);
    ck_assert_uint_eq(found_by_each(), rows);
}

static const char *numbered(size_t number)
{
    static char names[4][32];
    static unsigned next;
    char *name = names[next++ % 4];

    snprintf(name, sizeof names[0], "row %zu", number);
    return name;
}

/* Fills it up with new rows, and says how many it took; then it has none. */
static size_t room_of(struct proc_table *full)
{
    size_t rows = 0;

    while (proc_table_put(full, numbered(rows), "", 0) == 0)
        rows++;
    ck_assert_int_eq(errno, ENOSPC);
    for (size_t i = 0; i < rows; i++)
        ck_assert_int_eq(proc_table_delete(full, numbered(i)), 0);
    return rows;
}

/* ---- rows and values ---- */

START_TEST(a_row_is_made_read_replaced_and_deleted)
{
    char text[16] = "";

    table = must_open(4, 16);
    must_fail(proc_table_get(table, "a", text, sizeof text), ENOENT);
    must_fail(proc_table_delete(table, "a"), ENOENT);
    ck_assert_int_eq(proc_table_has(table, "a"), 0);
    must_have(0);
    ck_assert_int_eq(proc_table_put(table, "a", "one", 3), 0);
    ck_assert_int_eq(proc_table_put(table, "b", "two", 3), 0);
    ck_assert_int_eq(proc_table_has(table, "a"), 1);
    ck_assert_str_eq(value_of("a"), "one");
    ck_assert_int_eq(proc_table_put(table, "a", "three", 5), 0);
    ck_assert_str_eq(value_of("a"), "three");
    ck_assert_str_eq(value_of("b"), "two");
    must_have(2);
    ck_assert_int_eq(proc_table_delete(table, "a"), 0);
    must_fail(proc_table_delete(table, "a"), ENOENT);
    must_fail(proc_table_get(table, "a", text, sizeof text), ENOENT);
    ck_assert_int_eq(proc_table_has(table, "a"), 0);
    ck_assert_str_eq(value_of("b"), "two");
    must_have(1);
    ck_assert_int_eq(proc_table_remove(table), 0); /* a private one: nothing happens */
    ck_assert_str_eq(value_of("b"), "two");
    proc_table_close(table);
    proc_table_close(NULL);
}
END_TEST

static void check_size(size_t limit, size_t size)
{
    unsigned char value[4200] = "", got[4200], untouched[4200];

    memset(untouched, 0xee, sizeof untouched);
    for (size_t i = 0; i < size; i++)
        value[i] = (unsigned char)(rand() | 1);
    ck_assert_int_eq(proc_table_put(table, "name", value, size), 0);
    for (size_t room = size; room <= size + 9; room++) {
        memcpy(got, untouched, sizeof got);
        ck_assert_int_eq(proc_table_get(table, "name", got, room), (ssize_t)size);
        ck_assert_mem_eq(got, value, size);
        ck_assert_mem_eq(got + size, untouched, sizeof got - size);
    }
    for (size_t room = size; room-- > 0 && room + 10 > size;) {
        memcpy(got, untouched, sizeof got);
        must_fail(proc_table_get(table, "name", got, room), ERANGE);
        ck_assert_mem_eq(got, untouched, sizeof got);
    }
    must_fail(proc_table_put(table, "name", value, limit + 1), EMSGSIZE);
    must_fail(proc_table_put(table, "name", value, SIZE_MAX), EMSGSIZE);
    must_fail(proc_table_put(table, "other", value, limit + 1), EMSGSIZE);
    ck_assert_int_eq(proc_table_has(table, "other"), 0);
    ck_assert_int_eq(proc_table_get(table, "name", got, sizeof got), (ssize_t)size);
    ck_assert_mem_eq(got, value, size);
}

START_TEST(values_have_any_size_up_to_the_limit)
{
    static const size_t limits[] = {0, 1, 7, 8, 9, 15, 16, 17, 63, 100, 4096};
    unsigned char others[4096], got[4096];

    memset(others, 0x55, sizeof others);
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        size_t limit = limits[i], step = limit > 100 ? 61 : 1;

        table = must_open(3, limit);
        ck_assert_int_eq(proc_table_put(table, "before", others, limit), 0);
        ck_assert_int_eq(proc_table_put(table, "name", others, limit), 0);
        ck_assert_int_eq(proc_table_put(table, "after", others, limit), 0);
        for (size_t size = 0; size <= limit; size += step)
            check_size(limit, size);
        for (size_t size = limit + 1; size-- > 0; size = size < step ? 0 : size - step + 1)
            check_size(limit, size); /* shorter ones over longer ones */
        check_size(limit, limit);
        check_size(limit, 0);
        for (int side = 0; side < 2; side++) {
            ck_assert_int_eq(proc_table_get(table, side ? "before" : "after", got, sizeof got), (ssize_t)limit);
            ck_assert_mem_eq(got, others, limit);
        }
        proc_table_close(table);
    }
}
END_TEST

START_TEST(a_row_without_bytes_is_a_row)
{
    char byte = 'x';

    table = must_open(2, 0);
    ck_assert_int_eq(proc_table_put(table, "a", NULL, 0), 0);
    ck_assert_int_eq(proc_table_has(table, "a"), 1);
    ck_assert_int_eq(proc_table_has(table, "b"), 0);
    ck_assert_int_eq(proc_table_get(table, "a", NULL, 0), 0);
    ck_assert_int_eq(proc_table_get(table, "a", &byte, 1), 0);
    ck_assert_int_eq(byte, 'x');
    must_fail(proc_table_put(table, "a", "x", 1), EMSGSIZE);
    must_have(1);
    proc_table_close(table);
}
END_TEST

/* ---- names ---- */

static int compare_name(const char *name, const void *value, size_t size, void *seen)
{
    if (strlen(name) != size || memcmp(name, value, size) != 0)
        return 1;
    ++*(int *)seen;
    return 0;
}

START_TEST(names_have_1_to_63_bytes_of_any_kind)
{
    char name[65];
    int seen = 0;

    table = must_open(400, 63);
    for (size_t length = 1; length <= PROC_TABLE_NAME_MAX; length++) {
        memset(name, 'n', length);
        name[length] = '\0';
        must_put(name, name);
    }
    for (int byte = 1; byte < 256; byte++) {
        name[0] = (char)byte;
        name[1] = '\0';
        must_put(name, name);
    }
    must_put("größer, 大きい", "größer, 大きい");
    must_put(" \n\t", " \n\t");
    must_have(63 + 255 - 1 + 2); /* the "n" of one byte came twice */
    ck_assert_int_eq(proc_table_each(table, compare_name, &seen), 0);
    ck_assert_int_eq(seen, 63 + 255 - 1 + 2);
    for (size_t length = 1; length <= PROC_TABLE_NAME_MAX; length++) {
        memset(name, 'n', length);
        name[length] = '\0';
        ck_assert_str_eq(value_of(name), name);
    }
    for (int byte = 1; byte < 256; byte++) {
        name[0] = (char)byte;
        name[1] = '\0';
        ck_assert_str_eq(value_of(name), name);
        ck_assert_int_eq(proc_table_delete(table, name), 0);
    }
    ck_assert_str_eq(value_of("größer, 大きい"), "größer, 大きい");
    proc_table_close(table);
}
END_TEST

START_TEST(names_of_every_length_leave_nothing_behind)
{
    char name[64];

    table = must_open(3, 8);
    for (int turn = 0; turn < 20; turn++)
        for (size_t length = 1; length <= PROC_TABLE_NAME_MAX; length++) {
            memset(name, 'a' + turn, length);
            name[length] = '\0';
            must_put(name, "x");
            ck_assert_int_eq(proc_table_delete(table, name), 0);
            ck_assert_int_eq(proc_table_has(table, name), 0);
        }
    ck_assert_uint_eq(room_of(table), 3);
    proc_table_close(table);
}
END_TEST

static int must_not_be_called(void *value, size_t *size, void *arg)
{
    (void)value, (void)size, (void)arg;
    ck_abort_msg("called");
    return 0;
}

START_TEST(other_names_are_einval_and_change_nothing)
{
    char longest[200], byte;

    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    const char *const bad[] = {NULL, "", longest, longest + sizeof longest - 1 - 64, longest + sizeof longest - 1 - 65};
    table = must_open(4, 8);
    must_put("a", "x");
    for (int i = 0; i < 5; i++) {
        must_fail(proc_table_put(table, bad[i], "x", 1), EINVAL);
        must_fail(proc_table_get(table, bad[i], &byte, 1), EINVAL);
        must_fail(proc_table_has(table, bad[i]), EINVAL);
        must_fail(proc_table_delete(table, bad[i]), EINVAL);
        must_fail(proc_table_add(table, bad[i], 1), EINVAL);
        must_fail(proc_table_update(table, bad[i], must_not_be_called, NULL), EINVAL);
    }
    must_have(1);
    ck_assert_int_eq(proc_table_put(table, longest + sizeof longest - 1 - 63, "x", 1), 0);
    proc_table_close(table);
}
END_TEST

/* Every name of one kind of bytes, and all that differ from it in one byte, at each length: none is taken for another. */
START_TEST(names_that_differ_in_one_byte_are_two_rows)
{
    char name[64];

    table = must_open(64 * 65 / 2, 8);
    for (int pass = 0; pass < 2; pass++)
        for (short length = 1; length <= 63; length++)
            for (short at = 0; at <= length; at++) {
                short value[2] = {length, at}, got[2];

                memset(name, 'x', (size_t)length);
                name[length] = '\0';
                if (at < length)
                    name[at] = 'y';
                if (pass == 0)
                    ck_assert_int_eq(proc_table_put(table, name, value, sizeof value), 0);
                ck_assert_int_eq(proc_table_get(table, name, got, sizeof got), sizeof got);
                ck_assert_mem_eq(got, value, sizeof got);
            }
    must_have(63 * 64 / 2 + 63);
    proc_table_close(table);
}
END_TEST

/* ---- as many as fit ---- */

START_TEST(exactly_as_many_rows_fit_as_were_asked_for)
{
    static const size_t sizes[] = {1, 2, 3, 4, 5, 7, 8, 9, 100, 1000};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t rows = sizes[i];

        table = must_open(rows, 8);
        ck_assert_uint_eq(room_of(table), rows);
        for (size_t row = 0; row < rows; row++)
            ck_assert_int_eq(proc_table_put(table, numbered(row), &row, sizeof row), 0);
        for (int again = 0; again < 2; again++) {
            must_fail(proc_table_put(table, "more", "x", 1), ENOSPC);
            must_fail(proc_table_add(table, "more", 1), ENOSPC);
            must_fail(proc_table_update(table, "more", must_not_be_called, NULL), ENOSPC);
            ck_assert_int_eq(proc_table_has(table, "more"), 0);
            must_have(rows);
        }
        ck_assert_int_eq(proc_table_add(table, numbered(rows - 1), 1), (int64_t)rows); /* what is there may change */
        ck_assert_int_eq(proc_table_put(table, numbered(0), "x", 1), 0);
        ck_assert_int_eq(proc_table_delete(table, numbered(rows / 2)), 0);
        ck_assert_int_eq(proc_table_add(table, "more", 7), 7);
        must_fail(proc_table_put(table, numbered(rows / 2), "x", 1), ENOSPC);
        ck_assert_int_eq(proc_table_delete(table, "more"), 0);
        ck_assert_int_eq(proc_table_put(table, numbered(rows / 2), "x", 1), 0);
        for (size_t row = 0; row < rows; row++)
            ck_assert_int_eq(proc_table_delete(table, numbered(row)), 0);
        must_have(0);
        ck_assert_uint_eq(room_of(table), rows);
        proc_table_close(table);
    }
}
END_TEST

/* ---- add ---- */

START_TEST(add_counts_by_name)
{
    int64_t value;

    table = must_open(4, 9);
    errno = EPERM;
    ck_assert_int_eq(proc_table_add(table, "a", 5), 5);
    ck_assert_int_eq(errno, 0);
    errno = EPERM;
    ck_assert_int_eq(proc_table_add(table, "a", -6), -1);
    ck_assert_int_eq(errno, 0);
    ck_assert_int_eq(proc_table_add(table, "a", 0), -1);
    ck_assert_int_eq(proc_table_add(table, "b", 0), 0);
    ck_assert_int_eq(proc_table_get(table, "b", &value, sizeof value), sizeof value);
    ck_assert_int_eq(value, 0);
    ck_assert_int_eq(proc_table_add(table, "c", INT64_MAX), INT64_MAX);
    ck_assert_int_eq(proc_table_add(table, "c", 1), INT64_MIN);
    ck_assert_int_eq(proc_table_add(table, "c", -1), INT64_MAX);
    ck_assert_int_eq(proc_table_get(table, "c", &value, sizeof value), sizeof value);
    ck_assert_int_eq(value, INT64_MAX);
    value = 40;
    ck_assert_int_eq(proc_table_put(table, "d", &value, sizeof value), 0);
    ck_assert_int_eq(proc_table_add(table, "d", 2), 42);
    ck_assert_int_eq(proc_table_delete(table, "d"), 0);
    ck_assert_int_eq(proc_table_add(table, "d", 2), 2); /* nothing is left of the old one */
    proc_table_close(table);
}
END_TEST

START_TEST(add_to_what_is_no_counter_is_einval_and_changes_nothing)
{
    table = must_open(4, 16);
    for (size_t size = 0; size <= 16; size++) {
        if (size == 8)
            continue;
        ck_assert_int_eq(proc_table_put(table, "a", "0123456789abcdef", size), 0);
        must_fail(proc_table_add(table, "a", 1), EINVAL);
        ck_assert_int_eq(strlen(value_of("a")), size);
        ck_assert_int_eq(strncmp(value_of("a"), "0123456789abcdef", size), 0);
    }
    ck_assert_int_eq(proc_table_put(table, "a", "x", 1), 0); /* and nobody keeps it locked */
    proc_table_close(table);
    for (size_t value_size = 0; value_size < 8; value_size++) {
        table = must_open(1, value_size);
        must_fail(proc_table_add(table, "a", 1), EINVAL);
        ck_assert_int_eq(proc_table_has(table, "a"), 0);
        ck_assert_uint_eq(room_of(table), 1);
        proc_table_close(table);
    }
}
END_TEST

/* ---- update ---- */

/* What an update found, and what it is to leave. */
struct change {
    char found[64];
    size_t found_size;
    const char *leave;
    size_t size;
    int result;
};

static int change_to(void *value, size_t *size, void *arg)
{
    struct change *change = arg;

    change->found_size = *size;
    memcpy(change->found, value, *size);
    memset(value, '?', 16); /* there is room for value_size */
    if (change->leave)
        memcpy(value, change->leave, strlen(change->leave));
    *size = change->size;
    errno = ENOTTY;
    return change->result;
}

static void must_change(const char *from, const char *to)
{
    struct change change = {.leave = to, .size = strlen(to)};

    ck_assert_int_eq(proc_table_update(table, "a", change_to, &change), 0);
    ck_assert_uint_eq(change.found_size, strlen(from));
    ck_assert_mem_eq(change.found, from, strlen(from));
    ck_assert_str_eq(value_of("a"), to);
    ck_assert_str_eq(value_of("b"), "beside");
}

START_TEST(update_makes_changes_grows_and_shrinks_a_row)
{
    table = must_open(2, 16);
    must_put("b", "beside");
    must_change("", "made");
    must_change("made", "more");
    must_change("more", "sixteen bytes ..");
    must_change("sixteen bytes ..", "7 bytes");
    must_change("7 bytes", "");
    ck_assert_int_eq(proc_table_has(table, "a"), 1);
    must_change("", "eight by");
    must_change("eight by", "123456789");
    must_have(2);
    proc_table_close(table);
}
END_TEST

START_TEST(an_update_that_refuses_leaves_all_as_it_was)
{
    static const int results[] = {1, -1, 42, -7};

    for (int i = 0; i < 4; i++) {
        struct change change = {.leave = "other", .size = i % 2 ? 5 : SIZE_MAX, .result = results[i]};

        table = must_open(1, 16);
        ck_assert_int_eq(proc_table_update(table, "a", change_to, &change), results[i]);
        ck_assert_int_eq(errno, ENOTTY);
        ck_assert_uint_eq(change.found_size, 0);
        ck_assert_int_eq(proc_table_has(table, "a"), 0);
        must_have(0);
        ck_assert_uint_eq(room_of(table), 1);
        must_put("a", "as it was");
        ck_assert_int_eq(proc_table_update(table, "a", change_to, &change), results[i]);
        ck_assert_int_eq(errno, ENOTTY);
        ck_assert_uint_eq(change.found_size, 9);
        ck_assert_str_eq(value_of("a"), "as it was");
        must_have(1);
        proc_table_close(table);
    }
}
END_TEST

START_TEST(an_update_to_more_than_fits_is_emsgsize_and_leaves_all_as_it_was)
{
    static const size_t sizes[] = {17, 18, 4096, (size_t)1 << 32, ((size_t)1 << 32) + 1, SIZE_MAX};

    table = must_open(1, 16);
    for (int i = 0; i < 6; i++) {
        struct change change = {.size = sizes[i]};

        must_fail(proc_table_update(table, "a", change_to, &change), EMSGSIZE);
        must_have(0);
        ck_assert_uint_eq(room_of(table), 1);
        must_put("a", "as it was");
        must_fail(proc_table_update(table, "a", change_to, &change), EMSGSIZE);
        ck_assert_str_eq(value_of("a"), "as it was");
        ck_assert_int_eq(proc_table_delete(table, "a"), 0);
    }
    proc_table_close(table);
}
END_TEST

static int check_alignment(void *value, size_t *size, void *arg)
{
    *size = 16;
    memset(value, 0, 16);
    *(uintptr_t *)arg |= (uintptr_t)value;
    return 0;
}

static int check_copy_alignment(const char *name, const void *value, size_t size, void *arg)
{
    (void)name, (void)size;
    *(uintptr_t *)arg |= (uintptr_t)value;
    return 0;
}

START_TEST(callbacks_get_values_that_are_aligned_for_any_type)
{
    uintptr_t bits = 0;

    table = must_open(3, 17);
    for (size_t i = 0; i < 3; i++)
        ck_assert_int_eq(proc_table_update(table, numbered(i), check_alignment, &bits), 0);
    ck_assert_int_eq(proc_table_each(table, check_copy_alignment, &bits), 0);
    ck_assert_uint_eq(bits % _Alignof(max_align_t), 0);
    proc_table_close(table);
}
END_TEST

/* ---- each ---- */

static int end_at(const char *name, const void *value, size_t size, void *left)
{
    (void)name, (void)value, (void)size;
    errno = ENOTTY;
    return --*(int *)left == 0 ? -23 : 0;
}

START_TEST(each_ends_when_it_is_told_to)
{
    table = must_open(10, 8);
    int left = 1;
    ck_assert_int_eq(proc_table_each(table, end_at, &left), 0);
    for (size_t i = 0; i < 10; i++)
        must_put(numbered(i), "x");
    for (int last = 1; last <= 10; last++) {
        left = last;
        ck_assert_int_eq(proc_table_each(table, end_at, &left), -23);
        ck_assert_int_eq(errno, ENOTTY);
        ck_assert_int_eq(left, 0);
    }
    left = 11;
    ck_assert_int_eq(proc_table_each(table, end_at, &left), 0);
    ck_assert_int_eq(left, 1);
    proc_table_close(table);
}
END_TEST

/* ---- calls within calls ---- */

static struct proc_table *twin, *other;

static int must_not_walk(const char *name, const void *value, size_t size, void *arg)
{
    (void)name, (void)value, (void)size, (void)arg;
    ck_abort_msg("called");
    return 0;
}

static void must_be_barred(struct proc_table *barred)
{
    char text[16] = "untouched";

    must_fail(proc_table_put(barred, "a", "x", 1), EDEADLK);
    must_fail(proc_table_put(barred, "elsewhere", "x", 1), EDEADLK);
    must_fail(proc_table_get(barred, "a", text, sizeof text), EDEADLK);
    must_fail(proc_table_has(barred, "a"), EDEADLK);
    must_fail(proc_table_delete(barred, "a"), EDEADLK);
    must_fail(proc_table_add(barred, "counter", 1), EDEADLK);
    must_fail(proc_table_update(barred, "b", must_not_be_called, NULL), EDEADLK);
    must_fail(proc_table_each(barred, must_not_walk, NULL), EDEADLK);
    ck_assert_uint_eq(proc_table_count(barred), 0);
    ck_assert_int_eq(errno, EDEADLK);
    ck_assert_str_eq(text, "untouched");
}

static int call_both(void *value, size_t *size, void *arg)
{
    (void)arg;
    must_be_barred(table);
    must_be_barred(twin);
    must_be_barred(other);
    memcpy(value, "inner", 5);
    *size = 5;
    return 0;
}

static int walk_barred(const char *name, const void *value, size_t size, void *arg)
{
    (void)name, (void)value, (void)size, (void)arg;
    must_be_barred(table);
    must_be_barred(twin);
    must_be_barred(other);
    return 3;
}

static int call_itself(void *value, size_t *size, void *arg)
{
    (void)arg;
    must_be_barred(table);
    must_be_barred(twin);
    ck_assert_int_eq(proc_table_put(other, "x", "beside", 6), 0);
    ck_assert_int_eq(proc_table_has(other, "x"), 1);
    ck_assert_int_eq(proc_table_update(other, "x", call_both, NULL), 0);
    ck_assert_int_eq(proc_table_each(other, walk_barred, NULL), 3);
    ck_assert_int_eq(proc_table_add(other, "counter", 1), 1);
    ck_assert_int_eq(proc_table_delete(other, "counter"), 0);
    ck_assert_uint_eq(proc_table_count(other), 1);
    must_be_barred(table);
    must_be_barred(twin);
    memcpy(value, "outer", 5);
    *size = 5;
    return 0;
}

static int walk_itself(const char *name, const void *value, size_t size, void *arg)
{
    (void)name, (void)value;
    call_itself(arg, &size, NULL);
    return 0;
}

START_TEST(a_callback_that_calls_into_its_own_table_is_told_edeadlk)
{
    key_t key = fresh_key();
    char text[16];

    table = proc_table_open(key, 4, 16, O_CREAT, 0);
    twin = proc_table_open(key, 4, 16, 0, 0);
    other = must_open(4, 16);
    must_put("a", "as it was");
    ck_assert_int_eq(proc_table_update(table, "b", call_itself, NULL), 0);
    ck_assert_str_eq(value_of("a"), "as it was");
    ck_assert_str_eq(value_of("b"), "outer");
    ck_assert_int_eq(proc_table_get(other, "x", text, sizeof text), 5);
    ck_assert_mem_eq(text, "inner", 5);
    must_have(2);
    ck_assert_int_eq(proc_table_each(twin, walk_itself, text), 0);
    must_have(2);
    ck_assert_int_eq(proc_table_put(twin, "c", "x", 1), 0); /* and all is well again */
    ck_assert_int_eq(proc_table_remove(twin), 0);
    proc_table_close(twin);
    proc_table_close(table);
    proc_table_close(other);
}
END_TEST

/* Others go on while one is in a callback: on other rows at once, and they read the row as it was. */
static void *work_beside(void *unused)
{
    (void)unused;
    ck_assert_str_eq(value_of("a"), "as it was");
    ck_assert_int_eq(proc_table_has(table, "a"), 1);
    ck_assert_int_eq(proc_table_has(table, "new"), 0);
    must_put("b", "changed");
    must_put("c", "made");
    ck_assert_int_eq(proc_table_add(table, "counter", 1), 1);
    ck_assert_int_eq(proc_table_delete(table, "counter"), 0);
    ck_assert_uint_eq(proc_table_count(table), found_by_each());
    return NULL;
}

static int let_others_work(void *value, size_t *size, void *arg)
{
    pthread_t thread;

    (void)arg;
    memset(value, '?', 16);
    *size = 16;
    ck_assert_int_eq(pthread_create(&thread, NULL, work_beside, NULL), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    return 0;
}

static int walk_beside_others(const char *name, const void *value, size_t size, void *arg)
{
    let_others_work(arg, &size, NULL);
    return name == value;
}

START_TEST(others_go_on_while_one_is_in_a_callback)
{
    char room[16];

    table = must_open(6, 16);
    must_put("a", "as it was");
    must_put("b", "b");
    ck_assert_int_eq(proc_table_update(table, "new", let_others_work, NULL), 0);
    ck_assert_int_eq(proc_table_delete(table, "new"), 0);
    ck_assert_int_eq(proc_table_update(table, "a", let_others_work, NULL), 0);
    ck_assert_str_eq(value_of("a"), "????????????????");
    must_put("a", "as it was");
    ck_assert_int_eq(proc_table_each(table, walk_beside_others, room), 0);
    ck_assert_str_eq(value_of("b"), "changed");
    must_have(3);
    proc_table_close(table);
}
END_TEST

/* ---- opening ---- */

START_TEST(opening_heeds_key_size_and_flags)
{
    key_t key = fresh_key();

    ck_assert_ptr_null(proc_table_open(key, 4, 16, 0, 0));
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_ptr_null(proc_table_open(key, 4, 16, O_EXCL, 0));
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_ptr_null(proc_table_open(key, 0, 16, O_CREAT, 0));
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_ptr_null(proc_table_open(key, 4, 16, O_CREAT | O_APPEND, 0));
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_ptr_null(proc_table_open(key, 4, 16, O_CREAT, 01000));
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_ptr_null(proc_table_open(-1, 4, 16, O_CREAT, 0));
    ck_assert_int_eq(errno, EINVAL);
    static const size_t large[] = {SIZE_MAX, SIZE_MAX / 2, SIZE_MAX / 64, (size_t)1 << 32, (size_t)INT32_MAX + 1};
    for (int i = 0; i < 5; i++) {
        ck_assert_ptr_null(proc_table_open(PROC_PRIVATE, large[i], 16, 0, 0));
        ck_assert_int_eq(errno, ENOMEM);
        ck_assert_ptr_null(proc_table_open(PROC_PRIVATE, 1, large[i], 0, 0));
        ck_assert_int_eq(errno, ENOMEM);
        ck_assert_ptr_null(proc_table_open(key, large[i], large[i], O_CREAT, 0));
        ck_assert_int_eq(errno, ENOMEM);
    }
    ck_assert_ptr_null(proc_table_open(PROC_PRIVATE, INT32_MAX, INT32_MAX, 0, 0));
    ck_assert_int_eq(errno, ENOMEM);
    table = proc_table_open(key, 4, 16, O_CREAT | O_EXCL, 0);
    ck_assert_ptr_nonnull(table);
    must_put("a", "x");
    ck_assert_ptr_null(proc_table_open(key, 4, 16, O_CREAT | O_EXCL, 0));
    ck_assert_int_eq(errno, EEXIST);
    static const size_t wrong[][2] = {{3, 16}, {5, 16}, {8, 16}, {1, 16}, {400, 16}, {4, 15}, {4, 17}, {4, 0}, {4, 9}, {4, 400}};
    for (int i = 0; i < 10; i++)
        for (int create = 0; create < 2; create++) {
            ck_assert_ptr_null(proc_table_open(key, wrong[i][0], wrong[i][1], create ? O_CREAT : 0, 0));
            ck_assert_int_eq(errno, EINVAL);
        }
    struct proc_table *same = proc_table_open(key, 4, 16, O_CREAT, 0);
    ck_assert_int_eq(proc_table_put(same, "b", "x", 1), 0);
    must_have(2);
    proc_table_remove(table);
    proc_table_close(same);
    proc_table_close(table);
}
END_TEST

START_TEST(a_table_that_is_removed_lives_on_with_those_who_have_it)
{
    key_t key = fresh_key();

    table = proc_table_open(key, 4, 16, O_CREAT, 0);
    struct proc_table *same = proc_table_open(key, 4, 16, 0, 0);
    must_put("a", "x");
    ck_assert_int_eq(proc_table_remove(same), 0);
    ck_assert_int_eq(proc_table_remove(same), 0);
    ck_assert_ptr_null(proc_table_open(key, 4, 16, 0, 0));
    ck_assert_int_eq(errno, ENOENT);
    must_put("b", "x");
    ck_assert_int_eq(proc_table_delete(same, "a"), 0);
    ck_assert_int_eq(proc_table_has(same, "b"), 1);
    struct proc_table *next = proc_table_open(key, 4, 16, O_CREAT, 0);
    ck_assert_uint_eq(proc_table_count(next), 0);
    ck_assert_int_eq(proc_table_remove(table), 0); /* not the new one */
    must_have(1);
    proc_table_close(next);
    next = proc_table_open(key, 4, 16, 0, 0);
    ck_assert_ptr_nonnull(next);
    ck_assert_int_eq(proc_table_remove(next), 0);
    errno = ENOTTY;
    proc_table_close(next);
    proc_table_close(same);
    proc_table_close(table);
    ck_assert_int_eq(errno, ENOTTY);
}
END_TEST

static size_t size_under(key_t key)
{
    struct shmid_ds status;

    ck_assert_int_eq(shmctl(shmget(key, 0, 0), IPC_STAT, &status), 0);
    return status.shm_segsz;
}

START_TEST(what_is_no_such_table_is_einval_and_stays_as_it_is)
{
    key_t key = fresh_key();

    table = proc_table_open(key, 2, 8, O_CREAT, 0);
    size_t size = size_under(key);
    struct proc_shm *same = proc_shm_open(key, 0, 0, 0);
    uint64_t identity = *(uint64_t *)proc_shm_data(same);
    proc_shm_close(same);
    proc_table_remove(table);
    proc_table_close(table);
    struct proc_shm *shm = proc_shm_open(key, size, O_CREAT, 0);
    uint64_t *word = proc_shm_data(shm);
    const uint64_t words[] = {1, UINT64_MAX, identity + 1, identity ^ UINT64_C(1) << 40, identity ^ UINT64_C(1) << 63};
    for (int i = 0; i < 5; i++) {
        *word = words[i];
        ck_assert_ptr_null(proc_table_open(key, 2, 8, O_CREAT, 0));
        ck_assert_int_eq(errno, EINVAL);
        ck_assert_uint_eq(*word, words[i]);
    }
    proc_shm_remove(shm);
    proc_shm_close(shm);
    /* the other kinds, of whatever size they are */
    for (size_t count = 1; count < 40; count++) {
        struct proc_counter *counter = proc_counter_open(key, count, O_CREAT, 0);

        for (size_t rows = 1; rows < 12; rows++) {
            ck_assert_ptr_null(proc_table_open(key, rows, 8, O_CREAT, 0));
            ck_assert_int_eq(errno, EINVAL);
        }
        ck_assert_int_eq(proc_counter_get(counter, 0), 0);
        proc_counter_remove(counter);
        proc_counter_close(counter);
    }
    struct proc_lock *lock = proc_lock_open(key, O_CREAT, 0);
    ck_assert_ptr_null(proc_table_open(key, 1, 0, O_CREAT, 0));
    ck_assert_int_eq(errno, EINVAL);
    proc_lock_remove(lock);
    proc_lock_close(lock);
    table = proc_table_open(key, 1, 0, O_CREAT, 0);
    ck_assert_ptr_null(proc_lock_open(key, O_CREAT, 0));
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_ptr_null(proc_counter_open(key, 1, O_CREAT, 0));
    ck_assert_int_eq(errno, EINVAL);
    proc_table_remove(table);
    proc_table_close(table);
}
END_TEST

static int permissions_of(key_t key)
{
    struct shmid_ds status;

    ck_assert_int_eq(shmctl(shmget(key, 0, 0), IPC_STAT, &status), 0);
    return status.shm_perm.mode & 0777;
}

static int come_as_nobody(struct proc *self, void *keys)
{
    (void)self;
    if (proc_table_open(((key_t *)keys)[0], 2, 8, O_CREAT, 0) || errno != EACCES)
        return 1;
    struct proc_table *open = proc_table_open(((key_t *)keys)[1], 2, 8, 0, 0);
    if (!open || proc_table_add(open, "a", 1) != 1)
        return 2;
    if (proc_table_remove(open) != -1 || errno != EPERM)
        return 3;
    proc_table_close(open);
    return 0;
}

START_TEST(a_table_is_its_owners_alone_unless_the_mode_says_else)
{
    key_t keys[] = {fresh_key(), fresh_key()};
    struct proc_ids ids = {.uid = 65534, .gid = 65534};
    struct proc_table *closed = proc_table_open(keys[0], 2, 8, O_CREAT, 0);

    table = proc_table_open(keys[1], 2, 8, O_CREAT, 0666);
    ck_assert_int_eq(permissions_of(keys[0]), 0600);
    ck_assert_int_eq(permissions_of(keys[1]), 0666);
    if (geteuid() == 0) {
        struct proc *nobody = must_spawn((struct proc_options){.main = come_as_nobody, .arg = keys, .ids = &ids});
        ck_assert_int_eq(must_end(nobody).code, 0);
        ck_assert_int_eq(proc_table_add(table, "a", 1), 2);
    } else {
        skip("no right to become somebody else");
    }
    proc_table_remove(closed);
    proc_table_close(closed);
    proc_table_remove(table);
    proc_table_close(table);
}
END_TEST

START_TEST(a_failure_of_the_system_leaves_nothing_behind)
{
    static const struct {
        long number;
        int failure;
    } calls[] = {{SYS_shmget, ENOSPC}, {SYS_shmget, ENOMEM}, {SYS_shmget, EACCES}, {SYS_shmat, ENOMEM}, {SYS_shmctl, EACCES}};
    key_t key = fresh_key();

    for (int i = 0; i < 5; i++) {
        seam_fail(calls[i].number, 1, calls[i].failure);
        ck_assert_ptr_null(proc_table_open(key, 2, 8, O_CREAT, 0));
        ck_assert_int_eq(errno, calls[i].failure);
        ck_assert(seam_end());
        ck_assert_int_eq(shmget(key, 0, 0), -1);
    }
    seam_fail(SYS_mmap, 1, ENOMEM);
    ck_assert_ptr_null(proc_table_open(PROC_PRIVATE, 2, 8, 0, 0));
    ck_assert_int_eq(errno, ENOMEM);
    ck_assert(seam_end());
    long held = seam_memory_held();
    seam_fail_memory(1);
    ck_assert_ptr_null(proc_table_open(key, 2, 8, O_CREAT, 0));
    ck_assert_int_eq(errno, ENOMEM);
    ck_assert(seam_end_memory());
    ck_assert_int_eq(shmget(key, 0, 0), -1);
    table = must_open(1, 16);
    seam_fail_memory(1);
    must_fail(proc_table_update(table, "a", must_not_be_called, NULL), ENOMEM);
    ck_assert(seam_end_memory());
    must_have(0);
    must_put("a", "x");
    seam_fail_memory(1);
    must_fail(proc_table_each(table, must_not_walk, NULL), ENOMEM);
    ck_assert(seam_end_memory());
    ck_assert_str_eq(value_of("a"), "x");
    proc_table_close(table);
    ck_assert_int_eq(seam_memory_held(), held);
}
END_TEST

/* ---- against a model ---- */

#define MODEL_NAMES 400
#define MODEL_VALUE 24

/* What the table should be like: of each name, whether it is there and what its value is. */
static struct model {
    size_t rows, used, names;
    struct {
        char name[64];
        bool is_there, was_seen;
        size_t size;
        unsigned char value[MODEL_VALUE];
    } of[MODEL_NAMES];
} model;

static int model_compare(const char *name, const void *value, size_t size, void *unused)
{
    (void)unused;
    for (size_t i = 0; i < model.names; i++)
        if (strcmp(name, model.of[i].name) == 0) {
            ck_assert_msg(model.of[i].is_there && !model.of[i].was_seen, "%s is not there, or twice", name);
            ck_assert_uint_eq(size, model.of[i].size);
            ck_assert_mem_eq(value, model.of[i].value, size);
            model.of[i].was_seen = true;
            return 0;
        }
    ck_abort_msg("%s is nobody's name", name);
    return 1;
}

static void model_check_one(size_t i)
{
    unsigned char got[MODEL_VALUE];

    ck_assert_int_eq(proc_table_has(table, model.of[i].name), model.of[i].is_there);
    if (!model.of[i].is_there) {
        must_fail(proc_table_get(table, model.of[i].name, got, sizeof got), ENOENT);
        return;
    }
    ck_assert_int_eq(proc_table_get(table, model.of[i].name, got, sizeof got), (ssize_t)model.of[i].size);
    ck_assert_mem_eq(got, model.of[i].value, model.of[i].size);
}

static void model_check_all(void)
{
    for (size_t i = 0; i < model.names; i++) {
        model.of[i].was_seen = false;
        model_check_one(i);
    }
    ck_assert_uint_eq(proc_table_count(table), model.used);
    ck_assert_int_eq(proc_table_each(table, model_compare, NULL), 0);
    for (size_t i = 0; i < model.names; i++)
        ck_assert_int_eq(model.of[i].was_seen, model.of[i].is_there);
}

static void model_store(size_t i, const void *value, size_t size)
{
    model.used += !model.of[i].is_there;
    model.of[i].is_there = true;
    model.of[i].size = size;
    memcpy(model.of[i].value, value, size);
}

/* 0, or the errno that a call which makes the row if need be must have. */
static int model_failure_to_make(size_t i)
{
    return !model.of[i].is_there && model.used == model.rows ? ENOSPC : 0;
}

static void model_put(size_t i)
{
    unsigned char value[MODEL_VALUE];
    size_t size = rand() % 3 ? (size_t)rand() % (MODEL_VALUE + 1) : 8;
    int failure = model_failure_to_make(i);

    for (size_t at = 0; at < size; at++)
        value[at] = (unsigned char)rand();
    if (failure) {
        must_fail(proc_table_put(table, model.of[i].name, value, size), failure);
        return;
    }
    ck_assert_int_eq(proc_table_put(table, model.of[i].name, value, size), 0);
    model_store(i, value, size);
}

static void model_delete(size_t i)
{
    int result = proc_table_delete(table, model.of[i].name);

    if (!model.of[i].is_there) {
        must_fail(result, ENOENT);
        return;
    }
    ck_assert_int_eq(result, 0);
    model.of[i].is_there = false;
    model.used--;
}

static void model_add(size_t i)
{
    int64_t delta = (int64_t)(((uint64_t)rand() - RAND_MAX / 2) << rand() % 33), sum = 0;
    int failure = model_failure_to_make(i);

    if (model.of[i].is_there && model.of[i].size != 8)
        failure = EINVAL;
    if (failure) {
        must_fail(proc_table_add(table, model.of[i].name, delta), failure);
        return;
    }
    if (model.of[i].is_there)
        memcpy(&sum, model.of[i].value, 8);
    sum = (int64_t)((uint64_t)sum + (uint64_t)delta);
    ck_assert_int_eq(proc_table_add(table, model.of[i].name, delta), sum);
    model_store(i, &sum, 8);
}

struct model_change {
    size_t i, size;
    int result;
};

static int model_change(void *value, size_t *size, void *arg)
{
    struct model_change *change = arg;

    ck_assert_uint_eq(*size, model.of[change->i].is_there ? model.of[change->i].size : 0);
    ck_assert_mem_eq(value, model.of[change->i].value, *size);
    for (size_t at = 0; at < MODEL_VALUE; at++)
        ((unsigned char *)value)[at] = (unsigned char)(change->size + at);
    *size = change->size;
    return change->result;
}

static void model_update(size_t i)
{
    struct model_change change = {i, (size_t)rand() % (MODEL_VALUE + 2), rand() % 4 ? 0 : 1};
    unsigned char value[MODEL_VALUE];
    int failure = model_failure_to_make(i);

    if (!failure && change.result == 0 && change.size > MODEL_VALUE)
        failure = EMSGSIZE;
    int result = proc_table_update(table, model.of[i].name, model_change, &change);
    if (failure) {
        must_fail(result, failure);
        return;
    }
    ck_assert_int_eq(result, change.result);
    if (result == 0) {
        for (size_t at = 0; at < MODEL_VALUE; at++)
            value[at] = (unsigned char)(change.size + at);
        model_store(i, value, change.size);
    }
}

static void model_run(size_t rows, int operations)
{
    static void (*const calls[])(size_t) = {model_put, model_put, model_delete, model_add, model_update, model_check_one};
    key_t key = fresh_key();
    struct proc_table *handles[2] = {must_create(key, rows, MODEL_VALUE),
                                     proc_table_open(key, rows, MODEL_VALUE, O_CREAT, 0)};

    model.rows = rows;
    model.used = 0;
    for (size_t i = 0; i < model.names; i++)
        model.of[i].is_there = false;
    for (int i = 0; i < operations; i++) {
        table = handles[rand() % 2];
        calls[rand() % 6]((size_t)rand() % model.names);
        ck_assert_uint_eq(proc_table_count(table), model.used);
        if (i % 512 == 0 || (model.names <= 32 && i % 8 == 0))
            model_check_all();
    }
    model_check_all();
    for (size_t i = 0; i < model.names; i++)
        proc_table_delete(table, model.of[i].name);
    ck_assert_uint_eq(room_of(table), rows);
    proc_table_remove(table);
    proc_table_close(handles[0]);
    proc_table_close(handles[1]);
}

#define OPERATIONS (runs_instrumented() ? 10000 : 50000)

START_TEST(a_table_does_what_an_array_would)
{
    static const size_t rows[] = {1, 2, 3, 7, 8, 33};

    for (int run = 0; run < 6; run++) {
        model.names = rows[run] + 4;
        for (size_t i = 0; i < model.names; i++)
            snprintf(model.of[i].name, sizeof model.of[i].name, "%.*s%zu", rand() % 50,
                     "a name of some length, as there may be more", i);
        model_run(rows[run], OPERATIONS / 4);
    }
    model.names = MODEL_NAMES;
    for (size_t i = 0; i < model.names; i++)
        snprintf(model.of[i].name, sizeof model.of[i].name, "%zu", i);
    model_run(256, OPERATIONS);
    model_run(MODEL_NAMES, OPERATIONS);
}
END_TEST

static uint32_t hash_of(const char *text)
{
    struct table_name name;

    ck_assert_int_eq(table_name_make(&name, text), 0);
    return name.hash;
}

/* All want the same few places, at the end of the index, so that they wrap around to its start. */
START_TEST(names_that_want_the_same_places_are_all_found)
{
    static const size_t rows[] = {4, 16, 64};

    for (int run = 0; run < 3; run++)
        for (uint32_t spread = 1; spread < 8; spread += 2) {
            uint32_t mask = (uint32_t)table_index_entries(rows[run]) - 1;
            size_t found = 0;

            model.names = rows[run] + 2;
            for (size_t i = 0; found < model.names; i++) {
                snprintf(model.of[found].name, sizeof model.of[found].name, "%zu", i);
                found += ((hash_of(model.of[found].name) + spread / 2 + 1) & mask) < spread;
            }
            model_run(rows[run], OPERATIONS / 20);
        }
}
END_TEST

struct hashed {
    uint32_t hash, number;
};

static int compare_hashes(const void *one, const void *another)
{
    uint32_t left = ((const struct hashed *)one)->hash, right = ((const struct hashed *)another)->hash;

    return left < right ? -1 : left > right;
}

START_TEST(names_of_the_same_hash_are_two_rows)
{
    enum { TRIED = 400000 };
    struct hashed *hashed = malloc(TRIED * sizeof *hashed);
    char name[16];

    for (uint32_t i = 0; i < TRIED; i++) {
        snprintf(name, sizeof name, "%u", i);
        hashed[i] = (struct hashed){hash_of(name), i};
    }
    qsort(hashed, TRIED, sizeof *hashed, compare_hashes);
    model.names = 0;
    for (uint32_t i = 1; i < TRIED && model.names < 40; i++)
        if (hashed[i].hash == hashed[i - 1].hash)
            for (uint32_t twin_of = i - 1; twin_of <= i; twin_of++)
                snprintf(model.of[model.names++].name, sizeof model.of[0].name, "%u", hashed[twin_of].number);
    free(hashed);
    ck_assert_uint_ge(model.names, 4);
    model_run(model.names - 1, OPERATIONS / 4);
}
END_TEST

/* Of a million rows that come and go, at every moment as many as fit: none is lost, and no search becomes long. */
START_TEST(a_full_table_stays_in_order_over_the_years)
{
    enum { ROWS = 500 };
    size_t rounds = runs_instrumented() ? 20000 : 200000;
    size_t there[ROWS], next = 0, got;

    table = must_open(ROWS, sizeof(size_t));
    for (; next < ROWS; next++) {
        there[next] = next;
        ck_assert_int_eq(proc_table_put(table, numbered(next), &next, sizeof next), 0);
    }
    for (; next < rounds; next++) {
        size_t i = (size_t)rand() % ROWS;

        ck_assert_int_eq(proc_table_delete(table, numbered(there[i])), 0);
        ck_assert_int_eq(proc_table_has(table, numbered(there[i])), 0);
        there[i] = next;
        ck_assert_int_eq(proc_table_put(table, numbered(next), &next, sizeof next), 0);
        i = (size_t)rand() % ROWS;
        ck_assert_int_eq(proc_table_get(table, numbered(there[i]), &got, sizeof got), sizeof got);
        ck_assert_uint_eq(got, there[i]);
    }
    must_have(ROWS);
    for (size_t i = 0; i < ROWS; i++) {
        ck_assert_int_eq(proc_table_get(table, numbered(there[i]), &got, sizeof got), sizeof got);
        ck_assert_uint_eq(got, there[i]);
        ck_assert_int_eq(proc_table_delete(table, numbered(there[i])), 0);
    }
    ck_assert_uint_eq(room_of(table), ROWS);
    proc_table_close(table);
}
END_TEST

/* ---- many at once ---- */

/* For all who take part in a test: in memory that they share. */
static struct shared {
    _Atomic bool is_over;
    _Atomic long turn, ready, done, made, reads, misses;
} *shared;

static void share(void)
{
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(shared, MAP_FAILED);
}

static void unshare_all(void)
{
    munmap(shared, sizeof *shared);
}

#define WORKERS 4
#define ROUNDS(often, seldom) (runs_instrumented() ? (seldom) : (often))

static void run_in_workers(proc_main_fn *main)
{
    static int numbers[WORKERS] = {0, 1, 2, 3};
    struct proc *children[WORKERS];

    for (int i = 0; i < WORKERS; i++)
        children[i] = must_spawn((struct proc_options){.main = main, .arg = &numbers[i]});
    for (int i = 0; i < WORKERS; i++)
        ck_assert_int_eq(must_end(children[i]).code, 0);
}

static void *add_often(void *result)
{
    static const char *const names[] = {"row 0", "row 1", "row 2", "row 3"};
    int rounds = ROUNDS(20000, 1000);

    for (int i = 0; i < rounds; i++)
        if (proc_table_add(table, names[i % 4], 1) < 1 || errno != 0)
            *(int *)result = 1;
    return NULL;
}

static int add_in_two_threads(struct proc *self, void *unused)
{
    pthread_t thread;
    int result = 0, beside = 0;

    (void)self, (void)unused;
    if (pthread_create(&thread, NULL, add_often, &beside) != 0)
        return 2;
    add_often(&result);
    pthread_join(thread, NULL);
    return result | beside;
}

START_TEST(no_addition_is_lost)
{
    int64_t sum = 0;

    table = must_open(4, 8);
    run_in_workers(add_in_two_threads);
    for (size_t i = 0; i < 4; i++)
        sum += proc_table_add(table, numbered(i), 0);
    ck_assert_int_eq(sum, (int64_t)2 * WORKERS * ROUNDS(20000, 1000));
    must_have(4);
    proc_table_close(table);
}
END_TEST

/* A value that says whose it is, how long it is, and is the same throughout. */
#define FILLED 200

static size_t fill(unsigned char *value, unsigned char whose)
{
    size_t size = 3 + (size_t)rand() % (FILLED - 2);

    memset(value, rand(), size);
    value[0] = whose;
    value[1] = (unsigned char)size;
    return size;
}

static bool is_filled(const unsigned char *value, size_t size, unsigned char whose)
{
    if (size < 3 || value[0] != whose || value[1] != (unsigned char)size)
        return false;
    for (size_t i = 3; i < size; i++)
        if (value[i] != value[2])
            return false;
    return true;
}

static const char *letter(int which)
{
    static const char names[8][8] = {"a", "b", "c", "d", "e", "f", "g", "h"};

    return names[which & 7];
}

static int check_filled(const char *name, const void *value, size_t size, void *arg)
{
    (void)arg;
    return strlen(name) == 1 && is_filled(value, size, (unsigned char)*name) ? 0 : 1;
}

static int fill_in_place(void *value, size_t *size, void *whose)
{
    *size = fill(value, *(const unsigned char *)whose);
    return 0;
}

/* The rows' names are six, the table has but four: they come and go, and one row has many names in its life. */
static int write_all_the_time(struct proc *self, void *number)
{
    unsigned char value[FILLED];

    (void)self;
    srand((unsigned)getpid() + *(unsigned *)number);
    while (!shared->is_over) {
        const char *name = letter(rand() % 6);
        unsigned char whose = (unsigned char)*name;
        int kind = rand() % 8, result;

        if (kind == 0)
            result = proc_table_delete(table, name);
        else if (kind == 1)
            result = proc_table_update(table, name, fill_in_place, &whose);
        else
            result = proc_table_put(table, name, value, fill(value, whose));
        if (result < 0 && errno != ENOENT && errno != ENOSPC)
            return 1;
    }
    return 0;
}

static void *read_all_the_time(void *result)
{
    unsigned char value[FILLED];
    unsigned state = (unsigned)getpid();
    long left = ROUNDS(100000, 4000);

    while (left-- > 0) {
        const char *name = letter(rand_r(&state) % 6);

        if (left % 4 == 0) {
            if (proc_table_each(table, check_filled, NULL) != 0 || proc_table_count(table) > 4)
                return result;
            continue;
        }
        ssize_t size = proc_table_get(table, name, value, sizeof value);
        if (size < 0 ? errno != ENOENT : !is_filled(value, (size_t)size, (unsigned char)*name))
            return result;
        shared->reads += size > 0;
    }
    return NULL;
}

static int read_in_two_threads(struct proc *self, void *unused)
{
    pthread_t thread;
    int failure = 1;
    void *beside = NULL;

    (void)self, (void)unused;
    if (pthread_create(&thread, NULL, read_all_the_time, &failure) != 0)
        return 2;
    void *here = read_all_the_time(&failure);
    pthread_join(thread, &beside);
    return here || beside;
}

START_TEST(readers_see_whole_values_of_the_right_name_whatever_writers_do)
{
    int numbers[] = {1, 2};
    struct proc *writers[2], *readers[2];

    share();
    table = must_open(4, FILLED);
    for (int i = 0; i < 2; i++)
        writers[i] = must_spawn((struct proc_options){.main = write_all_the_time, .arg = &numbers[i]});
    for (int i = 0; i < 2; i++)
        readers[i] = must_spawn((struct proc_options){.main = read_in_two_threads});
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(must_end(readers[i]).code, 0);
    shared->is_over = true;
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(must_end(writers[i]).code, 0);
    ck_assert_int_gt(shared->reads, 0);
    ck_assert_int_eq(proc_table_each(table, check_filled, NULL), 0);
    ck_assert_uint_eq(proc_table_count(table), found_by_each());
    for (int i = 0; i < 6; i++)
        proc_table_delete(table, letter(i));
    ck_assert_uint_eq(room_of(table), 4);
    proc_table_close(table);
    unshare_all();
}
END_TEST

/* So large that no reader gets a copy in one piece, unless he makes the writers wait. */
#define LARGE 65536

static int write_large(struct proc *self, void *unused)
{
    static unsigned char value[LARGE];

    (void)self, (void)unused;
    while (!shared->is_over)
        for (int byte = 0; byte < 256; byte++) {
            memset(value, byte, 1024);
            memset(value + LARGE - 1024, byte, 1024);
            if (proc_table_put(table, "large", value, sizeof value) < 0)
                return 1;
        }
    return 0;
}

START_TEST(large_values_are_read_whole_beside_busy_writers)
{
    static unsigned char value[LARGE];
    struct proc *writers[2];

    share();
    table = must_open(1, LARGE);
    ck_assert_int_eq(proc_table_put(table, "large", value, sizeof value), 0);
    for (int i = 0; i < 2; i++)
        writers[i] = must_spawn((struct proc_options){.main = write_large});
    for (int i = 0; i < ROUNDS(100, 20); i++) {
        ck_assert_int_eq(proc_table_get(table, "large", value, sizeof value), LARGE);
        for (size_t at = 0; at < 1024; at++)
            ck_assert(value[at] == value[0] && value[LARGE - 1 - at] == value[0]);
    }
    shared->is_over = true;
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(must_end(writers[i]).code, 0);
    proc_table_close(table);
    unshare_all();
}
END_TEST

/* Two thirds of the time the value is too large for the reader. */
static int write_short_and_long(struct proc *self, void *unused)
{
    unsigned char value[FILLED];

    (void)self, (void)unused;
    for (int i = 0; !shared->is_over; i++) {
        memset(value, 'w', sizeof value);
        if (proc_table_put(table, "a", value, i % 3 ? sizeof value : 100) < 0)
            return 1;
    }
    return 0;
}

START_TEST(nothing_is_copied_of_a_value_that_is_too_large_whatever_writers_do)
{
    unsigned char value[100];

    share();
    table = must_open(1, FILLED);
    must_put("a", "x");
    struct proc *writer = must_spawn((struct proc_options){.main = write_short_and_long});
    for (int i = 0; i < ROUNDS(200000, 5000); i++) {
        memset(value, 'r', sizeof value);
        ssize_t size = proc_table_get(table, "a", value, sizeof value);
        ck_assert(size > 0 || (size == -1 && errno == ERANGE));
        if (size < 0)
            for (size_t at = 0; at < sizeof value; at++)
                ck_assert_int_eq(value[at], 'r');
    }
    shared->is_over = true;
    ck_assert_int_eq(must_end(writer).code, 0);
    proc_table_close(table);
    unshare_all();
}
END_TEST

struct account {
    int64_t in, out, balance, moves;
};

static int book(void *value, size_t *size, void *amount)
{
    struct account account = {.in = 0};

    if (*size == sizeof account)
        memcpy(&account, value, sizeof account);
    if (account.balance != account.in - account.out)
        return 1;
    account.in += *(int *)amount;
    account.out += *(int *)amount / 2;
    account.moves++;
    account.balance = account.in - account.out;
    memcpy(value, &account, sizeof account);
    *size = sizeof account;
    return 0;
}

static int book_often(struct proc *self, void *number)
{
    int rounds = ROUNDS(20000, 1000);

    (void)self;
    for (int i = 0; i < rounds; i++) {
        int amount = i % 100 + *(int *)number;

        if (proc_table_update(table, letter(i % 2), book, &amount) != 0)
            return 1;
    }
    return 0;
}

START_TEST(no_update_is_lost)
{
    struct account account;
    int64_t in = 0, moves = 0;

    table = must_open(2, sizeof account);
    run_in_workers(book_often);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(proc_table_get(table, letter(i), &account, sizeof account), sizeof account);
        ck_assert_int_eq(account.balance, account.in - account.out);
        moves += account.moves;
        in += account.in;
    }
    ck_assert_int_eq(moves, WORKERS * ROUNDS(20000, 1000));
    ck_assert_int_eq(in, (int64_t)ROUNDS(20000, 1000) / 100 * WORKERS * 4950 + (int64_t)ROUNDS(20000, 1000) * (0 + 1 + 2 + 3));
    proc_table_close(table);
}
END_TEST

static void wait_for_turn(long turn)
{
    while (shared->turn < turn)
        sched_yield();
}

static int make_or_take_away(int64_t turn, int number)
{
    switch (turn % 3) {
    case 0: /* all make it */
        return proc_table_add(table, numbered((size_t)turn / 3), 1) >= 1 ? 0 : 1;
    case 1: /* all make it, each with a way of his own, and one takes it away */
        if (number == 0)
            return proc_table_delete(table, numbered((size_t)turn / 3)) == 0 ? 0 : 2;
        return proc_table_put(table, numbered((size_t)turn / 3), "new", 3) == 0 ? 0 : 3;
    default: /* all take it away: one succeeds, if there is any */
        if (proc_table_delete(table, numbered((size_t)turn / 3)) == 0)
            shared->made++;
        else if (errno != ENOENT)
            return 4;
        return 0;
    }
}

static int take_turns(struct proc *self, void *number)
{
    long turns = 3 * ROUNDS(700, 100);

    (void)self;
    for (long turn = 0; turn < turns; turn++) {
        wait_for_turn(turn + 1);
        int result = make_or_take_away(turn, *(int *)number);
        if (result != 0)
            return result;
        shared->done++;
    }
    return 0;
}

START_TEST(those_who_make_or_delete_a_name_at_once_do_it_once)
{
    static int numbers[WORKERS] = {0, 1, 2, 3};
    struct proc *children[WORKERS];
    struct proc_exit exit;
    long turns = 3 * ROUNDS(700, 100);

    share();
    table = must_open(WORKERS + 1, 8);
    for (int i = 0; i < WORKERS; i++)
        children[i] = must_spawn((struct proc_options){.main = take_turns, .arg = &numbers[i]});
    for (long turn = 0; turn < turns; turn++) {
        shared->made = 0;
        bool was_there = proc_table_has(table, numbered((size_t)turn / 3));
        shared->turn = turn + 1;
        for (int spin = 1; shared->done < (turn + 1) * WORKERS; spin++) {
            sched_yield();
            if (spin % 1000 == 0 && proc_wait(children[spin / 1000 % WORKERS], &exit, 0) == 1)
                ck_assert_int_eq(exit.code, 0);
        }
        if (turn % 3 == 0)
            ck_assert_int_eq(proc_table_add(table, numbered((size_t)turn / 3), 0), WORKERS);
        if (turn % 3 == 2)
            ck_assert_int_eq(shared->made, was_there);
        must_have((size_t)proc_table_has(table, numbered((size_t)turn / 3)));
    }
    for (int i = 0; i < WORKERS; i++)
        ck_assert_int_eq(must_end(children[i]).code, 0);
    ck_assert_uint_eq(room_of(table), WORKERS + 1);
    proc_table_close(table);
    unshare_all();
}
END_TEST

/* Each has one row in a table that has one for each: what one has given back he gets again. */
static int come_and_go(struct proc *self, void *number)
{
    int rounds = ROUNDS(20000, 1000);

    (void)self;
    for (int i = 0; i < rounds; i++) {
        char name[32];

        snprintf(name, sizeof name, "%d of %d", i % 7, *(int *)number);
        if (proc_table_put(table, name, name, strlen(name)) < 0)
            return 1;
        if (proc_table_delete(table, name) < 0)
            return 2;
    }
    return 0;
}

START_TEST(there_is_room_for_those_who_take_no_more_than_there_is)
{
    table = must_open(WORKERS, 32);
    run_in_workers(come_and_go);
    must_have(0);
    ck_assert_uint_eq(room_of(table), WORKERS);
    proc_table_close(table);
}
END_TEST

/* Rows that are always there are always found, while others beside them come and go, and the index moves. */
static int look_for_those_that_stay(struct proc *self, void *number)
{
    (void)self;
    while (!shared->is_over)
        for (size_t i = 0; i < 8; i++) {
            size_t value, seen = 0;

            if (*(int *)number % 2) {
                if (proc_table_get(table, numbered(i), &value, sizeof value) != sizeof value || value != i)
                    return 1;
            } else if (proc_table_has(table, numbered(i)) != 1) {
                return 2;
            }
            if (i == 0 && (proc_table_each(table, count_one, &seen) != 0 || seen < 8 || proc_table_count(table) < 8))
                return 3;
            shared->reads++;
        }
    return 0;
}

START_TEST(what_is_there_all_the_time_is_always_found)
{
    static int numbers[] = {0, 1};
    struct proc *readers[2];
    long moves = 0, wanted = ROUNDS(200000, 5000);

    share();
    table = must_open(16, 8);
    for (size_t i = 0; i < 8; i++)
        ck_assert_int_eq(proc_table_put(table, numbered(i), &i, sizeof i), 0);
    for (int i = 0; i < 2; i++)
        readers[i] = must_spawn((struct proc_options){.main = look_for_those_that_stay, .arg = &numbers[i]});
    while (moves < wanted || shared->reads < wanted) {
        size_t first = 8 + (size_t)moves % 50;

        for (size_t i = first; i < first + 8; i++)
            ck_assert_int_eq(proc_table_put(table, numbered(i), "", 0), 0);
        for (size_t i = first; i < first + 8; i++)
            ck_assert_int_eq(proc_table_delete(table, numbered(i)), 0);
        moves += 8;
        for (int i = 0; i < 2; i++)
            ck_assert(proc_running(readers[i]));
    }
    shared->is_over = true;
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(must_end(readers[i]).code, 0);
    must_have(8);
    proc_table_close(table);
    unshare_all();
}
END_TEST

static int open_at_once(struct proc *self, void *key)
{
    char byte;

    if (proc_read(self, &byte, 1) != 1)
        return 2;
    struct proc_table *same = proc_table_open(*(key_t *)key, 3, 8, O_CREAT, 0);
    if (!same)
        return 1;
    proc_table_add(same, "a", 1);
    proc_table_close(same);
    return 0;
}

START_TEST(all_who_open_at_once_get_the_same_table)
{
    enum { CHILDREN = 8 };
    struct proc *children[CHILDREN];

    for (int round = 0; round < ROUNDS(50, 5); round++) {
        key_t key = fresh_key();

        shmctl(shmget(key, 0, 0), IPC_RMID, NULL);
        for (int i = 0; i < CHILDREN; i++)
            children[i] = must_spawn((struct proc_options){.main = open_at_once, .arg = &key, .channel = PROC_STREAM});
        for (int i = 0; i < CHILDREN; i++)
            ck_assert_int_eq(proc_write(children[i], "x", 1), 1);
        for (int i = 0; i < CHILDREN; i++)
            ck_assert_int_eq(must_end(children[i]).code, 0);
        table = proc_table_open(key, 3, 8, 0, 0);
        ck_assert_int_eq(proc_table_add(table, "a", 0), CHILDREN);
        must_have(1);
        ck_assert_int_eq(proc_table_remove(table), 0);
        proc_table_close(table);
    }
}
END_TEST

/* ---- killed ---- */

static int stay_for_ever(void *value, size_t *size, void *self)
{
    memset(value, '?', 8);
    *size = 8;
    if (proc_write(self, "x", 1) == 1)
        for (;;)
            pause();
    return 1;
}

static int update_for_ever(struct proc *self, void *name)
{
    return proc_table_update(table, name, stay_for_ever, self);
}

static struct proc *must_stay_in_update(const char *name)
{
    char byte;
    struct proc *child = must_spawn((struct proc_options){.main = update_for_ever, .arg = (void *)name, .channel = PROC_STREAM});

    ck_assert_int_eq(proc_read(child, &byte, 1), 1);
    return child;
}

START_TEST(one_who_is_killed_in_his_update_has_changed_nothing)
{
    table = must_open(2, 8);
    must_put("a", "as it");
    for (int i = 0; i < 20; i++) {
        struct proc *child = must_stay_in_update("a");

        ck_assert_str_eq(value_of("a"), "as it"); /* while he is in it, too */
        proc_free(child);
        ck_assert_str_eq(value_of("a"), "as it");
        must_have(1);
        if (i % 2)
            must_put("a", "as it");
    }
    ck_assert_int_eq(proc_table_delete(table, "a"), 0);
    ck_assert_uint_eq(room_of(table), 2);
    proc_table_close(table);
}
END_TEST

START_TEST(what_is_being_made_takes_room_until_its_maker_dies)
{
    table = must_open(2, 8);
    struct proc *one = must_stay_in_update("a"), *another = must_stay_in_update("b");
    must_have(0);
    ck_assert_str_eq(value_of("a"), "-");
    ck_assert_int_eq(proc_table_has(table, "a"), 0);
    for (int again = 0; again < 2; again++)
        must_fail(proc_table_put(table, "c", "x", 1), ENOSPC);
    proc_free(one);
    must_have(0);
    must_put("c", "x");
    must_fail(proc_table_put(table, "a", "x", 1), ENOSPC);
    proc_free(another);
    must_fail(proc_table_delete(table, "b"), ENOENT);
    must_put("b", "x"); /* by the same name */
    must_have(2);
    ck_assert_int_eq(proc_table_delete(table, "b"), 0);
    ck_assert_int_eq(proc_table_delete(table, "c"), 0);
    ck_assert_uint_eq(room_of(table), 2);
    proc_table_close(table);
}
END_TEST

static int leave_thread(void *value, size_t *size, void *buffer)
{
    memset(value, '?', 8);
    *size = 8;
    *(void **)buffer = value;
    pthread_exit(NULL);
}

static void *update_and_leave(void *buffer)
{
    proc_table_update(table, "a", leave_thread, buffer);
    return NULL;
}

static int become_true(void *value, size_t *size, void *arg)
{
    (void)arg;
    memset(value, '?', 8);
    *size = 8;
    execl("/bin/true", "true", (char *)NULL);
    return 1;
}

static int update_and_exec(struct proc *self, void *unused)
{
    (void)self, (void)unused;
    return proc_table_update(table, "a", become_true, NULL);
}

START_TEST(a_thread_that_ends_or_execs_in_its_update_hands_the_row_on)
{
    pthread_t thread;
    void *buffer = NULL;

    table = must_open(1, 8);
    for (int is_there = 0; is_there < 2; is_there++) {
        ck_assert_int_eq(pthread_create(&thread, NULL, update_and_leave, &buffer), 0);
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        free(buffer);
        must_have((size_t)is_there);
        ck_assert_int_eq(must_end(must_spawn((struct proc_options){.main = update_and_exec})).code, 0);
        must_have((size_t)is_there);
        must_put("a", "x");
        ck_assert_str_eq(value_of("a"), "x");
    }
    ck_assert_int_eq(proc_table_delete(table, "a"), 0);
    ck_assert_uint_eq(room_of(table), 1);
    proc_table_close(table);
}
END_TEST

/* ---- killed at any moment ---- */

#define STRESS_ROWS 6 /* one of them counts, the others have eight names */

static struct proc_counter *counter;

static void do_anything(struct proc_table *of)
{
    unsigned char value[FILLED];
    const char *name = letter(rand());
    unsigned char whose = (unsigned char)*name;

    switch (rand() % 8) {
    case 0:
    case 1:
        proc_table_put(of, name, value, fill(value, whose));
        break;
    case 2:
    case 3:
        proc_table_delete(of, name);
        break;
    case 4:
        proc_table_update(of, name, fill_in_place, &whose);
        break;
    case 5:
        proc_table_add(of, "count", 1);
        proc_counter_add(counter, 0, 1);
        break;
    case 6:
        proc_table_get(of, name, value, sizeof value);
        break;
    default:
        proc_table_each(of, check_filled, NULL);
    }
}

static int do_anything_for_ever(struct proc *self, void *key)
{
    (void)self;
    srand((unsigned)getpid());
    for (;;) {
        struct proc_table *mine = proc_table_open(*(key_t *)key, STRESS_ROWS, FILLED, O_CREAT, 0);

        if (!mine)
            return 1;
        for (int i = rand() % 1000; i > 0; i--) {
            do_anything(mine);
            proc_counter_add(counter, 1, 1);
        }
        proc_table_close(mine);
    }
}

static int check_filled_or_count(const char *name, const void *value, size_t size, void *seen)
{
    unsigned *names = seen, bit = strcmp(name, "count") == 0 ? 0x100 : 1u << ((*name - 'a') & 7);

    if (*names & bit || (bit == 0x100 ? size != 8 : check_filled(name, value, size, NULL)))
        return 1;
    *names |= bit;
    return 0;
}

static void check_after_kills(int64_t kills)
{
    unsigned names = 0;
    int64_t added = proc_table_add(table, "count", 0), counted = proc_counter_get(counter, 0);

    ck_assert_msg(added >= counted && added <= counted + kills, "%ld and %ld", (long)added, (long)counted);
    ck_assert_int_eq(proc_table_each(table, check_filled_or_count, &names), 0);
    ck_assert_uint_eq(proc_table_count(table), (size_t)__builtin_popcount(names));
    for (int i = 0; i < 8; i++) {
        ck_assert_int_eq(proc_table_has(table, letter(i)), (names >> i) & 1);
        ck_assert_int_eq(proc_table_delete(table, letter(i)), names >> i & 1 ? 0 : -1);
    }
    must_have(1);
    ck_assert_uint_eq(room_of(table), STRESS_ROWS - 1);
}

static struct proc *must_start_work(key_t *key)
{
    return must_spawn((struct proc_options){.main = do_anything_for_ever, .arg = key});
}

START_TEST(whoever_is_killed_when_the_table_is_whole)
{
    enum { CHILDREN = 3 };
    key_t key = fresh_key();
    struct proc *children[CHILDREN] = {NULL};
    int64_t before = 0;

    counter = proc_counter_open(PROC_PRIVATE, 2, 0, 0);
    table = must_create(key, STRESS_ROWS, FILLED);
    proc_table_add(table, "count", 0);
    for (int round = 1; round <= ROUNDS(900, 150); round++) {
        for (int i = 0; i < CHILDREN; i++)
            if (!children[i])
                children[i] = must_start_work(&key);
        while (proc_counter_get(counter, 1) < before + 20)
            sched_yield();
        for (volatile int spin = rand() % 20000; spin > 0; spin--)
            ;
        int which = rand() % CHILDREN;
        proc_free(children[which]);
        children[which] = NULL;
        before = proc_counter_get(counter, 1);
        if (round % 30 != 0)
            continue;
        for (int i = 0; i < CHILDREN; i++) {
            proc_free(children[i]);
            children[i] = NULL;
        }
        check_after_kills((int64_t)round * 2);
    }
    ck_assert_int_gt(proc_counter_get(counter, 0), 0);
    proc_table_remove(table);
    proc_table_close(table);
    proc_counter_close(counter);
}
END_TEST

static int open_and_work(struct proc *self, void *key)
{
    struct proc_table *mine = proc_table_open(*(key_t *)key, STRESS_ROWS, FILLED, O_CREAT, 0);

    (void)self;
    if (!mine)
        return 1;
    for (;;)
        do_anything(mine);
}

START_TEST(whoever_is_killed_while_he_opens_it_the_table_opens)
{
    counter = proc_counter_open(PROC_PRIVATE, 2, 0, 0);
    for (int round = 0; round < ROUNDS(400, 40); round++) {
        key_t key = fresh_key();
        struct proc *children[2];

        shmctl(shmget(key, 0, 0), IPC_RMID, NULL);
        for (int i = 0; i < 2; i++)
            children[i] = must_spawn((struct proc_options){.main = open_and_work, .arg = &key});
        for (volatile int spin = rand() % 100000; spin > 0; spin--)
            ;
        for (int i = 0; i < 2; i++)
            proc_free(children[i]);
        int64_t counted = proc_counter_get(counter, 0);
        table = proc_table_open(key, STRESS_ROWS, FILLED, O_CREAT, 0);
        ck_assert_ptr_nonnull(table);
        proc_table_delete(table, "count");
        for (int i = 0; i < 8; i++)
            proc_table_delete(table, letter(i));
        proc_counter_add(counter, 0, -counted);
        must_have(0);
        ck_assert_uint_eq(room_of(table), STRESS_ROWS);
        proc_table_remove(table);
        proc_table_close(table);
    }
    proc_counter_close(counter);
}
END_TEST

/* ---- one instruction after the other ---- */

#if defined(__has_feature)
#define HAS_FEATURE(x) __has_feature(x)
#else
#define HAS_FEATURE(x) 0
#endif

#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__) && !HAS_FEATURE(thread_sanitizer)

/* A process that goes step by step: after each instruction comes SIGTRAP, whose handler stops it where it is told to. */
#define POINTS 400
#define ACTIONS 14
#define REFUSES 9
#define EACH 13
#define ACTORS 2

struct actor {
    _Atomic long stops_at; /* after so many steps; 0: goes at full speed */
    _Atomic bool has_ended;
    _Atomic long result;
    pid_t pid; /* 0: reaped */
};

static struct stage {
    struct actor actors[ACTORS];
    long steps, points[POINTS]; /* after which something in the table has changed */
    int npoints;
} *stage;

static struct actor *me;
static long steps;
static const unsigned char *view; /* the table's memory, to see what changes; only for the one who notes it */
static size_t view_size;
static unsigned char *seen;

static void note_point(void)
{
    if (memcmp(view, seen, view_size) == 0 || stage->npoints == POINTS)
        return;
    memcpy(seen, view, view_size);
    stage->points[stage->npoints++] = steps;
}

static void after_step(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info;
    steps++;
    if (seen)
        note_point();
    if (steps == me->stops_at)
        raise(SIGSTOP);
    if (!seen && steps >= me->stops_at) /* at full speed from here on */
        ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~0x100;
}

static void begin_steps(void)
{
    struct sigaction action = {.sa_sigaction = after_step, .sa_flags = SA_SIGINFO};

    sigaction(SIGTRAP, &action, NULL);
    __asm__ volatile("lea -128(%%rsp), %%rsp\n pushfq\n orq $0x100, (%%rsp)\n popfq\n lea 128(%%rsp), %%rsp" ::: "memory", "cc");
}

static void end_steps(void)
{
    __asm__ volatile("lea -128(%%rsp), %%rsp\n pushfq\n andq $~0x100, (%%rsp)\n popfq\n lea 128(%%rsp), %%rsp" ::
                         : "memory", "cc");
}

/* Names that want the same place in the index: to take one away moves the others. */
static char rivals[5][16];

static void find_rivals(void)
{
    uint32_t mask = (uint32_t)table_index_entries(4) - 1;

    for (unsigned found = 0, i = 0; found < 5; i++) {
        snprintf(rivals[found], sizeof rivals[found], "rival %u", i);
        found += (hash_of(rivals[found]) & mask) == mask;
    }
}

static long outcome(long result)
{
    return result < 0 ? -errno : result;
}

static int grow_by_one(void *value, size_t *size, void *arg)
{
    if (*size == 16)
        return -ENOBUFS;
    (void)arg;
    ((char *)value)[(*size)++] = '+';
    return 0;
}

static int refuse(void *value, size_t *size, void *arg)
{
    (void)arg;
    memset(value, '?', 16);
    *size = 16;
    return 77;
}

static long both(long one, long another)
{
    return (long)((unsigned long)one * 1000003 + (unsigned long)another);
}

static long checksum(long sum, const void *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        sum = (sum * 31 + ((const unsigned char *)data)[i]) & 0xffffffff;
    return sum + (long)size;
}

static long get_sum(const char *name)
{
    char value[16];
    ssize_t size = proc_table_get(table, name, value, sizeof value);

    return size < 0 ? -errno : checksum(1, value, (size_t)size);
}

/* Who is about to make a row has room for it already: so it is while there is this one. */
#define PLACEHOLDER "place"

static int sum_up(const char *name, const void *value, size_t size, void *sum)
{
    if (strcmp(name, PLACEHOLDER) != 0)
        *(long *)sum += checksum(checksum(1, name, strlen(name)), value, size);
    return 0;
}

static long each_sum(void)
{
    long sum = 0;

    return proc_table_each(table, sum_up, &sum) < 0 ? -errno : sum;
}

static long act(int action)
{
    switch (action) {
    case 0:
        return outcome(proc_table_put(table, rivals[0], "a longer value", 14));
    case 1:
        return outcome(proc_table_put(table, rivals[3], "new", 3));
    case 2:
        return outcome(proc_table_delete(table, rivals[0]));
    case 3:
        return outcome(proc_table_delete(table, rivals[1]));
    case 4:
        return outcome(proc_table_delete(table, rivals[3]));
    case 5:
        return outcome(proc_table_add(table, rivals[1], 1));
    case 6:
        return outcome(proc_table_add(table, rivals[4], 5));
    case 7:
        return outcome(proc_table_update(table, rivals[0], grow_by_one, NULL));
    case 8:
        return outcome(proc_table_update(table, rivals[3], grow_by_one, NULL));
    case REFUSES:
        return outcome(proc_table_update(table, rivals[4], refuse, NULL));
    case 10:
        return outcome(proc_table_put(table, rivals[0], "b", 1));
    case 11: /* from here on: readers */
        return get_sum(rivals[0]);
    case 12:
        return get_sum(rivals[2]) * 2 + proc_table_has(table, rivals[1]);
    default: /* EACH */
        return each_sum();
    }
}

/* Where a story begins: with room, with room that was used before, and with none. */
static void begin_story(int start, key_t key)
{
    table = must_create(key, start == 2 ? 3 : 4, 16);
    for (int i = start == 1 ? 3 : 0; i >= 0; i--)
        proc_table_add(table, rivals[i], 7);
    if (start == 0)
        for (int i = 1; i < 3; i++)
            proc_table_add(table, rivals[i], 7);
    if (start == 1)
        proc_table_delete(table, rivals[3]);
    if (start == 2)
        for (int i = 1; i < 3; i++)
            proc_table_add(table, rivals[i], 7);
    must_put(rivals[0], "first");
    must_put(rivals[2], "third");
}

static void end_story(void)
{
    proc_table_remove(table);
    proc_table_close(table);
}

static int note_contents(const char *name, const void *value, size_t size, void *text)
{
    char *end = (char *)text + strlen(text);

    end += sprintf(end, " %s=", name + 6);
    for (size_t i = 0; i < size; i++)
        end += sprintf(end, "%c", ((const char *)value)[i] >= ' ' ? ((const char *)value)[i] : '0' + ((const char *)value)[i]);
    return 0;
}

/* What is in the table, in the order of the names. */
static const char *contents(void)
{
    static char text[512];
    char rest[512] = "";

    text[0] = '\0';
    for (int i = 0; i < 5; i++) {
        char value[16];
        ssize_t size = proc_table_get(table, rivals[i], value, sizeof value);

        if (size >= 0)
            note_contents(rivals[i], value, (size_t)size, text);
    }
    ck_assert_int_eq(proc_table_each(table, note_contents, rest), 0);
    ck_assert_uint_eq(strlen(rest), strlen(text));
    return text;
}

/* One process does `first`; when it has come so far, another does the `then`. What is killed is killed. */
struct story {
    int start, first, then[4], nthen;
    long stops_at, leaves_at; /* of the first; in between comes the other one */
    long other_stops_at;
    bool is_killed, other_is_killed;
    bool then_fill; /* what is left, without a look for the names that may be there */
};

static void start_actor(int number, const int *actions, int nactions)
{
    long result = 0;

    me = &stage->actors[number];
    steps = 0;
    me->has_ended = false;
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid > 0) {
        me->pid = pid;
        return;
    }
    if (me->stops_at)
        begin_steps();
    for (int i = 0; i < nactions; i++)
        result = both(result, act(actions[i]));
    if (me->stops_at)
        end_steps();
    me->result = result;
    stage->steps = steps;
    me->has_ended = true;
    _exit(0);
}

/* Until it stops or ends: whether it did. */
static bool wait_for_actor(struct actor *actor, int flags)
{
    int status, pid = actor->pid ? waitpid(actor->pid, &status, WUNTRACED | flags) : 0;

    if (pid == 0)
        return actor->pid == 0;
    ck_assert_int_eq(pid, actor->pid);
    if (!WIFSTOPPED(status))
        actor->pid = 0;
    ck_assert_msg(WIFSTOPPED(status) || (WIFEXITED(status) && WEXITSTATUS(status) == 0) || WIFSIGNALED(status), "%x", status);
    return true;
}

static bool is_asleep(pid_t pid)
{
    return strncmp(status_of(pid, "State"), "S", 1) == 0;
}

/* Until it stops or ends, or waits for somebody. */
static void wait_unless_asleep(struct actor *actor)
{
    for (int i = 1; !wait_for_actor(actor, WNOHANG); i++) {
        if (i % 100 == 0 && is_asleep(actor->pid))
            return;
        sched_yield();
    }
}

static void end_actor(struct actor *actor, bool is_killed)
{
    if (actor->pid)
        kill(actor->pid, is_killed ? SIGKILL : SIGCONT);
    while (actor->pid)
        wait_for_actor(actor, 0);
    ck_assert(is_killed || actor->has_ended);
}

static void play(const struct story *story)
{
    struct actor *one = &stage->actors[0], *another = &stage->actors[1];
    bool die_together = rand() % 2;

    one->stops_at = story->stops_at;
    another->stops_at = story->other_stops_at;
    start_actor(0, &story->first, 1);
    wait_for_actor(one, 0);
    start_actor(1, story->then, story->nthen);
    wait_unless_asleep(another);
    if (story->other_is_killed && !die_together)
        end_actor(another, true);
    if (one->pid && story->is_killed && story->leaves_at > story->stops_at) {
        one->stops_at = story->leaves_at;
        kill(one->pid, SIGCONT);
        wait_unless_asleep(one);
    }
    end_actor(one, story->is_killed);
    end_actor(another, story->other_is_killed);
}

static bool has_happened(const struct story *story, long first, long then, const char *found)
{
    const struct actor *one = &stage->actors[0], *another = &stage->actors[1];

    return ((story->is_killed && !one->has_ended) || first == one->result) &&
           ((story->other_is_killed && !another->has_ended) || then == another->result) && strcmp(contents(), found) == 0;
}

/* It had the room for a row before it made it, and was killed or refused before it did. */
static bool may_have_held_room(const struct story *story, key_t key, int n, const char *found)
{
    bool may = false;

    for (int from = 0; from <= n && !may; from++)
        for (int to = from + 1; to <= n + 1 && !may; to++)
            for (int makes_it = !story->is_killed; makes_it < 2 && !may; makes_it++) {
                long first = 0, then = 0;

                begin_story(story->start, key);
                for (int i = 0; i < n + 2; i++) {
                    if (i == from)
                        proc_table_put(table, PLACEHOLDER, "", 0);
                    if (i == to)
                        proc_table_delete(table, PLACEHOLDER);
                    if (i == to && makes_it)
                        first = act(story->first);
                    if (i < n)
                        then = both(then, act(story->then[i]));
                }
                may = has_happened(story, first, then, found);
                end_story();
            }
    return may;
}

/* The first did it before, between or after the other's; and who was killed may not have done it. */
static bool may_have_been(const struct story *story, key_t key, const char *found)
{
    bool may = false;

    for (int n = story->other_is_killed ? 0 : story->nthen; n <= story->nthen && !may; n++) {
        for (int when = story->is_killed ? -1 : 0; when <= n && !may; when++) {
            long first = 0, then = 0;

            begin_story(story->start, key);
            for (int i = 0; i <= n; i++) {
                if (i == when)
                    first = act(story->first);
                if (i < n)
                    then = both(then, act(story->then[i]));
            }
            may = has_happened(story, first, then, found);
            end_story();
        }
        may = may || may_have_held_room(story, key, n, found);
    }
    return may;
}

static void check_story(const struct story *story, key_t key)
{
    char found[512], told[256];

    snprintf(told, sizeof told, "start %d: %d to %ld%s, meanwhile %d %d %d %d of %d to %ld%s, then to %ld", story->start,
             story->first, story->stops_at, story->is_killed ? " killed" : "", story->then[0], story->then[1], story->then[2],
             story->then[3], story->nthen, story->other_stops_at, story->other_is_killed ? " killed" : "", story->leaves_at);
    begin_story(story->start, key);
    play(story);
    strcpy(found, contents());
    size_t count = proc_table_count(table), rows = 0;
    for (const char *text = found; *text; text++)
        rows += *text == '=';
    ck_assert_msg(count == rows, "%s: counts %zu of %s", told, count, found);
    if (!story->then_fill && rand() % 2)
        for (int i = 0; i < 5; i++)
            proc_table_delete(table, rivals[i]);
    size_t had = proc_table_count(table), room = room_of(table);
    ck_assert_msg(had + room == (story->start == 2 ? 3 : 4), "%s: room for %zu beside %zu", told, room, had);
    ck_assert_uint_eq(proc_table_count(table), had);
    end_story();
    ck_assert_msg(may_have_been(story, key, found), "%s: %ld, %ld,%s", told, stage->actors[0].result, stage->actors[1].result,
                  found);
}

/* After which steps does an action change the table, and when does it end? */
static struct {
    long steps, points[POINTS];
    int npoints;
} plots[3][ACTIONS];

static void note_plot(int start, int action, key_t key)
{
    begin_story(start, key);
    view_size = size_under(key);
    view = shmat(shmget(key, 0, 0), NULL, 0);
    seen = malloc(view_size);
    memcpy(seen, view, view_size);
    stage->npoints = 0;
    stage->actors[0].stops_at = LONG_MAX;
    start_actor(0, &action, 1);
    end_actor(&stage->actors[0], false);
    plots[start][action].steps = stage->steps;
    plots[start][action].npoints = stage->npoints;
    memcpy(plots[start][action].points, stage->points, sizeof stage->points);
    free(seen);
    seen = NULL;
    shmdt(view);
    end_story();
}

static long random_step(int start, int action)
{
    int npoints = plots[start][action].npoints;

    if (npoints == 0 || rand() % 4 == 0)
        return 1 + rand() % plots[start][action].steps;
    return plots[start][action].points[rand() % npoints];
}

static bool can_step(void)
{
    return !runs_in_valgrind() && !runs_without_a_feature();
}

static void prepare_stage(key_t key)
{
    stage = mmap(NULL, sizeof *stage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(stage, MAP_FAILED);
    find_rivals();
    srand((unsigned)getpid());
    for (int start = 0; start < 3; start++)
        for (int action = 0; action < ACTIONS; action++) {
            begin_story(start, key);
            act(action); /* so that all symbols are bound */
            end_story();
            note_plot(start, action, key);
        }
}

static void leave_stage(void)
{
    munmap(stage, sizeof *stage);
}

static void random_story(struct story *story)
{
    *story = (struct story){.start = rand() % 3, .first = rand() % ACTIONS, .nthen = 1 + rand() % 4};
    if (story->first == EACH) /* which is no snapshot of all rows */
        story->nthen = 1;
    for (int i = 0; i < story->nthen; i++)
        story->then[i] = rand() % (rand() % 2 ? ACTIONS : 11);
    story->stops_at = random_step(story->start, story->first);
}

#ifndef THOROUGH
#define THOROUGH 1 /* times as much as usual */
#endif
#define SKIPPED ((ROUNDS(4, 12) + THOROUGH - 1) / THOROUGH)

START_TEST(whoever_is_killed_after_whichever_step_has_done_all_or_nothing)
{
    key_t key = fresh_key();

    if (!can_step()) {
        skip("no single steps here");
        return;
    }
    prepare_stage(key);
    for (int start = 0; start < 3; start++)
        for (int action = 0; action < 11; action++)
            for (int i = rand() % SKIPPED; i < plots[start][action].npoints; i += SKIPPED) {
                struct story story = {.start = start, .first = action, .is_killed = true};

                story.stops_at = story.leaves_at = plots[start][action].points[i] - rand() % 2;
                check_story(&story, key);
            }
    leave_stage();
}
END_TEST

START_TEST(those_who_recover_may_be_killed_at_any_step_as_well)
{
    key_t key = fresh_key();
    struct story story;

    if (!can_step()) {
        skip("no single steps here");
        return;
    }
    prepare_stage(key);
    for (int i = 0; i < ROUNDS(60, 15) * THOROUGH; i++) {
        random_story(&story);
        story.is_killed = true;
        story.leaves_at = random_step(story.start, story.first);
        story.other_is_killed = true;
        story.other_stops_at = 1 + rand() % (plots[story.start][story.then[0]].steps * 2);
        check_story(&story, key);
    }
    leave_stage();
}
END_TEST

START_TEST(whoever_is_held_up_at_whichever_step_does_it_before_or_after_the_others)
{
    key_t key = fresh_key();
    struct story story;

    if (!can_step()) {
        skip("no single steps here");
        return;
    }
    prepare_stage(key);
    for (int i = 0; i < ROUNDS(150, 30) * THOROUGH; i++) {
        random_story(&story);
        story.is_killed = i % 3 == 0;
        story.leaves_at = random_step(story.start, story.first);
        check_story(&story, key);
    }
    leave_stage();
}
END_TEST

/* Meanwhile its row goes to another name, or comes back with another value, once or twice. */
START_TEST(a_reader_who_is_held_up_gets_what_the_name_had_at_one_moment)
{
    static const int changes[][4] = {{2, 1, 0, 0}, {0, 10, 0, 10}, {2, 1, 4, 0}};
    key_t key = fresh_key();

    if (!can_step()) {
        skip("no single steps here");
        return;
    }
    prepare_stage(key);
    for (int kind = 0; kind < 3; kind++) {
        struct story story = {.start = 2, .first = 11, .nthen = kind ? 4 : 2};

        memcpy(story.then, changes[kind], sizeof story.then);
        for (long step = 1 + rand() % 8; step < plots[2][11].steps; step += ROUNDS(8, 40)) {
            story.stops_at = step;
            check_story(&story, key);
        }
    }
    leave_stage();
}
END_TEST

/* He who is refused while another deletes a row looks for rooms of the dead: that one is not dead yet. */
START_TEST(no_room_is_lost_with_one_who_is_killed_while_he_makes_room)
{
    key_t key = fresh_key();
    struct story story = {.start = 2, .first = 2, .then = {1}, .nthen = 1, .is_killed = true, .then_fill = true};

    if (!can_step()) {
        skip("no single steps here");
        return;
    }
    prepare_stage(key);
    for (int from = 0; from < plots[2][2].npoints; from++)
        for (int to = from + 1; to < from + 4 && to < plots[2][2].npoints; to += ROUNDS(1, 3)) {
            story.stops_at = plots[2][2].points[from];
            story.leaves_at = plots[2][2].points[to];
            check_story(&story, key);
        }
    leave_stage();
}
END_TEST

#define HAS_STEPS 1
#else
#define HAS_STEPS 0
#endif

Suite *suite_make(void)
{
    Suite *suite = suite_create("table");
    TCase *tcase = tcase_checked(suite, "rows and values");

    tcase_add_test(tcase, a_row_is_made_read_replaced_and_deleted);
    tcase_add_test(tcase, values_have_any_size_up_to_the_limit);
    tcase_add_test(tcase, a_row_without_bytes_is_a_row);
    tcase_add_test(tcase, names_have_1_to_63_bytes_of_any_kind);
    tcase_add_test(tcase, names_of_every_length_leave_nothing_behind);
    tcase_add_test(tcase, other_names_are_einval_and_change_nothing);
    tcase_add_test(tcase, names_that_differ_in_one_byte_are_two_rows);
    tcase_add_test(tcase, exactly_as_many_rows_fit_as_were_asked_for);
    tcase_add_test(tcase, add_counts_by_name);
    tcase_add_test(tcase, add_to_what_is_no_counter_is_einval_and_changes_nothing);
    tcase = tcase_checked(suite, "callbacks");
    tcase_add_test(tcase, update_makes_changes_grows_and_shrinks_a_row);
    tcase_add_test(tcase, an_update_that_refuses_leaves_all_as_it_was);
    tcase_add_test(tcase, an_update_to_more_than_fits_is_emsgsize_and_leaves_all_as_it_was);
    tcase_add_test(tcase, callbacks_get_values_that_are_aligned_for_any_type);
    tcase_add_test(tcase, each_ends_when_it_is_told_to);
    tcase_add_test(tcase, a_callback_that_calls_into_its_own_table_is_told_edeadlk);
    tcase_add_test(tcase, others_go_on_while_one_is_in_a_callback);
    tcase = tcase_checked(suite, "opening");
    tcase_add_test(tcase, opening_heeds_key_size_and_flags);
    tcase_add_test(tcase, a_table_that_is_removed_lives_on_with_those_who_have_it);
    tcase_add_test(tcase, what_is_no_such_table_is_einval_and_stays_as_it_is);
    tcase_add_test(tcase, a_table_is_its_owners_alone_unless_the_mode_says_else);
    tcase_add_test(tcase, a_failure_of_the_system_leaves_nothing_behind);
    tcase = tcase_checked(suite, "against a model");
    tcase_add_test(tcase, a_table_does_what_an_array_would);
    tcase_add_test(tcase, names_that_want_the_same_places_are_all_found);
    tcase_add_test(tcase, names_of_the_same_hash_are_two_rows);
    tcase_add_test(tcase, a_full_table_stays_in_order_over_the_years);
    tcase = tcase_checked(suite, "many at once");
    tcase_add_test(tcase, no_addition_is_lost);
    tcase_add_test(tcase, readers_see_whole_values_of_the_right_name_whatever_writers_do);
    tcase_add_test(tcase, large_values_are_read_whole_beside_busy_writers);
    tcase_add_test(tcase, nothing_is_copied_of_a_value_that_is_too_large_whatever_writers_do);
    tcase_add_test(tcase, no_update_is_lost);
    tcase_add_test(tcase, those_who_make_or_delete_a_name_at_once_do_it_once);
    tcase_add_test(tcase, there_is_room_for_those_who_take_no_more_than_there_is);
    tcase_add_test(tcase, what_is_there_all_the_time_is_always_found);
    tcase_add_test(tcase, all_who_open_at_once_get_the_same_table);
    tcase = tcase_checked(suite, "killed");
    tcase_add_test(tcase, one_who_is_killed_in_his_update_has_changed_nothing);
    tcase_add_test(tcase, what_is_being_made_takes_room_until_its_maker_dies);
    tcase_add_test(tcase, a_thread_that_ends_or_execs_in_its_update_hands_the_row_on);
    tcase_add_test(tcase, whoever_is_killed_when_the_table_is_whole);
    tcase_add_test(tcase, whoever_is_killed_while_he_opens_it_the_table_opens);
#if HAS_STEPS
    tcase = tcase_checked(suite, "step by step");
    tcase_add_test(tcase, whoever_is_killed_after_whichever_step_has_done_all_or_nothing);
    tcase_add_test(tcase, a_reader_who_is_held_up_gets_what_the_name_had_at_one_moment);
    tcase_add_test(tcase, no_room_is_lost_with_one_who_is_killed_while_he_makes_room);
    tcase_add_test(tcase, those_who_recover_may_be_killed_at_any_step_as_well);
    tcase_add_test(tcase, whoever_is_held_up_at_whichever_step_does_it_before_or_after_the_others);
#endif
    return suite;
}
