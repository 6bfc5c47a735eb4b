/* Tables that processes share: what each call does. */
#include "seam.h"
#include "table_index.h"
#include "tables.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

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

#define OPERATIONS (runs_shortened() ? 10000 : 50000)

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
    size_t rounds = runs_shortened() ? 20000 : 200000;
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
    return suite;
}
