/* What do the options cost? A program's child is started in the same way, whatever they are.
 *
 *     options TINY     must be executable by everybody */
#include "rounds.h"
#include "ways.h"

#include <err.h>
#include <unistd.h>

#define ROUNDS 200
#define NOBODY 65534

static void compare(const char *tiny, unsigned rounds)
{
    enum { PLAIN, PIPES, IDS, PLACE, ALL, CANDIDATES };
    const char *const argv[] = {tiny, NULL};
    bool root = geteuid() == 0;
    struct proc_ids ids = {.uid = root ? NOBODY : getuid(), .gid = root ? NOBODY : getgid()};
    struct proc_rlimit limits[] = {{RLIMIT_CORE, {0, 0}}, {RLIMIT_NOFILE, {256, 256}}};
    struct proc_options plain = {.argv = argv}, pipes = plain, others = plain, place = plain;

    pipes.in = pipes.out = pipes.err = PROC_PIPE;
    others.ids = &ids;
    place.cwd = "/";
    place.limits = limits;
    place.nlimits = BENCH_COUNT(limits);
    place.flags = PROC_NEW_GROUP;
    struct proc_options all = place;
    all.in = all.out = all.err = PROC_PIPE;
    all.ids = &ids;
    struct candidate candidates[CANDIDATES] = {
        [PLAIN] = {.name = "plain", .run = spawn_and_wait, .arg = &plain},
        [PIPES] = {.name = "three pipes", .run = spawn_and_wait, .arg = &pipes},
        [IDS] = {.name = root ? "ids of another user" : "own ids", .run = spawn_and_wait, .arg = &others},
        [PLACE] = {.name = "directory, limits, group", .run = spawn_and_wait, .arg = &place},
        [ALL] = {.name = "all of these", .run = spawn_and_wait, .arg = &all},
    };

    bench_title("spawn + wait + free with options");
    run_rounds(candidates, CANDIDATES, rounds);
    print_candidates(candidates, CANDIDATES);
    for (int i = PIPES; i < ALL; i++)
        bench_print_ratio(&candidates[i].series, &candidates[PLAIN].series, GOAL_NONE);
    bench_print_ratio(&candidates[ALL].series, &candidates[PLAIN].series, GOAL_AT_MOST(1.3));
    release_candidates(candidates, CANDIDATES);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        errx(2, "usage: options TINY");
    stay_on_one_processor();
    compare(argv[1], bench_setting("BENCH_ROUNDS", ROUNDS));
    return 0;
}
