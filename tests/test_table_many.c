/* Tables that many use at once, some of whom are killed. */
#include "tables.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

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

Suite *suite_make(void)
{
    Suite *suite = suite_create("table_many");
    TCase *tcase = tcase_checked(suite, "many at once");

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
    return suite;
}
