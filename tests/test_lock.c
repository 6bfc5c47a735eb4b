/* Locks between processes. */
#include "harness.h"
#include "seam.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static struct proc_lock *lock;

static void open_private(void)
{
    lock = proc_lock_open(PROC_PRIVATE, 0, 0);
    ck_assert_ptr_nonnull(lock);
}

START_TEST(a_lock_is_taken_and_released)
{
    open_private();
    for (int timeout_ms = -1; timeout_ms < 20; timeout_ms++) {
        ck_assert_int_eq(proc_lock_acquire(lock, timeout_ms), 1);
        ck_assert_int_eq(proc_lock_release(lock), 0);
    }
    ck_assert_int_eq(proc_lock_remove(lock), 0);
    ck_assert_int_eq(proc_lock_acquire(lock, 0), 1);
    ck_assert_int_eq(proc_lock_release(lock), 0);
    proc_lock_close(lock);
    proc_lock_close(NULL);
}
END_TEST

START_TEST(a_free_lock_costs_no_system_call)
{
    open_private();
    long before = seam_calls();
    for (int i = 0; i < 100; i++) {
        ck_assert_int_eq(proc_lock_acquire(lock, i % 3 - 1), 1);
        ck_assert_int_eq(proc_lock_release(lock), 0);
    }
    ck_assert_int_eq(seam_calls(), before);
    proc_lock_close(lock);
}
END_TEST

START_TEST(mistakes_are_told)
{
    open_private();
    ck_assert_int_eq(proc_lock_acquire(lock, -2), -1);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(proc_lock_acquire(lock, -1), 1);
    for (int timeout_ms = -1; timeout_ms < 50; timeout_ms += 17) {
        ck_assert_int_eq(proc_lock_acquire(lock, timeout_ms), -1);
        ck_assert_int_eq(errno, EDEADLK);
    }
    ck_assert_int_eq(proc_lock_release(lock), 0);
    proc_lock_close(lock);
}
END_TEST

static int release_foreign(struct proc *self, void *unused)
{
    (void)self, (void)unused;
    if (proc_lock_release(lock) != -1 || errno != EPERM)
        return 1;
    return proc_lock_acquire(lock, 0) == 0 ? 0 : 2;
}

static void *release_in_thread(void *result)
{
    *(int *)result = proc_lock_release(lock) == -1 ? errno : 0;
    return NULL;
}

static bool in_thread_sanitizer(void)
{
    const char *sanitizer = getenv("SAN");

    return sanitizer && strstr(sanitizer, "thread");
}

START_TEST(only_the_holder_releases)
{
    pthread_t thread;
    int result;

    if (in_thread_sanitizer()) {
        skip("the thread sanitizer forbids to try this");
        return;
    }
    open_private();
    ck_assert_int_eq(proc_lock_release(lock), -1);
    ck_assert_int_eq(errno, EPERM);
    ck_assert_int_eq(proc_lock_acquire(lock, 0), 1);
    ck_assert_int_eq(must_end(must_spawn((struct proc_options){.main = release_foreign})).code, 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, release_in_thread, &result), 0);
    pthread_join(thread, NULL);
    ck_assert_int_eq(result, EPERM);
    ck_assert_int_eq(proc_lock_release(lock), 0);
    ck_assert_int_eq(proc_lock_release(lock), -1);
    ck_assert_int_eq(errno, EPERM);
    proc_lock_close(lock);
}
END_TEST

START_TEST(opening_heeds_key_and_kind)
{
    key_t key = fresh_key();
    struct shmid_ds status;

    ck_assert_ptr_null(proc_lock_open(key, 0, 0));
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_ptr_null(proc_lock_open(-1, O_CREAT, 0));
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_ptr_null(proc_lock_open(key, O_CREAT | O_APPEND, 0));
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_ptr_null(proc_lock_open(key, O_CREAT, 01000));
    ck_assert_int_eq(errno, EINVAL);
    lock = proc_lock_open(key, O_CREAT | O_EXCL, 0);
    ck_assert_ptr_nonnull(lock);
    ck_assert_int_eq(shmctl(shmget(key, 0, 0), IPC_STAT, &status), 0);
    ck_assert_int_eq(status.shm_perm.mode & 0777, 0600);
    ck_assert_ptr_null(proc_lock_open(key, O_CREAT | O_EXCL, 0));
    ck_assert_int_eq(errno, EEXIST);
    ck_assert_ptr_null(proc_counter_open(key, 1, O_CREAT, 0));
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_ptr_null(proc_table_open(key, 1, 1, O_CREAT, 0));
    ck_assert_int_eq(errno, EINVAL);
    struct proc_lock *same = proc_lock_open(key, 0, 0);
    ck_assert_int_eq(proc_lock_acquire(same, 0), 1);
    ck_assert_int_eq(proc_lock_acquire(lock, 0), -1);
    ck_assert_int_eq(errno, EDEADLK);
    proc_lock_close(lock); /* which has not taken it */
    lock = proc_lock_open(key, 0, 0);
    ck_assert_int_eq(proc_lock_acquire(lock, 0), -1);
    ck_assert_int_eq(errno, EDEADLK);
    ck_assert_int_eq(proc_lock_release(same), 0);
    ck_assert_int_eq(proc_lock_remove(same), 0);
    ck_assert_int_eq(proc_lock_remove(lock), 0);
    ck_assert_ptr_null(proc_lock_open(key, 0, 0));
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_int_eq(proc_lock_acquire(same, 0), 1);
    ck_assert_int_eq(proc_lock_release(same), 0);
    proc_lock_close(same);
    proc_lock_close(lock);
    struct proc_counter *counter = proc_counter_open(key, 1, O_CREAT, 0);
    ck_assert_ptr_null(proc_lock_open(key, O_CREAT, 0));
    ck_assert_int_eq(errno, EINVAL);
    proc_counter_remove(counter);
    proc_counter_close(counter);
}
END_TEST

