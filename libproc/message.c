/* The kernel's calls have no timeout: they wait for ever, or not at all. In between there are four ways.
 *
 * - A signal that interrupts them, from a timer: it would have to be one of the program's signals.
 * - A thread that waits in our place: nothing but a signal's handler gets it out of the call again.
 * - To try again and again: half a pause late, and always busy. With pauses from 50 us to 1 ms it was 520 us late in the
 *   mean, and took 25 ms of processor time in each second.
 * - A helper process with signals of its own (beside.c): 27 us later than a plain msgrcv(), and 0.3 ms of processor time, however
 *   long it waits.
 *
 * So it is the helper; and to try again and again where there can be none. Those who wait by a helper wait in the kernel's
 * line, in order, as all others do. Only the queue's record of who was last names the helper. */
#include "message.h"

#include "beside.h"
#include "kernel.h"

#include <stdbool.h>
#include <sys/msg.h>

#define FIRST_PAUSE_NS INT64_C(50000)
#define LONGEST_PAUSE_NS INT64_C(1000000)

struct transfer {
    bool is_send;
    int queue;
    struct message *message;
    size_t size;
    long type;
};

static long transfer(const struct transfer *transfer, int flags)
{
    if (transfer->is_send)
        return raw(SYS_msgsnd, transfer->queue, transfer->message, transfer->size, flags);
    return message_try_receive(transfer->queue, transfer->message, transfer->size, transfer->type, flags);
}

/* -ETIMEDOUT: it would have to wait. */
static long transfer_now(const struct transfer *wanted)
{
    long result;

    do
        result = transfer(wanted, IPC_NOWAIT);
    while (result == -EINTR);
    return result == (wanted->is_send ? -EAGAIN : -ENOMSG) ? -ETIMEDOUT : result;
}

static long transfer_waiting(void *wanted)
{
    return transfer(wanted, 0);
}

static void give_back(void *argument, long size)
{
    const struct transfer *taken = argument;

    if (!taken->is_send)
        raw(SYS_msgsnd, taken->queue, taken->message, size, IPC_NOWAIT);
}

static long try_again_and_again(const struct transfer *wanted, struct deadline deadline)
{
    int64_t pause_ns = FIRST_PAUSE_NS;

    for (;;) {
        long result = transfer_now(wanted);
        int64_t left_ns = deadline_left_ns(deadline);

        if (result != -ETIMEDOUT || left_ns == 0)
            return result;
        if (pause_ns > left_ns)
            pause_ns = left_ns;
        struct timespec pause = {0, pause_ns};
        raw(SYS_nanosleep, &pause, NULL);
        pause_ns = pause_ns < LONGEST_PAUSE_NS / 2 ? 2 * pause_ns : LONGEST_PAUSE_NS;
    }
}

static long transfer_for_ever(const struct transfer *wanted)
{
    long result;

    do
        result = transfer(wanted, 0);
    while (result == -EINTR);
    return result;
}

static long transfer_until(struct transfer *wanted, struct deadline deadline)
{
    struct beside beside = {.work = transfer_waiting, .give_back = give_back, .argument = wanted, .deadline = deadline};

    if (deadline.at_ns == INT64_MAX)
        return transfer_for_ever(wanted);
    long result = transfer_now(wanted);
    if (result != -ETIMEDOUT || deadline_left_ns(deadline) == 0)
        return result;
    result = beside_do(&beside);
    return result == -ENOSYS ? try_again_and_again(wanted, deadline) : result;
}

long message_send(int queue, const struct message *message, size_t size, struct deadline deadline)
{
    struct transfer wanted = {.is_send = true, .queue = queue, .message = (struct message *)message, .size = size};

    return transfer_until(&wanted, deadline);
}

long message_receive(int queue, struct message *message, size_t size, long type, struct deadline deadline)
{
    struct transfer wanted = {.queue = queue, .message = message, .size = size, .type = type};

    return transfer_until(&wanted, deadline);
}

size_t message_limit(void)
{
    struct msginfo info = {.msgmax = 8192}; /* as usual; it stays if the kernel does not say */

    raw(SYS_msgctl, 0, IPC_INFO, &info);
    return (size_t)info.msgmax;
}
