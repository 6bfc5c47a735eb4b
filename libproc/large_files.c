/* A file is named after the queue, and the namespace that makes the queue's number mean something: so what is left over can be
 * told from what is in use, by anyone, at any time. */
#include "large_files.h"

#include "entries_in.h"
#include "kernel.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define DIRECTORY "/dev/shm"
#define NAME_FORMAT "libproc-%llx-%d-"
#define LOCK_NAME "lock"
#define UNFINISHED ".new"
#define PATH_SIZE 128

#ifndef RENAME_NOREPLACE /* older C libraries */
#define RENAME_NOREPLACE 1
#endif

/* ---- names ---- */

long large_place_find(struct large_place *place, int queue, const char *kind)
{
    struct stat status = {0};
    long result = raw(SYS_newfstatat, AT_FDCWD, "/proc/self/ns/ipc", &status, 0);

    *place = (struct large_place){status.st_ino, queue, kind};
    return result == -ENOENT ? 0 : result; /* no /proc, or no namespaces */
}

#define HEX_SIZE (2 * sizeof((struct large_name *)0)->bytes)

static void write_hex(const struct large_name *name, char *text)
{
    for (size_t i = 0; i < sizeof name->bytes; i++)
        snprintf(text + 2 * i, 3, "%02x", name->bytes[i]);
}

