/* Queues that processes share: messages, timeouts, lifetime. */
#include "harness.h"
#include "seam.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/msg.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static struct proc_queue *queue;
static char text[8192], got[70000];
static long type;

struct bare {
    long type;
    char text[8192];
};

static void open_private(void)
{
    queue = proc_queue_open(PROC_PRIVATE, 0, 0);
    ck_assert_ptr_nonnull(queue);
}

static void must_push(long of_type, const char *what)
{
    ck_assert_int_eq(proc_queue_push(queue, of_type, what, strlen(what), 0), 1);
}

static void must_pop(long wanted, long of_type, const char *what)
{
    ssize_t size = proc_queue_pop(queue, wanted, got, sizeof got, &type, 0);

    ck_assert_int_eq(size, (ssize_t)strlen(what));
    got[size] = '\0';
    ck_assert_str_eq(got, what);
    ck_assert_int_eq(type, of_type);
}

static void must_be_empty(void)
{
    ck_assert_int_eq(proc_queue_pop(queue, 0, got, sizeof got, NULL, 0), -1);
    ck_assert_int_eq(errno, ETIMEDOUT);
}

/* ---- opening ---- */

START_TEST(opening_heeds_key_flags_and_mode)
{
    key_t key = fresh_key();
    struct msqid_ds status;

    ck_assert_ptr_null(proc_queue_open(key, 0, 0));
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_ptr_null(proc_queue_open(-1, O_CREAT, 0));
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_ptr_null(proc_queue_open(key, O_CREAT | O_APPEND, 0));
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_ptr_null(proc_queue_open(key, O_CREAT, 01000));
    ck_assert_int_eq(errno, EINVAL);
    queue = proc_queue_open(key, O_CREAT | O_EXCL, 0);
    ck_assert_ptr_nonnull(queue);
    ck_assert_ptr_null(proc_queue_open(key, O_CREAT | O_EXCL, 0));
    ck_assert_int_eq(errno, EEXIST);
    struct proc_queue *same = proc_queue_open(key, O_CREAT, 0666);
    ck_assert_int_eq(proc_queue_id(same), proc_queue_id(queue));
    ck_assert_int_eq(msgget(key, 0), proc_queue_id(queue));
    ck_assert_int_eq(msgctl(proc_queue_id(queue), IPC_STAT, &status), 0);
    ck_assert_int_eq(status.msg_perm.mode & 0777, 0600);
    must_push(1, "through one");
    ck_assert_int_eq(proc_queue_pop(same, 0, got, sizeof got, NULL, 0), 11);
    ck_assert_int_eq(proc_queue_remove(same), 0);
    ck_assert_int_eq(proc_queue_remove(queue), -1);
    ck_assert(errno == EIDRM || errno == EINVAL);
    ck_assert_int_eq(proc_queue_push(queue, 1, "", 0, 0), -1);
    ck_assert(errno == EIDRM || errno == EINVAL);
    ck_assert_int_eq(proc_queue_pop(queue, 0, got, sizeof got, NULL, 0), -1);
    ck_assert(errno == EIDRM || errno == EINVAL);
    struct proc_queue_stat stat;
    ck_assert_int_eq(proc_queue_stat(queue, &stat), -1);
    ck_assert(errno == EIDRM || errno == EINVAL);
    ck_assert_int_eq(proc_queue_set_capacity(queue, 100), -1);
    ck_assert(errno == EIDRM || errno == EINVAL);
    proc_queue_close(same);
    proc_queue_close(queue);
    proc_queue_close(NULL);
    queue = proc_queue_open(key, O_CREAT, 0640);
    ck_assert_int_eq(msgctl(proc_queue_id(queue), IPC_STAT, &status), 0);
    ck_assert_int_eq(status.msg_perm.mode & 0777, 0640);
    ck_assert_int_eq(proc_queue_remove(queue), 0);
    proc_queue_close(queue);
}
END_TEST

