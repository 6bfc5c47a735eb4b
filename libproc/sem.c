/* System V semaphores: sets of one, and sets of three as PHP makes them.
 *
 * A new set has the value 0 and no time of a last operation. Its maker adds the initial value, which sets that time in the same
 * step; others wait for it. If it does not come, the maker is dead or stopped, and the next does it. A maker that was stopped for
 * long does not add anything any more: it goes on as one of the others. */
#include "deadline.h"
#include "kernel.h"
#include "private_ipc.h"

#include <fcntl.h>
#include <proc/sem.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/sem.h>

/* How long the maker has, how often the others look, and when they take over. */
#define MAKER_NS INT64_C(250000000)
#define LOOK_EVERY_MS 1
#define TAKE_OVER_NS INT64_C(500000000)

/* PHP's set: the semaphore, how many have it open, and one that is held during the set-up. The first to open it sets the value:
 * so we are counted, too. */
enum { PHP_USAGE = 1, PHP_SETUP, PHP_SEMS };

struct proc_sem {
    int id;
    short undo;
    bool is_phps;
    bool is_private;
    pid_t owner; /* who opened it */
    struct private_ipc private_ipc;
};

static int fail(int error)
{
    errno = error;
    return -1;
}

/* EINTR goes on with what is left of the time. */
static long operate(int id, struct sembuf *operations, size_t count, struct deadline deadline)
{
    long result;

    do {
        int64_t left = deadline_left_ns(deadline);
        struct timespec timeout = {left / 1000000000, left % 1000000000};

        result = raw(SYS_semtimedop, id, operations, count, deadline.at_ns == INT64_MAX ? NULL : &timeout);
    } while (result == -EINTR);
    return result;
}

/* ---- making one ---- */

/* Only if the value is 0: what is above that has been set up. */
static int set_up(int id, unsigned initial)
{
    struct sembuf operations[] = {{0, 0, IPC_NOWAIT}, {0, (short)initial, IPC_NOWAIT}};
    long result = operate(id, operations, initial ? 2 : 1, deadline_in(0));

    return result == -EAGAIN ? 0 : (int)kernel_result(result);
}

static int status_of(int id, struct semid_ds *status)
{
    return (int)sys(SYS_semctl, id, 0, IPC_STAT, status);
}

/* 1: it is; 0: not yet; -1 with errno. */
static int is_set_up(int id)
{
    struct semid_ds status = {0};

    if (status_of(id, &status) < 0)
        return -1;
    return status.sem_otime != 0 || raw(SYS_semctl, id, 0, GETVAL, 0) > 0;
}

/* may_set_up: with O_CREAT, since then the initial value is known. */
static int await_set_up(int id, unsigned initial, bool may_set_up)
{
    for (int64_t start = monotonic_ns();; deadline_poll(deadline_in(LOOK_EVERY_MS), NULL, 0)) {
        int ready = is_set_up(id);

        if (ready != 0)
            return ready < 0 ? -1 : 0;
        if (monotonic_ns() - start > TAKE_OVER_NS)
            return may_set_up ? set_up(id, initial) : fail(ENOENT);
    }
}

static int make(key_t key, unsigned initial, int mode)
{
    int64_t start = monotonic_ns();
    int id = (int)sys(SYS_semget, key, 1, IPC_CREAT | IPC_EXCL | mode);

    if (id < 0)
        return -1;
    if ((monotonic_ns() - start < MAKER_NS ? set_up(id, initial) : await_set_up(id, initial, true)) == 0)
        return id;
    int failure = errno;
    raw(SYS_semctl, id, 0, IPC_RMID, 0);
    return fail(failure == EINVAL ? EIDRM : failure);
}

/* ---- opening one ---- */

static int join_php(int id)
{
    struct sembuf operations[] = {{PHP_SETUP, 0, 0}, {PHP_USAGE, 1, SEM_UNDO}};

    return (int)kernel_result(operate(id, operations, 2, deadline_in(-1)));
}

/* Of a number that it has given out the kernel says EINVAL or EIDRM when the set has been removed meanwhile. */
static int lost(void)
{
    return fail(errno == EINVAL ? EIDRM : errno);
}

