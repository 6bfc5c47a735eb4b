/* Feeding and draining a child at once, so that no amount of data in any direction blocks either side for ever. */
#include "communicate.h"

#include "capture.h"
#include "deadline.h"
#include "kernel.h"
#include "process_state.h"
#include "pty.h"
#include "transfer.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

/* Larger pipes mean fewer switches between the processes: a megabyte, the most that anybody may have, is five times as fast
 * as the usual 64 KiB. Only those get it that turn out to carry much. */
#define USUAL_PIPE ((size_t)64 << 10)
#define LARGE_PIPE ((size_t)1 << 20)

/* How often a child without a pidfd is looked at. */
#define LOOK_EVERY_MS 5

struct stream {
    enum end end;
    struct capture capture;
    bool large;
};

struct exchange {
    struct proc *proc;
    const char *input;
    size_t size;
    bool large;
    struct sink sink;
    struct stream streams[2];
    struct proc_output *output;
    struct proc_output dropped; /* stands in where the caller wants none */
    bool drops;
};

static int fd_of(const struct exchange *exchange, enum end end)
{
    return exchange->proc->ends.fd[end];
}

static void enlarge_pipe(int fd, bool *large)
{
    if (!*large)
        raw(SYS_fcntl, fd, F_SETPIPE_SZ, LARGE_PIPE); /* refused to those who have too many: then it stays as it is */
    *large = true;
}

/* ---- the child's in ---- */

static void end_input(struct exchange *exchange)
{
    exchange->size = 0;
    if (fd_of(exchange, END_IN) < 0)
        return;
    if (exchange->proc->has_pty)
        pty_send_eof(fd_of(exchange, END_IN), exchange->proc->line_open, deadline_in(0));
    ends_close(&exchange->proc->ends, END_IN);
}

static int feed(struct exchange *exchange)
{
    if (exchange->size == 0) { /* a terminal has room again for its end-of-file character */
        end_input(exchange);
        return 0;
    }
    if (exchange->size > USUAL_PIPE)
        enlarge_pipe(exchange->sink.fd, &exchange->large);
    /* Once: to try for more, until the pipe is full, would only keep the child from the pipe's lock. */
    long result = transfer_write(&exchange->sink, exchange->input, exchange->size, false);
    if (result == -EAGAIN || result == -EINTR)
        return 0;
    if (result < 0 && result != -EPIPE)
        return (int)kernel_result(result);
    if (result > 0) {
        exchange->proc->line_open = exchange->input[result - 1] != '\n';
        exchange->input += result;
        exchange->size -= (size_t)result;
    }
    bool said = exchange->size == 0 && !exchange->proc->has_pty;
    if (said || result == -EPIPE) /* all, or as much as the child wanted to read */
        end_input(exchange);
    return 0;
}

/* ---- the child's out and err ---- */

static size_t total(const struct exchange *exchange)
{
    return exchange->output->out_size + exchange->output->err_size;
}

static size_t allowed(const struct exchange *exchange, size_t room)
{
    size_t limit = exchange->output->limit;

    size_t left = limit > total(exchange) ? limit - total(exchange) : 0;

    if (limit == 0 || room <= left)
        return room;
    return left + 1; /* one more than that tells that there is too much */
}

static int too_much(struct exchange *exchange, struct stream *stream)
{
    *stream->capture.size -= 1;
    (*stream->capture.data)[*stream->capture.size] = '\0';
    proc_stop(exchange->proc, &exchange->output->exit, COMMUNICATE_GRACE_MS);
    errno = EFBIG;
    return -1;
}

