/* Taking over the path of a unix socket.
 *
 * A socket whose owner has died stays in its directory, and refuses connections. Two that find it there at the same time must
 * not both replace it: the second would replace the first one's. So the directory is locked, from the look at what is there
 * until the new socket listens. The kernel ends the lock with the process.
 *
 * A stale socket is replaced by renaming: the new one is made beside it, under a name that follows from the path. If we are
 * killed just then it stays, and whoever opens the same path next removes it. */
#include "socket_file.h"

#include "deadline.h"
#include "ends.h"
#include "kernel.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define LOCK_WAIT_MS 3000 /* others hold it for an instant; if somebody holds it for good, we say that we cannot have it */
#define LOCK_STEP_MS 2

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    return address;
}

/* ---- the lock ---- */

static long lock(int directory)
{
    struct deadline deadline = deadline_in(LOCK_WAIT_MS);

    for (;;) {
        long result = raw(SYS_flock, directory, LOCK_EX | LOCK_NB);

        if (result != -EAGAIN && result != -EINTR)
            return result;
        if (deadline_left_ns(deadline) == 0)
            return -EADDRINUSE;
        deadline_poll(deadline_in(LOCK_STEP_MS), NULL, 0);
    }
}

/* Returns the descriptor that holds the lock, or -1 with errno. */
static int lock_directory_of(const char *path)
{
    char directory[sizeof ((struct sockaddr_un *)0)->sun_path];

    snprintf(directory, sizeof directory, "%.*s", (int)(strrchr(path, '/') - path), path);
    int fd = (int)sys(SYS_openat, AT_FDCWD, *directory ? directory : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    fd = fd_above_stdio(fd);
    if (fd < 0)
        return -1;
    long result = lock(fd);
    if (result < 0)
        raw(SYS_close, fd);
    return result < 0 ? (int)kernel_result(result) : fd;
}

/* ---- what is there ---- */

enum found { FOUND_NOTHING, FOUND_STALE, FOUND_IN_USE };

/* 1, 0, or -errno: nobody knows. */
static long is_served(const char *path)
{
    struct sockaddr_un address = address_of(path);
    int fd = fd_above_stdio((int)sys(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));

    if (fd < 0)
        return -errno;
    long result = raw(SYS_connect, fd, &address, sizeof address);
    raw(SYS_close, fd);
    if (result == -ECONNREFUSED)
        return 0;
    return result == -EACCES ? result : 1; /* -EPROTOTYPE, -EAGAIN: it is, too */
}

static long look_at(const char *path, enum found *found)
{
    struct stat status = {.st_mode = 0};
    long result = raw(SYS_newfstatat, AT_FDCWD, path, &status, AT_SYMLINK_NOFOLLOW);

    *found = FOUND_NOTHING;
    if (result == -ENOENT)
        return 0;
    *found = FOUND_IN_USE;
    if (result < 0 || !S_ISSOCK(status.st_mode))
        return result;
    result = is_served(path);
    if (result == 0)
        *found = FOUND_STALE;
    return result < 0 ? result : 0;
}

/* ---- taking it ---- */

static long bind_and_listen(int fd, const char *path)
{
    struct sockaddr_un address = address_of(path);
    long result = raw(SYS_bind, fd, &address, sizeof address);

    if (result < 0)
        return result;
    result = raw(SYS_listen, fd, SOMAXCONN);
    if (result < 0)
        raw(SYS_unlinkat, AT_FDCWD, path, 0);
    return result;
}

/* The new one's name until it is renamed: one character more, or where that is too long, another last one. */
static void name_beside(const char *path, char beside[sizeof ((struct sockaddr_un *)0)->sun_path])
{
    size_t length = strlen(path);
    size_t at = length + 1 < sizeof ((struct sockaddr_un *)0)->sun_path ? length : length - 1;

    memcpy(beside, path, length);
    beside[at] = at < length && path[at] == '~' ? '+' : '~';
    beside[at + 1] = '\0';
}

static long clear_away_unfinished(const char *beside)
{
    enum found found;
    long result = look_at(beside, &found);

    if (result < 0 || found == FOUND_NOTHING)
        return result;
    return found == FOUND_STALE ? raw(SYS_unlinkat, AT_FDCWD, beside, 0) : -EADDRINUSE;
}

static long replace(int fd, const char *path, const char *beside)
{
    long result = bind_and_listen(fd, beside);

    if (result < 0)
        return result;
    result = raw(SYS_renameat2, AT_FDCWD, beside, AT_FDCWD, path, 0);
    if (result < 0)
        raw(SYS_unlinkat, AT_FDCWD, beside, 0);
    return result;
}

static long claim_locked(int fd, const char *path)
{
    char beside[sizeof ((struct sockaddr_un *)0)->sun_path];
    enum found found;
    long result = look_at(path, &found);

    if (result < 0 || found == FOUND_IN_USE)
        return result < 0 ? result : -EADDRINUSE;
    name_beside(path, beside);
    result = clear_away_unfinished(beside);
    if (found == FOUND_NOTHING) /* whatever is beside it, then, does not matter */
        return bind_and_listen(fd, path);
    return result < 0 ? result : replace(fd, path, beside);
}

static long note(const char *path, struct socket_file *file)
{
    struct stat status = {.st_mode = 0};
    long result = raw(SYS_newfstatat, AT_FDCWD, path, &status, AT_SYMLINK_NOFOLLOW);

    *file = (struct socket_file){status.st_dev, status.st_ino};
    return result;
}

int socket_file_claim(int fd, const char *path, struct socket_file *file)
{
    int directory = lock_directory_of(path);

    if (directory < 0)
        return -1;
    long result = claim_locked(fd, path);
    if (result == 0)
        result = note(path, file);
    raw(SYS_flock, directory, LOCK_UN); /* not by closing: a child that was forked just now has the descriptor, too */
    raw(SYS_close, directory);
    return (int)kernel_result(result);
}

void socket_file_remove(const char *path, const struct socket_file *file)
{
    struct socket_file now;

    if (note(path, &now) == 0 && now.device == file->device && now.inode == file->inode)
        raw(SYS_unlinkat, AT_FDCWD, path, 0);
}
