/* The one service of this process: its paths, its pidfile, its streams.
 *
 * The lock of the pidfile is taken by the command and inherited by the daemon. No other child of the program's, before or after,
 * may have it, or it would outlive the daemon: so a child that is forked gives up at once what makes its parent a daemon. */
#include "service.h"

#include "kernel.h"
#include "orderly_end.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST_PATH 4096

static struct service service = {.ends = {.fd = {-1, -1, -1, -1, -1, -1, -1}}};

_Static_assert(ENDS == 7, "an end is not initialised");

/* ---- children of the daemon's are no daemons ---- */

/* The two forks that make it one are for the daemon; what other threads fork meanwhile is not. */
static _Thread_local bool is_moving;

/* Without the lock of the ends, which may not be free yet: nobody else is in this process. */
static void be_no_daemon(void)
{
    if (service.pid == 0 || is_moving)
        return;
    for (int end = 0; end < ENDS; end++) {
        if (service.ends.fd[end] >= 0)
            raw(SYS_close, service.ends.fd[end]);
        service.ends.fd[end] = -1;
    }
    service.pid = 0;
}

static void remove_pidfile(void)
{
    if (service_here())
        pidfile_remove(&service.pidfile, &service.ends);
}

__attribute__((constructor)) static void stand_by(void)
{
    pthread_atfork(NULL, NULL, be_no_daemon);
    orderly_end_add(remove_pidfile);
}

/* Its number, too, since not every fork runs those handlers. */
struct service *service_here(void)
{
    return service.pid != 0 && service.pid == (pid_t)raw(SYS_getpid) ? &service : NULL;
}

const struct stream_files *service_streams(void)
{
    return &service.streams;
}

void service_departs(void)
{
    is_moving = true;
}

void service_arrives(struct service *it)
{
    is_moving = false;
    it->pid = (pid_t)raw(SYS_getpid);
}

void service_has_left(struct service *it)
{
    it->pid = 0;
}

/* ---- paths ---- */

static char *joined(const char *directory, const char *between, const char *name)
{
    size_t size = strlen(directory) + strlen(between) + strlen(name) + 1;
    char *path = malloc(size);

    if (path)
        snprintf(path, size, "%s%s%s", directory, between, name);
    return path;
}

/* Of a relative path the directory is named anew, so that the caller's may be gone later, "../log" or not. If there is no such
 * directory, that is found out when it is used. ENOENT: the caller's has no name. */
static char *absolute(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    char before[LONGEST_PATH], directory[LONGEST_PATH];

    if ((size_t)snprintf(before, sizeof before, "./%.*s", (int)(name - path), path) >= sizeof before) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    if (realpath(before, directory))
        return joined(directory, "/", name);
    if (sys(SYS_getcwd, directory, sizeof directory) < 0)
        return NULL;
    errno = ENOENT;
    return directory[0] == '/' ? joined(directory, "/", path) : NULL;
}

static int copy_absolute(char **copy, const char *path)
{
    if (!path)
        return 0;
    if (!*path)
        return (int)kernel_result(-ENOENT);
    *copy = path[0] == '/' ? joined("", "", path) : absolute(path);
    return *copy ? 0 : -1;
}

static int copy_paths(const struct proc_daemon_options *options)
{
    char **pidfile = service.pidfile_paths;

    if (copy_absolute(&service.cwd, options->cwd ? options->cwd : "/") < 0 ||
        copy_absolute(&service.stream_paths[0], options->out) < 0 ||
        copy_absolute(&service.stream_paths[1], options->err) < 0 || copy_absolute(&pidfile[0], options->pidfile) < 0)
        return -1;
    pidfile[1] = pidfile[0] ? joined(pidfile[0], "", "~") : NULL;
    if (pidfile[0] && !pidfile[1])
        return -1;
    service.streams = (struct stream_files){.path = {NULL, service.stream_paths[0], service.stream_paths[1]}};
    service.pidfile = (struct pidfile){.path = pidfile[0], .beside = pidfile[1]};
    return 0;
}

static void free_path(char **path)
{
    free(*path);
    *path = NULL;
}

/* ---- its life ---- */

void service_end(struct service *it)
{
    int saved = errno;

    remove_pidfile(); /* not its parent's, if it has been forked past the handlers */
    ends_delist(&it->ends);
    free_path(&it->cwd);
    for (int i = 0; i < 2; i++) {
        free_path(&it->pidfile_paths[i]);
        free_path(&it->stream_paths[i]);
    }
    it->pidfile = (struct pidfile){.path = NULL};
    it->streams = (struct stream_files){.path = {NULL}};
    it->pid = 0;
    errno = saved;
}

struct service *service_begin(const struct proc_daemon_options *options)
{
    if (service_here()) {
        errno = EALREADY;
        return NULL;
    }
    service_end(&service); /* what this process has of its parent's */
    ends_enlist(&service.ends);
    service_arrives(&service);
    if (copy_paths(options) == 0 && pidfile_claim(&service.pidfile, &service.ends, (0644 & ~options->umask) | 0400) == 0)
        return &service;
    service_end(&service);
    return NULL;
}

long service_settle(struct service *it, mode_t umask, bool silent, const char **what)
{
    mode_t before = (mode_t)raw(SYS_umask, umask);
    long result = stream_files_open(&it->streams, silent, what);

    if (result == 0) {
        *what = it->pidfile.path;
        result = pidfile_publish(&it->pidfile, &it->ends);
    }
    if (result == 0) {
        *what = it->cwd;
        result = raw(SYS_chdir, it->cwd);
    }
    if (result == 0) {
        *what = "standard streams";
        result = stream_files_install(&it->streams);
    }
    if (result < 0) {
        stream_files_close(&it->streams);
        raw(SYS_umask, before);
    }
    return result;
}
