/* A worker that is handed jobs: takes one after the other from its source, and says of each what has become of it. */
#include "serving.h"

#include "clients.h"
#include "deadline.h"
#include "job_queue.h"
#include "leaving.h"

#include <errno.h>

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

    atomic_store_explicit(&worker_slot(worker)->busy_since_ns, monotonic_ns(), memory_order_relaxed);
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
        slot_count_dead(slot);
    else
        slot_count_retry(slot);
}

/* The wait for the judgement is no work on a job. Who takes no more jobs needs no free slot, nor does one without a manager. */
static void leave_to_manager(struct serving *serving)
{
    struct proc_worker *worker = serving->worker;

    atomic_store(&worker_slot(worker)->busy_since_ns, 0);
    if (worker_say(worker, NOTICE_FAILED) < 0)
        leaving_ask();
    else if (!worker->is_detached)
        job_queue_wait_for_judgement(&serving->queue);
}

static void fail(struct serving *serving, struct taken_job *taken)
{
    struct taken_job failed = *taken;
    enum job_fate fate = taken->source->give_back(taken->source, taken);

    if (fate == JOB_LEFT_TO_MANAGER) {
        leave_to_manager(serving);
        return;
    }
    count_client_job(worker_slot(serving->worker), fate);
    tell_of_client_job(serving, &failed, fate);
}

/* One of a client's is not in the slot: that it is in hand is said beside it. */
static void begin_client_job(struct serving *serving, const struct taken_job *taken)
{
    struct slot *slot = worker_slot(serving->worker);
    bool is_new = taken->job.attempt == 1;

    if (is_new)
        slot_job_comes(slot);
    atomic_fetch_or(&slot->marks, SLOT_SERVES_CLIENT);
    slot_job_has_come(slot);
    if (is_new)
        atomic_fetch_add(&serving->worker->pool->area.head->submitted, 1);
}

static void end_client_job(struct serving *serving)
{
    struct slot *slot = worker_slot(serving->worker);

    atomic_fetch_and(&slot->marks, ~SLOT_SERVES_CLIENT);
}

static void do_job(struct serving *serving, struct taken_job *taken, int taken_how)
{
    struct slot *slot = worker_slot(serving->worker);
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
    atomic_fetch_or(&worker_slot(worker)->marks, SLOT_REPLACED);
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

int serve_jobs(struct proc_worker *worker)
{
    struct serving serving = {.worker = worker};
    struct taken_job taken;
    int result = 0;

    if (open_sources(&serving) < 0)
        return WORKER_FAILED_TO_START;
    while ((result = serving.source->take(serving.source, &taken)) > 0) {
        do_job(&serving, &taken, result);
        bool is_last = has_done_its_share(worker) || worker->is_detached;
        if (is_last && !serving.clients)
            break;
        if (is_last) /* those that it has accepted are answered */
            clients_stop(serving.clients);
    }
    if (result < 0)
        worker_say_queue_fails(worker, errno);
    clients_free(serving.clients);
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