/* ---- time ---- */

static int hold(struct proc *self, void *how)
{
    char byte;

    if (proc_lock_acquire(lock, -1) <= 0 || proc_write(self, "h", 1) != 1 || proc_read(self, &byte, 1) != 1)
        return 1;
    if (strcmp(how, "exec") == 0)
        proc_exec("/bin/cat", (const char *const[]){"cat", NULL}, NULL);
    if (strcmp(how, "release") == 0)
        return proc_lock_release(lock) < 0;
    return 0;
}

static struct proc *must_hold(const char *how)
{
    char byte;
    struct proc *child =
        must_spawn((struct proc_options){.main = hold, .arg = (void *)how, .channel = PROC_STREAM, .in = PROC_PIPE});

    ck_assert_int_eq(proc_read(child, &byte, 1), 1);
    return child;
}

START_TEST(acquiring_waits_as_long_as_it_is_told)
{
    open_private();
    struct proc *child = must_hold("release");
    for (int timeout_ms = 0; timeout_ms < 50; timeout_ms += 12) {
        int64_t start = now_ms();

        ck_assert_int_eq(proc_lock_acquire(lock, timeout_ms), 0);
        ck_assert_int_ge(now_ms() - start, timeout_ms - 1);
    }
    ck_assert_int_eq(proc_write(child, "x", 1), 1);
    ck_assert_int_eq(proc_lock_acquire(lock, 60000), 1);
    ck_assert_int_eq(proc_lock_release(lock), 0);
    ck_assert_int_eq(must_end(child).code, 0);
    proc_lock_close(lock);
}
END_TEST

START_TEST(interruptions_neither_end_nor_lengthen_a_wait)
{
    open_private();
    struct proc *child = must_hold("release");
    interrupt_begin();
    int64_t start = now_ms();
    ck_assert_int_eq(proc_lock_acquire(lock, 40), 0);
    ck_assert_int_ge(now_ms() - start, 39);
    interrupt_end();
    proc_free(child);
    proc_lock_close(lock);
}
END_TEST

/* ---- the death of a holder ---- */

START_TEST(the_lock_of_a_dead_holder_is_handed_on)
{
    static const char *const ways[] = {"exit", "kill", "exec"};

    if (in_thread_sanitizer()) {
        skip("the thread sanitizer does not know that a lock is had from the dead by a wait with a timeout");
        return;
    }
    for (int way = 0; way < 3; way++)
        for (int timeout_ms = -1; timeout_ms < 60000; timeout_ms += 30000) { /* -1, and two real ones */
            open_private();
            struct proc *child = must_hold(ways[way]);
            ck_assert_int_eq(proc_lock_acquire(lock, 0), 0);
            if (way == 1)
                proc_kill(child, SIGKILL);
            else
                ck_assert_int_eq(proc_write(child, "x", 1), 1);
            ck_assert_int_eq(proc_lock_acquire(lock, timeout_ms), 2);
            proc_close(child, PROC_CLOSE_IN);
            must_end(child);
            ck_assert_int_eq(proc_lock_release(lock), 0);
            ck_assert_int_eq(proc_lock_acquire(lock, 0), 1); /* it goes on working */
            ck_assert_int_eq(proc_lock_release(lock), 0);
            proc_lock_close(lock);
        }
}
END_TEST

START_TEST(a_try_gets_the_lock_of_the_dead)
{
    open_private();
    struct proc *child = must_hold("exit");
    proc_free(child);
    ck_assert_int_eq(proc_lock_acquire(lock, 0), 2);
    ck_assert_int_eq(proc_lock_release(lock), 0);
    proc_lock_close(lock);
}
END_TEST

