/* Messages that are larger than a queue can carry. */
#include "harness.h"
#include "seam.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/file.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LARGE 100000
#define MOST (64 << 20)

static struct proc_queue *queue;
static char data[1 << 20], got[1 << 20];
static long type;

static void open_private(void)
{
    queue = proc_queue_open(PROC_PRIVATE, PROC_QUEUE_LARGE, 0);
    ck_assert_ptr_nonnull(queue);
}

/* Content that depends on its size. */
static const char *content(size_t size)
{
    for (size_t i = 0; i < size; i++)
        data[i] = (char)(i * 31 + size);
    return data;
}

static void must_push(long of_type, size_t size)
{
    ck_assert_int_eq(proc_queue_push(queue, of_type, content(size), size, 0), 1);
}

static void must_pop(long wanted, long of_type, size_t size)
{
    ck_assert_int_eq(proc_queue_pop(queue, wanted, got, sizeof got, &type, 0), (ssize_t)size);
    ck_assert_int_eq(type, of_type);
    ck_assert_int_eq(memcmp(got, content(size), size), 0);
}

static void must_be_empty(void)
{
    ck_assert_int_eq(proc_queue_pop(queue, 0, got, sizeof got, NULL, 0), -1);
    ck_assert_int_eq(errno, ETIMEDOUT);
}

/* The files of that queue's messages, and with `remove` an end to them. */
static int files_of(int id, bool remove)
{
    char part[32];
    int count = 0;
    DIR *listing = opendir("/dev/shm");

    snprintf(part, sizeof part, "-%d-", id);
    for (struct dirent *entry; (entry = readdir(listing));) {
        const char *found = strncmp(entry->d_name, "libproc-", 8) == 0 ? strstr(entry->d_name, part) : NULL;

        if (!found || strcmp(found + strlen(part), "lock") == 0)
            continue;
        count++;
        if (remove)
            unlinkat(dirfd(listing), entry->d_name, 0);
    }
    closedir(listing);
    return count;
}

static int files(void)
{
    return files_of(proc_queue_id(queue), false);
}

START_TEST(sizes_do_not_matter)
{
    static const size_t sizes[] = {0, 1, 2047, 2048, 2049, 8191, 8192, 8193, LARGE, sizeof data};

    open_private();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        must_push((long)i + 1, sizes[i]);
        must_pop(i % 3 == 0 ? 0 : i % 3 == 1 ? (long)i + 1 : -50, (long)i + 1, sizes[i]);
        ck_assert_int_eq(files(), 0);
    }
    must_be_empty();
    proc_queue_close(queue);
}
END_TEST

START_TEST(sixty_four_mebibytes_go_through)
{
    char *whole = malloc(MOST), *copy = malloc(MOST);

    for (size_t i = 0; i < MOST; i += 4096)
        memcpy(whole + i, &i, sizeof i);
    open_private();
    int result = proc_queue_push(queue, 1, whole, MOST, 0);
    if (result < 0 && errno == ENOSPC) {
        skip("/dev/shm is too small");
    } else {
        ck_assert_int_eq(result, 1);
        ck_assert_int_eq(proc_queue_pop(queue, 0, copy, MOST - 1, NULL, 0), -1);
        ck_assert_int_eq(errno, E2BIG);
        ck_assert_int_eq(proc_queue_pop(queue, 0, copy, MOST, NULL, 0), MOST);
        ck_assert_int_eq(memcmp(whole, copy, MOST), 0);
    }
    proc_queue_close(queue);
    free(whole);
    free(copy);
}
END_TEST

START_TEST(small_and_large_keep_their_order)
{
    static const size_t sizes[] = {10, LARGE, 0, 3000, LARGE + 1, 7, 20000};

    open_private();
    for (int i = 0; i < 7; i++)
        must_push(i % 2 + 1, sizes[i]);
    for (int i = 0; i < 7; i++)
        must_pop(0, i % 2 + 1, sizes[i]);
    for (int i = 0; i < 7; i++)
        must_push(i % 2 + 1, sizes[i]);
    for (int i = 1; i < 7; i += 2)
        must_pop(2, 2, sizes[i]);
    for (int i = 0; i < 7; i += 2)
        must_pop(-2, 1, sizes[i]);
    must_push(5, LARGE);
    must_push(4, 3);
    must_push(3, LARGE + 1);
    must_push(2, 3000);
    must_push(2, LARGE);
    must_push(1, 0);
    must_pop(-9, 1, 0);
    must_pop(-9, 2, 3000);
    must_pop(-9, 2, LARGE);
    must_pop(-9, 3, LARGE + 1);
    must_pop(-4, 4, 3);
    ck_assert_int_eq(proc_queue_pop(queue, -4, got, sizeof got, NULL, 0), -1);
    ck_assert_int_eq(errno, ETIMEDOUT);
    must_pop(LONG_MIN, 5, LARGE);
    must_be_empty();
    proc_queue_close(queue);
}
END_TEST

