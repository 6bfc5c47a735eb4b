/* What ps shows: titles of this process, of any length, from any thread. */
#include "harness.h"
#include "seam.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Each test body runs in a child that was forked from the test: with the title of the runner, and alone. */
static int in_child(int (*body)(void))
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0)
        _exit(body());
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static char shown[65536];

static size_t read_shown(const char *file)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    size_t size = 0;
    ssize_t got;

    while (fd >= 0 && (got = read(fd, shown + size, sizeof shown - 1 - size)) > 0)
        size += (size_t)got;
    close(fd);
    shown[size] = '\0';
    return size;
}

static bool shows(const char *title)
{
    size_t size = read_shown("/proc/self/cmdline"), length = strlen(title);

    return size <= length + 1 && strcmp(shown, title) == 0;
}

static bool is_named(const char *name)
{
    read_shown("/proc/self/comm");
    shown[strcspn(shown, "\n")] = '\0';
    return strcmp(shown, name) == 0;
}

static bool cannot_be_alone(void) /* a sanitizer has a thread of its own */
{
#if defined __SANITIZE_THREAD__
    return true;
#elif defined __has_feature
#if __has_feature(thread_sanitizer)
    return true;
#endif
#endif
    return false;
}

#define EXPECT(what)                                             \
    do                                                           \
        if (!(what)) {                                           \
            dprintf(2, "line %d: not %s\n", __LINE__, #what);    \
            return 1;                                            \
        }                                                        \
    while (0)

static int show_some(void)
{
    EXPECT(proc_title("worker %d: %s", 7, "idle") == 0);
    EXPECT(shows("worker 7: idle"));
    EXPECT(is_named("worker 7: idle"));
    EXPECT(proc_title("busy") == 0);
    EXPECT(shows("busy")); /* and nothing of the one before */
    EXPECT(is_named("busy"));
    EXPECT(proc_title("a name of more than 15 bytes") == 0);
    EXPECT(is_named("a name of more "));
    EXPECT(proc_title("%s", "") == 0);
    EXPECT(shows(""));
    return 0;
}

START_TEST(the_newest_title_is_shown)
{
    ck_assert_int_eq(in_child(show_some), 0);
}
END_TEST

static size_t room_for_title(void)
{
    size_t size = read_shown("/proc/self/cmdline");

    return size + read_shown("/proc/self/environ") - 2;
}

static int show_all_lengths(void)
{
    static const size_t lengths[] = {1, 100, 511, 512, 4094, 4095, 4096, 4097, 20000, 3, 60000, 4095, 0};
    static char title[60001];
    size_t room = seam_is_off("mm_map") ? room_for_title() : sizeof title;

    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        if (lengths[i] > room)
            continue;
        memset(title, 'a' + (int)i, lengths[i]);
        title[lengths[i]] = '\0';
        EXPECT(proc_title("%s", title) == 0);
        EXPECT(shows(title));
    }
    return 0;
}

START_TEST(it_may_have_any_length)
{
    ck_assert_int_eq(in_child(show_all_lengths), 0);
}
END_TEST

static int keep_environment(void)
{
    char *before = strdup(getenv("PATH")), *direct = getenv("LIBPROC_TITLE");
    static char title[3000];

    memset(title, 't', sizeof title - 1);
    EXPECT(proc_title("%s", title) == 0);
    EXPECT(strcmp(getenv("PATH"), before) == 0);
    EXPECT(strcmp(getenv("LIBPROC_TITLE"), "kept") == 0);
    EXPECT(seam_is_off("mm_map") || direct == getenv("LIBPROC_TITLE"));
    EXPECT(setenv("LIBPROC_TITLE", "changed", 1) == 0 && strcmp(getenv("LIBPROC_TITLE"), "changed") == 0);
    EXPECT(seam_is_off("mm_map") || strstr(program_invocation_name, "test_title")); /* argv as well */
    EXPECT(system("test \"$LIBPROC_TITLE\" = changed && test -n \"$PATH\"") == 0);
    free(before);
    return 0;
}

START_TEST(the_environment_and_argv_stay_as_they_are)
{
    setenv("LIBPROC_TITLE", "kept", 1);
    ck_assert_int_eq(in_child(keep_environment), 0);
}
END_TEST