START_TEST(who_dies_with_what_he_got_from_the_dead_leaves_another_2)
{
    open_private();
    proc_free(must_hold("exit"));
    proc_free(must_hold("exit"));
    ck_assert_int_eq(proc_lock_acquire(lock, 0), 2);
    proc_lock_close(lock);
}
END_TEST

static void *hold_and_end(void *result)
{
    *(int *)result = proc_lock_acquire(lock, -1);
    return NULL;
}

START_TEST(a_thread_that_ends_is_a_dead_holder)
{
    pthread_t thread;
    int result;

    open_private();
    ck_assert_int_eq(pthread_create(&thread, NULL, hold_and_end, &result), 0);
    pthread_join(thread, NULL);
    ck_assert_int_eq(result, 1);
    ck_assert_int_eq(proc_lock_acquire(lock, -1), 2);
    ck_assert_int_eq(proc_lock_release(lock), 0);
    proc_lock_close(lock);
}
END_TEST

/* It is not the child's, whatever the child does with its handle. */
static int close_what_the_parent_holds(struct proc *self, void *unused)
{
    (void)self, (void)unused;
    proc_lock_close(lock);
    return 0;
}

START_TEST(a_child_does_not_hold_what_its_parent_holds)
{
    open_private();
    ck_assert_int_eq(proc_lock_acquire(lock, 0), 1);
    ck_assert_int_eq(must_end(must_spawn((struct proc_options){.main = close_what_the_parent_holds})).code, 0);
    struct proc *child = must_spawn((struct proc_options){.main = hold, .arg = (void *)"exit", .channel = PROC_STREAM});
    ck_assert_int_eq(proc_wait(child, NULL, 20), 0); /* it waits */
    ck_assert_int_eq(proc_lock_release(lock), 0);
    char byte;
    ck_assert_int_eq(proc_read(child, &byte, 1), 1);
    proc_free(child);
    ck_assert_int_eq(proc_lock_acquire(lock, 0), 2);
    proc_lock_close(lock);
}
END_TEST

START_TEST(to_close_what_one_holds_releases_it)
{
    key_t key = fresh_key();

    lock = proc_lock_open(key, O_CREAT, 0);
    struct proc_lock *same = proc_lock_open(key, 0, 0), *other = proc_lock_open(PROC_PRIVATE, 0, 0);
    ck_assert_int_eq(proc_lock_acquire(other, 0), 1);
    ck_assert_int_eq(proc_lock_acquire(lock, 0), 1);
    proc_lock_close(lock);
    ck_assert_int_eq(proc_lock_acquire(same, 0), 1);
    ck_assert_int_eq(proc_lock_release(same), 0);
    ck_assert_int_eq(proc_lock_release(other), 0); /* the list of what is held is whole */
    proc_lock_remove(same);
    proc_lock_close(same);
    proc_lock_close(other);
}
END_TEST

static int close_with_errno(struct proc *self, void *unused)
{
    (void)self, (void)unused;
    errno = 0;
    proc_lock_close(lock);
    return errno;
}

START_TEST(closing_keeps_errno_also_in_a_child)
{
    open_private();
    ck_assert_int_eq(proc_lock_acquire(lock, 0), 1);
    ck_assert_int_eq(must_end(must_spawn((struct proc_options){.main = close_with_errno})).code, 0);
    proc_lock_close(lock);
}
END_TEST

START_TEST(closing_releases_only_what_was_taken_with_that_handle)
{
    key_t key = fresh_key();

    if (in_thread_sanitizer()) {
        skip("the thread sanitizer takes two places of one lock for two locks");
        return;
    }
    lock = proc_lock_open(key, O_CREAT, 0);
    struct proc_lock *same = proc_lock_open(key, 0, 0);
    ck_assert_int_eq(proc_lock_acquire(lock, 0), 1);
    ck_assert_int_eq(proc_lock_release(same), 0);
    ck_assert_int_eq(proc_lock_acquire(same, 0), 1);
    proc_lock_close(lock);
    ck_assert_int_eq(proc_lock_acquire(same, 0), -1);
    ck_assert_int_eq(errno, EDEADLK);
    ck_assert_int_eq(proc_lock_release(same), 0);
    lock = proc_lock_open(key, 0, 0); /* and after a release with its own */
    ck_assert_int_eq(proc_lock_acquire(lock, 0), 1);
    ck_assert_int_eq(proc_lock_release(lock), 0);
    ck_assert_int_eq(proc_lock_acquire(same, 0), 1);
    proc_lock_close(lock);
    ck_assert_int_eq(proc_lock_release(same), 0);
    proc_lock_remove(same);
    proc_lock_close(same);
}
END_TEST

/* ---- many ---- */

struct guarded {
    volatile int64_t one, other;
};
static struct proc_shm *shm;