START_TEST(what_does_not_fit_keeps_its_place)
{
    open_private();
    must_push(2, LARGE);
    must_push(1, 3000);
    must_push(2, 10);
    for (int timeout_ms = -1; timeout_ms < 20; timeout_ms += 10) {
        ck_assert_int_eq(proc_queue_pop(queue, 0, got, LARGE - 1, NULL, timeout_ms), -1);
        ck_assert_int_eq(errno, E2BIG);
        ck_assert_int_eq(proc_queue_pop(queue, 2, got, 0, NULL, timeout_ms), -1);
        ck_assert_int_eq(errno, E2BIG);
        ck_assert_int_eq(proc_queue_pop(queue, -1, got, 2999, NULL, timeout_ms), -1);
        ck_assert_int_eq(errno, E2BIG);
        ck_assert_int_eq(proc_queue_pop(queue, -2, got, 100, NULL, timeout_ms), -1);
        ck_assert_int_eq(errno, E2BIG);
    }
    ck_assert_int_eq(proc_queue_pop(queue, 0, got, LARGE, &type, 0), LARGE);
    ck_assert_int_eq(type, 2);
    must_pop(0, 1, 3000);
    must_pop(0, 2, 10);
    proc_queue_close(queue);
}
END_TEST

START_TEST(a_full_queue_is_waited_for)
{
    int pushed = 0;

    open_private();
    while (proc_queue_push(queue, 1, content(LARGE), LARGE, pushed % 2 ? 0 : 1) == 1)
        pushed++;
    ck_assert_int_gt(pushed, 1);
    ck_assert_int_eq(files(), pushed); /* the one that did not fit has left none */
    ck_assert_int_eq(proc_queue_push(queue, 1, data, LARGE, 20), 0);
    ck_assert_int_eq(files(), pushed);
    while (pushed-- > 0)
        must_pop(0, 1, LARGE);
    must_be_empty();
    ck_assert_int_eq(proc_queue_set_capacity(queue, 2047), 0);
    ck_assert_int_eq(proc_queue_push(queue, 1, data, 2048, -1), -1);
    ck_assert_int_eq(errno, EMSGSIZE);
    ck_assert_int_eq(proc_queue_set_capacity(queue, 2048), 0);
    ck_assert_int_eq(proc_queue_push(queue, 1, content(2049), 2049, -1), 1);
    must_pop(0, 1, 2049);
    proc_queue_close(queue);
}
END_TEST

static int push_later(struct proc *self, void *unused)
{
    char byte;

    (void)unused;
    for (size_t i = 0; proc_read(self, &byte, 1) == 1; i++)
        if (proc_queue_push(queue, 1, content(LARGE + i), LARGE + i, -1) != 1)
            return 1;
    return 0;
}

START_TEST(one_who_waits_gets_a_large_one)
{
    open_private();
    struct proc *child = must_spawn((struct proc_options){.main = push_later, .channel = PROC_STREAM});
    for (size_t i = 0; i < 20; i++) {
        ck_assert_int_eq(proc_write(child, "x", 1), 1);
        ck_assert_int_eq(proc_queue_pop(queue, (long)(i % 3) - 1, got, sizeof got, NULL, i % 2 ? -1 : 60000), LARGE + i);
        ck_assert_int_eq(memcmp(got, content(LARGE + i), LARGE + i), 0);
    }
    proc_close(child, PROC_CLOSE_WRITE);
    ck_assert_int_eq(must_end(child).code, 0);
    proc_queue_close(queue);
}
END_TEST

/* ---- files ---- */

START_TEST(files_go_with_the_queue)
{
    key_t key = fresh_key();

    open_private();
    must_push(1, LARGE);
    ck_assert_int_eq(files(), 1);
    proc_queue_close(queue);
    queue = proc_queue_open(key, O_CREAT | PROC_QUEUE_LARGE, 0);
    must_push(1, LARGE);
    proc_queue_close(queue); /* it stays, and so does its message */
    queue = proc_queue_open(key, PROC_QUEUE_LARGE, 0);
    ck_assert_int_eq(files(), 1);
    must_pop(0, 1, LARGE);
    must_push(1, LARGE);
    int id = proc_queue_id(queue);
    ck_assert_int_eq(proc_queue_remove(queue), 0);
    ck_assert_int_eq(files_of(id, false), 0);
    ck_assert_int_eq(proc_queue_push(queue, 1, data, LARGE, 0), -1);
    ck_assert(errno == EIDRM || errno == EINVAL);
    ck_assert_int_eq(files_of(id, false), 0);
    proc_queue_close(queue);
}
END_TEST

static int push_and_leave(struct proc *self, void *unused)
{
    (void)self, (void)unused;
    struct proc_queue *mine = proc_queue_open(PROC_PRIVATE, PROC_QUEUE_LARGE, 0);
    return mine && proc_queue_push(mine, 1, data, LARGE, 0) == 1 ? 0 : 1;
}

START_TEST(files_go_with_the_exit_of_the_maker)
{
    ck_assert_int_eq(must_end(must_spawn((struct proc_options){.main = push_and_leave})).code, 0);
}
END_TEST

static struct {
    long type;
    char text[8192];
} bare;

