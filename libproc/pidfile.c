/* The file is locked (flock) by the daemon as long as it lives: the kernel gives the lock back, so a stale file, whatever number
 * is in it, is known for what it is.
 *
 * Nobody ever sees it half written, or a stale one locked. It is made beside the path ("name~"), locked, filled and renamed:
 * with the lock that it has had before it had its name. Two that start at once meet at the file beside: whoever locks it looks
 * at the path, where only a lock for shared use is tried, since that disturbs nobody else who looks. */
#include "pidfile.h"

#include "deadline.h"
#include "kernel.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#define START_WAIT_MS 3000 /* another one that starts needs an instant; if it is stuck, it is there all the same */
#define PAUSE_MS 2

#define LOOK (O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

/* ---- who holds it ---- */

/* 1, 0, or -errno. */
static long is_held(int fd)
{
    long result = raw(SYS_flock, fd, LOCK_SH | LOCK_NB);

    if (result == 0)
        raw(SYS_flock, fd, LOCK_UN);
    return result == -EWOULDBLOCK ? 1 : result;
}

static long path_is_held(const char *path)
{
    struct stat status = {.st_mode = 0};
    long fd = raw(SYS_openat, AT_FDCWD, path, LOOK, 0);

    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    long result = raw(SYS_fstat, fd, &status);
    if (result == 0)
        result = S_ISREG(status.st_mode) ? is_held((int)fd) : -EINVAL;
    raw(SYS_close, fd);
    return result;
}

/* The number and a newline, and nothing else. 0: it is not that. */
static pid_t number_in(const char *text, long size)
{
    int64_t number = 0;
    long at = 0;

    for (; at < size && text[at] >= '0' && text[at] <= '9' && number <= INT32_MAX; at++)
        number = 10 * number + text[at] - '0';
    bool ends = at == size || (at + 1 == size && text[at] == '\n');
    return ends && number <= INT32_MAX ? (pid_t)number : 0;
}

static long read_number(int fd)
{
    char text[32] = "";
    long held = is_held(fd);

    if (held <= 0)
        return held < 0 ? held : -ESRCH;
    long size = raw(SYS_pread64, fd, text, sizeof text, 0);
    if (size < 0)
        return size;
    pid_t pid = number_in(text, size);
    return pid == 0 || raw(SYS_kill, pid, 0) == -ESRCH ? -ESRCH : pid;
}

pid_t pidfile_read(const char *path)
{
    int fd = fd_above_stdio((int)sys(SYS_openat, AT_FDCWD, path, LOOK, 0));
    if (fd < 0)
        return -1;
    long pid = read_number(fd);
    raw(SYS_close, fd);
    return (pid_t)kernel_result(pid);
}

/* ---- taking it ---- */

