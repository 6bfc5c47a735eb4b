/* What a program does with a pool. */
#include "pool_state.h"

#include "job_queue.h"
#include "deadline.h"
#include "kernel.h"
#include "large_files.h"
#include "left_behind.h"
#include "manager.h"
#include "notice_board.h"
#include "packet.h"
#include "pool_life.h"
#include "pool_options.h"
#include "worker.h"

#include <stdlib.h>

static int fail(int error)
{
    errno = error;
    return -1;
}

/* ---- making one ---- */

/* Whoever begins to manage it is told that somebody else does, as long as we have not made all that belongs to it. */
static int lock_area(struct proc_pool *pool)
{
    return robust_lock(&pool->area.head->manager, 0) > 0 ? 0 : fail(EBUSY);
}

static void describe(const struct proc_pool *pool)
{
    struct pool_head *head = pool->area.head;

    atomic_store(&head->max_job_size, pool->options.max_job_size);
    atomic_store(&head->mood, pool->options.job ? POOL_OPEN : POOL_WITHOUT_JOBS);
    atomic_store(&head->workers, pool->options.workers);
}

static int open_queue(struct proc_pool *pool)
{
    if (!pool->options.job)
        return 0;
    pool->queue = job_queue_open(pool->key, true);
    if (pool->queue >= 0 && pool->key == PROC_PRIVATE)
        private_ipc_add(&pool->private_ipc, SYS_msgctl, pool->queue, large_files_remove_all);
    return pool->queue < 0 ? -1 : 0;
}

static int open_queue_and_listener(struct proc_pool *pool)
{
    if (open_queue(pool) < 0)
        return -1;
    return pool->options.listen ? listener_open(&pool->listener, pool->options.listen) : 0;
}

/* What is new under the key, and of no use. */
static void take_back(struct proc_pool *pool, bool area_is_new, bool queue_is_new)
{
    int saved = errno;

    if (area_is_new)
        mapping_remove(&pool->area.mapping);
    if (queue_is_new && pool->queue >= 0)
        raw(SYS_msgctl, pool->queue, IPC_RMID, NULL);
    errno = saved;
}

static bool has_queue(key_t key)
{
    return raw(SYS_msgget, key, 0) != -ENOENT;
}

static int open_all(struct proc_pool *pool)
{
    bool is_new = false, had_queue = pool->key != PROC_PRIVATE && has_queue(pool->key);

    pool->own_manager = calloc(1, sizeof *pool->own_manager);
    if (!pool->own_manager || pool_area_open(&pool->area, pool->key, pool->options.workers, &is_new) < 0)
        return -1;
    if (lock_area(pool) < 0)
        return -1;
    int result = open_queue_and_listener(pool);
    if (result == 0)
        describe(pool);
    else if (pool->key != PROC_PRIVATE)
        take_back(pool, is_new, !had_queue);
    robust_unlock(&pool->area.head->manager);
    return result;
}

static struct proc_pool *pool_new(key_t key)
{
    struct proc_pool *pool = calloc(1, sizeof *pool);

    if (!pool)
        return NULL;
    pool->key = key;
    pool->queue = -1;
    pool->listener.fd = -1;
    pool->bell = -1;
    pool->maker = (pid_t)raw(SYS_getpid);
    return pool;
}

struct proc_pool *proc_pool_new_sized(const struct proc_pool_options *options, size_t size)
{
    struct proc_pool_options copy;

    left_behind_reap();
    if (pool_options_copy(&copy, options, size) < 0)
        return NULL;
    struct proc_pool *pool = pool_new(copy.key);
    if (!pool) {
        pool_options_free(&copy);
        return NULL;
    }
    pool->options = copy;
    if (open_all(pool) == 0)
        return pool;
    proc_pool_free(pool);
    return NULL;
}

static int attach(struct proc_pool *pool)
{
    if (pool_area_attach(&pool->area, pool->key) < 0)
        return errno == EIDRM || errno == EAGAIN ? fail(ENOENT) : -1;
    if (atomic_load(&pool->area.head->mood) == POOL_WITHOUT_JOBS)
        return 0;
    pool->queue = job_queue_open(pool->key, false);
    return pool->queue < 0 ? -1 : 0;
}

