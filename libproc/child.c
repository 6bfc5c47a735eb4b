/* The room between clone and exec.
 *
 * A program's child runs here on borrowed memory: that of its parent, whose thread waits. So nothing here allocates, takes a
 * lock, touches errno or calls the C library: raw system calls only. (The C library's setuid, for one, would change the ids
 * of every thread of the parent.) Forked children come through the same room on their way to main. */
#include "child.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>

/* A step that has nothing to do answers 0; one that fails -errno. */

static long cut_loose(struct launch *launch)
{
    if (!launch->shares_table)
        return 0;
    return fd_map_cut_loose(&launch->map, launch->parent, launch->options.flags & PROC_KEEP_FDS);
}

static long join_cgroup(struct launch *launch)
{
    if (!launch->joins_cgroup)
        return 0;
    long file = raw(SYS_openat, launch->options.cgroup, "cgroup.procs", O_WRONLY | O_CLOEXEC, 0);
    if (file < 0)
        return file;
    long result = raw(SYS_write, file, "0", 1);
    raw(SYS_close, file);
    return result;
}

static long set_limits(struct launch *launch)
{
    long result = 0;

    for (size_t i = 0; i < launch->options.nlimits && result >= 0; i++)
        result = raw(SYS_prlimit64, 0, launch->options.limits[i].resource, &launch->options.limits[i].limit, NULL);
    return result;
}

static long new_session(struct launch *launch)
{
    return launch->proc->has_pty || launch->options.flags & PROC_NEW_SESSION ? raw(SYS_setsid) : 0;
}

/* The group exists when proc_spawn returns, since the parent waits for the end of the set-up. */
static long new_group(struct launch *launch)
{
    bool wanted = launch->options.flags & PROC_NEW_GROUP;

    return wanted && !launch->proc->has_pty && !(launch->options.flags & PROC_NEW_SESSION) ? raw(SYS_setpgid, 0, 0) : 0;
}

static long map_descriptors(struct launch *launch)
{
    long result = fd_map_apply(&launch->map);

    bool alone = launch->shares_table && launch->map.count == 0; /* the cut left nothing else */

    if (result < 0 || alone || launch->options.main || launch->options.flags & PROC_KEEP_FDS)
        return result;
    return fd_map_close_others(&launch->map);
}

/* Opened first, since the path may name the very stream that it replaces (/dev/stdout). Where no other number is free, the
 * place is made so. */
static long open_at(const struct redirect *redirect, int place)
{
    long fd = raw(SYS_openat, AT_FDCWD, redirect->path, redirect->flags, 0666);
    if (fd == -EMFILE) {
        raw(SYS_close, place);
        fd = raw(SYS_openat, AT_FDCWD, redirect->path, redirect->flags, 0666);
    }
    if (fd < 0 || fd == place)
        return fd;
    long result = raw(SYS_dup3, fd, place, 0);
    raw(SYS_close, fd);
    return result;
}

static long open_redirects(struct launch *launch)
{
    long result = 0;

    for (int stream = 0; stream < 3 && result >= 0; stream++)
        if (launch->redirects[stream].path)
            result = open_at(&launch->redirects[stream], stream);
    return result;
}

static long join_out_and_err(struct launch *launch)
{
    return launch->options.err.kind == PROC_STDIO_TO_STDOUT ? raw(SYS_dup3, 1, 2, 0) : 0;
}

static long control_terminal(struct launch *launch)
{
    const struct proc_options *options = &launch->options;

    if (!launch->proc->has_pty)
        return 0;
    int terminal = options->in.kind == PROC_STDIO_PTY ? 0 : options->out.kind == PROC_STDIO_PTY ? 1 : 2;
    return raw(SYS_ioctl, terminal, TIOCSCTTY, 0);
}

static long set_affinity(struct launch *launch)
{
    const struct proc_options *options = &launch->options;

    return options->affinity ? raw(SYS_sched_setaffinity, 0, options->affinity_size, options->affinity) : 0;
}

