/* Every system call and every allocation that an operation makes is made to fail, the first, the second, and so on until it
 * succeeds untouched. After each failure: errno is that one, and nothing is left: no child, no descriptor, no memory, no
 * changed mask; and the next spawn works. */
#include "harness.h"
#include "kernel.h"
#include "seam.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- the operations ---- */

static const char *file;
static cpu_set_t cpus;
static int lent;

static int callback(struct proc *self, void *unused)
{
    (void)self, (void)unused;
    return 0;
}

static struct proc_options every_option(void)
{
    static struct proc_fd fds[3];
    static const char *const env[] = {"LIBPROC_FAULT=1", NULL};
    static const struct proc_rlimit limits[] = {{RLIMIT_CORE, {0, 0}}};
    static gid_t groups[] = {1, 2};
    static struct proc_ids ids;

    fds[0] = (struct proc_fd){lent, 5};
    fds[1] = (struct proc_fd){lent, 4};
    fds[2] = (struct proc_fd){lent, lent};
    ids = (struct proc_ids){.uid = getuid(), .gid = getgid() ? getgid() : 65534, .groups = groups, .ngroups = geteuid() ? 0 : 2};
    if (geteuid() != 0)
        ids.gid = getgid();
    return (struct proc_options){.in = PROC_PIPE,
                                 .out = PROC_WRITE(file),
                                 .err = PROC_PTY,
                                 .channel = PROC_SEQPACKET,
                                 .fds = fds,
                                 .nfds = 3,
                                 .env = env,
                                 .cwd = "/",
                                 .ids = &ids,
                                 .limits = limits,
                                 .nlimits = 1,
                                 .affinity = &cpus,
                                 .affinity_size = sizeof cpus,
                                 .nice = 1,
                                 .umask = 022,
                                 .death_signal = SIGKILL,
                                 .flags = PROC_UMASK | PROC_NEW_SESSION};
}

/* An operation returns 0, or -1 with errno (EILSEQ: it did not do what it said); what it made is gone when it returns. */

static int ended(struct proc *proc)
{
    if (!proc)
        return -1;
    proc_free(proc);
    return 0;
}

static int spawn_program(void)
{
    struct proc_options options = every_option();

    options.argv = (const char *const[]){"true", NULL};
    return ended(proc_spawn(&options));
}

static int spawn_callback(void)
{
    struct proc_options options = every_option();

    options.main = callback;
    options.title = runs_in_valgrind() ? NULL : "fault"; /* what the kernel takes for argv is valgrind's */
    return ended(proc_spawn(&options));
}

static int spawn_plain(void)
{
    struct proc_options options = {.argv = (const char *const[]){"/bin/true", NULL}};

    return ended(proc_spawn(&options));
}

static int spawn_plain_callback(void)
{
    struct proc_options options = {.main = callback};

    return ended(proc_spawn(&options));
}

static int spawn_detached(void)
{
    struct proc_options options = {.argv = (const char *const[]){"/bin/true", NULL}, .flags = PROC_DETACH, .cwd = "/"};

    return ended(proc_spawn(&options));
}

static int spawn_detached_callback(void)
{
    struct proc_options options = {.main = callback, .flags = PROC_DETACH, .cwd = "/"};

    return ended(proc_spawn(&options));
}

static int run(void)
{
    struct proc_output output = {0};
    struct proc_options options = {.argv = (const char *const[]){"tee", "/dev/stderr", NULL}};
    static char input[200000];
    int result = proc_run(&options, input, sizeof input, &output, -1);
    int failure = errno;

    if (result == 1 && (output.out_size != sizeof input || output.err_size != sizeof input || output.exit.code != 0))
        result = -1, failure = EILSEQ;
    proc_output_free(&output);
    errno = failure;
    return result == 1 ? 0 : -1;
}

static int communicate(void)
{
    struct proc_output output = {0};
    struct proc_options options = {.argv = (const char *const[]){"cat", NULL}, .in = PROC_PIPE, .out = PROC_PIPE};
    struct proc *proc = proc_spawn(&options);
    if (!proc)
        return -1;
    int result = proc_communicate(proc, "text", 4, &output, 20000);
    int failure = errno;
    if (result == 1 && strcmp(output.out, "text") != 0)
        result = -1, failure = EILSEQ;
    proc_output_free(&output);
    proc_free(proc);
    errno = failure;
    return result == 1 ? 0 : -1;
}