struct proc_pool *proc_pool_attach(key_t key)
{
    if (key == PROC_PRIVATE || key == -1) {
        errno = EINVAL;
        return NULL;
    }
    struct proc_pool *pool = pool_new(key);
    if (!pool)
        return NULL;
    pool->is_attached = true;
    if (attach(pool) == 0)
        return pool;
    proc_pool_free(pool);
    return NULL;
}

/* ---- running it ---- */

static bool is_this_process(pid_t pid)
{
    return pid == (pid_t)raw(SYS_getpid);
}

static bool is_a_copy(const struct proc_pool *pool)
{
    return pool->stage != POOL_NOT_BEGUN && pool->stage != POOL_OVER && !is_this_process(pool->manager_pid);
}

static int begin(struct manager *manager, struct proc_pool *pool)
{
    if (pool->is_attached || pool->self)
        return fail(EINVAL);
    if (pool->stage != POOL_NOT_BEGUN && pool->stage != POOL_OVER)
        return fail(EBUSY);
    pool->manager = manager;
    manager->is_at_it = true;
    int result = pool_begin(pool, manager->waiter);
    manager->is_at_it = false;
    if (result < 0 || manager_hear(manager, pool) == 0)
        return result;
    int failure = errno;
    pool_end(pool);
    return fail(failure);
}

static bool is_over(const struct manager *manager)
{
    for (size_t i = 0; i < manager->count; i++)
        if (manager->pools[i]->stage != POOL_OVER)
            return false;
    return true;
}

static int run_until_over(struct manager *manager)
{
    manager_settle(manager);
    while (!is_over(manager))
        if (manager_step(manager, deadline_in(-1)) < 0)
            return -1;
    for (size_t i = 0; i < manager->count; i++)
        if (manager->pools[i]->result != 0)
            return fail(manager->pools[i]->result);
    return 0;
}

/* Of pools that have begun, after a failure. */
static void end_all(const struct manager *manager, size_t count)
{
    int saved = errno;

    for (size_t i = 0; i < count; i++)
        if (manager->pools[i]->stage != POOL_OVER)
            pool_end(manager->pools[i]);
    errno = saved;
}

static int run(struct manager *manager)
{
    size_t begun = 0;
    int result = manager_take_signals(manager);

    while (result == 0 && begun < manager->count) {
        result = begin(manager, manager->pools[begun]);
        if (result == 0)
            begun++;
    }
    if (result == 0)
        result = run_until_over(manager);
    end_all(manager, begun);
    return result;
}

int proc_pool_run_all(struct proc_pool *const *pools, size_t count)
{
    struct manager manager;

    if (count == 0)
        return fail(EINVAL);
    if (manager_open(&manager) < 0)
        return -1;
    int result = manager_begin(&manager, 0, pools, count);
    if (result == 0)
        result = run(&manager);
    manager_close(&manager);
    return result;
}

int proc_pool_run(struct proc_pool *pool)
{
    return proc_pool_run_all(&pool, 1);
}

/* ---- in a loop of the program's own ---- */

/* A forked process has another one than its parent. */
static int own_manager(const struct proc_pool *pool)
{
    struct manager *manager = pool->own_manager;

    if (!manager)
        return fail(EINVAL);
    if (manager->owner != 0 && is_this_process(manager->owner))
        return manager->ends.fd[END_EPOLL];
    return manager_open(manager);
}

int proc_pool_fd(const struct proc_pool *pool)
{
    return own_manager(pool);
}

/* The pool is the only one of its manager: the place where it is noted stays. */
static int begin_polled(struct proc_pool *pool)
{
    struct manager *manager = pool->own_manager;

    pool->alone[0] = pool;
    if (!manager->waiter && manager_begin(manager, PROC_WAITER_PIDFD, pool->alone, 1) < 0)
        return -1;
    if (begin(manager, pool) < 0)
        return -1;
    manager_settle(manager);
    return 1;
}

static int result_of(const struct proc_pool *pool)
{
    return pool->result == 0 ? 0 : fail(pool->result);
}