/* Taken as bytes by one who knows nothing of files: so does one who dies between taking and removing leave it. */
static void take_the_reference(void)
{
    ck_assert_int_eq(msgrcv(proc_queue_id(queue), &bare, sizeof bare.text, 0, IPC_NOWAIT), 2048);
}

START_TEST(the_next_to_open_removes_what_the_dead_have_left)
{
    key_t key = fresh_key();

    queue = proc_queue_open(key, O_CREAT | PROC_QUEUE_LARGE, 0);
    must_push(1, LARGE);
    must_push(2, LARGE + 1);
    must_push(3, 10);
    must_push(4, LARGE + 2);
    take_the_reference();
    ck_assert_int_eq(files(), 3);
    struct proc_queue *same = proc_queue_open(key, PROC_QUEUE_LARGE, 0);
    ck_assert_int_eq(files(), 2);
    proc_queue_close(same);
    must_pop(0, 2, LARGE + 1); /* those that are still to be had are kept */
    must_pop(0, 3, 10);
    must_pop(0, 4, LARGE + 2);
    ck_assert_int_eq(proc_queue_remove(queue), 0);
    proc_queue_close(queue);
}
END_TEST

START_TEST(what_is_removed_with_ipcrm_is_swept_by_any_large_queue)
{
    open_private();
    must_push(1, LARGE);
    int id = proc_queue_id(queue);
    ck_assert_int_eq(msgctl(id, IPC_RMID, NULL), 0);
    ck_assert_int_eq(files_of(id, false), 1);
    struct proc_queue *other = proc_queue_open(PROC_PRIVATE, PROC_QUEUE_LARGE, 0);
    ck_assert_int_eq(files_of(id, false), 0);
    proc_queue_close(other);
    proc_queue_close(queue);
}
END_TEST

START_TEST(a_message_whose_file_is_gone_is_told_and_gone)
{
    open_private();
    must_push(1, LARGE);
    must_push(2, LARGE);
    ck_assert_int_eq(files_of(proc_queue_id(queue), true), 2);
    must_push(3, LARGE);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(proc_queue_pop(queue, 0, got, sizeof got, NULL, i ? 0 : -1), -1);
        ck_assert_int_eq(errno, EBADMSG);
    }
    must_pop(0, 3, LARGE);
    must_be_empty();
    proc_queue_close(queue);
}
END_TEST

START_TEST(bytes_that_only_look_alike_are_a_message)
{
    open_private();
    must_push(1, LARGE);
    take_the_reference();
    bare.text[0] ^= 1;
    ck_assert_int_eq(msgsnd(proc_queue_id(queue), &bare, 2048, 0), 0);
    bare.text[0] ^= 1;
    ck_assert_int_eq(msgsnd(proc_queue_id(queue), &bare, 2047, 0), 0);
    ck_assert_int_eq(msgsnd(proc_queue_id(queue), &bare, 2049, 0), 0);
    for (int size = 2047; size < 2050; size++)
        ck_assert_int_eq(proc_queue_pop(queue, 0, got, sizeof got, NULL, 0), size == 2047 ? 2048 : size == 2048 ? 2047 : 2049);
    ck_assert_int_eq(msgsnd(proc_queue_id(queue), &bare, 2048, 0), 0); /* and the reference itself is one */
    must_pop(0, 1, LARGE);
    proc_queue_close(queue);
}
END_TEST

/* ---- failures ---- */

START_TEST(without_a_descriptor_the_message_stays)
{
    struct rlimit before, none;

    open_private();
    must_push(1, LARGE);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){0, before.rlim_max};
    setrlimit(RLIMIT_NOFILE, &none);
    int result = (int)proc_queue_pop(queue, 0, got, sizeof got, NULL, 0), pop_failure = errno;
    int pushed = proc_queue_push(queue, 1, data, LARGE, 0), push_failure = errno;
    setrlimit(RLIMIT_NOFILE, &before);
    ck_assert_int_eq(result, -1);
    ck_assert_int_eq(pop_failure, EMFILE);
    ck_assert_int_eq(pushed, -1);
    ck_assert_int_eq(push_failure, EMFILE);
    must_pop(0, 1, LARGE);
    must_be_empty();
    proc_queue_close(queue);
}
END_TEST

START_TEST(a_limit_on_files_is_an_error_and_no_signal)
{
    struct rlimit before, little;

    open_private();
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    little = (struct rlimit){LARGE - 1, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &little);
    int pushed = proc_queue_push(queue, 1, data, LARGE, 0), failure = errno;
    little.rlim_cur = 10;
    setrlimit(RLIMIT_FSIZE, &little); /* Check writes a file itself: no assertion here */
    struct proc_queue *other = proc_queue_open(PROC_PRIVATE, PROC_QUEUE_LARGE, 0);
    int open_failure = errno;
    setrlimit(RLIMIT_FSIZE, &before);
    ck_assert_int_eq(pushed, -1);
    ck_assert_int_eq(failure, EFBIG);
    ck_assert_ptr_null(other);
    ck_assert_int_eq(open_failure, EFBIG);
    ck_assert_int_eq(files(), 0);
    proc_queue_close(queue);
}
END_TEST