static int open_push_and_remove(struct proc *self, void *key)
{
    (void)self;
    for (int i = 0; i < (runs_shortened() ? 50 : 1000); i++) {
        struct proc_queue *one = proc_queue_open(*(key_t *)key, O_CREAT, 0);

        if (!one)
            return 1;
        if (proc_queue_push(one, 1, "x", 1, 0) < 0 && errno != EIDRM && errno != EINVAL)
            return 2;
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
        children[i] = must_spawn((struct proc_options){.main = open_push_and_remove, .arg = &key});
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(must_end(children[i]).code, 0);
}
END_TEST

static int be_another_user(struct proc *self, void *unused)
{
    struct proc_queue_stat stat;

    (void)self, (void)unused;
    if (setresuid(65534, 65534, 65534) < 0)
        return 1;
    if (proc_queue_push(queue, 1, "x", 1, 0) != -1 || errno != EACCES)
        return 2;
    if (proc_queue_pop(queue, 0, got, sizeof got, NULL, 0) != -1 || errno != EACCES)
        return 3;
    if (proc_queue_pop(queue, 0, got, sizeof got, NULL, 20) != -1 || errno != EACCES)
        return 4;
    if (proc_queue_stat(queue, &stat) != -1 || errno != EACCES)
        return 5;
    if (proc_queue_remove(queue) != -1 || errno != EPERM)
        return 6;
    return 0;
}

START_TEST(another_user_may_do_nothing_by_default)
{
    if (geteuid() != 0) {
        skip("to become another user takes root");
        return;
    }
    open_private();
    ck_assert_int_eq(must_end(must_spawn((struct proc_options){.main = be_another_user})).code, 0);
    must_be_empty();
    proc_queue_close(queue);
}
END_TEST

/* ---- messages ---- */

START_TEST(a_message_is_the_bytes_and_nothing_else)
{
    struct bare bare = {.type = 7, .text = "from elsewhere"};

    open_private();
    must_push(5, "to elsewhere");
    ck_assert_int_eq(msgrcv(proc_queue_id(queue), &bare, sizeof bare.text, 0, IPC_NOWAIT), 12);
    ck_assert_int_eq(bare.type, 5);
    ck_assert_int_eq(memcmp(bare.text, "to elsewhere", 12), 0);
    bare = (struct bare){.type = 7, .text = "from elsewhere"};
    ck_assert_int_eq(msgsnd(proc_queue_id(queue), &bare, 14, IPC_NOWAIT), 0);
    must_pop(0, 7, "from elsewhere");
    ck_assert_int_eq(proc_queue_push(queue, LONG_MAX, NULL, 0, 0), 1);
    must_pop(0, LONG_MAX, "");
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)(i * 7);
    ck_assert_int_eq(proc_queue_push(queue, 1, text, sizeof text, 0), 1);
    ck_assert_int_eq(proc_queue_pop(queue, 0, got, sizeof text, NULL, 0), sizeof text);
    ck_assert_int_eq(memcmp(text, got, sizeof text), 0);
    proc_queue_close(queue);
}
END_TEST

START_TEST(types_choose_the_message)
{
    open_private();
    must_push(3, "some day");
    must_push(1, "urgent");
    must_push(2, "soon");
    must_push(1, "urgent, too");
    must_push(LONG_MAX, "never");
    must_pop(2, 2, "soon");
    ck_assert_int_eq(proc_queue_pop(queue, 2, got, sizeof got, NULL, 0), -1);
    ck_assert_int_eq(errno, ETIMEDOUT);
    must_pop(-2, 1, "urgent");
    must_pop(-3, 1, "urgent, too");
    ck_assert_int_eq(proc_queue_pop(queue, -2, got, sizeof got, NULL, 0), -1);
    ck_assert_int_eq(errno, ETIMEDOUT);
    must_push(4, "last");
    must_pop(0, 3, "some day");
    must_pop(LONG_MIN, 4, "last");
    must_pop(LONG_MIN, LONG_MAX, "never");
    must_be_empty();
    proc_queue_close(queue);
}
END_TEST

START_TEST(wrong_arguments_are_told)
{
    open_private();
    for (long wrong = 0; wrong > -3; wrong--) {
        ck_assert_int_eq(proc_queue_push(queue, wrong, "x", 1, 0), -1);
        ck_assert_int_eq(errno, EINVAL);
    }
    ck_assert_int_eq(proc_queue_push(queue, 1, "x", 1, -2), -1);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(proc_queue_pop(queue, 0, got, 1, NULL, -2), -1);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(proc_queue_set_capacity(queue, 0), -1);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(proc_queue_set_capacity(queue, ((size_t)1 << 32) + 100), -1);
    ck_assert_int_eq(errno, EINVAL);
    must_be_empty();
    proc_queue_close(queue);
}
END_TEST

START_TEST(a_message_that_does_not_fit_stays_in_its_place)
{
    open_private();
    must_push(1, "seven b");
    must_push(2, "two");
    for (int timeout_ms = -1; timeout_ms < 30; timeout_ms += 15) {
        ck_assert_int_eq(proc_queue_pop(queue, 0, got, 6, NULL, timeout_ms), -1);
        ck_assert_int_eq(errno, E2BIG);
        ck_assert_int_eq(proc_queue_pop(queue, 0, NULL, 0, NULL, timeout_ms), -1);
        ck_assert_int_eq(errno, E2BIG);
    }
    must_pop(2, 2, "two"); /* it is in nobody's way */
    ck_assert_int_eq(proc_queue_pop(queue, 0, got, 7, NULL, 0), 7);
    must_be_empty();
    proc_queue_close(queue);
}
END_TEST

static size_t limit_of(const char *name)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/sys/kernel/%s", name);
    return (size_t)strtoul(contents_of(path), NULL, 10);
}

