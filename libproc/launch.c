/* Planning a child: each part of the options becomes a descriptor, a string or a number that the child can use without
 * asking anybody. */
#include "launch.h"

#include "environment.h"
#include "options.h"
#include "pty.h"
#include "step.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>

/* ---- streams, channel, descriptors ---- */

int launch_keep_clear(struct launch *launch, enum end end)
{
    int old = launch->ends.fd[end];

    if (!fd_map_has_target(&launch->map, old))
        return 0;
    int lifted = ends_lift(&launch->ends, end, fd_map_above(&launch->map));
    if (lifted < 0)
        return -1;
    fd_map_renumber(&launch->map, old, lifted); /* a standard stream may be the same socket */
    return 0;
}

static int make_channel(struct launch *launch)
{
    static const int types[] = {[PROC_NO_CHANNEL] = SOCK_STREAM,
                                [PROC_STREAM] = SOCK_STREAM,
                                [PROC_DGRAM] = SOCK_DGRAM,
                                [PROC_SEQPACKET] = SOCK_SEQPACKET};
    const struct proc_options *options = &launch->options;

    if (!options_use_channel(options))
        return 0;
    if (ends_create(ends_make_socketpair, types[options->channel], &launch->proc->ends, END_CHANNEL, &launch->ends,
                    END_CHANNEL) < 0)
        return -1;
    if (options->argv && !options_channel_is_stream(options))
        return fd_map_add(&launch->map, launch->ends.fd[END_CHANNEL], 3);
    return 0;
}

static int make_pty(struct launch *launch)
{
    if (!options_use_pty(&launch->options))
        return 0;
    return ends_create(pty_make, 0, &launch->proc->ends, END_PTY, &launch->ends, END_PTY);
}

static int connect_pipe(struct launch *launch, int stream)
{
    struct ends *mine = &launch->proc->ends, *childs = &launch->ends;
    int result = stream == 0 ? ends_create(ends_make_pipe, 0, childs, END_IN, mine, END_IN)
                             : ends_create(ends_make_pipe, 0, mine, END_IN + stream, childs, END_IN + stream);

    return result < 0 ? -1 : fd_map_add(&launch->map, childs->fd[END_IN + stream], stream);
}

/* The terminal has one master. Each stream's own descriptor of it lets one be closed and the other be read on; err comes
 * through out's where both are the terminal. */
static int connect_pty(struct launch *launch, int stream)
{
    bool through_out = stream == 2 && launch->options.out.kind == PROC_STDIO_PTY;

    if (!through_out && ends_dup(&launch->proc->ends, END_PTY, END_IN + stream) < 0)
        return -1;
    return fd_map_add(&launch->map, launch->ends.fd[END_PTY], stream);
}

static int plan_redirect(struct launch *launch, int stream, const char *path, int flags)
{
    launch->redirects[stream] = (struct redirect){.path = path, .flags = flags | O_NOCTTY};
    return 0;
}

static int connect_stream(struct launch *launch, int stream)
{
    const struct proc_stdio *stdio = options_stream(&launch->options, stream);

    switch (stdio->kind) {
    case PROC_STDIO_INHERIT:
    case PROC_STDIO_TO_STDOUT: /* joined last, when it is known where out goes */
        break;
    case PROC_STDIO_NULL:
        return plan_redirect(launch, stream, "/dev/null", stream == 0 ? O_RDONLY : O_WRONLY);
    case PROC_STDIO_PIPE:
        return connect_pipe(launch, stream);
    case PROC_STDIO_CHANNEL:
        return fd_map_add(&launch->map, launch->ends.fd[END_CHANNEL], stream);
    case PROC_STDIO_PTY:
        return connect_pty(launch, stream);
    case PROC_STDIO_FD:
        return fd_map_add(&launch->map, stdio->fd, stream);
    case PROC_STDIO_READ:
        return plan_redirect(launch, stream, stdio->path, O_RDONLY);
    case PROC_STDIO_WRITE:
        return plan_redirect(launch, stream, stdio->path, O_WRONLY | O_CREAT | O_TRUNC);
    case PROC_STDIO_APPEND:
        return plan_redirect(launch, stream, stdio->path, O_WRONLY | O_CREAT | O_APPEND);
    }
    return 0;
}

static const char *stream_step(const struct proc_stdio *stdio)
{
    return stdio->kind == PROC_STDIO_PIPE ? "pipe" : stdio->kind == PROC_STDIO_PTY ? "pty" : "descriptors";
}

static int connect_streams(struct launch *launch)
{
    for (int stream = 0; stream < 3; stream++)
        if (connect_stream(launch, stream) < 0)
            return step_failed(stream_step(options_stream(&launch->options, stream)));
    /* The streams have theirs. Where only `in` is the terminal, the master outlives it: closing it shall be an end-of-file
     * and not a hang-up. */
    if (launch->options.out.kind == PROC_STDIO_PTY || launch->options.err.kind == PROC_STDIO_PTY)
        ends_close(&launch->proc->ends, END_PTY);
    return 0;
}