static int fill_the_place(struct proc *self, void *unused)
{
    (void)self, (void)unused;
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", "/dev/shm", "tmpfs", 0, "size=256k") < 0)
        return 9;
    struct proc_queue *mine = proc_queue_open(PROC_PRIVATE, PROC_QUEUE_LARGE, 0);
    if (!mine)
        return 1;
    if (proc_queue_push(mine, 1, data, LARGE, 0) != 1 || proc_queue_push(mine, 1, data, 2 * LARGE, 0) != -1 || errno != ENOSPC)
        return 2;
    if (files_of(proc_queue_id(mine), false) != 1)
        return 3;
    if (proc_queue_pop(mine, 0, got, sizeof got, NULL, 0) != LARGE || proc_queue_push(mine, 1, data, 2 * LARGE, 0) != 1)
        return 4;
    proc_queue_close(mine);
    return 0;
}

START_TEST(a_full_file_system_is_an_error)
{
    int code = must_end(must_spawn((struct proc_options){.main = fill_the_place})).code;

    if (code == 9)
        skip("a small /dev/shm cannot be mounted here");
    else
        ck_assert_int_eq(code, 0);
}
END_TEST

START_TEST(a_kernel_that_cannot_look_ahead_is_refused)
{
    seam_fail(SYS_msgrcv, 1, ENOSYS);
    ck_assert_ptr_null(proc_queue_open(PROC_PRIVATE, PROC_QUEUE_LARGE, 0));
    ck_assert_int_eq(errno, ENOSYS);
    ck_assert(seam_end());
}
END_TEST

static int be_another_user(struct proc *self, void *unused)
{
    (void)self, (void)unused;
    if (setresuid(65534, 65534, 65534) < 0)
        return 1;
    if (proc_queue_push(queue, 2, content(LARGE + 1), LARGE + 1, 0) != 1)
        return 2;
    if (proc_queue_pop(queue, 1, got, sizeof got, NULL, 0) != LARGE || memcmp(got, content(LARGE), LARGE) != 0)
        return 3;
    return 0;
}

/* Neither may remove the other's files. */
START_TEST(users_exchange_large_messages)
{
    struct stat status;

    if (geteuid() != 0 || stat("/dev/shm", &status) < 0 || !(status.st_mode & S_ISVTX)) {
        skip("to become another user takes root, and a /dev/shm as usual");
        return;
    }
    queue = proc_queue_open(PROC_PRIVATE, PROC_QUEUE_LARGE, 0666);
    must_push(1, LARGE);
    ck_assert_int_eq(must_end(must_spawn((struct proc_options){.main = be_another_user})).code, 0);
    ck_assert_int_eq(files(), 2); /* one is empty */
    ck_assert_int_eq(atoi(output_of_shell((struct proc_options){.out = PROC_PIPE},
                                          "find /dev/shm -name 'libproc-*' ! -name '*lock' -size 0 | wc -l")),
                     1);
    must_pop(0, 2, LARGE + 1);
    must_be_empty();
    proc_queue_close(queue);
}
END_TEST

static int open_as_a_stranger(struct proc *self, void *key)
{
    (void)self;
    if (setresuid(65534, 65534, 65534) < 0)
        return 1;
    return !proc_queue_open(*(key_t *)key, PROC_QUEUE_LARGE, 0) && errno == EACCES ? 0 : 2;
}

START_TEST(a_stranger_cannot_open_it)
{
    key_t key = fresh_key();

    if (geteuid() != 0) {
        skip("to become another user takes root");
        return;
    }
    ck_assert_int_ge(msgget(key, IPC_CREAT | 0622), 0); /* he may write it */
    ck_assert_int_eq(must_end(must_spawn((struct proc_options){.main = open_as_a_stranger, .arg = &key})).code, 0);
    queue = proc_queue_open(key, PROC_QUEUE_LARGE, 0);
    ck_assert_ptr_nonnull(queue);
    proc_queue_remove(queue);
    proc_queue_close(queue);
}
END_TEST

/* ---- many, and killed ---- */

static struct proc_counter *sums;
enum { PUSHED, POPPED, ENDED, COUNTERS };

static size_t any_size(void)
{
    switch (rand() % 4) {
    case 0:
        return 16 + (size_t)rand() % 100;
    case 1:
        return 2000 + (size_t)rand() % 100;
    case 2:
        return 8150 + (size_t)rand() % 100;
    default:
        return 9000 + (size_t)rand() % 50000;
    }
}

static int push_many(struct proc *self, void *seed)
{
    (void)self;
    srand(*(unsigned *)seed);
    for (int i = 0; i < (runs_shortened() ? 60 : 600); i++) {
        size_t size = any_size();
        int result;

        content(size);
        do
            result = proc_queue_push(queue, rand() % 5 + 1, data, size, rand() % 2 ? 3 : -1);
        while (result == 0);
        if (result < 0)
            return 1;
        proc_counter_add(sums, PUSHED, (int64_t)size);
    }
    return 0;
}