static int talk(void)
{
    struct proc_options options = {
        .argv = (const char *const[]){"cat", NULL}, .in = PROC_CHANNEL, .out = PROC_CHANNEL, .err = PROC_NULL};
    struct proc *proc = proc_spawn(&options);
    char text[4];
    if (!proc)
        return -1;
    proc_set_timeout(proc, 20000);
    int result = proc_write(proc, "text", 4) == 4 && proc_read(proc, text, 4) == 4 && proc_send_fd(proc, 2) == 0 ? 0 : -1;
    int failure = errno;
    proc_free(proc);
    errno = failure;
    return result;
}

/* Two children, one of them with an orphan, a signal and an alarm. */
static int watch(unsigned flags)
{
    static const char *const scripts[] = {"exit 3", "(exit 4) & exit 5"};
    struct proc *children[2] = {NULL, NULL};
    struct proc_event event;
    int result = -1, exits = 0, others = 0;
    struct proc_waiter *waiter = proc_waiter_new(flags);

    if (!waiter || proc_waiter_signal(waiter, SIGUSR1, NULL) < 0 || proc_waiter_alarm(waiter, 1, 0, NULL) < 0)
        goto end;
    for (int i = 0; i < 2; i++) {
        struct proc_options options = {.argv = SHELL(scripts[i])};

        children[i] = proc_spawn(&options);
        if (!children[i] || proc_waiter_add(waiter, children[i], NULL) < 0)
            goto end;
    }
    kill(getpid(), SIGUSR1);
    while (exits < 2 || others < 2) {
        result = proc_waiter_next(waiter, &event, 20000);
        if (result != 1)
            break;
        if (event.type == PROC_EVENT_EXIT && event.exit.code != 3 && event.exit.code != 5)
            result = 0;
        exits += event.type == PROC_EVENT_EXIT;
        others += event.type == PROC_EVENT_SIGNAL || event.type == PROC_EVENT_ALARM;
    }
    result = result == 1 ? 0 : -1;
    if (result < 0)
        errno = EILSEQ;
end:;
    int failure = errno;
    for (int i = 0; i < 2; i++)
        proc_free(children[i]);
    proc_waiter_free(waiter);
    if (flags & PROC_WAITER_ADOPT)
        while (waitpid(-1, NULL, 0) > 0) /* orphans that came later */
            ;
    errno = failure;
    return result;
}

static int watch_by_signal(void)
{
    return watch(0);
}

static int watch_by_pidfd(void)
{
    return no_pidfds() ? 0 : watch(PROC_WAITER_PIDFD);
}

static int watch_and_adopt(void)
{
    return watch(PROC_WAITER_ADOPT);
}

static key_t key;

static int share_memory(void)
{
    struct proc_shm *shm = proc_shm_open(key, 100, O_CREAT, 0), *private = shm ? proc_shm_open(PROC_PRIVATE, 100, 0, 0) : NULL;
    int failure = errno, result = private && proc_key("/", 1) != -1 ? 0 : -1;

    if (private && result < 0)
        failure = errno;
    proc_shm_close(private);
    if (shm && proc_shm_remove(shm) < 0 && result == 0)
        result = -1, failure = errno, proc_shm_remove(shm);
    proc_shm_close(shm);
    errno = failure;
    return result;
}

static int share_counters(void)
{
    struct proc_counter *counter = proc_counter_open(key, 2, O_CREAT, 0);
    if (!counter)
        return -1;
    proc_counter_add(counter, 1, 1);
    int result = proc_counter_wait(counter, 1, 1, 1) == 0 && proc_counter_wake(counter, 1, 1) == 0 ? 0 : -1;
    int failure = errno;
    if (proc_counter_remove(counter) < 0 && result == 0)
        result = -1, failure = errno, proc_counter_remove(counter);
    proc_counter_close(counter);
    errno = failure;
    return result;
}

static int share_semaphore(void)
{
    struct proc_sem *sem = proc_sem_open(key, 1, O_CREAT, 0), *same = sem ? proc_sem_open(key, 1, O_CREAT, 0) : NULL;
    int failure = errno, result = -1;

    if (same) {
        result = proc_sem_acquire(sem, 10) == 1 && proc_sem_release(sem) == 0 && proc_sem_value(same) == 1 ? 0 : -1;
        failure = errno;
    }
    proc_sem_close(same);
    if (sem && proc_sem_remove(sem) < 0 && result == 0)
        result = -1, failure = errno, proc_sem_remove(sem);
    proc_sem_close(sem);
    errno = failure;
    return result;
}