/* Reads once, at most `most` bytes. 1: there may be more at once; 0: nothing now, or never again; -1. */
static int drain_once(struct exchange *exchange, struct stream *stream, size_t most, size_t *took)
{
    size_t room;
    int fd = fd_of(exchange, stream->end);
    char *place = capture_room(&stream->capture, &room);

    if (!place)
        return -1;
    room = allowed(exchange, room < most ? room : most);
    long result = transfer_read(fd, place, room, false);
    if (result == -EAGAIN || result == -EINTR)
        return result == -EINTR;
    if (result == 0 || result == -EIO) {
        ends_close(&exchange->proc->ends, stream->end);
        return 0;
    }
    if (result < 0)
        return (int)kernel_result(result);
    *took = (size_t)result;
    capture_took(&stream->capture, *took);
    if (exchange->output->limit && total(exchange) > exchange->output->limit)
        return too_much(exchange, stream);
    if (exchange->drops)
        *stream->capture.size = 0;
    if (*took >= USUAL_PIPE)
        enlarge_pipe(fd, &stream->large);
    return 1;
}

/* How much there is to read now. A terminal does not tell it all: it is read until it has nothing. */
static size_t waiting_in(const struct exchange *exchange, enum end end)
{
    int waiting = 0;

    if (exchange->proc->has_pty || raw(SYS_ioctl, fd_of(exchange, end), FIONREAD, &waiting) < 0)
        return LARGE_PIPE;
    return (size_t)waiting;
}

/* What the child wrote before it ended is in the pipe by now. More may follow from those it left behind: that is not ours to
 * await. */
static int drain_rest(struct exchange *exchange, struct stream *stream)
{
    if (fd_of(exchange, stream->end) < 0)
        return 0;
    for (size_t left = waiting_in(exchange, stream->end); left > 0;) {
        size_t took = 0;
        int result = drain_once(exchange, stream, left, &took);

        if (result <= 0)
            return result;
        left -= took;
    }
    ends_close(&exchange->proc->ends, stream->end);
    return 0;
}

/* ---- both ---- */

/* What poll is to watch; the child itself comes last, if it has a pidfd. */
static unsigned watch(struct exchange *exchange, struct pollfd fds[4])
{
    unsigned count = 0;

    if (fd_of(exchange, END_IN) >= 0)
        fds[count++] = (struct pollfd){.fd = fd_of(exchange, END_IN), .events = POLLOUT};
    for (int i = 0; i < 2; i++)
        if (fd_of(exchange, exchange->streams[i].end) >= 0)
            fds[count++] = (struct pollfd){.fd = fd_of(exchange, exchange->streams[i].end), .events = POLLIN};
    if (process_pidfd(exchange->proc) >= 0)
        fds[count++] = (struct pollfd){.fd = fd_of(exchange, END_PIDFD), .events = POLLIN};
    return count;
}

/* Whether the child has ended is known before anything is drained: then all that it wrote is there to be drained. */
static int wait_for_something(struct exchange *exchange, struct pollfd fds[4], unsigned count, struct deadline deadline,
                              bool *ended)
{
    bool has_pidfd = fd_of(exchange, END_PIDFD) >= 0;
    struct deadline look = deadline_in(LOOK_EVERY_MS);
    bool sooner = !has_pidfd && look.at_ns < deadline.at_ns;
    int ready = deadline_poll(sooner ? look : deadline, fds, count);

    *ended = has_pidfd ? ready > 0 && fds[count - 1].revents : !proc_running(exchange->proc);
    return ready == 0 && (sooner || *ended) ? 1 : ready;
}

static int serve(struct exchange *exchange, const struct pollfd *fds, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        int result = 0;
        size_t took;

        if (!fds[i].revents)
            continue;
        if (fds[i].fd == fd_of(exchange, END_IN))
            result = feed(exchange);
        for (int s = 0; s < 2 && result >= 0; s++)
            if (fds[i].fd == fd_of(exchange, exchange->streams[s].end))
                result = drain_once(exchange, &exchange->streams[s], SIZE_MAX, &took);
        if (result < 0)
            return -1;
    }
    return 0;
}

static int finish(struct exchange *exchange)
{
    for (int i = 0; i < 2; i++)
        if (drain_rest(exchange, &exchange->streams[i]) < 0)
            return -1;
    end_input(exchange);
    return proc_wait(exchange->proc, &exchange->output->exit, -1);
}

