/* Semaphores between processes. */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sem.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct proc_sem *sem;

/* ---- opening ---- */

START_TEST(a_new_semaphore_has_its_value_and_is_a_set_of_one)
{
    key_t key = fresh_key();
    struct semid_ds status;

    sem = proc_sem_open(key, 3, O_CREAT | O_EXCL, 0640);
    ck_assert_ptr_nonnull(sem);
    ck_assert_int_eq(proc_sem_value(sem), 3);
    ck_assert_int_eq(semctl(semget(key, 1, 0), 0, IPC_STAT, &status), 0);
    ck_assert_uint_eq(status.sem_nsems, 1);
    ck_assert_int_eq(status.sem_perm.mode & 0777, 0640);
    struct proc_sem *same = proc_sem_open(key, 7, O_CREAT, 0);
    ck_assert_int_eq(proc_sem_value(same), 3);
    ck_assert_ptr_null(proc_sem_open(key, 3, O_CREAT | O_EXCL, 0));
    ck_assert_int_eq(errno, EEXIST);
    ck_assert_int_eq(proc_sem_remove(same), 0);
    ck_assert_int_eq(proc_sem_remove(sem), -1);
    ck_assert(errno == EIDRM || errno == EINVAL);
    ck_assert_int_eq(proc_sem_value(sem), -1);
    ck_assert_int_eq(proc_sem_acquire(sem, 0), -1);
    ck_assert_int_eq(proc_sem_release(sem), -1);
    proc_sem_close(same);
    proc_sem_close(sem);
    proc_sem_close(NULL);
}
END_TEST

START_TEST(wrong_arguments_are_told)
{
    key_t key = fresh_key();

    ck_assert_ptr_null(proc_sem_open(key, 1, 0, 0));
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_ptr_null(proc_sem_open(key, PROC_SEM_MAX + 1, O_CREAT, 0));
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_ptr_null(proc_sem_open(key, 1, O_CREAT | O_TRUNC, 0));
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_ptr_null(proc_sem_open(-1, 1, O_CREAT, 0));
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_ptr_null(proc_sem_open(key, 1, O_CREAT, 01000));
    ck_assert_int_eq(errno, EINVAL);
    int id = semget(key, 2, IPC_CREAT | 0600);
    ck_assert_ptr_null(proc_sem_open(key, 1, O_CREAT, 0));
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(semctl(id, 0, IPC_RMID), 0);
    sem = proc_sem_open(key, PROC_SEM_MAX, O_CREAT | PROC_SEM_NO_UNDO, 0);
    ck_assert_int_eq(proc_sem_value(sem), PROC_SEM_MAX);
    ck_assert_int_eq(proc_sem_release(sem), -1);
    ck_assert_int_eq(errno, ERANGE);
    ck_assert_int_eq(proc_sem_acquire(sem, -2), -1);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(proc_sem_remove(sem), 0);
    proc_sem_close(sem);
}
END_TEST

static int open_at_once(struct proc *self, void *key)
{
    char byte;
    int result = 0;

    if (proc_read(self, &byte, 1) != 1)
        return 9;
    struct proc_sem *same = proc_sem_open(*(key_t *)key, 2, O_CREAT, 0);
    if (!same)
        return 1;
    if (proc_sem_value(same) > 2)
        result = 2;
    if (proc_sem_acquire(same, 20000) != 1 || proc_sem_release(same) < 0)
        result = 3;
    proc_sem_close(same);
    return result;
}

START_TEST(nobody_sees_a_semaphore_before_it_has_its_value)
{
    enum { CHILDREN = 6 };
    struct proc *children[CHILDREN];

    for (int round = 0; round < (runs_shortened() ? 5 : 60); round++) {
        key_t key = fresh_key();

        for (int i = 0; i < CHILDREN; i++)
            children[i] = must_spawn((struct proc_options){.main = open_at_once, .arg = &key, .channel = PROC_STREAM});
        for (int i = 0; i < CHILDREN; i++)
            ck_assert_int_eq(proc_write(children[i], "x", 1), 1);
        for (int i = 0; i < CHILDREN; i++)
            ck_assert_int_eq(must_end(children[i]).code, 0);
        sem = proc_sem_open(key, 0, 0, 0);
        ck_assert_int_eq(proc_sem_value(sem), 2);
        ck_assert_int_eq(proc_sem_remove(sem), 0);
        proc_sem_close(sem);
    }
}
END_TEST

static int open_and_remove(struct proc *self, void *key)
{
    (void)self;
    for (int i = 0; i < (runs_shortened() ? 100 : 2000); i++) {
        struct proc_sem *one = proc_sem_open(*(key_t *)key, 1, O_CREAT, 0);
        struct proc_counter *counter = proc_counter_open(*(key_t *)key, 1, O_CREAT, 0);

        if (!one || !counter)
            return 1;
        proc_sem_remove(one); /* it may be another one's turn to have done it */
        proc_counter_remove(counter);
        proc_sem_close(one);
        proc_counter_close(counter);
    }
    return 0;
}