static int inherit(void)
{
    EXPECT(proc_title("parent") == 0);
    pid_t pid = fork();
    if (pid == 0) {
        EXPECT(shows("parent"));
        EXPECT(proc_title("child") == 0);
        EXPECT(shows("child"));
        _exit(0);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    EXPECT(status == 0);
    EXPECT(shows("parent"));
    return 0;
}

START_TEST(a_forked_child_has_it_and_may_have_its_own)
{
    ck_assert_int_eq(in_child(inherit), 0);
}
END_TEST

static int title_of_child(struct proc *self, void *unused)
{
    (void)self, (void)unused;
    EXPECT(shows("given"));
    EXPECT(proc_title("own") == 0); /* also where a sanitizer has a thread here */
    EXPECT(shows("own"));
    return 0;
}

START_TEST(a_callback_child_may_change_what_it_was_given)
{
    ck_assert_int_eq(must_end(must_spawn((struct proc_options){.main = title_of_child, .title = "given"})).code, 0);
}
END_TEST

static void *show_from_thread(void *result)
{
    *(int *)result = !(proc_title("from a thread") == 0 && shows("from a thread") && is_named("from a thread"));
    return NULL;
}

static int show_from_other_thread(void)
{
    pthread_t thread;
    int result = 1;

    EXPECT(proc_title("first") == 0);
    EXPECT(pthread_create(&thread, NULL, show_from_thread, &result) == 0);
    pthread_join(thread, NULL);
    return result;
}

START_TEST(any_thread_may_change_it)
{
    ck_assert_int_eq(in_child(show_from_other_thread), 0);
}
END_TEST

static void *show_first(void *unused)
{
    (void)unused;
    return proc_title("too late") == -1 && errno == EBUSY && !shows("too late") ? shown : NULL;
}

static int show_first_from_thread(void)
{
    pthread_t thread;
    void *result = NULL;

    EXPECT(pthread_create(&thread, NULL, show_first, NULL) == 0);
    pthread_join(thread, &result);
    EXPECT(result != NULL);
    return 0;
}

START_TEST(with_other_threads_the_first_one_is_refused_and_argv_stays)
{
    if (seam_is_off("mm_map"))
        return; /* there it is written over argv */
    ck_assert_int_eq(in_child(show_first_from_thread), 0);
}
END_TEST

/* The heap moves in one thread, the title changes in the other. */
static atomic_bool has_ended;

static void *change_often(void *unused)
{
    static char long_title[9000];

    (void)unused;
    memset(long_title, 'x', sizeof long_title - 1);
    for (int i = 0; i < 3000; i++) {
        proc_title("%d", i);
        proc_title("%s", long_title);
    }
    has_ended = true;
    return NULL;
}

static int move_heap(void)
{
    pthread_t thread;

#ifdef __GLIBC__
    mallopt(M_TRIM_THRESHOLD, 0);
    mallopt(M_TOP_PAD, 0);
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_ARENA_MAX, 1);
#endif
    EXPECT(proc_title("first") == 0);
    EXPECT(pthread_create(&thread, NULL, change_often, NULL) == 0);
    while (!has_ended) {
        char *block = malloc(200000);

        memset(block, 1, 200000);
        free(block);
    }
    pthread_join(thread, NULL);
    EXPECT(seam_is_off("mm_map") || shows("2999"));
    EXPECT((long)sbrk(0) == syscall(SYS_brk, 0));
    return 0;
}

START_TEST(it_does_not_disturb_a_heap_that_moves)
{
    ck_assert_int_eq(in_child(move_heap), 0);
}
END_TEST

/* A child that is forked while another thread changes the title is not held up by that. */
static int fork_meanwhile(void)
{
    pthread_t thread;

    EXPECT(proc_title("first") == 0);
    EXPECT(pthread_create(&thread, NULL, change_often, NULL) == 0);
    while (!has_ended) {
        pid_t pid = fork();
        int status = -1;

        if (pid == 0) {
            alarm(20);
            _exit(proc_title("child") == 0 && shows("child") ? 0 : 1);
        }
        waitpid(pid, &status, 0);
        EXPECT(status == 0);
    }
    pthread_join(thread, NULL);
    return 0;
}

START_TEST(a_fork_meanwhile_is_not_held_up)
{
    ck_assert_int_eq(in_child(fork_meanwhile), 0);
}
END_TEST

START_TEST(what_cannot_be_is_refused)
{
    const char *volatile none = NULL;

    ck_assert_int_eq(proc_title(none, 0), -1);
    ck_assert_int_eq(errno, EINVAL);
}
END_TEST

static int fail_everywhere(void)
{
    static const long calls[] = {SYS_openat, SYS_read, SYS_mmap};
    static char title[5000];

    memset(title, 'l', sizeof title - 1);
    for (size_t i = 0; i < 3; i++) {
        seam_fail(calls[i], 1, ENOMEM);
        int result = proc_title("%s", title);
        int failure = errno;
        if (seam_end()) {
            EXPECT(result == -1 && failure == ENOMEM);
            EXPECT(!shows(title));
        }
    }
    seam_fail_memory(1);
    EXPECT(proc_title("%s", title) == -1 && errno == ENOMEM);
    EXPECT(seam_end_memory());
    EXPECT(proc_title("%s", title) == 0);
    return 0;
}

START_TEST(a_failure_changes_nothing)
{
    ck_assert_int_eq(in_child(fail_everywhere), 0);
}
END_TEST

/* ---- what is behind it ---- */

