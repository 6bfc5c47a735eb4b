/* Counters that processes share. */
#include "harness.h"
#include "seam.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct proc_counter *counter;

START_TEST(counters_start_at_nought_and_do_as_they_are_told)
{
    counter = proc_counter_open(PROC_PRIVATE, 3, 0, 0);
    ck_assert_ptr_nonnull(counter);
    for (size_t i = 0; i < 3; i++)
        ck_assert_int_eq(proc_counter_get(counter, i), 0);
    ck_assert_int_eq(proc_counter_add(counter, 1, 5), 5);
    ck_assert_int_eq(proc_counter_add(counter, 1, -7), -2);
    proc_counter_set(counter, 2, INT64_MAX);
    ck_assert_int_eq(proc_counter_add(counter, 2, 1), INT64_MIN);
    ck_assert(proc_counter_cas(counter, 1, -2, 9));
    ck_assert(!proc_counter_cas(counter, 1, -2, 10));
    ck_assert_int_eq(proc_counter_get(counter, 1), 9);
    ck_assert_int_eq(proc_counter_get(counter, 0), 0);
    ck_assert_int_eq(proc_counter_remove(counter), 0);
    proc_counter_close(counter);
    proc_counter_close(NULL);
}
END_TEST

START_TEST(a_counter_that_is_not_there_is_einval_and_changes_nothing)
{
    counter = proc_counter_open(PROC_PRIVATE, 2, 0, 0);
    static const size_t wrong[] = {2, 3, SIZE_MAX, SIZE_MAX / 64};
    for (int i = 0; i < 4; i++) {
        errno = 0;
        ck_assert_int_eq(proc_counter_add(counter, wrong[i], 1), 0);
        ck_assert_int_eq(errno, EINVAL);
        errno = 0;
        ck_assert_int_eq(proc_counter_get(counter, wrong[i]), 0);
        ck_assert_int_eq(errno, EINVAL);
        errno = 0;
        proc_counter_set(counter, wrong[i], 1);
        ck_assert_int_eq(errno, EINVAL);
        errno = 0;
        ck_assert(!proc_counter_cas(counter, wrong[i], 0, 1));
        ck_assert_int_eq(errno, EINVAL);
        ck_assert_int_eq(proc_counter_wait(counter, wrong[i], 0, 0), -1);
        ck_assert_int_eq(errno, EINVAL);
        ck_assert_int_eq(proc_counter_wake(counter, wrong[i], 1), -1);
        ck_assert_int_eq(errno, EINVAL);
    }
    ck_assert_int_eq(proc_counter_wait(counter, 0, 0, -2), -1);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(proc_counter_wake(counter, 0, -1), -1);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(proc_counter_get(counter, 0) + proc_counter_get(counter, 1), 0);
    proc_counter_close(counter);
}
END_TEST

START_TEST(opening_heeds_key_count_and_kind)
{
    key_t key = fresh_key();

    ck_assert_ptr_null(proc_counter_open(key, 2, 0, 0));
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_ptr_null(proc_counter_open(key, 0, O_CREAT, 0));
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_ptr_null(proc_counter_open(key, SIZE_MAX / 2, O_CREAT, 0));
    ck_assert_int_eq(errno, ENOMEM);
    ck_assert_ptr_null(proc_counter_open(key, SIZE_MAX / 64, O_CREAT, 0));
    ck_assert_ptr_null(proc_counter_open(key, 2, O_APPEND, 0));
    ck_assert_int_eq(errno, EINVAL);
    counter = proc_counter_open(key, 2, O_CREAT | O_EXCL, 0);
    ck_assert_ptr_nonnull(counter);
    ck_assert_ptr_null(proc_counter_open(key, 2, O_CREAT | O_EXCL, 0));
    ck_assert_int_eq(errno, EEXIST);
    for (size_t count = 1; count < 4; count += 2) {
        ck_assert_ptr_null(proc_counter_open(key, count, O_CREAT, 0));
        ck_assert_int_eq(errno, EINVAL);
    }
    struct proc_counter *same = proc_counter_open(key, 2, 0, 0);
    ck_assert_int_eq(proc_counter_add(same, 1, 3), 3);
    ck_assert_int_eq(proc_counter_get(counter, 1), 3);
    ck_assert_int_eq(proc_counter_remove(same), 0);
    ck_assert_int_eq(proc_counter_add(counter, 1, 1), 4);
    ck_assert_int_eq(proc_counter_get(same, 1), 4);
    ck_assert_int_eq(proc_counter_remove(counter), 0);
    ck_assert_ptr_null(proc_counter_open(key, 2, 0, 0));
    ck_assert_int_eq(errno, ENOENT);
    proc_counter_close(same);
    proc_counter_close(counter);
    /* other people's memory of just that size */
    struct proc_shm *shm = proc_shm_open(key, 64 + 2 * 64, O_CREAT, 0);
    memset(proc_shm_data(shm), 'x', 8);
    ck_assert_ptr_null(proc_counter_open(key, 2, O_CREAT, 0));
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_str_eq(proc_shm_data(shm), "xxxxxxxx");
    proc_shm_remove(shm);
    proc_shm_close(shm);
}
END_TEST

