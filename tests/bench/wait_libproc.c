/* The library, as peers of `wait`: wait_libproc LASTING pidfd|signalfd|few
 *
 * pidfd: with PROC_WAITER_PIDFD. signalfd: without, but there too most children have a pidfd, as long as half of the table
 * of descriptors has room for them. few: it is so small that all but a few have none. */
#include "wait_side.h"

#include <err.h>
#include <proc.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define FEW_DESCRIPTORS 64
#define AN_HOUR_US (INT64_C(3600) * 1000000)

static unsigned flags;
static struct proc_waiter *waiter;

static void begin(unsigned most)
{
    (void)most;
    waiter = proc_waiter_new(flags);
    if (!waiter)
        err(1, "proc_waiter_new");
}

static pid_t start(unsigned slot)
{
    struct proc_options options = {.argv = (const char *const[]){lasting_program, NULL}};
    struct proc *proc = proc_spawn(&options);

    if (!proc)
        err(1, "proc_spawn: %s", proc_spawn_step());
    if (proc_waiter_add(waiter, proc, (void *)(uintptr_t)slot) < 0)
        err(1, "proc_waiter_add");
    return proc_pid(proc);
}

static void hear(void)
{
    struct proc_event event;

    if (proc_waiter_next(waiter, &event, -1) != 1 || event.type != PROC_EVENT_EXIT)
        err(1, "proc_waiter_next");
    wait_ended((unsigned)(uintptr_t)event.data);
    proc_free(event.proc);
}

static void idle(int ms)
{
    static const int signals[] = {SIGHUP, SIGUSR1, SIGUSR2};
    struct proc_event event;

    for (int i = 0; i < 3; i++)
        if (proc_waiter_signal(waiter, signals[i], NULL) < 0)
            err(1, "proc_waiter_signal");
    int alarm = proc_waiter_alarm(waiter, AN_HOUR_US, 0, NULL);
    if (alarm < 0)
        err(1, "proc_waiter_alarm");
    if (proc_waiter_next(waiter, &event, ms) != 0)
        errx(1, "an event for nothing");
    proc_waiter_cancel(waiter, alarm);
}

static void allow_few_descriptors(void)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_max = FEW_DESCRIPTORS;
    limit.rlim_cur = FEW_DESCRIPTORS;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        err(1, "setrlimit");
}

int main(int argc, char **argv)
{
    static const struct wait_way way = {begin, start, hear, idle};

    if (argc != 3)
        errx(2, "usage: wait_libproc LASTING pidfd|signalfd|few");
    if (strcmp(argv[2], "pidfd") == 0)
        flags = PROC_WAITER_PIDFD;
    else if (strcmp(argv[2], "few") == 0)
        allow_few_descriptors();
    wait_serve(&way, argv[1]);
    return 0;
}
