/* What a worker has, and how it talks to its manager. */
#include "worker_state.h"

#include "packet.h"

struct slot *worker_slot(const struct proc_worker *worker)
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

    return notice_send(notices_way_in(&worker->pool->notices), notice, &packet);
}

long worker_say(const struct proc_worker *worker, enum notice_kind kind)
{
    struct notice notice = worker_notice(worker, kind);

    return worker_tell(worker, &notice);
}

long worker_say_queue_fails(const struct proc_worker *worker, int error)
{
    struct notice notice = worker_notice(worker, NOTICE_QUEUE_FAILS);

    notice.job.event = (uint32_t)error;
    return worker_tell(worker, &notice);
}