/* Whatever they are on this machine. */
START_TEST(what_can_never_fit_is_refused_at_once)
{
    size_t most = limit_of("msgmax");

    open_private();
    char *large = calloc(1, most + 1);
    for (int timeout_ms = -1; timeout_ms < 30; timeout_ms += 15) {
        ck_assert_int_eq(proc_queue_push(queue, 1, large, most + 1, timeout_ms), -1);
        ck_assert_int_eq(errno, EMSGSIZE);
    }
    while (proc_queue_push(queue, 1, large, most, 0) == 1) /* it would fit, and is waited for */
        ;
    ck_assert_int_eq(proc_queue_push(queue, 1, large, most, 1), 0);
    while (proc_queue_pop(queue, 0, large, most, NULL, 0) > 0)
        ;
    ck_assert_int_eq(proc_queue_set_capacity(queue, 100), 0);
    for (int timeout_ms = -1; timeout_ms < 30; timeout_ms += 15) {
        ck_assert_int_eq(proc_queue_push(queue, 1, large, 101, timeout_ms), -1);
        ck_assert_int_eq(errno, EMSGSIZE);
    }
    ck_assert_int_eq(proc_queue_push(queue, 1, large, 100, -1), 1);
    ck_assert_int_eq(proc_queue_push(queue, 1, large, 1, 0), 0);
    free(large);
    proc_queue_close(queue);
}
END_TEST

static void set_limit(const char *name, const char *value)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/sys/kernel/%s", name);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, value, strlen(value)) < 0)
        _exit(9);
    close(fd);
}

/* In a world of its own. */
static int be_where_other_limits_are(struct proc *self, void *unused)
{
    static char large[60000];

    (void)self, (void)unused;
    if (unshare(CLONE_NEWIPC) < 0)
        return 9;
    set_limit("msgmax", "65536");
    set_limit("msgmnb", "200000");
    queue = proc_queue_open(PROC_PRIVATE, 0, 0);
    memset(large, 'l', sizeof large);
    if (!queue || proc_queue_push(queue, 1, large, sizeof large, 0) != 1 || proc_queue_push(queue, 2, "x", 1, 0) != 1)
        return 1;
    if (proc_queue_pop(queue, 0, got, 8192, NULL, 0) != -1 || errno != E2BIG)
        return 2;
    if (proc_queue_pop(queue, 0, got, 59999, NULL, -1) != -1 || errno != E2BIG)
        return 3;
    if (proc_queue_pop(queue, 0, got, sizeof got, NULL, 50) != sizeof large || memcmp(got, large, sizeof large) != 0)
        return 4;
    if (proc_queue_push(queue, 1, large, sizeof large, -1) != 1 || proc_queue_pop(queue, -1, got, sizeof got, &type, -1) != 60000)
        return 5;
    set_limit("msgmax", "1000");
    if (proc_queue_push(queue, 1, large, 1001, -1) != -1 || errno != EMSGSIZE)
        return 6;
    if (proc_queue_push(queue, 1, large, 1000, -1) != 1)
        return 7;
    proc_queue_close(queue);
    return 0;
}

START_TEST(other_limits_are_heeded)
{
    int code = must_end(must_spawn((struct proc_options){.main = be_where_other_limits_are})).code;

    if (code == 9)
        skip("an IPC namespace with other limits cannot be had here");
    else
        ck_assert_int_eq(code, 0);
}
END_TEST

START_TEST(the_status_is_the_kernels)
{
    struct proc_queue_stat stat;
    time_t before = time(NULL);

    open_private();
    ck_assert_int_eq(proc_queue_stat(queue, &stat), 0);
    ck_assert_int_eq(stat.messages, 0);
    ck_assert_int_eq(stat.bytes, 0);
    ck_assert_int_eq(stat.capacity, limit_of("msgmnb"));
    ck_assert_int_eq(stat.last_push_pid, 0);
    ck_assert_int_eq(stat.last_pop_pid, 0);
    ck_assert_int_eq(stat.last_push_time, 0);
    ck_assert_int_eq(stat.last_pop_time, 0);
    must_push(1, "four");
    must_push(1, "seven b");
    must_pop(0, 1, "four");
    ck_assert_int_eq(proc_queue_stat(queue, &stat), 0);
    ck_assert_int_eq(stat.messages, 1);
    ck_assert_int_eq(stat.bytes, 7);
    ck_assert_int_eq(stat.last_push_pid, getpid());
    ck_assert_int_eq(stat.last_pop_pid, getpid());
    ck_assert(stat.last_push_time >= before && stat.last_pop_time >= before);
    ck_assert_int_eq(proc_queue_set_capacity(queue, 1234), 0);
    ck_assert_int_eq(proc_queue_stat(queue, &stat), 0);
    ck_assert_int_eq(stat.capacity, 1234);
    ck_assert_int_eq(stat.messages, 1);
    proc_queue_close(queue);
}
END_TEST

static int raise_capacity(struct proc *self, void *unused)
{
    (void)self, (void)unused;
    if (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0)
        return 1;
    struct proc_queue *mine = proc_queue_open(PROC_PRIVATE, 0, 0);
    int result = proc_queue_set_capacity(mine, limit_of("msgmnb") + 1), failure = errno;
    proc_queue_close(mine);
    return result == -1 && failure == EPERM ? 0 : 2;
}

START_TEST(more_than_the_usual_capacity_takes_a_privilege)
{
    ck_assert_int_eq(must_end(must_spawn((struct proc_options){.main = raise_capacity})).code, 0);
}
END_TEST

/* ---- waiting: with a helper, and where there can be none ---- */

static void go_without_helpers(int way)
{
    if (way == 1)
        seam_off("clone_vm");
}

static int push_when_told(struct proc *self, void *unused)
{
    char byte;

    (void)unused;
    while (proc_read(self, &byte, 1) == 1)
        if (proc_queue_push(queue, 1, "pushed", 6, -1) != 1)
            return 1;
    return 0;
}

