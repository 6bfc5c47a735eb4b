/* Keys and shared memory. */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- keys ---- */

START_TEST(a_key_is_what_ftok_makes)
{
    for (int id = 1; id < 256; id++) {
        ck_assert_int_eq(proc_key("/", id), ftok("/", id));
        ck_assert_int_eq(proc_key("/proc/self/exe", id), ftok("/proc/self/exe", id));
    }
}
END_TEST

START_TEST(what_ftok_would_cut_or_hide_is_an_error)
{
    static const int wrong[] = {0, -1, 256, 512, 0x10001};

    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(proc_key("/", wrong[i]), -1);
        ck_assert_int_eq(errno, EINVAL);
    }
    ck_assert_int_eq(proc_key(temporary("missing"), 1), -1);
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_int_eq(proc_key("/proc/self/exe/x", 1), -1);
    ck_assert_int_eq(errno, ENOTDIR);
}
END_TEST

/* ---- shared memory ---- */

static int write_hello(struct proc *self, void *memory)
{
    struct proc_shm *shm = memory;

    (void)self;
    strcpy(proc_shm_data(shm), "hello");
    proc_shm_close(shm);
    return 0;
}

START_TEST(private_memory_is_shared_with_children)
{
    struct proc_shm *shm = proc_shm_open(PROC_PRIVATE, 100, 0, 0);

    ck_assert_ptr_nonnull(shm);
    ck_assert_uint_eq(proc_shm_size(shm), 100);
    ck_assert_int_eq(((char *)proc_shm_data(shm))[99], 0);
    ck_assert_int_eq(must_end(must_spawn((struct proc_options){.main = write_hello, .arg = shm})).code, 0);
    ck_assert_str_eq(proc_shm_data(shm), "hello");
    ck_assert_int_eq(proc_shm_remove(shm), 0);
    proc_shm_close(shm);
}
END_TEST

START_TEST(memory_under_a_key_is_a_segment_that_others_see)
{
    key_t key = fresh_key();
    struct proc_shm *shm = proc_shm_open(key, 5000, O_CREAT, 0640);
    struct shmid_ds status;

    ck_assert_ptr_nonnull(shm);
    int id = shmget(key, 0, 0);
    ck_assert_int_ge(id, 0);
    ck_assert_int_eq(shmctl(id, IPC_STAT, &status), 0);
    ck_assert_uint_eq(status.shm_segsz, 5000);
    ck_assert_int_eq(status.shm_perm.mode & 0777, 0640);
    ck_assert_uint_eq(proc_shm_size(shm), 5000);
    char *other = shmat(id, NULL, 0);
    strcpy(proc_shm_data(shm), "both");
    ck_assert_str_eq(other, "both");
    shmdt(other);
    ck_assert_int_eq(proc_shm_remove(shm), 0);
    strcpy(proc_shm_data(shm), "still there");
    proc_shm_close(shm);
    proc_shm_close(NULL);
    ck_assert_int_eq(shmctl(id, IPC_STAT, &status), -1);
}
END_TEST

START_TEST(flags_sizes_and_modes_are_heeded)
{
    key_t key = fresh_key();
    struct shmid_ds status;

    ck_assert_ptr_null(proc_shm_open(key, 10, 0, 0));
    ck_assert_int_eq(errno, ENOENT);
    struct proc_shm *shm = proc_shm_open(key, 10, O_CREAT | O_EXCL, 0);
    ck_assert_ptr_nonnull(shm);
    ck_assert_int_eq(shmctl(shmget(key, 0, 0), IPC_STAT, &status), 0);
    ck_assert_int_eq(status.shm_perm.mode & 0777, 0600);
    ck_assert_ptr_null(proc_shm_open(key, 10, O_CREAT | O_EXCL, 0));
    ck_assert_int_eq(errno, EEXIST);
    ck_assert_ptr_null(proc_shm_open(key, 11, O_CREAT, 0));
    ck_assert_int_eq(errno, EINVAL);
    for (size_t size = 0; size <= 10; size += 5) {
        struct proc_shm *same = proc_shm_open(key, size, 0, 0);

        ck_assert_ptr_nonnull(same);
        ck_assert_uint_eq(proc_shm_size(same), 10);
        proc_shm_close(same);
    }
    ck_assert_int_eq(proc_shm_remove(shm), 0);
    ck_assert_int_eq(proc_shm_remove(shm), 0); /* once more is no harm */
    ck_assert_ptr_null(proc_shm_open(key, 10, 0, 0));
    ck_assert_int_eq(errno, ENOENT);
    proc_shm_close(shm);
    ck_assert_ptr_null(proc_shm_open(PROC_PRIVATE, 0, 0, 0));
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_ptr_null(proc_shm_open(-1, 10, O_CREAT, 0));
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_ptr_null(proc_shm_open(key, 10, O_CREAT | O_TRUNC, 0));
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_ptr_null(proc_shm_open(key, 10, O_CREAT, 010000));
    ck_assert_int_eq(errno, EINVAL);
}
END_TEST

