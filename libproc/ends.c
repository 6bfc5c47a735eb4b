/* The list of all descriptors that belong to children, and the one lock around it. */
#include "ends.h"

#include "kernel.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/socket.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct ends *first;
static unsigned generation; /* how often a child has begun with an empty list */

/* The kernel calls it EINVAL where the limit on descriptors is not above `least`. */
static int dup_above(int fd, int least)
{
    long above = raw(SYS_fcntl, fd, F_DUPFD_CLOEXEC, least);

    return (int)kernel_result(above == -EINVAL ? -EMFILE : above);
}

int fd_above_stdio(int fd)
{
    if (fd < 0 || fd > 2)
        return fd;
    int above = dup_above(fd, 3);
    raw(SYS_close, fd);
    return above;
}

void ends_enlist(struct ends *ends)
{
    for (int end = 0; end < ENDS; end++)
        ends->fd[end] = -1;
    ends->previous = NULL;
    ends->child = NO_CHILD;
    pthread_mutex_lock(&lock);
    ends->generation = generation;
    ends->next = first;
    if (first)
        first->previous = ends;
    first = ends;
    pthread_mutex_unlock(&lock);
}

static bool is_of_this_process(const struct ends *ends)
{
    return ends->generation == generation;
}

static void close_locked(struct ends *ends, int end)
{
    if (ends->fd[end] >= 0 && is_of_this_process(ends))
        raw(SYS_close, ends->fd[end]);
    ends->fd[end] = -1;
}

void ends_close(struct ends *ends, enum end end)
{
    pthread_mutex_lock(&lock);
    close_locked(ends, end);
    pthread_mutex_unlock(&lock);
}

static void close_all_locked(struct ends *ends)
{
    for (int end = 0; end < ENDS; end++)
        close_locked(ends, end);
}

static void take_off_locked(struct ends *ends)
{
    if (!is_of_this_process(ends))
        return;
    if (ends->previous)
        ends->previous->next = ends->next;
    else if (first == ends)
        first = ends->next;
    if (ends->next)
        ends->next->previous = ends->previous;
    ends->previous = ends->next = NULL;
}

void ends_delist(struct ends *ends)
{
    pthread_mutex_lock(&lock);
    close_all_locked(ends);
    take_off_locked(ends);
    pthread_mutex_unlock(&lock);
}

void ends_keep(struct ends *ends)
{
    pthread_mutex_lock(&lock);
    take_off_locked(ends);
    ends->generation = generation + 1; /* as it will be when the others are closed */
    pthread_mutex_unlock(&lock);
}

void ends_set_child(struct ends *ends, pid_t parent, pid_t child)
{
    pthread_mutex_lock(&lock);
    ends->parent = parent;
    ends->child = child;
    pthread_mutex_unlock(&lock);
}

enum ends_whose ends_whose(pid_t child)
{
    pid_t self = (pid_t)raw(SYS_getpid);
    enum ends_whose whose = WHOSE_OTHER;

    pthread_mutex_lock(&lock);
    for (struct ends *ends = first; ends && whose != WHOSE_OURS; ends = ends->next) {
        if (ends->parent != self || ends->child == NO_CHILD)
            continue;
        if (ends->child == child)
            whose = WHOSE_OURS;
        else if (ends->child == 0)
            whose = WHOSE_IN_DOUBT;
    }
    pthread_mutex_unlock(&lock);
    return whose;
}

void ends_set(struct ends *ends, enum end end, int fd)
{
    pthread_mutex_lock(&lock);
    ends->fd[end] = fd;
    pthread_mutex_unlock(&lock);
}

int ends_give(struct ends *ends, enum end end)
{
    pthread_mutex_lock(&lock);
    int fd = is_of_this_process(ends) ? ends->fd[end] : -1;
    ends->fd[end] = -1;
    pthread_mutex_unlock(&lock);
    return fd;
}

int ends_make_pipe(int pair[2], int unused)
{
    (void)unused;
    return (int)sys(SYS_pipe2, pair, O_CLOEXEC);
}

