/* Checking the options, before anything is created. */
#include "options.h"

#include "kernel.h"
#include "sized_options.h"

#include <fcntl.h>

#define ALL_FLAGS \
    (PROC_CLEAR_ENV | PROC_KEEP_FDS | PROC_NEW_GROUP | PROC_NEW_SESSION | PROC_DETACH | PROC_UMASK | PROC_CGROUP)

int options_copy(struct proc_options *copy, const struct proc_options *options, size_t size)
{
    return sized_options_copy(copy, sizeof *copy, SIZE_UP_TO(struct proc_options, flags), options, size);
}

const struct proc_stdio *options_stream(const struct proc_options *options, int stream)
{
    return stream == 0 ? &options->in : stream == 1 ? &options->out : &options->err;
}

static bool any_stream_is(const struct proc_options *options, enum proc_stdio_kind kind)
{
    return options->in.kind == kind || options->out.kind == kind || options->err.kind == kind;
}

bool options_channel_is_stream(const struct proc_options *options)
{
    return any_stream_is(options, PROC_STDIO_CHANNEL);
}

bool options_use_channel(const struct proc_options *options)
{
    return options->channel != PROC_NO_CHANNEL || options_channel_is_stream(options);
}

bool options_use_pty(const struct proc_options *options)
{
    return any_stream_is(options, PROC_STDIO_PTY);
}

static bool program_is_right(const struct proc_options *options)
{
    if (options->main)
        return !options->argv && !options->path;
    return options->argv && options->argv[0] && !options->title;
}

static bool stream_is_right(const struct proc_stdio *stdio, int stream)
{
    switch (stdio->kind) {
    case PROC_STDIO_INHERIT:
    case PROC_STDIO_NULL:
    case PROC_STDIO_PIPE:
    case PROC_STDIO_CHANNEL:
    case PROC_STDIO_PTY:
    case PROC_STDIO_FD:
        return true;
    case PROC_STDIO_TO_STDOUT:
        return stream == 2;
    case PROC_STDIO_READ:
    case PROC_STDIO_WRITE:
    case PROC_STDIO_APPEND:
        return stdio->path != NULL;
    }
    return false;
}

static bool ids_are_right(const struct proc_ids *ids)
{
    if (!ids)
        return true;
    /* -1 means "leave it" to the kernel, and would leave the child with the caller's. */
    return ids->uid != (uid_t)-1 && ids->gid != (gid_t)-1 && (ids->groups || ids->ngroups == 0);
}

static bool values_are_right(const struct proc_options *options)
{
    bool channel = options->channel >= PROC_NO_CHANNEL && options->channel <= PROC_SEQPACKET;
    bool arrays = (options->fds || options->nfds == 0) && (options->limits || options->nlimits == 0) &&
                  (options->affinity == NULL) == (options->affinity_size == 0);
    bool death = options->death_signal >= 0 && options->death_signal <= KERNEL_SIGNALS &&
                 !(options->death_signal && options->flags & PROC_DETACH); /* its parent ends at once */

    return channel && arrays && death && !(options->flags & ~ALL_FLAGS) && ids_are_right(options->ids);
}

static bool place_is_free(const struct proc_options *options, size_t i)
{
    int child = options->fds[i].child;

    if (child < 0 || (child <= 2 && options_stream(options, child)->kind != PROC_STDIO_INHERIT))
        return false;
    if (child == 3 && options->argv && options_use_channel(options) && !options_channel_is_stream(options))
        return false;
    for (size_t other = 0; other < i; other++)
        if (options->fds[other].child == child)
            return false;
    return true;
}

static bool options_are_right(const struct proc_options *options)
{
    if (!program_is_right(options) || !values_are_right(options))
        return false;
    for (int stream = 0; stream < 3; stream++)
        if (!stream_is_right(options_stream(options, stream), stream))
            return false;
    for (size_t i = 0; i < options->nfds; i++)
        if (!place_is_free(options, i))
            return false;
    return true;
}

static int check_open(int fd)
{
    return sys(SYS_fcntl, fd, F_GETFD) < 0 ? -1 : 0;
}

static int check_descriptors(const struct proc_options *options)
{
    for (int stream = 0; stream < 3; stream++) {
        const struct proc_stdio *stdio = options_stream(options, stream);

        if (stdio->kind == PROC_STDIO_FD && check_open(stdio->fd) < 0)
            return -1;
    }
    for (size_t i = 0; i < options->nfds; i++)
        if (check_open(options->fds[i].parent) < 0)
            return -1;
    return 0;
}

int options_check(const struct proc_options *options)
{
    if (!options_are_right(options)) {
        errno = EINVAL;
        return -1;
    }
    return check_descriptors(options);
}