static int use_queue(struct proc_queue *queue, char *buf, size_t size)
{
    struct proc_queue_stat stat;

    if (proc_queue_push(queue, 1, buf, 10, 0) != 1 || proc_queue_pop(queue, 0, buf, size, NULL, 10) != 10)
        return -1;
    if (proc_queue_pop(queue, 0, buf, size, NULL, 2) != -1 || errno != ETIMEDOUT)
        return -1;
    if (proc_queue_push(queue, 1, buf, size, 10) != 1 || proc_queue_pop(queue, 0, buf, size, NULL, -1) != (ssize_t)size)
        return -1;
    return proc_queue_stat(queue, &stat) == 0 && proc_queue_set_capacity(queue, 4096) == 0 ? 0 : -1;
}

static int share_queue(void)
{
    static char buf[20000];
    struct proc_queue *queue = proc_queue_open(key, O_CREAT | PROC_QUEUE_LARGE, 0);
    int result = queue ? use_queue(queue, buf, sizeof buf) : -1, failure = errno;

    if (queue && proc_queue_remove(queue) < 0) {
        if (result == 0)
            result = -1, failure = errno;
        proc_queue_remove(queue);
    }
    proc_queue_close(queue);
    errno = failure;
    return result;
}

static int share_lock(void)
{
    struct proc_lock *lock = proc_lock_open(key, O_CREAT, 0);
    if (!lock)
        return -1;
    int result = proc_lock_acquire(lock, 10) == 1 && proc_lock_release(lock) == 0 ? 0 : -1;
    int failure = errno;
    if (proc_lock_remove(lock) < 0 && result == 0)
        result = -1, failure = errno, proc_lock_remove(lock);
    proc_lock_close(lock);
    errno = failure;
    return result;
}

static int make_longer(void *value, size_t *size, void *unused)
{
    (void)value, (void)unused;
    *size += 4;
    return 0;
}

static int look_at_row(const char *name, const void *value, size_t size, void *unused)
{
    (void)name, (void)value, (void)unused;
    return size == 4 || size == 8 ? 0 : 1;
}

static int share_table(void)
{
    struct proc_table *table = proc_table_open(key, 3, 8, O_CREAT, 0);
    char value[8];
    if (!table)
        return -1;
    bool good = proc_table_put(table, "a", "four", 4) == 0 && proc_table_add(table, "b", 2) == 2 &&
                proc_table_update(table, "a", make_longer, NULL) == 0 && proc_table_get(table, "a", value, 8) == 8 &&
                proc_table_each(table, look_at_row, NULL) == 0 && proc_table_delete(table, "b") == 0;
    int failure = errno;
    if (proc_table_remove(table) < 0 && good)
        good = false, failure = errno, proc_table_remove(table);
    proc_table_close(table);
    errno = failure;
    return good ? 0 : -1;
}

static const struct {
    const char *name;
    int (*run)(void);
} operations[] = {
    {"spawn with every option", spawn_program},
    {"spawn of a callback with every option", spawn_callback},
    {"plain spawn", spawn_plain},
    {"plain spawn of a callback", spawn_plain_callback},
    {"detached spawn", spawn_detached},
    {"detached spawn of a callback", spawn_detached_callback},
    {"run", run},
    {"communicate", communicate},
    {"talk", talk},
    {"watch by signal", watch_by_signal},
    {"watch by pidfd", watch_by_pidfd},
    {"watch and adopt", watch_and_adopt},
    {"share memory", share_memory},
    {"share counters", share_counters},
    {"share a semaphore", share_semaphore},
    {"share a queue", share_queue},
    {"share a lock", share_lock},
    {"share a table", share_table},
};
#define OPERATIONS ((int)(sizeof operations / sizeof operations[0]))

/* ---- what may fail, and how ---- */