/* Also with a buffer that is too small at first. */
static int pop_many(struct proc *self, void *unused)
{
    (void)self, (void)unused;
    for (;;) {
        size_t room = rand() % 2 ? 5000 : sizeof got;
        ssize_t size = proc_queue_pop(queue, rand() % 2 ? -6 : 0, got, room, &type, rand() % 2 ? 3 : -1);

        if (size < 0 && (errno == E2BIG || errno == ETIMEDOUT))
            continue;
        if (size <= 0)
            return size == 0 ? 0 : 1;
        if (memcmp(got, content((size_t)size), (size_t)size) != 0)
            return 2;
        proc_counter_add(sums, POPPED, size);
    }
}

START_TEST(each_message_is_had_by_one_and_whole)
{
    struct proc *writers[2], *readers[3];
    unsigned seeds[2] = {(unsigned)rand(), (unsigned)rand()};

    open_private();
    sums = proc_counter_open(PROC_PRIVATE, COUNTERS, 0, 0);
    for (int i = 0; i < 2; i++)
        writers[i] = must_spawn((struct proc_options){.main = push_many, .arg = &seeds[i]});
    for (int i = 0; i < 3; i++)
        readers[i] = must_spawn((struct proc_options){.main = pop_many});
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(must_end(writers[i]).code, 0);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(proc_queue_push(queue, 6, "", 0, 60000), 1);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(must_end(readers[i]).code, 0);
    while (proc_queue_pop(queue, 0, got, sizeof got, NULL, 0) >= 0) /* the end may overtake, with type 0 */
        proc_counter_add(sums, POPPED, 0);
    ck_assert_int_eq(proc_counter_get(sums, POPPED), proc_counter_get(sums, PUSHED));
    ck_assert_int_eq(files(), 0);
    proc_counter_close(sums);
    proc_queue_close(queue);
}
END_TEST

static int push_for_ever(struct proc *self, void *key)
{
    struct proc_queue *same = proc_queue_open(*(key_t *)key, O_CREAT | PROC_QUEUE_LARGE, 0);

    (void)self;
    srand((unsigned)getpid());
    for (;;) {
        size_t size = any_size();

        if (!same || proc_queue_push(same, rand() % 3 + 1, content(size), size, rand() % 2 ? 3 : -1) < 0)
            return 1;
    }
}

static int pop_for_ever(struct proc *self, void *key)
{
    struct proc_queue *same = proc_queue_open(*(key_t *)key, O_CREAT | PROC_QUEUE_LARGE, 0);

    (void)self;
    srand((unsigned)getpid());
    for (;;) {
        ssize_t size = same ? proc_queue_pop(same, rand() % 5 - 3, got, sizeof got, NULL, rand() % 2 ? 3 : -1) : -1;

        if (size < 0 && (!same || errno != ETIMEDOUT))
            return 1;
        if (size > 0 && memcmp(got, content((size_t)size), (size_t)size) != 0)
            return 2;
    }
}

START_TEST(whoever_is_killed_when_no_file_is_left)
{
    key_t key = fresh_key();
    struct proc *children[4];
    int rounds = runs_shortened() ? 15 : 300;

    for (int i = 0; i < rounds; i++) {
        for (int k = 0; k < 4; k++)
            children[k] = must_spawn((struct proc_options){.main = k % 2 ? pop_for_ever : push_for_ever, .arg = &key});
        for (volatile int spin = rand() % 2000000; spin > 0; spin--)
            ;
        for (int k = 0; k < 4; k++) {
            struct proc_exit exit;

            proc_kill(children[k], SIGKILL);
            ck_assert_int_eq(proc_wait(children[k], &exit, 60000), 1);
            ck_assert_int_eq(exit.signal, SIGKILL); /* it has found all in order */
            proc_free(children[k]);
        }
        queue = proc_queue_open(key, O_CREAT | PROC_QUEUE_LARGE, 0);
        ck_assert_ptr_nonnull(queue);
        for (ssize_t size; (size = proc_queue_pop(queue, 0, got, sizeof got, NULL, 0)) >= 0 || errno != ETIMEDOUT;) {
            ck_assert_msg(size >= 0, "%s", strerror(errno));
            ck_assert_int_eq(memcmp(got, content((size_t)size), (size_t)size), 0);
        }
        if (i == rounds - 1)
            ck_assert_int_eq(proc_queue_remove(queue), 0);
        proc_queue_close(queue);
    }
    /* The harness looks for files. */
}
END_TEST

static int push_small(struct proc *self, void *unused)
{
    (void)self, (void)unused;
    for (;;)
        if (proc_queue_push(queue, 1, "small", 5, -1) < 0)
            return 1;
}

static int pop_small(struct proc *self, void *unused)
{
    (void)self, (void)unused;
    for (;;)
        if (proc_queue_pop(queue, 1, got, sizeof got, NULL, -1) != 5)
            return 1;
}