static int find(key_t key, unsigned initial, int flags, bool *is_phps)
{
    struct semid_ds status = {0};
    int id = (int)sys(SYS_semget, key, 0, 0);

    if (id < 0)
        return -1;
    if (status_of(id, &status) < 0)
        return lost();
    *is_phps = status.sem_nsems == PHP_SEMS;
    if (!*is_phps && status.sem_nsems != 1)
        return fail(EINVAL);
    if (await_set_up(id, initial, flags & O_CREAT) < 0 || (*is_phps && join_php(id) < 0))
        return lost();
    return id;
}

static int make_or_find(key_t key, unsigned initial, int flags, int mode, bool *is_phps)
{
    *is_phps = false;
    for (;;) {
        int id = -1;

        if (key == PROC_PRIVATE || flags & O_CREAT) {
            id = make(key, initial, mode);
            if (id >= 0 || (errno != EEXIST && errno != EIDRM) || (errno == EEXIST && flags & O_EXCL))
                return id;
        }
        id = find(key, initial, flags, is_phps);
        if (id < 0 && errno == EIDRM && !(flags & O_CREAT))
            return fail(ENOENT);
        /* It may have been removed in between, before or after it was found. */
        if (id >= 0 || !(flags & O_CREAT) || (errno != ENOENT && errno != EIDRM))
            return id;
    }
}

struct proc_sem *proc_sem_open(key_t key, unsigned initial, int flags, mode_t mode)
{
    if (key == -1 || initial > PROC_SEM_MAX || flags & ~(O_CREAT | O_EXCL | PROC_SEM_NO_UNDO) || mode & ~(mode_t)0777) {
        errno = EINVAL;
        return NULL;
    }
    struct proc_sem *sem = calloc(1, sizeof *sem);
    if (!sem)
        return NULL;
    sem->undo = flags & PROC_SEM_NO_UNDO ? 0 : SEM_UNDO;
    sem->is_private = key == PROC_PRIVATE;
    sem->owner = (pid_t)raw(SYS_getpid);
    sem->id = make_or_find(key, initial, flags, (int)(mode ? mode : 0600), &sem->is_phps);
    if (sem->id < 0) {
        free(sem);
        return NULL;
    }
    if (sem->is_private)
        private_ipc_add(&sem->private_ipc, SYS_semctl, sem->id, NULL);
    return sem;
}

/* ---- using it ---- */

int proc_sem_acquire(struct proc_sem *sem, int timeout_ms)
{
    struct sembuf operation = {0, -1, (short)(sem->undo | (timeout_ms == 0 ? IPC_NOWAIT : 0))};

    if (timeout_ms < -1)
        return fail(EINVAL);
    long result = operate(sem->id, &operation, 1, deadline_in(timeout_ms == 0 ? -1 : timeout_ms));
    if (result == -EAGAIN)
        return 0;
    return result < 0 ? (int)kernel_result(result) : 1;
}

int proc_sem_release(struct proc_sem *sem)
{
    struct sembuf operation = {0, 1, sem->undo};

    return (int)kernel_result(operate(sem->id, &operation, 1, deadline_in(-1)));
}

int proc_sem_value(struct proc_sem *sem)
{
    return (int)sys(SYS_semctl, sem->id, 0, GETVAL, 0);
}

int proc_sem_remove(struct proc_sem *sem)
{
    if (sys(SYS_semctl, sem->id, 0, IPC_RMID, 0) < 0)
        return -1;
    sem->private_ipc.id = -1;
    return 0;
}

void proc_sem_close(struct proc_sem *sem)
{
    if (!sem)
        return;
    if (sem->is_private)
        private_ipc_remove(&sem->private_ipc);
    if (sem->is_phps && sem->owner == raw(SYS_getpid)) { /* the usage of a forked copy was never counted */
        struct sembuf operation = {PHP_USAGE, -1, SEM_UNDO | IPC_NOWAIT};

        operate(sem->id, &operation, 1, deadline_in(0));
    }
    free(sem);
}