static int open_as_nobody(struct proc *self, void *key)
{
    (void)self;
    if (proc_shm_open(*(key_t *)key, 0, 0, 0) || errno != EACCES)
        return 1;
    struct proc_shm *readable = proc_shm_open(((key_t *)key)[1], 0, 0, 0); /* to be written, too */
    if (readable || errno != EACCES)
        return 2;
    struct proc_shm *writable = proc_shm_open(((key_t *)key)[2], 0, 0, 0);
    return !writable || proc_shm_remove(writable) != -1 || errno != EPERM ? 3 : 0;
}

START_TEST(another_user_is_refused)
{
    key_t keys[3] = {fresh_key(), fresh_key(), fresh_key()};
    struct proc_ids ids = {.uid = 65534, .gid = 65534};

    if (geteuid() != 0) {
        skip("it takes root to become another user");
        return;
    }
    struct proc_shm *one = proc_shm_open(keys[0], 10, O_CREAT, 0), *other = proc_shm_open(keys[1], 10, O_CREAT, 0644);
    struct proc_shm *third = proc_shm_open(keys[2], 10, O_CREAT, 0666);
    ck_assert_int_eq(must_end(must_spawn((struct proc_options){.main = open_as_nobody, .arg = keys, .ids = &ids})).code, 0);
    ck_assert_int_eq(proc_shm_remove(one), 0);
    ck_assert_int_eq(proc_shm_remove(other), 0);
    ck_assert_int_eq(proc_shm_remove(third), 0);
    proc_shm_close(third);
    proc_shm_close(one);
    proc_shm_close(other);
}
END_TEST

static int exit_holding(struct proc *self, void *key)
{
    struct proc_shm *shm = proc_shm_open(*(key_t *)key, 0, 0, 0);

    (void)self;
    strcpy(proc_shm_data(shm), "x");
    kill(getpid(), SIGKILL);
    return 0;
}

START_TEST(a_child_that_dies_removes_nothing)
{
    key_t key = fresh_key();
    struct proc_shm *shm = proc_shm_open(key, 10, O_CREAT, 0);

    ck_assert_int_eq(must_end(must_spawn((struct proc_options){.main = exit_holding, .arg = &key})).signal, SIGKILL);
    ck_assert_str_eq(proc_shm_data(shm), "x");
    ck_assert_int_eq(proc_shm_remove(shm), 0);
    proc_shm_close(shm);
}
END_TEST

START_TEST(without_memory_the_open_fails_and_leaves_nothing)
{
    struct rlimit old;

    if (runs_instrumented()) {
        skip("a sanitizer needs its address space");
        return;
    }
    ck_assert_int_eq(getrlimit(RLIMIT_AS, &old), 0);
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &(struct rlimit){(rlim_t)256 << 20, old.rlim_max}), 0);
    struct proc_shm *shm = proc_shm_open(PROC_PRIVATE, (size_t)1 << 30, 0, 0);
    int failure = errno;
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &old), 0);
    ck_assert_ptr_null(shm);
    ck_assert_int_eq(failure, ENOMEM);
}
END_TEST

Suite *suite_make(void)
{
    Suite *suite = suite_create("shm");
    TCase *tcase = tcase_checked(suite, "keys");

    tcase_add_test(tcase, a_key_is_what_ftok_makes);
    tcase_add_test(tcase, what_ftok_would_cut_or_hide_is_an_error);
    tcase = tcase_checked(suite, "memory");
    tcase_add_test(tcase, private_memory_is_shared_with_children);
    tcase_add_test(tcase, memory_under_a_key_is_a_segment_that_others_see);
    tcase_add_test(tcase, flags_sizes_and_modes_are_heeded);
    tcase_add_test(tcase, another_user_is_refused);
    tcase_add_test(tcase, a_child_that_dies_removes_nothing);
    tcase_add_test(tcase, without_memory_the_open_fails_and_leaves_nothing);
    return suite;
}