int ends_make_socketpair(int pair[2], int type)
{
    return (int)sys(SYS_socketpair, AF_UNIX, type | SOCK_CLOEXEC, 0, pair);
}

/* Both of a pair, or none: a pair whose descriptors cannot be moved above 2 is closed. */
static int pair_above_stdio(int pair[2])
{
    pair[0] = fd_above_stdio(pair[0]);
    if (pair[0] < 0) {
        raw(SYS_close, pair[1]);
        return -1;
    }
    pair[1] = fd_above_stdio(pair[1]);
    if (pair[1] < 0) {
        raw(SYS_close, pair[0]);
        return -1;
    }
    return 0;
}

int ends_create(ends_make_fn *make, int argument, struct ends *one, enum end one_end, struct ends *other, enum end other_end)
{
    int pair[2];

    pthread_mutex_lock(&lock);
    int result = make(pair, argument);
    if (result == 0)
        result = pair_above_stdio(pair);
    if (result == 0) {
        one->fd[one_end] = pair[0];
        other->fd[other_end] = pair[1];
    }
    pthread_mutex_unlock(&lock);
    return result;
}

int ends_open(ends_open_fn *open, const void *argument, struct ends *ends, enum end end)
{
    pthread_mutex_lock(&lock);
    int fd = fd_above_stdio((int)kernel_result(open(argument)));
    if (fd >= 0)
        ends->fd[end] = fd;
    pthread_mutex_unlock(&lock);
    return fd;
}

int ends_dup(struct ends *ends, enum end from, enum end to)
{
    pthread_mutex_lock(&lock);
    int fd = dup_above(ends->fd[from], 3);
    if (fd >= 0)
        ends->fd[to] = fd;
    pthread_mutex_unlock(&lock);
    return fd;
}

int ends_lift(struct ends *ends, enum end end, int above)
{
    pthread_mutex_lock(&lock);
    int fd = dup_above(ends->fd[end], above);
    if (fd >= 0) {
        close_locked(ends, end);
        ends->fd[end] = fd;
    }
    pthread_mutex_unlock(&lock);
    return fd;
}

int ends_fork(void)
{
    long refusal = kernel_refusal(SYS_clone, NULL);

    return refusal < 0 ? (int)kernel_result(refusal) : fork();
}

static void lock_for_fork(void)
{
    pthread_mutex_lock(&lock);
}

static void unlock_after_fork(void)
{
    pthread_mutex_unlock(&lock);
}

/* Every fork of the program's takes the lock, and finds it free in the child. Registered first, we lock last and unlock
 * first: the program's own handlers never run with our lock held. */
__attribute__((constructor)) static void stand_by_at_forks(void)
{
    pthread_atfork(lock_for_fork, unlock_after_fork, unlock_after_fork);
}

/* Descriptors that follow one another are closed as one. */
struct closing {
    int low, high; /* low -1: none yet */
};

static void close_run(const struct closing *closing)
{
    if (closing->low >= 0 && closing->low < closing->high && raw(SYS_close_range, closing->low, closing->high, 0) == 0)
        return;
    for (int fd = closing->low; fd >= 0 && fd <= closing->high; fd++)
        raw(SYS_close, fd);
}

static void close_with_others(struct closing *closing, int fd)
{
    if (closing->low >= 0 && fd == closing->low - 1)
        closing->low = fd;
    else if (closing->low >= 0 && fd == closing->high + 1)
        closing->high = fd;
    else {
        close_run(closing);
        *closing = (struct closing){fd, fd};
    }
}

/* Nothing is written into them: each page of them would be copied for that. */
void ends_close_inherited(bool (*keep)(const void *context, int fd), const void *context)
{
    struct closing closing = {-1, -1};

    for (const struct ends *ends = first; ends; ends = ends->next)
        for (int end = 0; end < ENDS; end++)
            if (ends->fd[end] > 2 && !keep(context, ends->fd[end])) /* its own standard streams are a child's `self` */
                close_with_others(&closing, ends->fd[end]);
    close_run(&closing);
    first = NULL;
    generation++;
}