static int change_for_ever(struct proc *self, void *key)
{
    struct proc_lock *same = proc_lock_open(*(key_t *)key, O_CREAT, 0);
    struct guarded *guarded = proc_shm_data(shm);

    (void)self;
    for (int i = 0; same; i++) {
        int result = proc_lock_acquire(same, i % 2 ? -1 : 60000);

        if (result < 1)
            return 1;
        if (result == 2)
            guarded->other = guarded->one; /* what the dead one left half done */
        if (guarded->one != guarded->other)
            return 2;
        guarded->one = guarded->one + 1;
        guarded->other = guarded->other + 1;
        if (proc_lock_release(same) < 0)
            return 3;
    }
    return 4;
}

START_TEST(whoever_is_killed_when_the_lock_works_and_tells)
{
    key_t key = fresh_key();
    struct proc *children[3];

    shm = proc_shm_open(PROC_PRIVATE, sizeof(struct guarded), 0, 0);
    for (int i = 0; i < 3; i++)
        children[i] = must_spawn((struct proc_options){.main = change_for_ever, .arg = &key});
    for (int i = 0; i < (runs_shortened() ? 60 : 3000); i++) {
        struct proc **child = &children[rand() % 3];
        struct proc_exit exit;

        for (volatile int spin = rand() % 50000; spin > 0; spin--)
            ;
        ck_assert_int_eq(proc_kill(*child, SIGKILL), 0);
        ck_assert_int_eq(proc_wait(*child, &exit, 60000), 1);
        ck_assert_int_eq(exit.signal, SIGKILL); /* it has found all in order */
        proc_free(*child);
        *child = must_spawn((struct proc_options){.main = change_for_ever, .arg = &key});
    }
    for (int i = 0; i < 3; i++)
        proc_free(children[i]);
    lock = proc_lock_open(key, O_CREAT, 0);
    struct guarded *guarded = proc_shm_data(shm);
    int result = proc_lock_acquire(lock, 60000);
    ck_assert_int_gt(result, 0);
    ck_assert(result == 2 || guarded->one == guarded->other);
    ck_assert_int_gt(guarded->one, 0);
    ck_assert_int_eq(proc_lock_release(lock), 0);
    ck_assert_int_eq(proc_lock_remove(lock), 0);
    proc_lock_close(lock);
    proc_shm_close(shm);
}
END_TEST

static struct guarded sum;
static char thread_failed[] = "no lock";

static void *add_in_thread(void *unused)
{
    (void)unused;
    for (int i = 0; i < (runs_shortened() ? 1000 : 20000); i++) {
        if (proc_lock_acquire(lock, i % 2 ? -1 : 60000) != 1)
            return thread_failed;
        sum.one = sum.one + 1;
        proc_lock_release(lock);
    }
    return NULL;
}

START_TEST(threads_exclude_each_other)
{
    pthread_t threads[4];
    void *failed;

    open_private();
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, add_in_thread, NULL), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], &failed);
        ck_assert_ptr_null(failed);
    }
    ck_assert_int_eq(sum.one, 4 * (runs_shortened() ? 1000 : 20000));
    proc_lock_close(lock);
}
END_TEST

Suite *suite_make(void)
{
    Suite *suite = suite_create("lock");
    TCase *tcase = tcase_checked(suite, "one");

    tcase_add_test(tcase, a_lock_is_taken_and_released);
    tcase_add_test(tcase, a_free_lock_costs_no_system_call);
    tcase_add_test(tcase, mistakes_are_told);
    tcase_add_test(tcase, only_the_holder_releases);
    tcase_add_test(tcase, opening_heeds_key_and_kind);
    tcase_add_test(tcase, acquiring_waits_as_long_as_it_is_told);
    tcase_add_test(tcase, interruptions_neither_end_nor_lengthen_a_wait);
    tcase = tcase_checked(suite, "death");
    tcase_add_test(tcase, the_lock_of_a_dead_holder_is_handed_on);
    tcase_add_test(tcase, a_try_gets_the_lock_of_the_dead);
    tcase_add_test(tcase, who_dies_with_what_he_got_from_the_dead_leaves_another_2);
    tcase_add_test(tcase, a_thread_that_ends_is_a_dead_holder);
    tcase_add_test(tcase, a_child_does_not_hold_what_its_parent_holds);
    tcase_add_test(tcase, to_close_what_one_holds_releases_it);
    tcase_add_test(tcase, closing_keeps_errno_also_in_a_child);
    tcase_add_test(tcase, closing_releases_only_what_was_taken_with_that_handle);
    tcase = tcase_checked(suite, "many");
    tcase_add_test(tcase, whoever_is_killed_when_the_lock_works_and_tells);
    tcase_add_test(tcase, threads_exclude_each_other);
    return suite;
}