static int push_in_order(struct proc *self, void *unused)
{
    (void)self, (void)unused;
    for (long i = 0;; i++) {
        memcpy(data, &i, sizeof i);
        if (proc_queue_push(queue, 2 + i / 100 % 2, data, i % 2 ? 3000 : LARGE, -1) < 0)
            return 1;
    }
}

/* Those who take small ones hold no lock: what they take moves the others while these are looked at. */
START_TEST(one_type_keeps_its_order_while_another_is_taken)
{
    static int (*const mains[])(struct proc *, void *) = {push_small, pop_small, push_in_order};
    struct proc *children[3];

    open_private();
    for (int i = 0; i < 3; i++)
        children[i] = must_spawn((struct proc_options){.main = mains[i]});
    for (long i = 0; i < (runs_instrumented() ? 200 : 2000); i++) {
        long wanted = 2 + i / 100 % 2, number;

        ck_assert_int_eq(proc_queue_pop(queue, wanted, got, sizeof got, NULL, 20000), i % 2 ? 3000 : LARGE);
        memcpy(&number, got, sizeof number);
        ck_assert_int_eq(number, i);
    }
    for (int i = 0; i < 3; i++)
        proc_free(children[i]);
    proc_queue_close(queue);
}
END_TEST

START_TEST(bytes_that_are_a_reference_are_carried_as_they_are)
{
    open_private();
    must_push(1, LARGE);
    take_the_reference();
    ck_assert_int_eq(proc_queue_push(queue, 2, bare.text, 2048, 0), 1);
    ck_assert_int_eq(proc_queue_pop(queue, 0, got, sizeof got, &type, 0), 2048);
    ck_assert_int_eq(memcmp(got, bare.text, 2048), 0);
    proc_queue_close(queue);
}
END_TEST

