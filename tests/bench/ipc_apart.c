#include "ipc_apart.h"

#include "bench.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <unistd.h>

#define KEYS 16

static key_t keys[KEYS];
static volatile sig_atomic_t used;
static bool is_apart;

/* ---- a namespace ---- */

static bool write_file(const char *path, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool write_file(const char *path, const char *format, ...)
{
    char text[64];
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    int file = open(path, O_WRONLY | O_CLOEXEC);
    bool written = file >= 0 && write(file, text, (size_t)length) == length;
    int saved = errno;
    if (file >= 0)
        close(file);
    errno = saved;
    return written;
}

/* Who has no privilege gets it in a user namespace, over what he makes there and nothing else. */
static bool become_privileged_apart(void)
{
    unsigned uid = geteuid(), gid = getegid();

    return unshare(CLONE_NEWUSER | CLONE_NEWIPC) == 0 && write_file("/proc/self/setgroups", "deny") &&
           write_file("/proc/self/uid_map", "0 %u 1", uid) && write_file("/proc/self/gid_map", "0 %u 1", gid);
}

bool ipc_allow_capacity(size_t bytes)
{
    if (is_apart)
        return write_file("/proc/sys/kernel/msgmnb", "%zu", bytes);
    errno = EPERM;
    return false;
}

/* ---- what is left ---- */

/* Also in a signal handler. */
static void remove_all(void)
{
    for (int i = 0; i < used; i++) {
        int queue = msgget(keys[i], 0), set = semget(keys[i], 0, 0), segment = shmget(keys[i], 0, 0);

        if (queue >= 0)
            msgctl(queue, IPC_RMID, NULL);
        if (set >= 0)
            semctl(set, 0, IPC_RMID);
        if (segment >= 0)
            shmctl(segment, IPC_RMID, NULL);
    }
}

static void end(int signo)
{
    remove_all();
    signal(signo, SIG_DFL);
    raise(signo);
}

static bool is_free(key_t key)
{
    return key != IPC_PRIVATE && key != -1 && msgget(key, 0) < 0 && errno == ENOENT && semget(key, 0, 0) < 0 &&
           errno == ENOENT && shmget(key, 0, 0) < 0 && errno == ENOENT;
}

key_t ipc_new_key(void)
{
    key_t key = (key_t)bench_now_ns();

    if (used == KEYS)
        errx(1, "more than %d keys", KEYS);
    while (!is_free(key))
        key++;
    keys[used] = key;
    used = used + 1;
    return key;
}

void ipc_apart(void)
{
    static const int ends[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction before, handler = {.sa_handler = end};

    is_apart = unshare(CLONE_NEWIPC) == 0 || become_privileged_apart();
    for (size_t i = 0; i < BENCH_COUNT(ends); i++)
        if (sigaction(ends[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            sigaction(ends[i], &handler, NULL);
    atexit(remove_all);
}
