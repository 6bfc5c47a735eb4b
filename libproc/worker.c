/* The life of a worker: it gets hold of its slot, says that it is ready, and runs jobs, or the program's own loop, until it is asked
 * to leave. */
#include "worker.h"

#include "clients.h"
#include "deadline.h"
#include "job_queue.h"
#include "kernel.h"
#include "large_files.h"
#include "leaving.h"
#include "packet.h"
#include "queue_bell.h"

#include <stdlib.h>
#include <sys/ipc.h>
#include <sys/mman.h>

#define FAILED_TO_START 1

/* What a process is, as its signals are its own. */
static struct proc_worker *current;

struct proc_worker *worker_current(void)
{
    return current && current->pid == (pid_t)raw(SYS_getpid) ? current : NULL;
}

static struct slot *slot_of(const struct proc_worker *worker)
{
    return &worker->pool->area.slots[worker->slot];
}

struct notice worker_notice(const struct proc_worker *worker, enum notice_kind kind)
{
    return (struct notice){.kind = kind, .slot = worker->slot, .serial = worker->serial};
}

long worker_tell(const struct proc_worker *worker, const struct notice *notice)
{
    struct packet packet = {.fds = PACKET_NO_FDS};

    return notice_send(worker->pool->notices.workers_end, notice, &packet);
}

static long tell(const struct proc_worker *worker, enum notice_kind kind)
{
    struct notice notice = worker_notice(worker, kind);

    return worker_tell(worker, &notice);
}

/* ---- birth ---- */

void worker_prepare(void *arg)
{
    const struct runner *runner = arg;

    leaving_prepare(runner->pool->manager_pid);
}

/* The message's pages are mapped and stay: a process that is killed while a message arrives cannot fetch them any more. Where there
 * may be no lock on memory, they are only touched. */
static void hold_pages(const struct proc_worker *worker)
{
    const struct pool_area *area = &worker->pool->area;
    volatile char *message = (volatile char *)pool_area_message(area, worker->slot);

    for (size_t i = 0; i < area->message_size; i += 4096)
        __atomic_fetch_or(&message[i], 0, __ATOMIC_RELAXED);
    raw(SYS_mlock, message, area->message_size);
}

/* Another manager's worker may have it still: it has been forked, and not got here yet. */
static bool take_slot(const struct proc_worker *worker)
{
    struct slot *slot = slot_of(worker);

    robust_set_up(&slot->life);
    if (robust_lock(&slot->life, 0) <= 0)
        return false;
    atomic_store(&slot->pid, worker->pid);
    atomic_store(&slot->alive_ns, monotonic_ns());
    hold_pages(worker);
    return true;
}

/* Up to a quarter less than all of them, so that not all workers are replaced at once. */
static unsigned share_of_jobs(unsigned most)
{
    uint32_t chance = 0;

    if (most < 4)
        return most;
    raw(SYS_getrandom, &chance, sizeof chance, 0);
    return most - chance % (most / 4 + 1);
}

static void init(struct proc_worker *worker, const struct runner *runner)
{
    *worker = (struct proc_worker){
        .pool = runner->pool,
        .pid = (pid_t)raw(SYS_getpid),
        .slot = runner->slot,
        .index = runner->index,
        .generation = runner->generation,
        .serial = runner->serial,
        .mailbox = -1,
        .fd = -1,
        .jobs_left = share_of_jobs(runner->pool->options.max_jobs),
    };
    runner->pool->self = current = worker;
}

/* ---- jobs ---- */

struct serving {
    struct proc_worker *worker;
    struct job_queue queue;
    struct clients *clients;
    struct job_source *source;
};

static bool is_clients(const struct serving *serving, const struct taken_job *taken)
{
    return taken->source != &serving->queue.source;
}

static int run(const struct serving *serving, const struct taken_job *taken)
{
    struct proc_worker *worker = serving->worker;
    const struct proc_pool_options *options = &worker->pool->options;

    atomic_store_explicit(&slot_of(worker)->busy_since_ns, monotonic_ns(), memory_order_relaxed);
    return options->job(worker, &taken->job, options->arg);
}

static void tell_of_client_job(const struct serving *serving, const struct taken_job *taken, enum job_fate fate)
{
    struct notice notice = worker_notice(serving->worker, NOTICE_CLIENT_JOB);

    notice.job.event = fate == JOB_DEAD ? PROC_POOL_JOB_DEAD : PROC_POOL_JOB_RETRIED;
    notice.job.attempt = taken->job.attempt;
    notice.job.id = taken->job.id;
    notice.job.size = taken->job.size;
    worker_tell(serving->worker, &notice);
}

static void count_client_job(struct slot *slot, enum job_fate fate)
{
    if (fate == JOB_DEAD)
        atomic_fetch_add(&slot->dead, 1);
    else
        atomic_fetch_add(&slot->retried, 1);
}

static void fail(struct serving *serving, struct taken_job *taken)
{
    struct taken_job failed = *taken;
    enum job_fate fate = taken->source->give_back(taken->source, taken);

    if (fate == JOB_LEFT_TO_MANAGER) {
        tell(serving->worker, NOTICE_FAILED);
        job_queue_wait_for_judgement(&serving->queue);
        return;
    }
    count_client_job(slot_of(serving->worker), fate);
    tell_of_client_job(serving, &failed, fate);
}

/* One of a client's is not in the slot: that it is in hand is said beside it. */
static void begin_client_job(struct serving *serving, const struct taken_job *taken)
{
    struct proc_worker *worker = serving->worker;

    atomic_fetch_or(&slot_of(worker)->marks, SLOT_SERVES_CLIENT);
    if (taken->job.attempt == 1)
        atomic_fetch_add(&worker->pool->area.head->submitted, 1);
}