START_TEST(who_opens_while_others_remove_gets_a_new_one)
{
    struct proc *children[3];
    key_t key = fresh_key();

    for (int i = 0; i < 3; i++)
        children[i] = must_spawn((struct proc_options){.main = open_and_remove, .arg = &key});
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(must_end(children[i]).code, 0);
}
END_TEST

/* Made, and then nothing: its maker is dead. */
START_TEST(a_semaphore_whose_maker_died_is_set_up_by_the_next)
{
    key_t key = fresh_key();

    ck_assert_int_ge(semget(key, 1, IPC_CREAT | 0600), 0);
    ck_assert_ptr_null(proc_sem_open(key, 2, 0, 0)); /* without O_CREAT it does not know with what */
    ck_assert_int_eq(errno, ENOENT);
    sem = proc_sem_open(key, 2, O_CREAT, 0);
    ck_assert_ptr_nonnull(sem);
    ck_assert_int_eq(proc_sem_value(sem), 2);
    ck_assert_int_eq(proc_sem_remove(sem), 0);
    proc_sem_close(sem);
}
END_TEST

static int open_and_die(struct proc *self, void *key)
{
    (void)self;
    struct proc_sem *same = proc_sem_open(*(key_t *)key, 1, O_CREAT, 0);
    for (;;)
        if (!same || proc_sem_acquire(same, -1) != 1 || proc_sem_release(same) < 0)
            return 1;
}

START_TEST(whoever_is_killed_when_the_semaphore_is_whole)
{
    key_t key = fresh_key();
    int rounds = runs_shortened() ? 20 : 300;

    for (int i = 0; i < rounds; i++) {
        struct proc *one = must_spawn((struct proc_options){.main = open_and_die, .arg = &key});
        struct proc *other = must_spawn((struct proc_options){.main = open_and_die, .arg = &key});

        for (volatile int spin = rand() % 100000; spin > 0; spin--)
            ;
        proc_free(one);
        proc_free(other);
        sem = proc_sem_open(key, 1, O_CREAT, 0);
        ck_assert_ptr_nonnull(sem);
        ck_assert_int_eq(proc_sem_value(sem), 1);
        ck_assert_int_eq(proc_sem_acquire(sem, 0), 1);
        ck_assert_int_eq(proc_sem_release(sem), 0);
        if (i % 10 == 0 || i == rounds - 1)
            ck_assert_int_eq(proc_sem_remove(sem), 0);
        proc_sem_close(sem);
    }
}
END_TEST

/* ---- acquiring ---- */

START_TEST(acquiring_waits_as_long_as_it_is_told)
{
    sem = proc_sem_open(PROC_PRIVATE, 1, 0, 0);
    ck_assert_int_eq(proc_sem_acquire(sem, 0), 1);
    ck_assert_int_eq(proc_sem_acquire(sem, 0), 0);
    int64_t start = now_ms();
    ck_assert_int_eq(proc_sem_acquire(sem, 30), 0);
    ck_assert_int_ge(now_ms() - start, 29);
    ck_assert_int_eq(proc_sem_release(sem), 0);
    ck_assert_int_eq(proc_sem_acquire(sem, -1), 1);
    ck_assert_int_eq(proc_sem_release(sem), 0);
    ck_assert_int_eq(proc_sem_value(sem), 1);
    proc_sem_close(sem);
}
END_TEST

START_TEST(interruptions_neither_end_nor_lengthen_a_wait)
{
    sem = proc_sem_open(PROC_PRIVATE, 0, 0, 0);
    interrupt_begin();
    int64_t start = now_ms();
    ck_assert_int_eq(proc_sem_acquire(sem, 30), 0);
    ck_assert_int_ge(now_ms() - start, 29);
    interrupt_end();
    proc_sem_close(sem);
}
END_TEST

static int hold(struct proc *self, void *how)
{
    char byte;

    if (proc_sem_acquire(sem, -1) != 1 || proc_write(self, "h", 1) != 1)
        return 1;
    if (proc_read(self, &byte, 1) != 1)
        return 2;
    if (strcmp(how, "exec") == 0)
        proc_exec("/bin/cat", (const char *const[]){"cat", NULL}, NULL);
    return 0;
}