START_TEST(a_wait_ends_with_a_message_or_with_the_time)
{
    go_without_helpers(_i);
    open_private();
    static const int waits[] = {0, 1, 2, 30};
    for (int i = 0; i < 4; i++) {
        int64_t start = now_ms();

        ck_assert_int_eq(proc_queue_pop(queue, 0, got, sizeof got, NULL, waits[i]), -1);
        ck_assert_int_eq(errno, ETIMEDOUT);
        ck_assert_int_ge(now_ms() - start, waits[i] - 1);
    }
    struct proc *child = must_spawn((struct proc_options){.main = push_when_told, .channel = PROC_STREAM});
    for (int i = 0; i < 100; i++) {
        ck_assert_int_eq(proc_write(child, "x", 1), 1);
        ck_assert_int_eq(proc_queue_pop(queue, i % 3 - 1, got, sizeof got, &type, i % 2 ? 60000 : -1), 6);
        ck_assert_int_eq(type, 1);
    }
    proc_close(child, PROC_CLOSE_WRITE);
    ck_assert_int_eq(must_end(child).code, 0);
    must_be_empty();
    proc_queue_close(queue);
}
END_TEST

static int pop_when_told(struct proc *self, void *unused)
{
    char byte;

    (void)unused;
    while (proc_read(self, &byte, 1) == 1)
        if (proc_queue_pop(queue, 0, got, sizeof got, NULL, -1) < 0)
            return 1;
    return 0;
}

START_TEST(a_push_waits_for_room)
{
    static const int waits[] = {0, 1, 30};

    go_without_helpers(_i);
    open_private();
    ck_assert_int_eq(proc_queue_set_capacity(queue, 10), 0);
    must_push(1, "ten bytes!");
    for (int i = 0; i < 3; i++) {
        int64_t start = now_ms();

        ck_assert_int_eq(proc_queue_push(queue, 1, "x", 1, waits[i]), 0);
        ck_assert_int_ge(now_ms() - start, waits[i] - 1);
    }
    struct proc *child = must_spawn((struct proc_options){.main = pop_when_told, .channel = PROC_STREAM});
    for (int i = 0; i < 100; i++) {
        ck_assert_int_eq(proc_write(child, "x", 1), 1);
        ck_assert_int_eq(proc_queue_push(queue, 1, "ten bytes!", 10, i % 2 ? 60000 : -1), 1);
    }
    proc_close(child, PROC_CLOSE_WRITE);
    ck_assert_int_eq(must_end(child).code, 0);
    must_pop(0, 1, "ten bytes!");
    must_be_empty();
    proc_queue_close(queue);
}
END_TEST

static _Atomic int signals_seen;

static void on_signal(int signo)
{
    (void)signo;
    signals_seen++;
}

static void *send_signals(void *thread)
{
    for (int i = 0; i < 100; i++) {
        struct timespec moment = {.tv_nsec = 500000};

        pthread_kill(*(pthread_t *)thread, i % 2 ? SIGUSR1 : SIGALRM);
        nanosleep(&moment, NULL);
    }
    return NULL;
}

START_TEST(signals_are_handled_and_change_nothing)
{
    struct sigaction action = {.sa_handler = on_signal}, after;
    struct itimerval timer = {.it_value.tv_sec = 3600};
    pthread_t self = pthread_self(), thread;

    go_without_helpers(_i);
    ck_assert_int_eq(sigaction(SIGUSR1, &action, NULL), 0);
    ck_assert_int_eq(sigaction(SIGALRM, &action, NULL), 0);
    ck_assert_int_eq(setitimer(ITIMER_REAL, &timer, NULL), 0);
    open_private();
    ck_assert_int_eq(pthread_create(&thread, NULL, send_signals, &self), 0);
    int64_t start = now_ms();
    ck_assert_int_eq(proc_queue_pop(queue, 0, got, sizeof got, NULL, 100), -1);
    ck_assert_int_eq(errno, ETIMEDOUT);
    ck_assert_int_ge(now_ms() - start, 99);
    pthread_join(thread, NULL);
    ck_assert_int_gt(signals_seen, 0);
    ck_assert_int_eq(sigaction(SIGALRM, NULL, &after), 0);
    ck_assert_ptr_eq((void *)after.sa_handler, (void *)on_signal);
    ck_assert_int_eq(getitimer(ITIMER_REAL, &timer), 0);
    ck_assert_int_gt(timer.it_value.tv_sec, 3000);
    ck_assert_int_eq(timer.it_interval.tv_usec, 0);
    setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
    proc_queue_close(queue);
}
END_TEST

static void *wait_long(void *result)
{
    *(ssize_t *)result = proc_queue_pop(queue, 9, got, sizeof got, NULL, 60000);
    return NULL;
}

/* Who of our children waits in a queue's call: the helper. 0: none yet. */
static pid_t helper_of(pid_t parent)
{
    DIR *listing = opendir("/proc");
    pid_t found = 0;

    for (struct dirent *entry; !found && (entry = readdir(listing));) {
        pid_t pid = atoi(entry->d_name);

        if (pid > 0 && atoi(status_of(pid, "PPid")) == parent && strncmp(status_of(pid, "State"), "S", 1) == 0)
            found = pid;
    }
    closedir(listing);
    return found;
}

