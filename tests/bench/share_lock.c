/* Taking a lock and giving it back, free and fought over, beside a robust mutex without the library, semaphores of both
 * kinds, and what PHP programs count with. */
#include "batches.h"
#include "ipc_apart.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <sys/mman.h>

#define PATIENCE_MS 60000

/* ---- the ways ---- */

static void lock(void *arg, unsigned count)
{
    struct proc_lock *it = arg;

    while (count-- > 0)
        if (proc_lock_acquire(it, -1) != 1 || proc_lock_release(it) < 0)
            batch_fail("proc_lock");
}

static void lock_in_time(void *arg, unsigned count)
{
    struct proc_lock *it = arg;

    while (count-- > 0)
        if (proc_lock_acquire(it, PATIENCE_MS) != 1 || proc_lock_release(it) < 0)
            batch_fail("proc_lock");
}

static void mutex(void *arg, unsigned count)
{
    pthread_mutex_t *it = arg;

    while (count-- > 0)
        if (pthread_mutex_lock(it) != 0 || pthread_mutex_unlock(it) != 0)
            batch_fail("pthread_mutex");
}

static void sysv_semaphore(void *arg, unsigned count)
{
    struct proc_sem *it = arg;

    while (count-- > 0)
        if (proc_sem_acquire(it, -1) != 1 || proc_sem_release(it) < 0)
            batch_fail("proc_sem");
}

static void posix_semaphore(void *arg, unsigned count)
{
    sem_t *it = arg;

    while (count-- > 0) {
        while (sem_wait(it) < 0)
            if (errno != EINTR)
                batch_fail("sem_wait");
        sem_post(it);
    }
}

/* ---- what they do it with ---- */

struct things {
    struct proc_lock *lock;
    pthread_mutex_t *mutex;
    struct proc_sem *sem, *no_undo;
    sem_t *posix;
    char php_key[16];
};

static void *share(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        err(1, "mmap");
    return memory;
}

static pthread_mutex_t *make_mutex(void)
{
    pthread_mutex_t *made = share(sizeof *made);
    pthread_mutexattr_t attributes;

    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    if ((errno = pthread_mutex_init(made, &attributes)) != 0)
        err(1, "pthread_mutex_init");
    pthread_mutexattr_destroy(&attributes);
    return made;
}

static struct things make(void)
{
    struct things things = {
        .lock = proc_lock_open(PROC_PRIVATE, 0, 0),
        .mutex = make_mutex(),
        .sem = proc_sem_open(ipc_new_key(), 1, O_CREAT | O_EXCL, 0),
        .no_undo = proc_sem_open(ipc_new_key(), 1, O_CREAT | O_EXCL | PROC_SEM_NO_UNDO, 0),
        .posix = share(sizeof *things.posix),
    };

    if (!things.lock || !things.sem || !things.no_undo || sem_init(things.posix, 1, 1) < 0)
        err(1, "locks and semaphores");
    snprintf(things.php_key, sizeof things.php_key, "%d", ipc_new_key());
    return things;
}

static void release(struct things *things)
{
    proc_lock_close(things->lock);
    proc_sem_remove(things->sem);
    proc_sem_close(things->sem);
    proc_sem_remove(things->no_undo);
    proc_sem_close(things->no_undo);
}

/* ---- the report ---- */

enum { LIBPROC, IN_TIME, MUTEX, SYSV, NO_UNDO, POSIX, PHP, WAYS };

static void compare(enum place place, struct things *things)
{
    struct side php = {.peer = PEER("php", "share_php.php", "counter", things->php_key)};
    struct batch ways[WAYS] = {
        [LIBPROC] = {.name = "libproc", .first.run = lock, .arg = things->lock},
        [IN_TIME] = {.name = "libproc with timeouts", .first.run = lock_in_time, .arg = things->lock, .beside = true},
        [MUTEX] = {.name = "robust mutex", .first.run = mutex, .arg = things->mutex},
        [SYSV] = {.name = "proc_sem", .first.run = sysv_semaphore, .arg = things->sem, .beside = true},
        [NO_UNDO] = {.name = "proc_sem without undo", .first.run = sysv_semaphore, .arg = things->no_undo, .beside = true},
        [POSIX] = {.name = "POSIX semaphore", .first.run = posix_semaphore, .arg = things->posix, .beside = true},
        [PHP] = {.name = "PHP's counter under a lock", .first = php, .beside = true},
    };

    for (int way = 0; place != NOWHERE && way < WAYS; way++) {
        ways[way].second = ways[way].first;
        ways[way].rivals = true;
    }
    bench_title("taking a lock and giving it back, %s", place_name(place));
    if (!run_batches(ways, WAYS, place)) {
        bench_note("left out: one processor");
        return;
    }
    print_batches(ways, WAYS);
    bench_print_ratio(&ways[LIBPROC].series, &ways[MUTEX].series, GOAL_AT_MOST(place == NOWHERE ? 1.1 : 1.2));
    bench_print_ratio(&ways[IN_TIME].series, &ways[MUTEX].series, GOAL_NONE);
    for (int way = SYSV; way < WAYS; way++)
        bench_print_ratio(&ways[LIBPROC].series, &ways[way].series, GOAL_NONE);
    release_batches(ways, WAYS);
}

int main(void)
{
    ipc_apart();
    struct things things = make();
    for (enum place place = NOWHERE; place <= OTHER_PROCESSOR; place++)
        compare(place, &things);
    release(&things);
    return 0;
}