static void end_client_job(struct serving *serving)
{
    struct slot *slot = slot_of(serving->worker);

    atomic_fetch_and(&slot->marks, ~SLOT_SERVES_CLIENT);
}

static void do_job(struct serving *serving, struct taken_job *taken, int taken_how)
{
    struct slot *slot = slot_of(serving->worker);
    bool clients = is_clients(serving, taken);

    if (clients)
        begin_client_job(serving, taken);
    if (taken_how == 1 && run(serving, taken) == 0) {
        taken->source->done(taken->source, taken);
        if (clients)
            slot_finish(slot);
    } else
        fail(serving, taken);
    if (clients)
        end_client_job(serving);
    atomic_store(&slot->busy_since_ns, 0);
}

static bool has_done_its_share(struct proc_worker *worker)
{
    if (worker->jobs_left == 0 || --worker->jobs_left > 0)
        return false;
    atomic_fetch_or(&slot_of(worker)->marks, SLOT_REPLACED);
    return true;
}

static int open_sources(struct serving *serving)
{
    struct proc_pool *pool = serving->worker->pool;

    job_queue_init(&serving->queue, &pool->area, pool->queue, serving->worker->slot, pool->bell);
    serving->source = &serving->queue.source;
    if (pool->listener.fd < 0)
        return 0;
    struct clients_options options = {.listener = pool->listener.fd,
                                      .stop = leaving_fd(),
                                      .timeout_ms = pool->options.client_timeout_ms,
                                      .max_job_size = pool->options.max_job_size,
                                      .max_attempts = pool->options.max_attempts,
                                      .ids = &pool->area.head->last_id,
                                      .queue_bell = pool->bell,
                                      .queue = &serving->queue.source};
    serving->clients = options.stop < 0 ? NULL : clients_new(&options);
    if (!serving->clients)
        return -1;
    serving->source = clients_source(serving->clients);
    return 0;
}

static int serve(struct proc_worker *worker)
{
    struct serving serving = {.worker = worker};
    struct taken_job taken;
    int result = 0;

    if (open_sources(&serving) < 0)
        return FAILED_TO_START;
    while (!worker->is_detached && (result = serving.source->take(serving.source, &taken)) > 0) {
        do_job(&serving, &taken, result);
        if (has_done_its_share(worker))
            break;
    }
    if (result < 0) /* there is no queue any more */
        tell(worker, NOTICE_NO_QUEUE);
    clients_free(serving.clients);
    return 0;
}

/* ---- the whole of it ---- */

/* Not one of the program's workers. */
static int ring_the_bell(struct proc_worker *worker)
{
    const struct proc_pool *pool = worker->pool;

    tell(worker, NOTICE_READY);
    if (queue_bell_serve(&pool->area, pool->queue, worker->slot, pool->bell) < 0)
        tell(worker, NOTICE_NO_QUEUE);
    return 0;
}

static int live(struct proc_worker *worker)
{
    const struct proc_pool_options *options = &worker->pool->options;

    if (worker->index == worker->pool->area.row_count)
        return ring_the_bell(worker);
    if (options->start && options->start(worker, options->arg) != 0)
        return FAILED_TO_START;
    atomic_store(&slot_of(worker)->alive_ns, monotonic_ns());
    if (tell(worker, NOTICE_READY) < 0)
        return 0;
    int status = options->main ? options->main(worker, options->arg) : serve(worker);
    if (options->stop)
        options->stop(worker, options->arg);
    return status;
}

/* Of a private pool whose manager is gone nobody can take jobs any more, and nobody else would remove its queue. */
static void leave(const struct proc_worker *worker)
{
    const struct proc_pool *pool = worker->pool;

    if (leaving.asked)
        atomic_fetch_or(&slot_of(worker)->marks, SLOT_LEAVES);
    if (pool->key == PROC_PRIVATE && !worker->is_detached && leaving_manager_is_gone()) {
        raw(SYS_msgctl, pool->queue, IPC_RMID, NULL);
        large_files_remove_all(pool->queue);
    }
}

int worker_main(struct proc *self, void *runner)
{
    struct proc_worker worker;

    (void)self;
    init(&worker, runner);
    if (leaving_follow_manager(worker.pool->options.grace_ms) < 0 || !take_slot(&worker)) {
        leave(&worker);
        return FAILED_TO_START;
    }
    int status = live(&worker);
    leave(&worker);
    return status;
}

/* ---- what a worker may ask ---- */

unsigned proc_worker_index(const struct proc_worker *worker)
{
    return worker->index;
}

unsigned proc_worker_generation(const struct proc_worker *worker)
{
    return worker->generation;
}

struct proc_pool *proc_worker_pool(struct proc_worker *worker)
{
    return worker->pool;
}

bool proc_worker_stopping(struct proc_worker *worker)
{
    return leaving.asked || (!worker->is_detached && leaving_manager_is_gone());
}

void proc_worker_alive(struct proc_worker *worker)
{
    atomic_store_explicit(&slot_of(worker)->alive_ns, monotonic_ns(), memory_order_relaxed);
}

int proc_worker_detach(struct proc_worker *worker)
{
    if (worker->is_detached)
        return 0;
    if (leaving.asked) {
        errno = ESHUTDOWN;
        return -1;
    }
    long result = tell(worker, NOTICE_DETACHED);
    if (result < 0)
        return (int)kernel_result(result);
    leaving_unfollow_manager();
    worker->is_detached = true;
    return 0;
}

int proc_job_reply(const struct proc_job *job, const void *data, size_t size)
{
    const struct taken_job *taken = (const struct taken_job *)job;

    if (!taken->source->reply) {
        errno = EINVAL;
        return -1;
    }
    return taken->source->reply(taken->source, data, size);
}