static const char *shown_from(unsigned field) /* of /proc/self/stat */
{
    read_shown("/proc/self/stat");
    char *at = strrchr(shown, ')');
    for (unsigned number = 2; at && number < field; number++)
        at = strchr(at + 1, ' ');
    return at ? (const char *)(uintptr_t)strtoull(at, NULL, 10) : NULL;
}

static int leave_nothing(void)
{
    static char title[3000];

    memset(title, '\x01', sizeof title - 1);
    EXPECT(proc_title("%s", title) == 0);
    EXPECT(proc_title("short") == 0);
    const char *start = shown_from(48), *end = shown_from(49);
    EXPECT(start && start < end);
    EXPECT(memchr(start, '\x01', (size_t)(end - start)) == NULL);
    return 0;
}

START_TEST(of_a_longer_title_before_nothing_is_kept)
{
    ck_assert_int_eq(in_child(leave_nothing), 0);
}
END_TEST

static int take_turns(int rounds)
{
    static char title[60001];

    memset(title, 't', sizeof title - 1);
    for (int i = 0; i < rounds; i++)
        EXPECT(proc_title("%s", title) == 0 && proc_title("short") == 0);
    return 0;
}

static int grow_by_nothing(void)
{
    EXPECT(take_turns(3) == 0);
    int before = atoi(status_of(getpid(), "VmSize"));
    EXPECT(take_turns(200) == 0);
    EXPECT(atoi(status_of(getpid(), "VmSize")) < before + 200 * 60 / 2); /* kB */
    return 0;
}

START_TEST(the_memory_of_old_titles_is_given_back)
{
    ck_assert_int_eq(in_child(grow_by_nothing), 0);
}
END_TEST

static int have_odd_name(void)
{
    EXPECT(prctl(PR_SET_NAME, "x) R 1 (y) 2") == 0);
    EXPECT(proc_title("title") == 0);
    EXPECT(shows("title"));
    return 0;
}

START_TEST(a_command_may_be_named_as_it_likes)
{
    ck_assert_int_eq(in_child(have_odd_name), 0);
}
END_TEST

/* As in a container. */
static int be_in_sandbox(void)
{
    seam_fail(SYS_unshare, 1, EPERM);
    EXPECT(proc_title("in a sandbox") == 0);
    EXPECT(seam_end());
    EXPECT(shows("in a sandbox"));
    return 0;
}

START_TEST(a_sandbox_that_refuses_to_say_who_is_alone_is_in_nobodys_way)
{
    ck_assert_int_eq(in_child(be_in_sandbox), 0);
}
END_TEST

static void *show_in_sandbox(void *unused)
{
    (void)unused;
    seam_fail(SYS_unshare, 1, EPERM);
    bool is_refused = proc_title("too late") == -1 && errno == EBUSY;
    return seam_end() && is_refused ? shown : NULL;
}

static int be_two_in_sandbox(void)
{
    pthread_t thread;
    void *result = NULL;

    EXPECT(pthread_create(&thread, NULL, show_in_sandbox, NULL) == 0);
    pthread_join(thread, &result);
    EXPECT(result != NULL);
    return 0;
}

START_TEST(other_threads_are_seen_in_a_sandbox_as_well)
{
    if (seam_is_off("mm_map"))
        return; /* there it is written over argv */
    ck_assert_int_eq(in_child(be_two_in_sandbox), 0);
}
END_TEST

Suite *suite_make(void)
{
    Suite *suite = suite_create("title");
    TCase *tcase = tcase_checked(suite, "title");

    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, a_callback_child_may_change_what_it_was_given);
    tcase_add_test(tcase, what_cannot_be_is_refused);
    if (cannot_be_alone()) {
        skip("titles of a process without threads: the sanitizer has one");
        return suite;
    }
    tcase_add_test(tcase, the_newest_title_is_shown);
    tcase_add_test(tcase, it_may_have_any_length);
    tcase_add_test(tcase, the_environment_and_argv_stay_as_they_are);
    tcase_add_test(tcase, a_forked_child_has_it_and_may_have_its_own);
    tcase_add_test(tcase, any_thread_may_change_it);
    tcase_add_test(tcase, with_other_threads_the_first_one_is_refused_and_argv_stays);
    tcase_add_test(tcase, it_does_not_disturb_a_heap_that_moves);
    tcase_add_test(tcase, a_fork_meanwhile_is_not_held_up);
    tcase_add_test(tcase, a_failure_changes_nothing);
    tcase_add_test(tcase, of_a_longer_title_before_nothing_is_kept);
    tcase_add_test(tcase, the_memory_of_old_titles_is_given_back);
    tcase_add_test(tcase, a_command_may_be_named_as_it_likes);
    tcase_add_test(tcase, a_sandbox_that_refuses_to_say_who_is_alone_is_in_nobodys_way);
    tcase_add_test(tcase, other_threads_are_seen_in_a_sandbox_as_well);
    return suite;
}
