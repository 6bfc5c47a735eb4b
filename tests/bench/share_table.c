/* The calls on a table, beside what they are made of: a free lock and an atomic addition. Where two processes are at it,
 * both use the same row, or each one its own. */
#include "batches.h"

#include <err.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define ROWS 1000
#define VALUE_SIZE 64
#define NAME_SIZE 16

static struct proc_table *table;
static char names[ROWS][NAME_SIZE]; /* of counters */
static char value_name[] = "value";
static struct proc_lock *lock;
static _Atomic int64_t *bare;

/* ---- the ways ---- */

static void lock_and_add(void *arg, unsigned count)
{
    (void)arg;
    while (count-- > 0) {
        if (proc_lock_acquire(lock, -1) != 1)
            batch_fail("proc_lock_acquire");
        atomic_fetch_add(bare, 1);
        if (proc_lock_release(lock) < 0)
            batch_fail("proc_lock_release");
    }
}

static void add(void *arg, unsigned count)
{
    const char *name = arg;

    while (count-- > 0)
        if (proc_table_add(table, name, 1) < 0)
            batch_fail("proc_table_add");
}

/* Few of them fit into a cache. */
static void add_in_turn(void *arg, unsigned count)
{
    (void)arg;
    for (unsigned row = 0; count-- > 0; row = row + 1 < ROWS ? row + 1 : 0)
        if (proc_table_add(table, names[row], 1) < 0)
            batch_fail("proc_table_add");
}

static void add_second(void *arg, unsigned count)
{
    (void)arg;
    add(names[1], count);
}

static void get(void *arg, unsigned count)
{
    char value[VALUE_SIZE];

    while (count-- > 0)
        if (proc_table_get(table, arg, value, sizeof value) < 0)
            batch_fail("proc_table_get");
}

static void put(void *arg, unsigned count)
{
    char value[VALUE_SIZE] = "";

    while (count-- > 0)
        if (proc_table_put(table, arg, value, sizeof value) < 0)
            batch_fail("proc_table_put");
}

static int change(void *value, size_t *size, void *arg)
{
    (void)arg;
    *size = VALUE_SIZE;
    ++*(char *)value;
    return 0;
}

static void update(void *arg, unsigned count)
{
    while (count-- > 0)
        if (proc_table_update(table, arg, change, NULL) < 0)
            batch_fail("proc_table_update");
}

/* ---- the report ---- */

static void compare_alone(void)
{
    enum { ADD, IN_TURN, LOCK_AND_ADD, GET, PUT, UPDATE, WAYS };
    struct batch ways[WAYS] = {
        [ADD] = {.name = "add", .first.run = add, .arg = names[0]},
        [IN_TURN] = {.name = "add, 1000 rows in turn", .first.run = add_in_turn, .beside = true},
        [LOCK_AND_ADD] = {.name = "lock and atomic", .first.run = lock_and_add},
        [GET] = {.name = "get", .first.run = get, .arg = value_name, .beside = true},
        [PUT] = {.name = "put", .first.run = put, .arg = value_name, .beside = true},
        [UPDATE] = {.name = "update", .first.run = update, .arg = value_name, .beside = true},
    };

    bench_title("a table of %d rows, values of %d bytes, %s", ROWS, VALUE_SIZE, place_name(NOWHERE));
    run_batches(ways, WAYS, NOWHERE);
    print_batches(ways, WAYS);
    bench_print_ratio(&ways[ADD].series, &ways[LOCK_AND_ADD].series, GOAL_AT_MOST(3));
    for (int way = IN_TURN; way < WAYS; way++)
        if (way != LOCK_AND_ADD)
            bench_print_ratio(&ways[way].series, &ways[LOCK_AND_ADD].series, GOAL_NONE);
    release_batches(ways, WAYS);
}

static void compare_two(enum place place)
{
    enum { ADD, OWN, LOCK_AND_ADD, GET, PUT, UPDATE, WAYS };
    struct batch ways[WAYS] = {
        [ADD] = {.name = "add, the same row", .first.run = add, .arg = names[0]},
        [OWN] = {.name = "add, rows of their own", .first.run = add, .second.run = add_second, .arg = names[0]},
        [LOCK_AND_ADD] = {.name = "lock and atomic", .first.run = lock_and_add},
        [GET] = {.name = "get", .first.run = get, .arg = value_name},
        [PUT] = {.name = "put", .first.run = put, .arg = value_name},
        [UPDATE] = {.name = "update", .first.run = update, .arg = value_name},
    };

    for (int way = 0; way < WAYS; way++) {
        ways[way].rivals = ways[way].beside = true;
        if (!ways[way].second.run)
            ways[way].second = ways[way].first;
    }
    bench_title("a table, %s", place_name(place));
    if (!run_batches(ways, WAYS, place)) {
        bench_note("left out: one processor");
        return;
    }
    print_batches(ways, WAYS);
    bench_print_ratio(&ways[ADD].series, &ways[LOCK_AND_ADD].series, GOAL_NONE);
    bench_print_ratio(&ways[OWN].series, &ways[LOCK_AND_ADD].series, GOAL_NONE);
    release_batches(ways, WAYS);
}

static void fill(void)
{
    char value[VALUE_SIZE] = "";

    if (proc_table_put(table, value_name, value, sizeof value) < 0)
        err(1, "proc_table_put");
    for (int row = 0; row < ROWS; row++) {
        snprintf(names[row], NAME_SIZE, "counter %d", row);
        if (proc_table_add(table, names[row], 0) < 0)
            err(1, "proc_table_add");
    }
}

int main(void)
{
    table = proc_table_open(PROC_PRIVATE, ROWS + 1, VALUE_SIZE, 0, 0);
    lock = proc_lock_open(PROC_PRIVATE, 0, 0);
    bare = mmap(NULL, sizeof *bare, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (!table || !lock || bare == MAP_FAILED)
        err(1, "a table and a lock");
    fill();
    compare_alone();
    for (enum place place = SAME_PROCESSOR; place <= OTHER_PROCESSOR; place++)
        compare_two(place);
    proc_table_close(table);
    proc_lock_close(lock);
    return 0;
}