int proc_pool_poll(struct proc_pool *pool, int timeout_ms)
{
    if (timeout_ms < -1)
        return fail(EINVAL);
    if (own_manager(pool) < 0)
        return -1;
    if (pool->stage == POOL_NOT_BEGUN)
        return begin_polled(pool);
    if (pool->stage == POOL_OVER)
        return result_of(pool);
    if (is_a_copy(pool))
        return fail(EPERM);
    int result = manager_step(pool->own_manager, deadline_in(timeout_ms));
    return result > 0 && pool->stage == POOL_OVER && pool->result != 0 ? result_of(pool) : result;
}

bool proc_pool_done(const struct proc_pool *pool)
{
    return pool->stage == POOL_OVER;
}

/* ---- what to do ---- */

static bool has_another_manager(const struct proc_pool *pool)
{
    pthread_mutex_t *manager = &pool->area.head->manager;

    if (robust_lock(manager, 0) <= 0)
        return true;
    robust_unlock(manager);
    return false;
}

/* 1: now; 0: it does not run yet; -1 with errno. */
static int may_be_told(const struct proc_pool *pool)
{
    if (pool->is_attached || pool->self || is_a_copy(pool))
        return fail(EPERM);
    if (pool->stage == POOL_STOPS || pool->stage == POOL_OVER)
        return fail(ESHUTDOWN);
    if (pool->stage == POOL_NOT_BEGUN && has_another_manager(pool))
        return fail(EPERM);
    return pool_is_at_work(pool);
}

int proc_pool_reload(struct proc_pool *pool)
{
    int result = may_be_told(pool);

    return result > 0 ? pool_reload(pool) : result;
}

static int resize_before(struct proc_pool *pool, unsigned workers)
{
    if (workers == 0 || workers > pool->area.row_count)
        return fail(workers == 0 ? EINVAL : ENOSPC);
    pool->options.workers = workers;
    atomic_store(&pool->area.head->workers, workers);
    return 0;
}

int proc_pool_resize(struct proc_pool *pool, unsigned workers)
{
    int result = may_be_told(pool);

    if (result < 0)
        return -1;
    return result > 0 ? pool_resize(pool, workers) : resize_before(pool, workers);
}

/* Before it runs, it is what it will do first. */
static int want(struct proc_pool *pool, enum pool_stage stage)
{
    pool->wanted = stage;
    return 0;
}

int proc_pool_stop(struct proc_pool *pool)
{
    int result = may_be_told(pool);

    if (result < 0)
        return -1;
    return result > 0 ? pool_stop(pool) : want(pool, POOL_STOPS);
}

int proc_pool_drain(struct proc_pool *pool)
{
    int result = may_be_told(pool);

    if (result < 0)
        return -1;
    return result > 0 ? pool_drain(pool) : want(pool, POOL_DRAINS);
}

/* ---- jobs and messages ---- */

/* The worker that this process is, of this pool or of another one under the same manager. */
static struct proc_worker *worker_beside(const struct proc_pool *pool)
{
    struct proc_worker *worker = worker_current();

    return worker && pool->stage != POOL_NOT_BEGUN && worker->pool->manager_pid == pool->manager_pid ? worker : NULL;
}

/* What the pool's mood says of a job. */
static int may_submit(const struct proc_pool *pool)
{
    switch ((enum pool_mood)atomic_load_explicit(&pool->area.head->mood, memory_order_relaxed)) {
    case POOL_OPEN:
        return 0;
    case POOL_DRAINING:
        return worker_beside(pool) ? 0 : fail(ESHUTDOWN);
    case POOL_CLOSED:
        return fail(ESHUTDOWN);
    case POOL_WITHOUT_JOBS:
        break;
    }
    return fail(EINVAL);
}

#define FIRST_PAUSE_NS INT64_C(50000)
#define LONGEST_PAUSE_NS INT64_C(1000000)