static int map_descriptors(struct launch *launch)
{
    const struct proc_options *options = &launch->options;
    struct rlimit limit = {0};

    if (options->nfds > 0 && sys(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &limit) < 0)
        return -1;
    for (size_t i = 0; i < options->nfds; i++) {
        const struct proc_fd *fd = &options->fds[i];

        if ((rlim_t)fd->child >= limit.rlim_cur) {
            errno = EMFILE;
            return -1;
        }
        if (fd_map_add(&launch->map, fd->parent, fd->child) < 0)
            return -1;
    }
    return 0;
}

static int plan_descriptors(struct launch *launch)
{
    if (make_channel(launch) < 0)
        return step_failed("channel");
    if (make_pty(launch) < 0)
        return step_failed("pty");
    if (connect_streams(launch) < 0)
        return -1;
    if (map_descriptors(launch) < 0)
        return step_failed("descriptors");
    if (launch->options.main && launch_keep_clear(launch, END_CHANNEL) < 0)
        return step_failed("channel");
    return 0;
}

/* ---- what the child runs, as whom ---- */

static int plan_environment(struct launch *launch)
{
    const struct proc_options *options = &launch->options;

    if (!options->env && !(options->flags & PROC_CLEAR_ENV))
        return 0;
    launch->environment = environment_merge(options->env, options->flags & PROC_CLEAR_ENV);
    return launch->environment ? 0 : step_failed("options");
}

static int plan_program(struct launch *launch)
{
    const struct proc_options *options = &launch->options;

    if (!options->argv)
        return 0;
    if (search_plan(&launch->search, options->path ? options->path : options->argv[0],
                    launch->environment ? launch->environment : environ, options->cwd != NULL) < 0)
        return step_failed("execve");
    return 0;
}

static bool contains(const gid_t *groups, size_t count, gid_t wanted)
{
    for (size_t i = 0; i < count; i++)
        if (groups[i] == wanted)
            return true;
    return false;
}

/* As sets: the kernel keeps them sorted, the caller need not. */
static bool are_own_groups(const struct proc_ids *ids)
{
    long count = raw(SYS_getgroups, 0, NULL);
    gid_t *own = count > 0 ? calloc((size_t)count, sizeof *own) : NULL;
    bool same = count == 0 || (own && raw(SYS_getgroups, count, own) == count);

    for (long i = 0; same && i < count; i++)
        same = contains(ids->groups, ids->ngroups, own[i]);
    for (size_t i = 0; same && i < ids->ngroups; i++)
        same = contains(own, (size_t)count, ids->groups[i]);
    free(own);
    return same;
}

static bool are_own_ids(const struct proc_ids *ids)
{
    uid_t uid[3] = {0};
    gid_t gid[3] = {0};

    raw(SYS_getresuid, &uid[0], &uid[1], &uid[2]);
    raw(SYS_getresgid, &gid[0], &gid[1], &gid[2]);
    for (int i = 0; i < 3; i++)
        if (uid[i] != ids->uid || gid[i] != ids->gid)
            return false;
    return ids->ngroups == 0 || are_own_groups(ids);
}

bool launch_has_set_up(const struct launch *launch)
{
    const struct proc_options *options = &launch->options;
    bool redirected = launch->redirects[0].path || launch->redirects[1].path || launch->redirects[2].path;
    bool wired = launch->map.count > 0 || redirected || options->err.kind == PROC_STDIO_TO_STDOUT;
    bool someone_else = options->ids || options->nlimits > 0 || options->affinity || options->nice || options->cwd;

    return wired || someone_else || options->death_signal || options->flags & ~(PROC_CLEAR_ENV | PROC_KEEP_FDS);
}

int launch_plan(struct launch *launch, const struct proc_options *options)
{
    *launch = (struct launch){.options = *options, .parent = (pid_t)raw(SYS_getpid), .pidfd = -1};
    fd_map_init(&launch->map);
    ends_enlist(&launch->ends);
    if (options_check(options) < 0)
        return step_failed(errno == EBADF ? "descriptors" : "options");
    launch->proc = process_new(options, launch->parent);
    if (!launch->proc)
        return step_failed("options");
    if (plan_environment(launch) < 0 || plan_program(launch) < 0 || plan_descriptors(launch) < 0)
        return -1;
    launch->asks_for_own_ids = options->ids && are_own_ids(options->ids);
    return 0;
}

void launch_release(struct launch *launch)
{
    int saved = errno;

    ends_delist(&launch->ends);
    fd_map_release(&launch->map);
    search_release(&launch->search);
    free(launch->environment);
    process_discard(launch->proc);
    if (errno != saved) /* a write for nothing would cost a page's copy after a fork */
        errno = saved;
}