static int converse(struct exchange *exchange, struct deadline deadline)
{
    bool ended = !proc_running(exchange->proc);

    if (exchange->size == 0)
        end_input(exchange);
    while (!ended) {
        struct pollfd fds[4];
        unsigned count = watch(exchange, fds);
        int ready = wait_for_something(exchange, fds, count, deadline, &ended);

        if (ready <= 0)
            return ready;
        if (!ended && serve(exchange, fds, count) < 0)
            return -1;
    }
    return finish(exchange);
}

/* ---- between two calls ---- */

/* All input there is: what was left, and what is new. Returns memory to be freed, or NULL with *failed. */
static char *join_input(struct exchange *exchange, const void *input, size_t size, bool *failed)
{
    size_t old = exchange->proc->unsent_size;
    char *left = exchange->proc->unsent;

    *failed = false;
    exchange->proc->unsent = NULL;
    exchange->proc->unsent_size = 0;
    exchange->input = input;
    exchange->size = size;
    if (old == 0)
        return NULL;
    char *all = size > 0 ? realloc(left, old + size) : left;
    if (!all) {
        free(left);
        *failed = true;
        return NULL;
    }
    if (size > 0)
        memcpy(all + old, input, size);
    exchange->input = all;
    exchange->size = old + size;
    return all;
}

static int keep_input(struct exchange *exchange)
{
    struct proc *proc = exchange->proc;

    if (exchange->size == 0)
        return 0;
    proc->unsent = malloc(exchange->size);
    if (!proc->unsent)
        return -1;
    memcpy(proc->unsent, exchange->input, exchange->size);
    proc->unsent_size = exchange->size;
    return 0;
}

/* The first call starts with empty buffers, whatever the caller's memory held; a later one goes on where that stopped. */
static int open_output(struct exchange *exchange, bool first)
{
    struct proc_output *output = exchange->output;
    size_t room;

    if (first)
        *output = (struct proc_output){.limit = output->limit, .exit = {.code = -1, .signal = -1}};
    exchange->streams[0] = (struct stream){.end = END_OUT, .capture = {&output->out, &output->out_size, 0}};
    exchange->streams[1] = (struct stream){.end = END_ERR, .capture = {&output->err, &output->err_size, 0}};
    for (int i = 0; i < 2; i++)
        if (!capture_room(&exchange->streams[i].capture, &room))
            return -1;
    return 0;
}

static int communicate(struct exchange *exchange, const void *input, size_t size, int timeout_ms, bool again)
{
    bool failed;
    char *memory = join_input(exchange, input, size, &failed);
    int result = failed ? -1 : converse(exchange, deadline_in(timeout_ms));

    if (result == 0 && again && keep_input(exchange) < 0)
        result = -1;
    int saved = errno;
    free(memory);
    errno = saved;
    return result;
}

int communicate_with(struct proc *proc, const void *input, size_t size, struct proc_output *output, int timeout_ms,
                        bool again)
{
    struct exchange exchange = {.proc = proc, .output = output ? output : &exchange.dropped, .drops = !output};

    if (proc->is_self || timeout_ms < -1 || (size > 0 && !input)) {
        errno = EINVAL;
        return -1;
    }
    bool first = !proc->communicated;
    proc->communicated = true;
    exchange.sink = (struct sink){.fd = proc->ends.fd[END_IN], .is_terminal = proc->has_pty};
    int result = open_output(&exchange, first || exchange.drops);
    if (result == 0)
        result = communicate(&exchange, input, size, timeout_ms, again);
    if (exchange.drops)
        proc_output_free(&exchange.dropped);
    return result;
}

int proc_communicate(struct proc *proc, const void *input, size_t size, struct proc_output *output, int timeout_ms)
{
    return communicate_with(proc, input, size, output, timeout_ms, true);
}

void proc_output_free(struct proc_output *output)
{
    if (!output)
        return;
    int saved = errno;
    free(output->out);
    free(output->err);
    errno = saved;
    *output = (struct proc_output){.limit = output->limit};
}