static const struct {
    long number;
    const char *name;
    int failure;
} calls[] = {
    {SYS_pipe2, "pipe2", EMFILE},
    {SYS_pipe2, "pipe2", ENFILE},
    {SYS_socketpair, "socketpair", EMFILE},
    {SYS_fcntl, "fcntl", EMFILE},
    {SYS_openat, "openat", EMFILE},
    {SYS_openat, "openat", EACCES},
    {SYS_ioctl, "ioctl", EIO},
    {SYS_clone, "clone", EAGAIN},
    {SYS_clone, "clone", ENOMEM},
    {SYS_clone3, "clone3", EAGAIN},
    {SYS_clone3, "clone3", ENOMEM},
    {SYS_clone3, "clone3", EMFILE},
    {SYS_clone3, "clone3", EPERM},
    {SYS_close_range, "close_range", ENOMEM},
    {SYS_close_range, "close_range", EPERM},
    {SYS_pidfd_getfd, "pidfd_getfd", EPERM},
    {SYS_pidfd_getfd, "pidfd_getfd", EMFILE},
    {SYS_pidfd_open, "pidfd_open", EMFILE},
    {SYS_prlimit64, "prlimit64", EPERM},
    {SYS_setsid, "setsid", EPERM},
    {SYS_dup3, "dup3", EMFILE},
    {SYS_sched_setaffinity, "sched_setaffinity", EINVAL},
    {SYS_getpriority, "getpriority", ESRCH},
    {SYS_setpriority, "setpriority", EACCES},
    {SYS_setgroups, "setgroups", EPERM},
    {SYS_setresgid, "setresgid", EPERM},
    {SYS_setresuid, "setresuid", EAGAIN},
    {SYS_chdir, "chdir", ENOENT},
    {SYS_prctl, "prctl", EINVAL},
    {SYS_execve, "execve", ENOMEM},
    {SYS_execve, "execve", EACCES},
    {SYS_getcwd, "getcwd", EACCES},
    {SYS_getgroups, "getgroups", EINVAL},
    {SYS_ppoll, "ppoll", ENOMEM},
    {SYS_ppoll, "ppoll", EINTR},
    {SYS_waitid, "waitid", EINTR},
    {SYS_wait4, "wait4", EINTR},
    {SYS_read, "read", EINTR},
    {SYS_write, "write", EINTR},
    {SYS_preadv2, "preadv2", EINTR},
    {SYS_preadv2, "preadv2", EOPNOTSUPP},
    {SYS_preadv2, "preadv2", ENOMEM},
    {SYS_pwritev2, "pwritev2", EINTR},
    {SYS_pwritev2, "pwritev2", EOPNOTSUPP},
    {SYS_pwritev2, "pwritev2", ENOMEM},
    {SYS_recvfrom, "recvfrom", EINTR},
    {SYS_sendto, "sendto", EINTR},
    {SYS_recvmsg, "recvmsg", EINTR},
    {SYS_sendmsg, "sendmsg", EINTR},
    {SYS_rt_sigqueueinfo, "rt_sigqueueinfo", EAGAIN},
    {SYS_rt_sigtimedwait, "rt_sigtimedwait", EAGAIN},
    {SYS_unshare, "unshare", ENOMEM},
    {SYS_epoll_create1, "epoll_create1", EMFILE},
    {SYS_epoll_ctl, "epoll_ctl", ENOSPC},
    {SYS_epoll_ctl, "epoll_ctl", ENOMEM},
    {SYS_epoll_pwait, "epoll_pwait", EINTR},
    {SYS_signalfd4, "signalfd4", EMFILE},
    {SYS_timerfd_create, "timerfd_create", EMFILE},
    {SYS_eventfd2, "eventfd2", ENFILE},
    {SYS_newfstatat, "newfstatat", EACCES},
    {SYS_mmap, "mmap", ENOMEM},
    {SYS_shmget, "shmget", ENOSPC},
    {SYS_shmat, "shmat", ENOMEM},
    {SYS_shmctl, "shmctl", EPERM},
    {SYS_semget, "semget", ENOSPC},
    {SYS_semctl, "semctl", EPERM},
    {SYS_semtimedop, "semtimedop", ENOSPC},
    {SYS_semtimedop, "semtimedop", EINTR},
    {SYS_msgget, "msgget", ENOSPC},
    {SYS_msgsnd, "msgsnd", EINTR},
    {SYS_msgsnd, "msgsnd", ENOMEM},
    {SYS_msgrcv, "msgrcv", EINTR},
    {SYS_msgrcv, "msgrcv", ENOMEM},
    {SYS_msgctl, "msgctl", EPERM},
    {SYS_flock, "flock", ENOLCK},
    {SYS_renameat2, "renameat2", ENOSPC},
    {SYS_fchmod, "fchmod", EPERM},
    {SYS_fchown, "fchown", EPERM},
    {SYS_fstat, "fstat", EIO},
    {SYS_fallocate, "fallocate", ENOSPC},
    {SYS_getrandom, "getrandom", ENOSYS},
    {SYS_write, "write", ENOSPC},
    {SYS_unlinkat, "unlinkat", EPERM},
    {SYS_setitimer, "setitimer", EINVAL},
};
#define CALLS ((int)(sizeof calls / sizeof calls[0]))

/* ---- what is left ---- */

struct state {
    struct fd_set_all fds;
    long memory;
    char mask[32];
};

static void take_state(struct state *state)
{
    fds_open(&state->fds);
    state->memory = seam_memory_held();
    strcpy(state->mask, status_of(getpid(), "SigBlk"));
}

