/* What a program does without a library, as peers of `wait`: wait_bare LASTING pidfd|signalfd
 *
 * Both sleep in an epoll, since a program's loop has other things to wait for. They learn how a child ended, but not what
 * it has used. */
#include "wait_side.h"

#include <err.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef P_PIDFD
#define P_PIDFD 3
#endif

#define BATCH 64

static int epoll;

static void add_to_epoll(int fd, unsigned slot)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = slot};

    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        err(1, "epoll_ctl");
}

static void make_epoll(void)
{
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0)
        err(1, "epoll_create1");
}

/* ---- one pidfd for each child ---- */

static int *pidfds; /* by slot */

static void pidfd_begin(unsigned most)
{
    make_epoll();
    pidfds = calloc(most, sizeof *pidfds);
    if (!pidfds)
        err(1, "calloc");
}

static pid_t pidfd_start(unsigned slot)
{
    pid_t pid = lasting_start();

    pidfds[slot] = (int)syscall(SYS_pidfd_open, pid, 0); /* close-on-exec by itself */
    if (pidfds[slot] < 0)
        err(1, "pidfd_open");
    add_to_epoll(pidfds[slot], slot);
    return pid;
}

static void pidfd_reap(unsigned slot)
{
    siginfo_t info;

    if (waitid(P_PIDFD, (id_t)pidfds[slot], &info, WEXITED) < 0)
        err(1, "waitid");
    close(pidfds[slot]);
    wait_ended(slot);
}

static void pidfd_hear(void)
{
    struct epoll_event events[BATCH];
    int ready = epoll_wait(epoll, events, BATCH, -1);

    if (ready < 0)
        err(1, "epoll_wait");
    for (int i = 0; i < ready; i++)
        pidfd_reap(events[i].data.u32);
}

/* ---- one signalfd for all ---- */

static int signals;
static unsigned *slots; /* by pid: as much memory as there are different pages touched */

static void signalfd_begin(unsigned most)
{
    sigset_t children;

    (void)most;
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    sigprocmask(SIG_BLOCK, &children, NULL);
    make_epoll();
    signals = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
    slots = calloc(1 << 22, sizeof *slots);
    if (signals < 0 || !slots)
        err(1, "signalfd");
    add_to_epoll(signals, 0);
}

static pid_t signalfd_start(unsigned slot)
{
    pid_t pid = lasting_start();

    slots[pid] = slot;
    return pid;
}

static void signalfd_hear(void)
{
    struct signalfd_siginfo info;
    struct epoll_event event;
    int status;

    if (epoll_wait(epoll, &event, 1, -1) < 0)
        err(1, "epoll_wait");
    if (read(signals, &info, sizeof info) < 0)
        err(1, "signalfd");
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        wait_ended(slots[pid]);
}

static const struct wait_way pidfd = {pidfd_begin, pidfd_start, pidfd_hear, NULL};
static const struct wait_way signalfd_way = {signalfd_begin, signalfd_start, signalfd_hear, NULL};

int main(int argc, char **argv)
{
    if (argc != 3)
        errx(2, "usage: wait_bare LASTING pidfd|signalfd");
    wait_serve(strcmp(argv[2], "pidfd") == 0 ? &pidfd : &signalfd_way, argv[1]);
    return 0;
}