static long add_nice(struct launch *launch)
{
    if (launch->options.nice == 0)
        return 0;
    long priority = raw(SYS_getpriority, PRIO_PROCESS, 0); /* the kernel answers 20 - nice: 1 to 40 */
    if (priority < 0)
        return priority;
    long nice = 20 - priority + launch->options.nice; /* the kernel takes an int, and keeps to its range */
    return raw(SYS_setpriority, PRIO_PROCESS, 0, nice > 19 ? 19 : nice < -20 ? -20 : nice);
}

static long set_umask(struct launch *launch)
{
    return launch->options.flags & PROC_UMASK ? raw(SYS_umask, launch->options.umask) : 0;
}

static const struct proc_ids *ids_to_take(const struct launch *launch)
{
    return launch->asks_for_own_ids ? NULL : launch->options.ids;
}

static long set_groups(struct launch *launch)
{
    const struct proc_ids *ids = launch->options.ids;

    if (!ids)
        return 0;
    long result = raw(SYS_setgroups, ids->ngroups, ids->groups);
    return result == -EPERM && launch->asks_for_own_ids ? 0 : result;
}

static long set_gid(struct launch *launch)
{
    const struct proc_ids *ids = ids_to_take(launch);

    return ids ? raw(SYS_setresgid, ids->gid, ids->gid, ids->gid) : 0;
}

static long set_uid(struct launch *launch)
{
    const struct proc_ids *ids = ids_to_take(launch);

    return ids ? raw(SYS_setresuid, ids->uid, ids->uid, ids->uid) : 0;
}

static long change_directory(struct launch *launch)
{
    return launch->options.cwd ? raw(SYS_chdir, launch->options.cwd) : 0;
}

/* After the change of ids, which clears it. The parent may be gone by now, and then nobody would ever send the signal. A
 * parent outside our pid namespace reads as 0: that tells nothing. */
static long ask_for_death_signal(struct launch *launch)
{
    int signo = launch->options.death_signal;

    if (signo == 0)
        return 0;
    long result = raw(SYS_prctl, PR_SET_PDEATHSIG, signo, 0, 0, 0);
    long parent = raw(SYS_getppid);
    if (result == 0 && parent != 0 && parent != launch->parent)
        result = raw(SYS_kill, raw(SYS_getpid), signo);
    return result;
}

static const struct {
    const char *name;
    long (*take)(struct launch *launch);
} steps[] = {
    {"descriptors", cut_loose}, /* before anything is opened or closed: the table is the parent's until then */
    {"cgroup", join_cgroup},
    {"limits", set_limits}, /* while there is the privilege to raise them */
    {"session", new_session},
    {"group", new_group},
    {"descriptors", map_descriptors},
    {"open", open_redirects}, /* from the caller's directory, with its ids and umask */
    {"descriptors", join_out_and_err},
    {"pty", control_terminal},
    {"affinity", set_affinity},
    {"nice", add_nice},
    {"umask", set_umask},
    {"setgroups", set_groups}, /* groups, then gid, then uid: each needs the privilege that the next gives up */
    {"setgid", set_gid},
    {"setuid", set_uid},
    {"chdir", change_directory},
    {"deathsig", ask_for_death_signal},
};

static int fail(struct launch *launch, const char *step, long result)
{
    launch->report.error = (int)-result;
    launch->report.step = step;
    return -1;
}

int child_set_up(struct launch *launch)
{
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        long result = steps[i].take(launch);

        if (result < 0)
            return fail(launch, steps[i].name, result);
    }
    return 0;
}

int child_become_program(struct launch *launch)
{
    const struct proc_options *options = &launch->options;
    char *const *environment = launch->environment ? launch->environment : environ;

    if (child_set_up(launch) < 0)
        return 127;
    signals_set_default(launch->handlers_cleared ? SIGNALS_NEVER_IGNORED : signals_not_for_children());
    signals_set_mask(0); /* only now: a signal that came meanwhile must find no handler of the parent's */
    fail(launch, "execve", -search_exec(&launch->search, options->argv, environment));
    return 127;
}