/* ---- from many processes ---- */

#define ADDS (runs_shortened() ? 2000 : 100000)

static int add_often(struct proc *self, void *unused)
{
    int64_t seen = -1;

    (void)self, (void)unused;
    for (int i = 0; i < ADDS; i++) {
        int64_t now = proc_counter_add(counter, 0, 1);

        if (now <= seen)
            return 1;
        seen = now;
        for (int64_t old = proc_counter_get(counter, 1); !proc_counter_cas(counter, 1, old, old + 2);)
            old = proc_counter_get(counter, 1);
    }
    return 0;
}

START_TEST(no_addition_is_lost)
{
    enum { CHILDREN = 4 };
    struct proc *children[CHILDREN];

    counter = proc_counter_open(PROC_PRIVATE, 2, 0, 0);
    for (int i = 0; i < CHILDREN; i++)
        children[i] = must_spawn((struct proc_options){.main = add_often});
    for (int i = 0; i < CHILDREN; i++)
        ck_assert_int_eq(must_end(children[i]).code, 0);
    ck_assert_int_eq(proc_counter_get(counter, 0), CHILDREN * ADDS);
    ck_assert_int_eq(proc_counter_get(counter, 1), 2 * CHILDREN * ADDS);
    proc_counter_close(counter);
}
END_TEST

static int add_for_ever(struct proc *self, void *key)
{
    struct proc_counter *same = proc_counter_open(*(key_t *)key, 2, O_CREAT, 0);

    (void)self;
    if (!same)
        return 1;
    for (;;) {
        proc_counter_add(same, 0, 1);
        proc_counter_add(same, 1, 1);
        proc_counter_wake(same, 1, 1);
    }
}

/* Opened, used and killed at random moments: the next one finds them in order, and counts on. */
START_TEST(whoever_is_killed_when_the_counters_count_on)
{
    key_t key = fresh_key();
    int64_t before = 0;
    int rounds = runs_shortened() ? 30 : 400;

    counter = NULL;
    for (int i = 0; i < rounds; i++) {
        struct proc *child = must_spawn((struct proc_options){.main = add_for_ever, .arg = &key});

        while (counter && i % 2 && proc_counter_get(counter, 0) == before) /* every other one gets to work */
            ;
        for (volatile int spin = rand() % 200000; spin > 0; spin--)
            ;
        proc_free(child);
        struct proc_counter *now = proc_counter_open(key, 2, O_CREAT, 0);
        ck_assert_ptr_nonnull(now);
        int64_t first = proc_counter_get(now, 0), second = proc_counter_get(now, 1);
        ck_assert_int_ge(first, before);
        ck_assert(first - second >= 0 && first - second <= i + 1); /* each may have died between the two */
        before = first;
        if (i == rounds - 1) {
            ck_assert_int_gt(first, 0);
            proc_counter_remove(now);
        }
        proc_counter_close(counter);
        counter = now;
    }
    proc_counter_close(counter);
}
END_TEST

static int open_at_once(struct proc *self, void *key)
{
    char byte;

    if (proc_read(self, &byte, 1) != 1)
        return 2;
    struct proc_counter *same = proc_counter_open(*(key_t *)key, 3, O_CREAT, 0);
    if (!same)
        return 1;
    proc_counter_add(same, 2, 1);
    proc_counter_close(same);
    return 0;
}

START_TEST(all_who_open_at_once_get_the_same_counters)
{
    enum { CHILDREN = 8 };
    struct proc *children[CHILDREN];

    for (int round = 0; round < (runs_shortened() ? 5 : 50); round++) {
        key_t key = fresh_key();

        for (int i = 0; i < CHILDREN; i++)
            children[i] = must_spawn((struct proc_options){.main = open_at_once, .arg = &key, .channel = PROC_STREAM});
        for (int i = 0; i < CHILDREN; i++)
            ck_assert_int_eq(proc_write(children[i], "x", 1), 1);
        for (int i = 0; i < CHILDREN; i++)
            ck_assert_int_eq(must_end(children[i]).code, 0);
        struct proc_counter *now = proc_counter_open(key, 3, 0, 0);
        ck_assert_int_eq(proc_counter_get(now, 2), CHILDREN);
        ck_assert_int_eq(proc_counter_remove(now), 0);
        proc_counter_close(now);
    }
}
END_TEST

/* ---- waiting ---- */

START_TEST(waiting_ends_with_the_value_the_time_or_a_wake)
{
    counter = proc_counter_open(PROC_PRIVATE, 1, 0, 0);
    ck_assert_int_eq(proc_counter_wait(counter, 0, 1, -1), 1);
    ck_assert_int_eq(proc_counter_wait(counter, 0, 0, 0), 0);
    ck_assert_int_eq(proc_counter_wait(counter, 0, 0, 20), 0);
    seam_fail(SYS_futex, 1, EINTR);
    ck_assert_int_eq(proc_counter_wait(counter, 0, 0, 20), 0);
    ck_assert(seam_end());
    ck_assert_int_eq(proc_counter_wake(counter, 0, 0), 0);
    ck_assert_int_eq(proc_counter_wake(counter, 0, INT_MAX), 0);
    ck_assert_int_eq(proc_counter_wait(counter, 0, 0, 5), 0); /* nobody waited then */
    proc_counter_set(counter, 0, INT64_C(1) << 40);           /* its lower half is what it was */
    ck_assert_int_eq(proc_counter_wait(counter, 0, 0, 20000), 1);
    proc_counter_close(counter);
}
END_TEST

