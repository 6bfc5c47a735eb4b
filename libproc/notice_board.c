/* Reading notices. Each says whose it is: one that comes after its worker's end, when another process has the slot, is known
 * by its serial number. Messages are taken from anyone. */
#include "notice_board.h"

#include "judge.h"
#include "kernel.h"
#include "large_files.h"
#include "member.h"
#include "packet.h"
#include "runner.h"

#include <stdlib.h>
#include <string.h>

#define SOME 256

static struct runner *sender(const struct proc_pool *pool, const struct notice *notice)
{
    struct runner *runner = notice->slot < pool->area.slot_count ? pool->by_slot[notice->slot] : NULL;

    return runner && runner->serial == notice->serial ? runner : NULL;
}

/* ---- messages ---- */

static void deliver(struct proc_pool *pool, struct mailbox *mailbox)
{
    if (mailbox_deliver(mailbox) && !timeout_is_set(&pool->poll))
        timeout_set(&pool->poll, pool, 50);
}

/* Also of an index that has no worker: those wait for its next one. */
static struct mailbox *mailbox_of(struct proc_pool *pool, int32_t index)
{
    return index >= 0 && (unsigned)index < pool->member_count ? &pool->members[index]->mailbox : NULL;
}

static int put(struct proc_pool *pool, struct letter *letter)
{
    struct mailbox *mailbox = mailbox_of(pool, letter->head.to);

    if (!mailbox) {
        free(letter);
        errno = EINVAL;
        return -1;
    }
    mailbox_put(mailbox, letter);
    deliver(pool, mailbox);
    return 0;
}

int notice_board_post(struct proc_pool *pool, struct letter_head head, const void *data)
{
    if (head.size > LETTER_IN_PACKET && !large_file_may_have(head.size)) {
        errno = EFBIG;
        return -1;
    }
    struct letter *letter = letter_new(head);
    if (!letter)
        return -1;
    if (head.size > 0)
        memcpy(letter->data, data, head.size);
    return put(pool, letter);
}

/* false: not now. */
static bool take_letter(struct proc_pool *pool, const struct notice *notice, struct packet *packet)
{
    struct letter *letter = letter_new(notice->letter);
    int file = packet->fds[0];
    bool is_whole = file < 0 && packet->size == notice->letter.size;

    if (!letter)
        return false;
    packet->fds[0] = -1;
    if (is_whole)
        memcpy(letter->data, packet->data, packet->size);
    else if (file < 0 || letter_read_file(file, letter->data, letter->head.size) < 0) {
        free(letter);
        return file < 0; /* one that nobody can read is dropped */
    }
    put(pool, letter);
    return true;
}

/* A newer holder may have asked for them already. */
static void connect_mailbox(struct runner *runner, struct packet *packet)
{
    struct member *member = runner->member;

    if (!member || packet->fds[0] < 0 || packet->fds[1] < 0)
        return;
    if (mailbox_is_connected(&member->mailbox) && member->mailbox.serial > runner->serial)
        return;
    mailbox_connect(&member->mailbox, packet->fds[0], packet->fds[1], runner->serial);
    packet->fds[0] = packet->fds[1] = -1;
    deliver(runner->pool, &member->mailbox);
}

static void confirm(struct runner *runner)
{
    struct member *member = runner->member;

    if (!member || member->mailbox.serial != runner->serial)
        return;
    mailbox_confirm(&member->mailbox);
    deliver(runner->pool, &member->mailbox);
}

/* ---- the others ---- */

static void tell_of_client_job(const struct runner *runner, const struct notice *notice)
{
    struct proc_job job = {.id = notice->job.id, .attempt = notice->job.attempt, .size = notice->job.size};

    pool_tell(runner->pool, (struct happening){.type = (enum proc_pool_event_type)notice->job.event,
                                               .worker = (int)runner->index,
                                               .pid = proc_pid(runner->proc),
                                               .job = &job});
}

static void react(struct runner *runner, const struct notice *notice, struct packet *packet)
{
    switch ((enum notice_kind)notice->kind) {
    case NOTICE_READY:
        member_ready(runner);
        break;
    case NOTICE_FAILED:
        judge_failed(runner->pool, runner->slot, proc_pid(runner->proc));
        break;
    case NOTICE_CLIENT_JOB:
        tell_of_client_job(runner, notice);
        break;
    case NOTICE_DETACHED:
        member_detached(runner);
        break;
    case NOTICE_QUEUE_FAILS:
        runner->pool->queue_failure = (int)notice->job.event;
        break;
    case NOTICE_MAILBOX:
        connect_mailbox(runner, packet);
        break;
    case NOTICE_READ:
        confirm(runner);
        break;
    case NOTICE_LETTER:
        break;
    }
}

static bool read_one(struct proc_pool *pool, const struct notice *notice, struct packet *packet)
{
    struct runner *runner = sender(pool, notice);
    bool is_done = true;

    if (notice->kind == NOTICE_LETTER)
        is_done = take_letter(pool, notice, packet);
    else if (runner)
        react(runner, notice, packet);
    packet_close_fds(packet);
    return is_done;
}

/* What needs a descriptor or memory that there is not, stays. */
enum notices_left notice_board_read(struct proc_pool *pool)
{
    int socket = pool->notices.ends.fd[END_CHANNEL];
    char data[LETTER_IN_PACKET] = "";
    struct notice notice;

    for (int i = 0; i < SOME; i++) {
        struct packet packet = {&notice, sizeof notice, data, sizeof data, PACKET_NO_FDS};
        long result = packet_look(socket, &packet);

        if (result < 0)
            return result == -EMFILE ? NOTICES_NOT_NOW : NOTICES_NONE;
        if (!read_one(pool, &notice, &packet))
            return NOTICES_NOT_NOW;
        packet_drop(socket);
    }
    return NOTICES_MORE;
}