static void nothing_is_left(const struct state *before, const char *when)
{
    struct state now;

    take_state(&now);
    ck_assert_msg(fds_same(&before->fds, &now.fds), "%s: a descriptor is left or lost", when);
    ck_assert_msg(before->memory == now.memory, "%s: %ld allocations are left", when, now.memory - before->memory);
    ck_assert_msg(strcmp(before->mask, now.mask) == 0, "%s: mask %s", when, now.mask);
    int child = waitpid(-1, NULL, WNOHANG | __WALL);
    ck_assert_msg(child < 0 && errno == ECHILD, "%s: child %d is left", when, child);
    ck_assert_msg(shmget(key, 0, 0) < 0 && semget(key, 0, 0) < 0 && msgget(key, 0) < 0, "%s: a System V object is left", when);
}

static void prepare(void)
{
    file = strdup(temporary("out"));
    key = fresh_key();
    CPU_ZERO(&cpus);
    sched_getaffinity(0, sizeof cpus, &cpus);
    lent = fcntl(2, F_DUPFD_CLOEXEC, 30);
    ck_assert_int_eq(spawn_plain(), 0); /* what is made once is made now */
}

static void tidy(void)
{
    close(lent);
    free((char *)file);
}

/* Calls whose failure has a fallback, or is of no importance, may be followed by success. */
static void fail_each(int operation, int call)
{
    struct state before;
    char when[128];

    take_state(&before);
    for (int nth = 1; nth < 200; nth++) {
        snprintf(when, sizeof when, "%s, %s number %d with %s", operations[operation].name, calls[call].name, nth,
                 strerror(calls[call].failure));
        seam_fail(calls[call].number, nth, calls[call].failure);
        int result = operations[operation].run();
        int failure = errno;
        bool made = seam_end();
        nothing_is_left(&before, when);
        if (!made) {
            ck_assert_msg(result == 0, "%s: failed untouched: %s at %s", when, strerror(failure), proc_spawn_step());
            return;
        }
        if (result < 0) {
            ck_assert_msg(calls[call].failure != EINTR, "%s: it reached the caller", when);
            ck_assert_msg(failure == calls[call].failure, "%s: errno is %s at %s", when, strerror(failure), proc_spawn_step());
            ck_assert_msg(spawn_plain() == 0, "%s: the next spawn fails: %s", when, strerror(errno));
        }
    }
    ck_abort_msg("%s never succeeds", operations[operation].name);
}

START_TEST(a_failing_system_call_leaves_nothing_behind)
{
    prepare();
    for (int call = 0; call < CALLS; call++)
        fail_each(_i, call);
    tidy();
}
END_TEST

START_TEST(a_failing_allocation_leaves_nothing_behind)
{
    struct state before;
    char when[128];
    bool made = true;

    prepare();
    take_state(&before);
    for (int nth = 1; made; nth++) {
        snprintf(when, sizeof when, "%s, allocation number %d", operations[_i].name, nth);
        seam_fail_memory(nth);
        int result = operations[_i].run();
        int failure = errno;
        made = seam_end_memory();
        nothing_is_left(&before, when);
        bool good = made ? result == -1 && failure == ENOMEM : result == 0;
        good |= operations[_i].run == watch_and_adopt && result == 0; /* which tries again where it is an orphan's */
        ck_assert_msg(good, "%s: %d %s", when, result, strerror(failure));
    }
    tidy();
}
END_TEST

/* With the descriptor limit at each value from none free on: EMFILE until it works. */
START_TEST(each_limit_on_descriptors_is_survived)
{
    struct rlimit old, low;
    struct state before;
    int result = -1, tries = 0;

    prepare();
    take_state(&before);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
    for (int spare = 0; result < 0 && spare < 64; spare++) {
        low = (struct rlimit){(rlim_t)fds_count() + (rlim_t)spare, old.rlim_max};
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
        result = operations[_i].run();
        int failure = errno;
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
        nothing_is_left(&before, operations[_i].name);
        ck_assert_msg(result == 0 || failure == EMFILE, "%s: %s at %s", operations[_i].name, strerror(failure),
                      proc_spawn_step());
        tries++;
    }
    ck_assert_int_eq(result, 0);
    ck_assert_int_gt(tries, 0);
    tidy();
}
END_TEST

Suite *suite_make(void)
{
    Suite *suite = suite_create("faults");
    TCase *tcase = tcase_checked(suite, "faults");

    tcase_set_timeout(tcase, 600);
    tcase_add_loop_test(tcase, a_failing_system_call_leaves_nothing_behind, 0, OPERATIONS);
    tcase_add_loop_test(tcase, a_failing_allocation_leaves_nothing_behind, 0, OPERATIONS);
    tcase_add_loop_test(tcase, each_limit_on_descriptors_is_survived, 0, OPERATIONS);
    return suite;
}