START_TEST(a_holder_that_ends_in_any_way_gives_back)
{
    static const char *const ways[] = {"exit", "kill", "exec"};
    char byte;

    for (int i = 0; i < 3; i++) {
        sem = proc_sem_open(PROC_PRIVATE, 1, 0, 0);
        struct proc *child = must_spawn(
            (struct proc_options){.main = hold, .arg = (void *)ways[i], .channel = PROC_STREAM, .in = PROC_PIPE});
        ck_assert_int_eq(proc_read(child, &byte, 1), 1);
        ck_assert_int_eq(proc_sem_acquire(sem, 0), 0);
        if (i == 1)
            proc_kill(child, SIGKILL);
        else
            ck_assert_int_eq(proc_write(child, "x", 1), 1);
        if (i == 2) { /* as a program it holds on */
            ck_assert_int_eq(proc_sem_acquire(sem, 20), 0);
            proc_close(child, PROC_CLOSE_IN);
        }
        ck_assert_int_eq(proc_sem_acquire(sem, 20000), 1);
        must_end(child);
        proc_sem_close(sem);
    }
}
END_TEST

static int acquire_and_exit(struct proc *self, void *unused)
{
    (void)self, (void)unused;
    return proc_sem_acquire(sem, -1) == 1 ? 0 : 1;
}

START_TEST(without_undo_what_is_acquired_stays_acquired)
{
    sem = proc_sem_open(PROC_PRIVATE, 1, PROC_SEM_NO_UNDO, 0);
    ck_assert_int_eq(must_end(must_spawn((struct proc_options){.main = acquire_and_exit})).code, 0);
    ck_assert_int_eq(proc_sem_value(sem), 0);
    ck_assert_int_eq(proc_sem_release(sem), 0);
    ck_assert_int_eq(proc_sem_value(sem), 1);
    proc_sem_close(sem);
}
END_TEST

static int release_and_exit(struct proc *self, void *unused)
{
    (void)self, (void)unused;
    return proc_sem_release(sem) == 0 && proc_sem_value(sem) == 2 ? 0 : 1;
}

START_TEST(a_release_without_an_acquire_is_undone_at_exit)
{
    sem = proc_sem_open(PROC_PRIVATE, 1, 0, 0);
    ck_assert_int_eq(must_end(must_spawn((struct proc_options){.main = release_and_exit})).code, 0);
    ck_assert_int_eq(proc_sem_value(sem), 1);
    proc_sem_close(sem);
}
END_TEST

static int wait_until_removed(struct proc *self, void *unused)
{
    (void)unused;
    proc_write(self, "w", 1);
    return proc_sem_acquire(sem, 60000) == -1 && errno == EIDRM ? 0 : 1;
}

START_TEST(who_waits_for_a_removed_one_is_told)
{
    char byte;

    sem = proc_sem_open(PROC_PRIVATE, 0, 0, 0);
    struct proc *child = must_spawn((struct proc_options){.main = wait_until_removed, .channel = PROC_STREAM});
    ck_assert_int_eq(proc_read(child, &byte, 1), 1);
    while (strncmp(status_of(proc_pid(child), "State"), "S", 1) != 0)
        ;
    ck_assert_int_eq(proc_sem_remove(sem), 0);
    int code = must_end(child).code; /* EINVAL, if it had not begun to wait */
    ck_assert_int_eq(code, 0);
    proc_sem_close(sem);
}
END_TEST

static int be_one_of_two(struct proc *self, void *inside)
{
    (void)self;
    for (int i = 0; i < (runs_shortened() ? 20 : 500); i++) {
        if (proc_sem_acquire(sem, -1) != 1)
            return 1;
        if (proc_counter_add(inside, 0, 1) > 2)
            return 2;
        proc_counter_add(inside, 0, -1);
        if (proc_sem_release(sem) < 0)
            return 3;
    }
    return 0;
}

START_TEST(no_more_are_inside_than_there_is_room_for)
{
    struct proc_counter *inside = proc_counter_open(PROC_PRIVATE, 1, 0, 0);
    struct proc *children[6];

    sem = proc_sem_open(PROC_PRIVATE, 2, 0, 0);
    for (int i = 0; i < 6; i++)
        children[i] = must_spawn((struct proc_options){.main = be_one_of_two, .arg = inside});
    for (int i = 0; i < 6; i++)
        ck_assert_int_eq(must_end(children[i]).code, 0);
    ck_assert_int_eq(proc_sem_value(sem), 2);
    proc_sem_close(sem);
    proc_counter_close(inside);
}
END_TEST

/* ---- lifetime ---- */

static int close_it(struct proc *self, void *unused)
{
    (void)self, (void)unused;
    proc_sem_close(sem);
    return 0;
}