/* It sleeps, and in a queue's call. */
static bool waits_in_a_queue(pid_t pid)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/syscall", (int)pid);
    const char *call = contents_of(path);
    return strncmp(status_of(pid, "State"), "S", 1) == 0 && (atoi(call) == SYS_msgsnd || atoi(call) == SYS_msgrcv);
}

static pid_t await_helper(pid_t parent)
{
    pid_t helper;

    while ((helper = helper_of(parent)) == 0)
        ;
    return helper;
}

static bool has_helpers(void)
{
    if (!seam_is_off("clone_vm") && !runs_in_valgrind())
        return true;
    skip("there are no helpers here");
    return false;
}

/* No child that wait() would report, no descriptor kept open, no directory held. */
START_TEST(a_helper_is_in_nobodys_way)
{
    ssize_t result = 0;
    pthread_t thread;
    int ends[2];

    if (!has_helpers())
        return;
    open_private();
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, wait_long, &result), 0);
    pid_t helper = await_helper(getpid());
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
    ck_assert_int_eq(errno, ECHILD);
    close(ends[1]);
    struct pollfd poll_end = {.fd = ends[0], .events = POLLIN};
    ck_assert_int_eq(poll(&poll_end, 1, 20000), 1);
    ck_assert_int_eq(poll_end.revents, POLLHUP);
    close(ends[0]);
    ck_assert_int_eq(kill(helper, SIGTERM), 0); /* as a group gets it from the terminal */
    ck_assert_int_eq(kill(helper, SIGINT), 0);
    ck_assert_int_eq(proc_queue_push(queue, 9, "for it", 6, 0), 1);
    pthread_join(thread, NULL);
    ck_assert_int_eq(result, 6);
    proc_queue_close(queue);
}
END_TEST

/* What comes in the very moment of its death may go with it. */
START_TEST(who_kills_a_helper_only_makes_the_wait_dearer)
{
    ssize_t result = 0;
    pthread_t thread;

    if (!has_helpers())
        return;
    open_private();
    ck_assert_int_eq(pthread_create(&thread, NULL, wait_long, &result), 0);
    pid_t helper = await_helper(getpid());
    ck_assert_int_eq(kill(helper, SIGKILL), 0);
    while (kill(helper, 0) == 0)
        ;
    ck_assert_int_eq(proc_queue_push(queue, 9, "for it", 6, 0), 1);
    pthread_join(thread, NULL);
    ck_assert_int_eq(result, 6);
    proc_queue_close(queue);
}
END_TEST

static int wait_and_be_killed(struct proc *self, void *unused)
{
    (void)self, (void)unused;
    proc_queue_pop(queue, 0, got, sizeof got, NULL, 60000);
    return 1;
}

/* What comes after a waiter's death is not for him. */
START_TEST(one_who_is_killed_while_he_waits_takes_nothing_with_him)
{
    if (!has_helpers())
        return;
    open_private();
    for (int i = 0; i < (runs_shortened() ? 20 : 200); i++) {
        struct proc *child = must_spawn((struct proc_options){.main = wait_and_be_killed});
        pid_t helper = 0;

        if (i % 2) /* every other one gets to wait */
            helper = await_helper(proc_pid(child));
        proc_free(child);
        ck_assert_int_eq(proc_queue_push(queue, 1, "late", 4, 0), 1);
        ck_assert_int_eq(proc_queue_pop(queue, 0, got, sizeof got, NULL, 20000), 4);
        while (helper && kill(helper, 0) == 0 && strncmp(status_of(helper, "State"), "Z", 1) != 0)
            ;
    }
    must_be_empty();
    proc_queue_close(queue);
}
END_TEST

static int wait_while_another_thread_execs(struct proc *self, void *unused)
{
    pthread_t thread;
    ssize_t result;

    (void)self, (void)unused;
    if (pthread_create(&thread, NULL, wait_long, &result) != 0)
        return 1;
    await_helper(getpid());
    proc_exec("/bin/cat", (const char *const[]){"cat", NULL}, NULL);
    return 2;
}

/* The new program has the pid of the old one, whose helper must not wait for it. */
START_TEST(a_program_that_is_replaced_takes_nothing)
{
    if (!has_helpers())
        return;
    open_private();
    struct proc *child = must_spawn((struct proc_options){.main = wait_while_another_thread_execs, .in = PROC_PIPE});
    while (strcmp(status_of(proc_pid(child), "Name"), "cat\n") != 0 && strcmp(status_of(proc_pid(child), "Name"), "cat") != 0)
        ;
    while (helper_of(proc_pid(child)) != 0) /* or the test's time runs out */
        ;
    must_push(9, "for us");
    ck_assert_int_eq(proc_queue_pop(queue, 9, got, sizeof got, NULL, 20000), 6); /* it may have had it in hand */
    proc_close(child, PROC_CLOSE_IN);
    ck_assert_int_eq(must_end(child).code, 0);
    proc_queue_close(queue);
}
END_TEST

