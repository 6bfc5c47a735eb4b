/* Does a spawn cost more with many descriptors open? Each candidate is a process of its own, since a table of descriptors
 * that has grown never shrinks.
 *
 *     descriptors TINY
 *     descriptors TINY WAY COUNT     as a peer, with COUNT of them open */
#include "rounds.h"
#include "ways.h"

#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define ROUNDS 100
#define FEW 10
#define MANY 20000
#define SLACK 64 /* for what the spawns themselves need */

/* How many a process may have open here, after the limit was raised as far as it goes. Peers inherit it. */
static unsigned most(void)
{
    struct rlimit limit = {MANY + SLACK, MANY + SLACK}, now;

    getrlimit(RLIMIT_NOFILE, &now);
    if (now.rlim_max >= limit.rlim_max || setrlimit(RLIMIT_NOFILE, &limit) < 0)
        limit.rlim_max = now.rlim_max;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        err(1, "setrlimit");
    return limit.rlim_cur < MANY + SLACK ? (unsigned)limit.rlim_cur - SLACK : MANY;
}

static void open_up_to(int count)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    while (fd >= 0 && fd < count - 1)
        fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        err(1, "/dev/null");
}

static const struct {
    const char *name;
    bench_fn *run;
} ways[] = {{"libproc", way_libproc}, {"pipes", way_libproc_pipes}, {"posix_spawn", way_posix_spawn}, {"fork", way_fork}};

static int be_peer(char *tiny, const char *name, int count)
{
    open_up_to(count);
    for (size_t i = 0; i < BENCH_COUNT(ways); i++)
        if (strcmp(name, ways[i].name) == 0)
            serve(ways[i].run, tiny);
    return 0;
}

static void compare(const char *tiny, unsigned rounds)
{
    enum { FEW_PLAIN, MANY_PLAIN, FEW_PIPES, MANY_PIPES, FEW_POSIX, MANY_POSIX, FEW_FORK, MANY_FORK, CANDIDATES };
    char few[16], many[16];

    snprintf(few, sizeof few, "%u", FEW);
    snprintf(many, sizeof many, "%u", most());
    struct candidate candidates[CANDIDATES] = {
        [FEW_PLAIN] = {.name = "libproc, few", .peer = PEER("/proc/self/exe", tiny, "libproc", few)},
        [MANY_PLAIN] = {.name = "libproc, many", .peer = PEER("/proc/self/exe", tiny, "libproc", many)},
        [FEW_PIPES] = {.name = "with three pipes, few", .peer = PEER("/proc/self/exe", tiny, "pipes", few)},
        [MANY_PIPES] = {.name = "with three pipes, many", .peer = PEER("/proc/self/exe", tiny, "pipes", many)},
        [FEW_POSIX] = {.name = "posix_spawn, few", .peer = PEER("/proc/self/exe", tiny, "posix_spawn", few)},
        [MANY_POSIX] = {.name = "posix_spawn, many", .peer = PEER("/proc/self/exe", tiny, "posix_spawn", many)},
        [FEW_FORK] = {.name = "fork, few", .peer = PEER("/proc/self/exe", tiny, "fork", few)},
        [MANY_FORK] = {.name = "fork, many", .peer = PEER("/proc/self/exe", tiny, "fork", many)},
    };
    bench_title("spawn + wait + free with few (%s) and many (%s) descriptors open in the parent", few, many);
    run_rounds(candidates, CANDIDATES, rounds);
    print_candidates(candidates, CANDIDATES);
    bench_print_ratio(&candidates[MANY_PLAIN].series, &candidates[FEW_PLAIN].series, GOAL_AT_MOST(1.3));
    bench_print_ratio(&candidates[MANY_PIPES].series, &candidates[FEW_PIPES].series, GOAL_AT_MOST(1.3));
    bench_print_ratio(&candidates[MANY_POSIX].series, &candidates[FEW_POSIX].series, GOAL_NONE);
    bench_print_ratio(&candidates[MANY_FORK].series, &candidates[FEW_FORK].series, GOAL_NONE);
    bench_print_ratio(&candidates[MANY_PLAIN].series, &candidates[MANY_POSIX].series, GOAL_NONE);
    release_candidates(candidates, CANDIDATES);
}

int main(int argc, char **argv)
{
    if (argc == 4)
        return be_peer(argv[1], argv[2], atoi(argv[3]));
    if (argc != 2)
        errx(2, "usage: descriptors TINY [WAY COUNT]");
    stay_on_one_processor();
    compare(argv[1], bench_setting("BENCH_ROUNDS", ROUNDS));
    return 0;
}