START_TEST(a_child_that_closes_or_exits_removes_nothing)
{
    sem = proc_sem_open(PROC_PRIVATE, 1, 0, 0);
    ck_assert_int_eq(must_end(must_spawn((struct proc_options){.main = close_it})).code, 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    ck_assert_int_eq(proc_sem_value(sem), 1);
    proc_sem_close(sem);
}
END_TEST

/* A process of its own that exits without closing. The harness looks whether anything is left. */
static int make_and_exit(struct proc *self, void *unused)
{
    (void)self, (void)unused;
    pid_t pid = fork();
    if (pid == 0) {
        if (!proc_sem_open(PROC_PRIVATE, 1, 0, 0))
            _exit(1);
        exit(0);
    }
    int status;
    return waitpid(pid, &status, 0) == pid ? WEXITSTATUS(status) : 9;
}

START_TEST(an_exit_removes_what_is_private)
{
    ck_assert_int_eq(must_end(must_spawn((struct proc_options){.main = make_and_exit})).code, 0);
}
END_TEST

/* ---- PHP ---- */

START_TEST(php_and_we_take_the_same_semaphore)
{
    key_t key = fresh_key();
    char script[512], text[8] = "";

    snprintf(script, sizeof script,
             "if (!function_exists('sem_get')) exit(77);"
             "$s = sem_get(%d, 1, 0600, false); if (!$s || !sem_acquire($s)) exit(1);"
             "echo 'h'; fgets(STDIN); sem_release($s); echo 'r'; fgets(STDIN);"
             "if (sem_acquire($s, true)) exit(2); echo 'n'; fgets(STDIN);"
             "if (!sem_acquire($s)) exit(3); sem_release($s);",
             key);
    struct proc *child = php(script);
    if (!child) {
        skip("php is missing");
        return;
    }
    if (proc_read(child, text, 1) == 0) {
        ck_assert_int_eq(must_end(child).code, 77);
        skip("this php has no sysvsem");
        return;
    }
    ck_assert_str_eq(text, "h");
    sem = proc_sem_open(key, 1, 0, 0);
    ck_assert_ptr_nonnull(sem);
    ck_assert_int_eq(proc_sem_acquire(sem, 10), 0);
    ck_assert_int_eq(proc_write(child, "\n", 1), 1);
    ck_assert_int_eq(proc_read(child, text, 1), 1);
    ck_assert_int_eq(proc_sem_acquire(sem, 20000), 1);
    ck_assert_int_eq(proc_write(child, "\n", 1), 1);
    ck_assert_int_eq(proc_read(child, text, 1), 1);
    ck_assert_str_eq(text, "n"); /* it was ours */
    ck_assert_int_eq(proc_write(child, "\n", 1), 1);
    ck_assert_int_eq(proc_wait(child, NULL, 20), 0);
    /* another one that comes now does not take it for new, and set its value */
    char late[256];
    snprintf(late, sizeof late, "$s = sem_get(%d, 1, 0600, false); exit(sem_acquire($s, true) ? 1 : 0);", key);
    ck_assert_int_eq(must_end(php(late)).code, 0);
    ck_assert_int_eq(proc_sem_release(sem), 0);
    ck_assert_int_eq(must_end(child).code, 0);
    ck_assert_int_eq(must_end(php(late)).code, 1);
    ck_assert_int_eq(proc_sem_remove(sem), 0);
    proc_sem_close(sem);
}
END_TEST

Suite *suite_make(void)
{
    Suite *suite = suite_create("sem");
    TCase *tcase = tcase_checked(suite, "opening");

    tcase_add_test(tcase, a_new_semaphore_has_its_value_and_is_a_set_of_one);
    tcase_add_test(tcase, wrong_arguments_are_told);
    tcase_add_test(tcase, nobody_sees_a_semaphore_before_it_has_its_value);
    tcase_add_test(tcase, who_opens_while_others_remove_gets_a_new_one);
    tcase_add_test(tcase, a_semaphore_whose_maker_died_is_set_up_by_the_next);
    tcase_add_test(tcase, whoever_is_killed_when_the_semaphore_is_whole);
    tcase = tcase_checked(suite, "acquiring");
    tcase_add_test(tcase, acquiring_waits_as_long_as_it_is_told);
    tcase_add_test(tcase, interruptions_neither_end_nor_lengthen_a_wait);
    tcase_add_test(tcase, a_holder_that_ends_in_any_way_gives_back);
    tcase_add_test(tcase, without_undo_what_is_acquired_stays_acquired);
    tcase_add_test(tcase, a_release_without_an_acquire_is_undone_at_exit);
    tcase_add_test(tcase, who_waits_for_a_removed_one_is_told);
    tcase_add_test(tcase, no_more_are_inside_than_there_is_room_for);
    tcase = tcase_checked(suite, "lifetime");
    tcase_add_test(tcase, a_child_that_closes_or_exits_removes_nothing);
    tcase_add_test(tcase, an_exit_removes_what_is_private);
    tcase_add_test(tcase, php_and_we_take_the_same_semaphore);
    return suite;
}