START_TEST(a_helper_ends_with_its_caller)
{
    if (!has_helpers())
        return;
    open_private();
    struct proc *child = must_spawn((struct proc_options){.main = wait_and_be_killed});
    pid_t helper = await_helper(proc_pid(child));
    proc_free(child);
    while (kill(helper, 0) == 0 && strncmp(status_of(helper, "State"), "Z", 1) != 0) /* or the test's time runs out */
        ;
    proc_queue_close(queue);
}
END_TEST

static int wait_until_removed(struct proc *self, void *how)
{
    int timeout_ms = *(const int *)how;

    proc_write(self, "w", 1);
    if (proc_queue_push(queue, 1, "more", 4, timeout_ms) != -1 || errno != EIDRM)
        return 1;
    return 0;
}

static int pop_until_removed(struct proc *self, void *how)
{
    int timeout_ms = *(const int *)how;

    proc_write(self, "w", 1);
    return proc_queue_pop(queue, 5, got, sizeof got, NULL, timeout_ms) == -1 && errno == EIDRM ? 0 : 1;
}

START_TEST(who_waits_for_a_removed_one_is_told)
{
    static const int waits[] = {-1, 60000};
    char byte;

    for (int i = 0; i < 4; i++) {
        open_private();
        ck_assert_int_eq(proc_queue_set_capacity(queue, 4), 0);
        must_push(1, "full");
        struct proc *child = must_spawn((struct proc_options){.main = i < 2 ? wait_until_removed : pop_until_removed,
                                                              .arg = (void *)&waits[i % 2],
                                                              .channel = PROC_STREAM});
        ck_assert_int_eq(proc_read(child, &byte, 1), 1);
        bool has_helper = i % 2 && !seam_is_off("clone_vm") && !runs_in_valgrind();
        bool has_none = i % 2 && !has_helper; /* he tries again and again, and may see EINVAL instead */
        pid_t waiter = has_helper ? await_helper(proc_pid(child)) : proc_pid(child);
        while (!has_none && !waits_in_a_queue(waiter))
            ;
        ck_assert_int_eq(proc_queue_remove(queue), 0);
        int code = must_end(child).code;
        ck_assert(code == 0 || has_none);
        proc_queue_close(queue);
    }
}
END_TEST

static int wait_in_a_new_namespace(struct proc *self, void *unused)
{
    (void)self, (void)unused;
    if (unshare(CLONE_NEWPID) < 0)
        return 9;
    if (proc_queue_pop(queue, 0, got, sizeof got, NULL, 20) != -1 || errno != ETIMEDOUT)
        return 1;
    struct proc *first = proc_spawn(&(struct proc_options){.argv = SHELL("exit $$")});
    if (!first)
        return 2;
    struct proc_exit exit;
    if (proc_wait(first, &exit, 60000) != 1 || exit.code != 1)
        return 3;
    proc_free(first);
    return 0;
}

START_TEST(a_helper_does_not_become_init)
{
    open_private();
    int code = must_end(must_spawn((struct proc_options){.main = wait_in_a_new_namespace})).code;
    if (code == 9)
        skip("a PID namespace takes root");
    else
        ck_assert_int_eq(code, 0);
    proc_queue_close(queue);
}
END_TEST

static int be_short_of_processes(struct proc *self, void *unused)
{
    struct rlimit none = {0, 0};

    (void)self, (void)unused;
    if (geteuid() == 0 && (msgctl(proc_queue_id(queue), IPC_SET, &(struct msqid_ds){.msg_perm = {.uid = 65534, .mode = 0600},
                                                                                    .msg_qbytes = 1000}) < 0 ||
                           setresuid(65534, 65534, 65534) < 0))
        return 1;
    if (setrlimit(RLIMIT_NPROC, &none) < 0)
        return 2;
    return proc_queue_pop(queue, 0, got, sizeof got, NULL, 20) == -1 && errno == ETIMEDOUT ? 0 : 3;
}

START_TEST(a_wait_needs_no_process)
{
    open_private();
    ck_assert_int_eq(must_end(must_spawn((struct proc_options){.main = be_short_of_processes})).code, 0);
    proc_queue_close(queue);
}
END_TEST

/* ---- many at once ---- */

static struct proc_counter *sums;
enum { PUSHED, POPPED, COUNTERS };

static int push_numbers(struct proc *self, void *unused)
{
    (void)self, (void)unused;
    for (int i = 0; i < (runs_shortened() ? 300 : 3000); i++) {
        int64_t number = i * 7 + 1;
        int result;

        do
            result = proc_queue_push(queue, i % 5 + 1, &number, sizeof number, i % 3 ? 1 : -1);
        while (result == 0);
        if (result < 0)
            return 1;
        proc_counter_add(sums, PUSHED, number);
    }
    return 0;
}

static void *pop_numbers(void *failed)
{
    for (int i = 0;; i++) {
        int64_t number;
        ssize_t size = proc_queue_pop(queue, i % 2 ? -6 : 0, &number, sizeof number, NULL, i % 3 ? 2 : -1);

        if (size < 0 && errno == ETIMEDOUT)
            continue;
        if (size < 0)
            *(_Atomic int *)failed = errno;
        if (size < 0 || number == 0)
            return NULL;
        proc_counter_add(sums, POPPED, number);
    }
}