static bool is_same_file(int fd, const char *path)
{
    struct stat ours = {0}, there = {0};

    return raw(SYS_fstat, fd, &ours) == 0 && raw(SYS_newfstatat, AT_FDCWD, path, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
           ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

struct beside {
    const char *path;
    bool is_new;
};

static long open_beside(const void *argument)
{
    struct beside *beside = (struct beside *)argument;
    int flags = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    long fd = raw(SYS_openat, AT_FDCWD, beside->path, flags | O_CREAT | O_EXCL, 0600);

    beside->is_new = fd >= 0;
    if (fd != -EEXIST)
        return fd;
    fd = raw(SYS_openat, AT_FDCWD, beside->path, flags, 0);
    return fd == -ENOENT ? -EAGAIN : fd; /* renamed, or removed, in between */
}

/* Anybody may have put it there, where anybody may write: a link to another's file must not be written through. */
static bool is_just_ours(int fd)
{
    struct stat status = {.st_mode = 0};

    return raw(SYS_fstat, fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_nlink <= 1 &&
           status.st_uid == (uid_t)raw(SYS_geteuid);
}

/* What nobody holds is left over from a start that was killed. */
static long remove_left_over(int fd, const char *path)
{
    long held = is_held(fd);

    if (held != 0)
        return held < 0 ? held : -EWOULDBLOCK;
    return is_same_file(fd, path) ? raw(SYS_unlinkat, AT_FDCWD, path, 0) : 0;
}

/* 1: ours; 0: again, it has another name by now, or none; -errno, -EWOULDBLOCK while another one starts. */
static long lock_beside(int fd, const struct beside *beside)
{
    if (!beside->is_new && !is_just_ours(fd))
        return remove_left_over(fd, beside->path);
    long result = raw(SYS_flock, fd, LOCK_EX | LOCK_NB);
    return result < 0 ? result : is_same_file(fd, beside->path);
}

/* The same; a descriptor that does not become ours is closed. */
static long try_beside(const struct pidfile *pidfile, struct ends *ends)
{
    struct beside beside = {.path = pidfile->beside};
    int fd = ends_open(open_beside, &beside, ends, END_PIDFILE);

    if (fd < 0 && errno == ELOOP) /* a link has no holder */
        return raw(SYS_unlinkat, AT_FDCWD, beside.path, 0);
    if (fd < 0)
        return errno == EAGAIN ? 0 : -errno;
    long result = lock_beside(fd, &beside);
    if (result != 1)
        ends_close(ends, END_PIDFILE);
    return result;
}

static long take_beside(const struct pidfile *pidfile, struct ends *ends)
{
    struct deadline deadline = deadline_in(START_WAIT_MS);

    for (;;) {
        long result = try_beside(pidfile, ends);

        if (result == 1)
            return 0;
        if (result < 0 && result != -EWOULDBLOCK)
            return result;
        if (deadline_left_ns(deadline) == 0)
            return -EEXIST;
        if (result < 0)
            deadline_poll(deadline_in(PAUSE_MS), NULL, 0);
    }
}

static long make_ready(const struct pidfile *pidfile, int fd, mode_t mode)
{
    long held = path_is_held(pidfile->path);

    if (held != 0)
        return held < 0 ? held : -EEXIST;
    long result = raw(SYS_ftruncate, fd, 0);
    return result < 0 ? result : raw(SYS_fchmod, fd, mode);
}

int pidfile_claim(const struct pidfile *pidfile, struct ends *ends, mode_t mode)
{
    if (!pidfile->path)
        return 0;
    long result = take_beside(pidfile, ends);
    if (result < 0)
        return (int)kernel_result(result);
    result = make_ready(pidfile, ends->fd[END_PIDFILE], mode);
    if (result == 0)
        return 0;
    raw(SYS_unlinkat, AT_FDCWD, pidfile->beside, 0);
    ends_close(ends, END_PIDFILE);
    return (int)kernel_result(result);
}

/* ---- having it ---- */

long pidfile_publish(const struct pidfile *pidfile, const struct ends *ends)
{
    char text[16];

    if (!pidfile->path)
        return 0;
    int size = snprintf(text, sizeof text, "%d\n", (int)raw(SYS_getpid));
    long result = raw(SYS_pwrite64, ends->fd[END_PIDFILE], text, size, 0);
    if (result < 0)
        return result;
    return result == size ? raw(SYS_renameat2, AT_FDCWD, pidfile->beside, AT_FDCWD, pidfile->path, 0) : -ENOSPC;
}

/* It has one of the two names, if somebody else has not taken that. */
void pidfile_remove(const struct pidfile *pidfile, const struct ends *ends)
{
    const char *names[] = {pidfile->path, pidfile->beside};

    for (int i = 0; i < 2; i++)
        if (names[i] && ends->fd[END_PIDFILE] >= 0 && is_same_file(ends->fd[END_PIDFILE], names[i]))
            raw(SYS_unlinkat, AT_FDCWD, names[i], 0);
}

void pidfile_clear_away(const struct pidfile *pidfile, struct ends *ends)
{
    if (!pidfile->path || pidfile_claim(pidfile, ends, 0600) < 0)
        return;
    raw(SYS_unlinkat, AT_FDCWD, pidfile->path, 0); /* nobody holds it, and nobody else can take it now */
    pidfile_remove(pidfile, ends);
    ends_close(ends, END_PIDFILE);
}
