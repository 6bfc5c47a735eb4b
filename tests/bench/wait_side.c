/* What is measured goes from the kill to the event, with the child's own death in between, which costs the most of it: by the
 * clock, and the processor time of this process alone. The scheduler lets some children die within the kill, and others only
 * once the waiter sleeps; so the kill is part of both.
 *
 * Before each measurement the children that ended are replaced, and all have said that they are there: the number stays the
 * same, and nothing but what is measured is left to be done. The order in which they end is random. */
#include "wait_side.h"

#include "bench.h"

#include <err.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE (1u << 1)
#endif

char *lasting_program;
static int children_ready; /* they say so at the other end */
static pid_t *pids;        /* of each slot; 0: it has ended */
static size_t *order;      /* of the slots, random */
static unsigned holds, living;

/* ---- children ---- */

/* They get another standard input than ours, at whose end they end, and another standard output; so ours move. */
static FILE *stand_aside(int fd, const char *mode, int for_children)
{
    FILE *moved = fdopen(fcntl(fd, F_DUPFD_CLOEXEC, 3), mode);

    if (!moved || dup2(for_children, fd) < 0 || close(for_children) < 0)
        err(1, "dup2");
    return moved;
}

static void separate_children(FILE **questions, FILE **answers)
{
    int life[2], ready[2];

    if (pipe2(life, O_CLOEXEC) < 0 || pipe2(ready, O_CLOEXEC) < 0)
        err(1, "pipe2");
    *questions = stand_aside(0, "r", life[0]);
    *answers = stand_aside(1, "w", ready[1]);
    children_ready = ready[0];
}

/* The descriptors are nothing to it: where there are thousands, not even a copy of their table is made. */
static int become_lasting(void *argv)
{
    syscall(SYS_close_range, 3, ~0u, CLOSE_RANGE_UNSHARE);
    execve(lasting_program, argv, environ);
    _exit(127);
}

pid_t lasting_start(void)
{
    static _Alignas(16) char stack[16384];
    char *argv[] = {lasting_program, NULL};
    pid_t pid = clone(become_lasting, stack + sizeof stack, CLONE_VM | CLONE_VFORK | CLONE_FILES | SIGCHLD, argv);

    if (pid < 0)
        err(1, "clone");
    return pid;
}

static void start(const struct wait_way *way, unsigned slot)
{
    char byte;

    pids[slot] = way->start(slot);
    living++;
    if (read(children_ready, &byte, 1) != 1)
        err(1, "%s", lasting_program);
    sched_yield(); /* it has only to lie down */
}

void wait_ended(unsigned slot)
{
    if (pids[slot] == 0)
        errx(1, "an event for a child that has ended before");
    pids[slot] = 0;
    living--;
}

static void end_child(unsigned slot)
{
    if (kill(pids[slot], SIGKILL) < 0)
        err(1, "kill");
}

/* ---- measuring ---- */

static int64_t processor_ns(void)
{
    struct timespec used;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (int64_t)used.tv_sec * 1000000000 + used.tv_nsec;
}

/* Ends these, and hears of it. The times are for one of them. */
static void measure(const struct wait_way *way, const size_t *slots, unsigned count, double *clock, double *processor)
{
    unsigned left = living - count;
    int64_t used = processor_ns(), start = bench_now_ns();

    for (unsigned i = 0; i < count; i++)
        end_child((unsigned)slots[i]);
    while (living > left)
        way->hear();
    *clock = (double)(bench_now_ns() - start) / count;
    *processor = (double)(processor_ns() - used) / count;
    for (unsigned i = 0; i < count; i++)
        if (pids[slots[i]] != 0)
            errx(1, "an event for a child that lives");
}

static void fill(const struct wait_way *way)
{
    for (unsigned slot = 0; slot < holds; slot++)
        if (pids[slot] == 0)
            start(way, slot);
}

static void end_one_by_one(const struct wait_way *way, unsigned count, double *clock, double *processor)
{
    static unsigned next;
    struct series clocks, processors;

    series_make(&clocks, "", count);
    series_make(&processors, "", count);
    for (unsigned i = 0; i < count; i++) {
        next = (next + 1) % holds;
        measure(way, &order[next], 1, &clocks.values[i], &processors.values[i]);
        start(way, (unsigned)order[next]);
    }
    *clock = series_quantile(&clocks, 0.5);
    *processor = series_quantile(&processors, 0.5);
    series_release(&clocks);
    series_release(&processors);
}

static double switches(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_nvcsw + usage.ru_nivcsw);
}

static void be_idle(const struct wait_way *way, int ms, double *processor, double *switched)
{
    double switched_before = switches();
    int64_t used = processor_ns();

    way->idle(ms);
    *processor = (double)(processor_ns() - used);
    *switched = switches() - switched_before;
}

/* ---- answering ---- */

static void hold(const struct wait_way *way, unsigned count)
{
    if (!pids) {
        pids = calloc(count, sizeof *pids);
        order = calloc(count, sizeof *order);
        if (!pids || !order)
            err(1, "calloc");
        holds = count;
        way->begin(count);
    }
    fill(way);
    bench_shuffle(order, count);
}

static void answer(const struct wait_way *way, const char *question, FILE *answers)
{
    const char *argument = strchr(question, ' ');
    unsigned number = argument ? (unsigned)strtoul(argument, NULL, 10) : 0;
    double one = 0, other = 0;

    if (strncmp(question, "hold", 4) == 0)
        hold(way, number);
    else if (strncmp(question, "one", 3) == 0)
        end_one_by_one(way, number, &one, &other);
    else if (strncmp(question, "all", 3) == 0)
        measure(way, order, holds, &one, &other);
    else
        be_idle(way, (int)number, &one, &other);
    fprintf(answers, "%.0f %.0f\n", one, other);
    fflush(answers);
}

static void raise_limit(void)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        err(1, "setrlimit");
}

void wait_serve(const struct wait_way *way, char *program)
{
    char question[32];
    FILE *questions, *answers;

    lasting_program = program;
    raise_limit();
    separate_children(&questions, &answers);
    fputs("ready\n", answers);
    fflush(answers);
    while (fgets(question, sizeof question, questions))
        answer(way, question, answers);
}