static int pop_in_threads(struct proc *self, void *unused)
{
    _Atomic int failed = 0;
    pthread_t thread;

    (void)self, (void)unused;
    if (pthread_create(&thread, NULL, pop_numbers, &failed) != 0)
        return 1;
    pop_numbers(&failed);
    pthread_join(thread, NULL);
    return failed;
}

START_TEST(each_message_is_had_by_one)
{
    struct proc *writers[3], *readers[2];

    go_without_helpers(_i);
    open_private();
    sums = proc_counter_open(PROC_PRIVATE, COUNTERS, 0, 0);
    for (int i = 0; i < 3; i++)
        writers[i] = must_spawn((struct proc_options){.main = push_numbers});
    for (int i = 0; i < 2; i++)
        readers[i] = must_spawn((struct proc_options){.main = pop_in_threads});
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(must_end(writers[i]).code, 0);
    for (int i = 0; i < 4; i++) /* the end, for each of the threads */
        ck_assert_int_eq(proc_queue_push(queue, 6, &(int64_t){0}, sizeof(int64_t), 60000), 1);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(must_end(readers[i]).code, 0);
    ck_assert_int_eq(proc_counter_get(sums, POPPED), proc_counter_get(sums, PUSHED));
    must_be_empty();
    proc_counter_close(sums);
    proc_queue_close(queue);
}
END_TEST

static int push_for_ever(struct proc *self, void *key)
{
    struct proc_queue *same = proc_queue_open(*(key_t *)key, O_CREAT, 0);

    (void)self;
    for (int i = 0;; i++) {
        memset(text, i, 100);
        if (!same || proc_queue_push(same, 1, text, 100, i % 2 ? -1 : 5) < 0)
            return 1;
    }
}

static int pop_for_ever(struct proc *self, void *key)
{
    struct proc_queue *same = proc_queue_open(*(key_t *)key, O_CREAT, 0);

    (void)self;
    for (int i = 0;; i++)
        if (!same || (proc_queue_pop(same, 0, got, sizeof got, NULL, i % 2 ? -1 : 5) < 0 && errno != ETIMEDOUT))
            return 1;
}

START_TEST(whoever_is_killed_when_the_queue_is_whole)
{
    key_t key = fresh_key();
    struct proc *children[4];

    for (int i = 0; i < (runs_shortened() ? 20 : 500); i++) {
        for (int k = 0; k < 4; k++)
            children[k] = must_spawn((struct proc_options){.main = k % 2 ? pop_for_ever : push_for_ever, .arg = &key});
        for (volatile int spin = rand() % 300000; spin > 0; spin--)
            ;
        for (int k = 0; k < 4; k++)
            proc_free(children[k]);
        queue = proc_queue_open(key, O_CREAT, 0);
        ck_assert_ptr_nonnull(queue);
        while (proc_queue_pop(queue, 0, got, sizeof got, NULL, 0) >= 0)
            for (int k = 1; k < 100; k++)
                ck_assert_int_eq(got[k], got[0]);
        ck_assert_int_eq(errno, ETIMEDOUT);
        must_push(1, "it works");
        /* the helper of a dead one may have had it in hand: he gives it back */
        ck_assert_int_gt(proc_queue_pop(queue, 0, got, sizeof got, NULL, 20000), 0);
        if (i == (runs_shortened() ? 20 : 500) - 1)
            ck_assert_int_eq(proc_queue_remove(queue), 0);
        proc_queue_close(queue);
    }
}
END_TEST

/* ---- lifetime ---- */

static int close_it(struct proc *self, void *unused)
{
    (void)self, (void)unused;
    proc_queue_close(queue);
    return 0;
}