/* NULL: of what is shared. */
static void write_path(const struct large_place *place, const struct large_name *name, char path[PATH_SIZE])
{
    int length = snprintf(path, PATH_SIZE, DIRECTORY "/" NAME_FORMAT, place->ipc_namespace, place->queue);

    if (name) {
        write_hex(name, path + length);
        memcpy(path + length + HEX_SIZE, place->kind, strlen(place->kind) + 1);
    } else
        memcpy(path + length, LOCK_NAME, sizeof LOCK_NAME);
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_hex(const char *text, struct large_name *name)
{
    if (strlen(text) < HEX_SIZE)
        return false;
    for (size_t i = 0; i < sizeof name->bytes; i++) {
        int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        name->bytes[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}

/* ---- one file ---- */

bool large_file_may_have(size_t size)
{
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};

    raw(SYS_prlimit64, 0, RLIMIT_FSIZE, NULL, &limit);
    return size <= limit.rlim_cur;
}

static long write_all(long fd, const char *data, size_t size)
{
    while (size > 0) {
        long done = raw(SYS_write, fd, data, size);

        if (done < 0 && done != -EINTR)
            return done;
        if (done > 0) {
            data += done;
            size -= (size_t)done;
        }
    }
    return 0;
}

/* Never as one of the standard streams. */
static long open_file(int directory, const char *path, int flags)
{
    long fd = raw(SYS_openat, directory, path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);

    if (fd < 0 || fd > 2)
        return fd;
    long above = raw(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 3);
    raw(SYS_close, fd);
    return above == -EINVAL ? -EMFILE : above;
}

/* It is the queue's owner's and its group's, as far as we may give it away: those are who may read the message. */
static long set_permissions(long fd, const struct ipc_perm *owner)
{
    if (raw(SYS_fchown, fd, owner->uid, owner->gid) < 0)
        raw(SYS_fchown, fd, -1, owner->gid);
    return raw(SYS_fchmod, fd, owner->mode & 0666);
}

/* It gets its name when it is locked, and may be used by all who shall. -EEXIST: there is one; or chance, or somebody who sweeps
 * has taken it for left over before that. */
static long make_locked(const struct large_place *place, const struct large_name *name, const char *path,
                        const struct ipc_perm *owner)
{
    char unfinished[PATH_SIZE + sizeof UNFINISHED];

    write_path(place, name, unfinished);
    memcpy(unfinished + strlen(unfinished), UNFINISHED, sizeof UNFINISHED);
    long fd = open_file(AT_FDCWD, unfinished, O_RDWR | O_CREAT | O_EXCL);
    if (fd < 0)
        return fd;
    long result = raw(SYS_flock, fd, LOCK_EX | LOCK_NB);
    if (result == 0)
        result = set_permissions(fd, owner);
    if (result == 0)
        result = raw(SYS_renameat2, AT_FDCWD, unfinished, AT_FDCWD, path, RENAME_NOREPLACE);
    if (result == 0)
        return fd;
    raw(SYS_unlinkat, AT_FDCWD, unfinished, 0);
    raw(SYS_close, fd);
    return result == -EWOULDBLOCK || result == -ENOENT ? -EEXIST : result;
}

static long random_name(struct large_name *name)
{
    return raw(SYS_getrandom, name->bytes, sizeof name->bytes, 0);
}

long large_file_make(const struct large_place *place, const struct ipc_perm *owner, const void *data, size_t size,
                     struct large_name *name)
{
    char path[PATH_SIZE];
    long fd;

    if (!large_file_may_have(size))
        return -EFBIG;
    do {
        long got = random_name(name);

        if (got < 0)
            return got;
        write_path(place, name, path);
        fd = make_locked(place, name, path, owner);
    } while (fd == -EEXIST);
    if (fd < 0)
        return fd;
    long result = write_all(fd, data, size);
    if (result == 0)
        return fd;
    large_file_remove(place, name);
    raw(SYS_close, fd);
    return result;
}

/* Not by closing it alone: a process that was forked meanwhile has the descriptor, too. */
void large_file_sent(long fd)
{
    raw(SYS_flock, fd, LOCK_UN);
    raw(SYS_close, fd);
}

/* -EPERM, -EACCES: it is another user's. */
long large_file_remove(const struct large_place *place, const struct large_name *name)
{
    char path[PATH_SIZE];

    write_path(place, name, path);
    return raw(SYS_unlinkat, AT_FDCWD, path, 0);
}

long large_file_rename(const struct large_place *from, const struct large_place *to, const struct large_name *name)
{
    char before[PATH_SIZE], after[PATH_SIZE];

    write_path(from, name, before);
    write_path(to, name, after);
    return raw(SYS_renameat2, AT_FDCWD, before, AT_FDCWD, after, 0);
}

/* So it does not take up memory until its owner removes it. */
void large_file_empty(const struct large_place *place, const struct large_name *name)
{
    char path[PATH_SIZE];

    write_path(place, name, path);
    long fd = open_file(AT_FDCWD, path, O_WRONLY | O_TRUNC);
    if (fd >= 0)
        raw(SYS_close, fd);
}

long large_file_open(const struct large_place *place, const struct large_name *name)
{
    char path[PATH_SIZE];

    write_path(place, name, path);
    return open_file(AT_FDCWD, path, O_RDONLY);
}

long large_file_read(long fd, void *buf, size_t size)
{
    for (size_t got = 0; got < size;) {
        long more = raw(SYS_read, fd, (char *)buf + got, size - got);

        if (more == 0)
            return -EBADMSG;
        if (more < 0 && more != -EINTR)
            return more;
        if (more > 0)
            got += (size_t)more;
    }
    return 0;
}

/* ---- what is shared ---- */

static long open_shared(const struct large_place *place, const char *path, const struct ipc_perm *owner)
{
    struct large_name name;
    long fd;

    do {
        fd = open_file(AT_FDCWD, path, O_RDWR);
        if (fd != -ENOENT)
            return fd;
        long got = random_name(&name);
        if (got < 0)
            return got;
        fd = make_locked(place, &name, path, owner);
    } while (fd == -EEXIST);
    if (fd >= 0)
        raw(SYS_flock, fd, LOCK_UN);
    return fd;
}

/* Of one who may not use the queue: he could cut it off, which would be a signal to those who use it. */
static bool is_strangers(const struct stat *file, const struct ipc_perm *owner)
{
    uid_t uid = file->st_uid;

    if (uid == 0 || uid == owner->uid || uid == owner->cuid || uid == (uid_t)raw(SYS_geteuid))
        return false;
    if ((owner->mode & 0006) == 0006)
        return false;
    return (owner->mode & 0060) != 0060 || (file->st_gid != owner->gid && file->st_gid != owner->cgid);
}

static long map_shared(long fd, const struct ipc_perm *owner, size_t size)
{
    struct stat status = {0};
    long result = raw(SYS_fstat, fd, &status);

    if (result == 0 && is_strangers(&status, owner))
        return -EACCES;
    if (result == 0)
        result = raw(SYS_fallocate, fd, 0, 0L, size); /* else a full file system would be a signal later on */
    if (result == 0)
        result = raw(SYS_mmap, NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0L);
    return result;
}

long large_files_share(const struct large_place *place, const struct ipc_perm *owner, size_t size)
{
    char path[PATH_SIZE];

    if (!large_file_may_have(size))
        return -EFBIG;
    write_path(place, NULL, path);
    long fd = open_shared(place, path, owner);
    if (fd < 0)
        return fd;
    long result = map_shared(fd, owner, size);
    raw(SYS_close, fd);
    return result;
}

/* ---- sweeping ---- */

struct sweep {
    struct large_place place;
    bool all; /* the queue is gone */
    struct large_name *unlocked;
    size_t count, room;
};

static bool is_gone(int queue)
{
    struct msqid_ds status = {.msg_qnum = 0};
    long result = raw(SYS_msgctl, queue, IPC_STAT, &status);

    return result == -EINVAL || result == -EIDRM;
}

static bool is_locked(int directory, const char *text)
{
    long fd = open_file(directory, text, O_RDONLY);

    if (fd < 0)
        return true;
    long result = raw(SYS_flock, fd, LOCK_EX | LOCK_NB);
    large_file_sent(fd);
    return result < 0;
}

/* Without memory for it, it stays for the next sweep. */
static void note_unlocked(struct sweep *sweep, const struct large_name *name)
{
    if (sweep->count == sweep->room) {
        size_t room = sweep->room ? 2 * sweep->room : 16;
        struct large_name *more = realloc(sweep->unlocked, room * sizeof *more);

        if (!more)
            return;
        sweep->unlocked = more;
        sweep->room = room;
    }
    sweep->unlocked[sweep->count++] = *name;
}

/* One of a queue that lives: a file of this kind, or an unfinished one. */
static void look_at_ours(struct sweep *sweep, int directory, const char *text, const char *rest)
{
    struct large_name name;
    size_t kind_size = strlen(sweep->place.kind);

    if (!read_hex(rest, &name) || strncmp(rest + HEX_SIZE, sweep->place.kind, kind_size) != 0)
        return;
    const char *end = rest + HEX_SIZE + kind_size;
    bool is_unfinished = strcmp(end, UNFINISHED) == 0;
    if ((*end && !is_unfinished) || is_locked(directory, text))
        return;
    if (is_unfinished)
        raw(SYS_unlinkat, directory, text, 0);
    else
        note_unlocked(sweep, &name);
}

static void look_at(void *argument, int directory, const char *text)
{
    struct sweep *sweep = argument;
    unsigned long long ipc_namespace;
    int queue, length = 0;
    bool is_one = sscanf(text, NAME_FORMAT "%n", &ipc_namespace, &queue, &length) == 2 && length > 0;

    if (!is_one || ipc_namespace != sweep->place.ipc_namespace)
        return;
    if (queue == sweep->place.queue && !sweep->all)
        look_at_ours(sweep, directory, text, text + length);
    else if (queue == sweep->place.queue || is_gone(queue))
        raw(SYS_unlinkat, directory, text, 0);
}

static void keep(void *argument, const struct large_name *name)
{
    struct sweep *sweep = argument;

    for (size_t i = 0; i < sweep->count; i++)
        if (memcmp(&sweep->unlocked[i], name, sizeof *name) == 0)
            sweep->unlocked[i--] = sweep->unlocked[--sweep->count];
}

/* What is not locked has been sent, or never will be. So the queue is looked through after the locks. */
void large_files_sweep(const struct large_place *place, large_each_fn *each, const void *where)
{
    struct sweep sweep = {.place = *place};

    entries_in(DIRECTORY, look_at, &sweep);
    if (sweep.count > 0 && !each(where, keep, &sweep))
        sweep.count = 0;
    for (size_t i = 0; i < sweep.count; i++)
        large_file_remove(place, &sweep.unlocked[i]);
    free(sweep.unlocked);
}

bool large_files_abandoned(const struct large_place *place)
{
    if (!is_gone(place->queue))
        return false;
    large_files_remove_all(place->queue);
    return true;
}

void large_files_remove_all(int queue)
{
    struct sweep sweep = {.all = true};

    if (large_place_find(&sweep.place, queue, LARGE_MESSAGES) == 0)
        entries_in(DIRECTORY, look_at, &sweep);
}