static int wait_for_wake(struct proc *self, void *unused)
{
    (void)self, (void)unused;
    return proc_counter_wait(counter, 0, 0, 60000);
}

static bool sleeps(struct proc *proc)
{
    return strncmp(status_of(proc_pid(proc), "State"), "S", 1) == 0 &&
           strcmp(status_of(proc_pid(proc), "SigBlk"), "0000000000000000") == 0;
}

START_TEST(as_many_return_as_are_woken)
{
    enum { CHILDREN = 5 };
    struct proc *children[CHILDREN];
    int woken = 0, ended = 0;

    counter = proc_counter_open(PROC_PRIVATE, 1, 0, 0);
    for (int i = 0; i < CHILDREN; i++)
        children[i] = must_spawn((struct proc_options){.main = wait_for_wake});
    while (woken < 3) /* some may not sleep yet */
        woken += proc_counter_wake(counter, 0, 3 - woken);
    ck_assert_int_eq(woken, 3);
    while (ended < 3) {
        ended = 0;
        for (int i = 0; i < CHILDREN; i++)
            ended += !proc_running(children[i]);
    }
    for (int i = 0; i < CHILDREN; i++) /* the others sleep, or will */
        while (proc_running(children[i]) && !sleeps(children[i]))
            ;
    ended = 0;
    for (int i = 0; i < CHILDREN; i++)
        ended += !proc_running(children[i]);
    ck_assert_int_eq(ended, 3);
    proc_counter_set(counter, 0, 1);
    proc_counter_wake(counter, 0, INT_MAX); /* the value has changed: nobody misses it, asleep or not */
    for (int i = 0; i < CHILDREN; i++)
        ck_assert_int_eq(must_end(children[i]).code, 1);
    proc_counter_close(counter);
}
END_TEST

static int answer(struct proc *self, void *unused)
{
    (void)self, (void)unused;
    for (int64_t turn = 0; turn < 1000; turn++) {
        while (proc_counter_get(counter, 0) == turn)
            if (proc_counter_wait(counter, 0, turn, 20000) != 1)
                return 1;
        proc_counter_add(counter, 1, 1);
        proc_counter_wake(counter, 1, 1);
    }
    return 0;
}

START_TEST(no_wake_is_missed_in_a_thousand_turns)
{
    counter = proc_counter_open(PROC_PRIVATE, 2, 0, 0);
    struct proc *child = must_spawn((struct proc_options){.main = answer});
    for (int64_t turn = 0; turn < 1000; turn++) {
        proc_counter_add(counter, 0, 1);
        proc_counter_wake(counter, 0, 1);
        while (proc_counter_get(counter, 1) == turn)
            ck_assert_int_eq(proc_counter_wait(counter, 1, turn, 20000), 1);
    }
    ck_assert_int_eq(must_end(child).code, 0);
    proc_counter_close(counter);
}
END_TEST

START_TEST(one_who_is_killed_while_he_waits_takes_no_wake_away)
{
    counter = proc_counter_open(PROC_PRIVATE, 1, 0, 0);
    for (int i = 0; i < 50; i++) {
        struct proc *dead = must_spawn((struct proc_options){.main = wait_for_wake});
        struct proc *alive = must_spawn((struct proc_options){.main = wait_for_wake});

        proc_free(dead);
        while (proc_counter_wake(counter, 0, 1) == 0)
            ;
        ck_assert_int_eq(must_end(alive).code, 1);
    }
    proc_counter_close(counter);
}
END_TEST

Suite *suite_make(void)
{
    Suite *suite = suite_create("counter");
    TCase *tcase = tcase_checked(suite, "counters");

    tcase_add_test(tcase, counters_start_at_nought_and_do_as_they_are_told);
    tcase_add_test(tcase, a_counter_that_is_not_there_is_einval_and_changes_nothing);
    tcase_add_test(tcase, opening_heeds_key_count_and_kind);
    tcase = tcase_checked(suite, "processes");
    tcase_add_test(tcase, no_addition_is_lost);
    tcase_add_test(tcase, whoever_is_killed_when_the_counters_count_on);
    tcase_add_test(tcase, all_who_open_at_once_get_the_same_counters);
    tcase = tcase_checked(suite, "waiting");
    tcase_add_test(tcase, waiting_ends_with_the_value_the_time_or_a_wake);
    tcase_add_test(tcase, as_many_return_as_are_woken);
    tcase_add_test(tcase, no_wake_is_missed_in_a_thousand_turns);
    tcase_add_test(tcase, one_who_is_killed_while_he_waits_takes_no_wake_away);
    return suite;
}