START_TEST(a_child_that_closes_or_exits_removes_nothing)
{
    open_private();
    must_push(1, "still there");
    ck_assert_int_eq(must_end(must_spawn((struct proc_options){.main = close_it})).code, 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    must_pop(0, 1, "still there");
    proc_queue_close(queue);
}
END_TEST

/* The harness looks whether anything is left. */
static int make_and_leave(struct proc *self, void *how)
{
    (void)self;
    if (!proc_queue_open(PROC_PRIVATE, how ? PROC_QUEUE_LARGE : 0, 0))
        return 1;
    return 0;
}

static int make_three_and_close_two(struct proc *self, void *order)
{
    struct proc_queue *queues[3];

    (void)self;
    for (int i = 0; i < 3; i++)
        queues[i] = proc_queue_open(PROC_PRIVATE, 0, 0);
    for (const char *one = order; *one; one++)
        proc_queue_close(queues[*one - '0']);
    return 0;
}

static int make_and_exit(struct proc *self, void *unused)
{
    int status;

    (void)self, (void)unused;
    pid_t pid = fork();
    if (pid == 0)
        exit(proc_queue_open(PROC_PRIVATE, 0, 0) ? 0 : 1);
    return waitpid(pid, &status, 0) == pid ? WEXITSTATUS(status) : 9;
}

START_TEST(an_exit_removes_what_is_private)
{
    ck_assert_int_eq(must_end(must_spawn((struct proc_options){.main = make_and_leave})).code, 0);
    ck_assert_int_eq(must_end(must_spawn((struct proc_options){.main = make_and_leave, .arg = (void *)1})).code, 0);
    ck_assert_int_eq(must_end(must_spawn((struct proc_options){.main = make_and_exit})).code, 0);
    static const char *const orders[] = {"01", "10", "12", "21", "02", "20"};
    for (int i = 0; i < 6; i++)
        must_end(must_spawn((struct proc_options){.main = make_three_and_close_two, .arg = (void *)orders[i]}));
}
END_TEST

/* ---- PHP ---- */

START_TEST(php_and_we_talk_through_a_queue)
{
    key_t key = fresh_key();
    char script[1024];

    queue = proc_queue_open(key, O_CREAT, 0);
    snprintf(script, sizeof script,
             "if (!function_exists('msg_send')) exit(77);"
             "$q = msg_get_queue(%d, 0600);"
             "if (!msg_send($q, 3, 'from php', false)) exit(1);"
             "if (!msg_receive($q, 9, $type, 8192, $data, false) || $type !== 9 || $data !== \"to\\0php\") exit(2);"
             "if (!msg_send($q, 30, strrev($data), false)) exit(3);"
             "if (!msg_receive($q, -20, $type, 8192, $data, false) || $type !== 12 || $data !== '') exit(4);",
             key);
    struct proc *child = php(script);
    if (!child) {
        skip("php is missing");
        proc_queue_remove(queue);
        proc_queue_close(queue);
        return;
    }
    ssize_t size = proc_queue_pop(queue, 3, got, sizeof got, &type, 20000);
    if (size < 0) {
        ck_assert_int_eq(must_end(child).code, 77);
        skip("this php has no sysvmsg");
    } else {
        ck_assert_int_eq(size, 8);
        ck_assert_int_eq(memcmp(got, "from php", 8), 0);
        ck_assert_int_eq(proc_queue_push(queue, 15, "later", 5, 1000), 1);
        ck_assert_int_eq(proc_queue_push(queue, 12, "", 0, 1000), 1);
        ck_assert_int_eq(proc_queue_push(queue, 9, "to\0php", 6, 1000), 1);
        size = proc_queue_pop(queue, 30, got, sizeof got, &type, 20000);
        ck_assert_msg(size == 6, "%s, php %d", strerror(errno), must_end(child).code);
        ck_assert_int_eq(memcmp(got, "php\0ot", 6), 0);
        ck_assert_int_eq(must_end(child).code, 0);
        must_pop(0, 15, "later");
    }
    ck_assert_int_eq(proc_queue_remove(queue), 0);
    proc_queue_close(queue);
}
END_TEST

Suite *suite_make(void)
{
    Suite *suite = suite_create("queue");
    TCase *tcase = tcase_checked(suite, "opening");

    tcase_add_test(tcase, opening_heeds_key_flags_and_mode);
    tcase_add_test(tcase, who_opens_while_others_remove_gets_a_new_one);
    tcase_add_test(tcase, another_user_may_do_nothing_by_default);
    tcase = tcase_checked(suite, "messages");
    tcase_add_test(tcase, a_message_is_the_bytes_and_nothing_else);
    tcase_add_test(tcase, types_choose_the_message);
    tcase_add_test(tcase, wrong_arguments_are_told);
    tcase_add_test(tcase, a_message_that_does_not_fit_stays_in_its_place);
    tcase_add_test(tcase, what_can_never_fit_is_refused_at_once);
    tcase_add_test(tcase, other_limits_are_heeded);
    tcase_add_test(tcase, the_status_is_the_kernels);
    tcase_add_test(tcase, more_than_the_usual_capacity_takes_a_privilege);
    tcase = tcase_checked(suite, "waiting");
    tcase_add_loop_test(tcase, a_wait_ends_with_a_message_or_with_the_time, 0, 2);
    tcase_add_loop_test(tcase, a_push_waits_for_room, 0, 2);
    tcase_add_loop_test(tcase, signals_are_handled_and_change_nothing, 0, 2);
    tcase_add_test(tcase, a_helper_is_in_nobodys_way);
    tcase_add_test(tcase, who_kills_a_helper_only_makes_the_wait_dearer);
    tcase_add_test(tcase, one_who_is_killed_while_he_waits_takes_nothing_with_him);
    tcase_add_test(tcase, a_program_that_is_replaced_takes_nothing);
    tcase_add_test(tcase, a_helper_ends_with_its_caller);
    tcase_add_test(tcase, who_waits_for_a_removed_one_is_told);
    tcase_add_test(tcase, a_helper_does_not_become_init);
    tcase_add_test(tcase, a_wait_needs_no_process);
    tcase = tcase_checked(suite, "many");
    tcase_add_loop_test(tcase, each_message_is_had_by_one, 0, 2);
    tcase_add_test(tcase, whoever_is_killed_when_the_queue_is_whole);
    tcase = tcase_checked(suite, "lifetime");
    tcase_add_test(tcase, a_child_that_closes_or_exits_removes_nothing);
    tcase_add_test(tcase, an_exit_removes_what_is_private);
    tcase_add_test(tcase, php_and_we_talk_through_a_queue);
    return suite;
}