static int open_and_remove(struct proc *self, void *key)
{
    (void)self;
    for (int i = 0; i < (runs_instrumented() ? 50 : 1000); i++) {
        struct proc_queue *one = proc_queue_open(*(key_t *)key, O_CREAT | PROC_QUEUE_LARGE, 0);

        if (!one)
            return errno;
        proc_queue_remove(one);
        proc_queue_close(one);
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

START_TEST(an_open_that_fails_leaves_no_file)
{
    static const long calls[] = {SYS_fallocate, SYS_mmap};

    for (int i = 0; i < 2; i++) {
        int before = files_of_queues();

        seam_fail(calls[i], 1, ENOSPC);
        ck_assert_ptr_null(proc_queue_open(PROC_PRIVATE, PROC_QUEUE_LARGE, 0));
        ck_assert_int_eq(errno, ENOSPC);
        ck_assert(seam_end());
        ck_assert_int_eq(files_of_queues(), before);
    }
}
END_TEST

/* In a world of its own. */
static int lower_the_limit(struct proc *self, void *unused)
{
    (void)self, (void)unused;
    if (unshare(CLONE_NEWIPC) < 0 || access("/proc/sys/kernel/msgmax", W_OK) < 0)
        return 9;
    if (system("echo 65536 > /proc/sys/kernel/msgmax; echo 200000 > /proc/sys/kernel/msgmnb"))
        return 9;
    struct proc_queue *mine = proc_queue_open(PROC_PRIVATE, PROC_QUEUE_LARGE, 0);
    if (!mine || proc_queue_push(mine, 1, data, 20000, 0) != 1 || proc_queue_push(mine, 2, data, 3000, 0) != 1 ||
        system("echo 8192 > /proc/sys/kernel/msgmax"))
        return 1;
    alarm(20);
    if (proc_queue_pop(mine, 1, got, sizeof got, NULL, 0) != -1 || errno != E2BIG)
        return 2;
    if (proc_queue_pop(mine, 2, got, sizeof got, NULL, 0) != 3000)
        return 3;
    proc_queue_close(mine);
    return 0;
}

START_TEST(what_is_above_a_lowered_limit_stays)
{
    int code = must_end(must_spawn((struct proc_options){.main = lower_the_limit})).code;

    if (code == 9)
        skip("an IPC namespace with other limits cannot be had here");
    else
        ck_assert_int_eq(code, 0);
}
END_TEST

/* The path of a file that belongs to the queue, in a static buffer. */
static const char *path_of(const char *rest)
{
    static char path[300];
    DIR *listing = opendir("/dev/shm");
    char part[64];

    *path = '\0';
    snprintf(part, sizeof part, "-%d-%s", proc_queue_id(queue), rest);
    for (struct dirent *entry; (entry = readdir(listing));)
        if (strncmp(entry->d_name, "libproc-", 8) == 0 && strstr(entry->d_name, part) &&
            (*rest || !strstr(entry->d_name, "lock")))
            snprintf(path, sizeof path, "/dev/shm/%s", entry->d_name);
    closedir(listing);
    return path;
}

static void *push_one(void *unused)
{
    (void)unused;
    proc_queue_push(queue, 1, data, LARGE, 20000);
    return NULL;
}

static int close_the_streams_and_push(struct proc *self, void *unused)
{
    pthread_t thread;
    int found = 0;

    (void)self, (void)unused;
    for (int fd = 0; fd < 3; fd++)
        close(fd);
    for (int pushed = files(); pushed == files();) /* until it is full */
        if (proc_queue_push(queue, 1, data, 2048, 0) == 0)
            break;
    int before = files();
    pthread_create(&thread, NULL, push_one, NULL);
    while (files() == before || strstr(path_of(""), ".new")) /* it waits for room, with its file open */
        ;
    for (int fd = 0; fd < 3; fd++)
        found += fcntl(fd, F_GETFD) >= 0;
    proc_queue_pop(queue, 0, got, sizeof got, NULL, 0);
    pthread_join(thread, NULL);
    return found;
}

START_TEST(no_file_becomes_a_standard_stream)
{
    open_private();
    ck_assert_int_eq(must_end(must_spawn((struct proc_options){.main = close_the_streams_and_push})).code, 0);
    proc_queue_close(queue);
}
END_TEST

static int pop_as_the_owner(struct proc *self, void *key)
{
    char byte;

    if (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0)
        return 1;
    struct proc_queue *same = proc_queue_open(*(key_t *)key, PROC_QUEUE_LARGE, 0);
    if (!same)
        return 2;
    proc_write(self, "o", 1);
    if (proc_read(self, &byte, 1) != 1)
        return 3;
    return proc_queue_pop(same, 0, got, sizeof got, NULL, 0) == LARGE ? 0 : 4;
}

/* Whoever may use the queue may use what lies beside it: its owner, and who is in its group. */
START_TEST(what_root_sends_is_for_the_owner_of_the_queue)
{
    key_t key = fresh_key();
    struct msqid_ds status;
    char byte;

    if (geteuid() != 0) {
        skip("to become another user takes root");
        return;
    }
    for (int way = 0; way < 2; way++) {
        int id = msgget(key, IPC_CREAT | (way ? 0660 : 0600));
        ck_assert_int_eq(msgctl(id, IPC_STAT, &status), 0);
        *(way ? &status.msg_perm.gid : &status.msg_perm.uid) = 65534;
        ck_assert_int_eq(msgctl(id, IPC_SET, &status), 0);
        queue = proc_queue_open(key, PROC_QUEUE_LARGE, 0);
        struct proc *child =
            must_spawn((struct proc_options){.main = pop_as_the_owner, .arg = &key, .channel = PROC_STREAM});
        ck_assert_int_eq(proc_read(child, &byte, 1), 1);
        must_push(1, LARGE);
        ck_assert_int_eq(proc_write(child, "p", 1), 1);
        ck_assert_int_eq(must_end(child).code, 0);
        ck_assert_int_eq(proc_queue_remove(queue), 0);
        proc_queue_close(queue);
    }
}
END_TEST

START_TEST(those_who_open_share_one_lock)
{
    key_t key = fresh_key();
    struct stat before, after;

    queue = proc_queue_open(key, O_CREAT | PROC_QUEUE_LARGE, 0);
    ck_assert_int_eq(stat(path_of("lock"), &before), 0);
    struct proc_queue *same = proc_queue_open(key, PROC_QUEUE_LARGE, 0);
    ck_assert_int_eq(stat(path_of("lock"), &after), 0);
    ck_assert_int_eq(after.st_ino, before.st_ino);
    proc_queue_close(same);
    int fd = open(path_of("lock"), O_RDWR | O_CLOEXEC);
    ck_assert_int_eq(pwrite(fd, "another", 8, 0), 8); /* as if of another C library's */
    close(fd);
    ck_assert_ptr_null(proc_queue_open(key, PROC_QUEUE_LARGE, 0));
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(proc_queue_remove(queue), 0);
    proc_queue_close(queue);
}
END_TEST

START_TEST(the_lock_of_a_stranger_is_refused)
{
    key_t key = fresh_key();
    char path[300];

    if (geteuid() != 0) {
        skip("to become another user takes root");
        return;
    }
    queue = proc_queue_open(key, O_CREAT | PROC_QUEUE_LARGE, 0);
    snprintf(path, sizeof path, "%s", path_of("lock"));
    ck_assert_int_eq(chown(path, 65534, 65534), 0);
    ck_assert_ptr_null(proc_queue_open(key, PROC_QUEUE_LARGE, 0));
    ck_assert_int_eq(errno, EACCES);
    ck_assert_int_eq(proc_queue_remove(queue), 0);
    proc_queue_close(queue);
}
END_TEST

START_TEST(a_file_that_was_cut_is_told)
{
    open_private();
    must_push(1, LARGE);
    ck_assert_int_eq(truncate(path_of(""), LARGE - 1), 0);
    ck_assert_int_eq(proc_queue_pop(queue, 0, got, sizeof got, NULL, 0), -1);
    ck_assert_int_eq(errno, EBADMSG);
    must_be_empty();
    proc_queue_close(queue);
}
END_TEST

START_TEST(what_cannot_be_looked_through_is_not_swept)
{
    key_t key = fresh_key();

    queue = proc_queue_open(key, O_CREAT | PROC_QUEUE_LARGE, 0);
    must_push(1, LARGE);
    seam_fail(SYS_msgrcv, 2, ENOMEM); /* the first one asks whether the kernel can do it */
    struct proc_queue *same = proc_queue_open(key, PROC_QUEUE_LARGE, 0);
    ck_assert(seam_end());
    proc_queue_close(same);
    must_pop(0, 1, LARGE);
    ck_assert_int_eq(proc_queue_remove(queue), 0);
    proc_queue_close(queue);
}
END_TEST

START_TEST(another_namespaces_files_are_let_be)
{
    static const char path[] = "/dev/shm/libproc-1-99999999-000102030405060708090a0b0c0d0e0f";

    int fd = open(path, O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    close(fd);
    open_private();
    proc_queue_close(queue);
    ck_assert_int_eq(unlink(path), 0);
}
END_TEST

START_TEST(a_child_that_was_forked_meanwhile_holds_no_file)
{
    pthread_t thread;

    open_private();
    while (proc_queue_push(queue, 1, data, 2048, 0) == 1)
        ;
    ck_assert_int_eq(pthread_create(&thread, NULL, push_one, NULL), 0);
    while (files() == 0 || *path_of("") == '\0' || strstr(path_of(""), ".new"))
        ;
    pid_t pid = fork();
    if (pid == 0) {
        pause();
        _exit(0);
    }
    take_the_reference(); /* as long as one */
    pthread_join(thread, NULL);
    while (msgrcv(proc_queue_id(queue), &bare, sizeof bare.text, 0, IPC_NOWAIT) >= 0)
        ;
    ck_assert_int_eq(files(), 1);
    struct proc_queue *other = proc_queue_open(PROC_PRIVATE, PROC_QUEUE_LARGE, 0); /* sweeps its own alone */
    ck_assert_int_eq(files(), 1);
    proc_queue_close(other);
    int id = open(path_of(""), O_RDONLY | O_CLOEXEC);
    ck_assert_int_eq(flock(id, LOCK_EX | LOCK_NB), 0);
    close(id);
    kill(pid, SIGKILL);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    proc_queue_close(queue);
}
END_TEST

Suite *suite_make(void)
{
    Suite *suite = suite_create("queue_large");
    TCase *tcase = tcase_checked(suite, "messages");

    tcase_add_test(tcase, sizes_do_not_matter);
    tcase_add_test(tcase, sixty_four_mebibytes_go_through);
    tcase_add_test(tcase, small_and_large_keep_their_order);
    tcase_add_test(tcase, what_does_not_fit_keeps_its_place);
    tcase_add_test(tcase, a_full_queue_is_waited_for);
    tcase_add_test(tcase, one_who_waits_gets_a_large_one);
    tcase = tcase_checked(suite, "files");
    tcase_add_test(tcase, files_go_with_the_queue);
    tcase_add_test(tcase, files_go_with_the_exit_of_the_maker);
    tcase_add_test(tcase, the_next_to_open_removes_what_the_dead_have_left);
    tcase_add_test(tcase, what_is_removed_with_ipcrm_is_swept_by_any_large_queue);
    tcase_add_test(tcase, a_message_whose_file_is_gone_is_told_and_gone);
    tcase_add_test(tcase, bytes_that_only_look_alike_are_a_message);
    tcase = tcase_checked(suite, "failures");
    tcase_add_test(tcase, without_a_descriptor_the_message_stays);
    tcase_add_test(tcase, a_limit_on_files_is_an_error_and_no_signal);
    tcase_add_test(tcase, a_full_file_system_is_an_error);
    tcase_add_test(tcase, a_kernel_that_cannot_look_ahead_is_refused);
    tcase_add_test(tcase, users_exchange_large_messages);
    tcase_add_test(tcase, a_stranger_cannot_open_it);
    tcase = tcase_checked(suite, "many");
    tcase_add_test(tcase, each_message_is_had_by_one_and_whole);
    tcase_add_test(tcase, whoever_is_killed_when_no_file_is_left);
    tcase_add_test(tcase, those_who_open_share_one_lock);
    tcase_add_test(tcase, the_lock_of_a_stranger_is_refused);
    tcase_add_test(tcase, a_file_that_was_cut_is_told);
    tcase_add_test(tcase, what_cannot_be_looked_through_is_not_swept);
    tcase_add_test(tcase, another_namespaces_files_are_let_be);
    tcase_add_test(tcase, a_child_that_was_forked_meanwhile_holds_no_file);
    tcase_add_test(tcase, one_type_keeps_its_order_while_another_is_taken);
    tcase_add_test(tcase, bytes_that_are_a_reference_are_carried_as_they_are);
    tcase_add_test(tcase, who_opens_while_others_remove_gets_a_new_one);
    tcase_add_test(tcase, an_open_that_fails_leaves_no_file);
    tcase_add_test(tcase, what_is_above_a_lowered_limit_stays);
    tcase_add_test(tcase, no_file_becomes_a_standard_stream);
    tcase_add_test(tcase, what_root_sends_is_for_the_owner_of_the_queue);
    return suite;
}