/* Who makes room may need the manager: so he does not wait without doing his work, and not at all while he is at it. */
static int submit_as_manager(struct proc_pool *pool, const void *data, size_t size, int timeout_ms)
{
    struct deadline deadline = deadline_in(timeout_ms);
    int64_t pause_ns = FIRST_PAUSE_NS;
    int result;

    while ((result = job_queue_submit(&pool->area, pool->queue, data, size, 0)) == 0 && deadline_left_ns(deadline) > 0) {
        struct deadline pause = {monotonic_ns() + pause_ns};

        if (pool->manager->is_at_it)
            return fail(EDEADLK);
        if (manager_step(pool->manager, pause.at_ns < deadline.at_ns ? pause : deadline) < 0 || may_submit(pool) < 0)
            return -1;
        pause_ns = pause_ns < LONGEST_PAUSE_NS / 2 ? 2 * pause_ns : LONGEST_PAUSE_NS;
    }
    return result;
}

static bool manages(const struct proc_pool *pool)
{
    return pool->stage != POOL_NOT_BEGUN && pool->stage != POOL_OVER && is_this_process(pool->manager_pid);
}

int proc_pool_submit(struct proc_pool *pool, const void *data, size_t size, int timeout_ms)
{
    if (timeout_ms < -1)
        return fail(EINVAL);
    if (may_submit(pool) < 0)
        return -1;
    if (timeout_ms != 0 && manages(pool) && pool->manager->thread == (pid_t)raw(SYS_gettid))
        return submit_as_manager(pool, data, size, timeout_ms);
    return job_queue_submit(&pool->area, pool->queue, data, size, timeout_ms);
}

/* To the manager, by the way of the pool that the message is for. */
static int send_from_worker(struct proc_pool *pool, const struct proc_worker *worker, struct letter_head head, const void *data)
{
    struct notice notice = worker_notice(worker, NOTICE_LETTER);
    struct packet packet = {.data = (void *)data, .size = head.size, .fds = PACKET_NO_FDS};

    head.from = (int32_t)worker->index;
    notice.letter = head;
    if (head.size > LETTER_IN_PACKET) {
        long file = letter_make_file(data, head.size);

        if (file < 0)
            return fail((int)-file);
        packet.fds[0] = (int)file;
        packet.size = 0;
    }
    long result = notice_send(pool->notices.workers_end, &notice, &packet);
    packet_close_fds(&packet);
    return result < 0 ? fail((int)-result) : 0;
}

int proc_pool_send(struct proc_pool *pool, unsigned worker, const void *data, size_t size)
{
    struct letter_head head = {.from = -1, .to = (int32_t)worker, .size = size};
    struct proc_worker *sender = worker_beside(pool);

    if (worker >= atomic_load(&pool->area.head->workers))
        return fail(EINVAL);
    if (sender)
        return send_from_worker(pool, sender, head, data);
    if (!manages(pool))
        return fail(EPERM);
    return pool->stage == POOL_STOPS ? fail(ESHUTDOWN) : notice_board_post(pool, head, data);
}

int proc_pool_port(const struct proc_pool *pool)
{
    return pool->listener.fd >= 0 && pool->listener.port >= 0 ? pool->listener.port : fail(EINVAL);
}

/* ---- its end ---- */

int proc_pool_remove(struct proc_pool *pool)
{
    if (pool->queue >= 0 && sys(SYS_msgctl, pool->queue, IPC_RMID, NULL) < 0 && errno != EINVAL && errno != EIDRM)
        return -1;
    if (pool->queue >= 0)
        large_files_remove_all(pool->queue);
    pool->private_ipc.id = -1;
    return mapping_remove(&pool->area.mapping);
}

static void free_managing(struct proc_pool *pool)
{
    if (manages(pool))
        pool_end(pool);
    if (pool->own_manager && is_this_process(pool->own_manager->owner))
        manager_close(pool->own_manager);
}

void proc_pool_free(struct proc_pool *pool)
{
    if (!pool)
        return;
    int saved = errno;
    free_managing(pool);
    if (pool->queue >= 0 && pool->key == PROC_PRIVATE)
        private_ipc_remove(&pool->private_ipc);
    listener_close(&pool->listener);
    if (pool->area.head)
        pool_area_close(&pool->area);
    if (!pool->is_attached)
        pool_options_free(&pool->options);
    free(pool->own_manager);
    free(pool);
    left_behind_reap();
    errno = saved;
}
