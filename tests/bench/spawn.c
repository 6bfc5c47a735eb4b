/* One program started and waited for: the library beside what the C library, other libraries and other languages have, in
 * parents of several sizes.
 *
 *     spawn TINY */
#include "resident.h"
#include "rounds.h"
#include "ways.h"

#include <err.h>
#include <stdio.h>

#define ROUNDS 100

enum { LIBPROC, POSIX_SPAWN, VFORK, FORK, UV, GLIB, GSUBPROCESS, PYTHON, PHP, WAYS };

static void print(const struct candidate ways[WAYS])
{
    const struct series *libproc = &ways[LIBPROC].series;

    print_candidates(ways, WAYS);
    bench_print_ratio(libproc, &ways[POSIX_SPAWN].series, GOAL_AT_MOST(0.92));
    bench_print_ratio(libproc, &ways[VFORK].series, GOAL_AT_MOST(1.10));
    for (int way = FORK; way < WAYS; way++)
        bench_print_ratio(libproc, &ways[way].series, GOAL_NONE);
}

/* Each peer holds the same memory again: as many as leave the machine a third of what it has free. */
static void leave_out_what_does_not_fit(struct candidate ways[WAYS], size_t mib)
{
    size_t room = bench_available_mib() / 3 * 2;
    size_t fit = mib == 0 ? WAYS : room / mib;

    for (int way = UV; way < WAYS; way++)
        if (fit <= (size_t)(way - UV) + 1)
            ways[way].left_out = "memory";
}

static void compare(char *tiny, size_t mib, unsigned rounds)
{
    char held[16];

    snprintf(held, sizeof held, "%zu", mib);
    struct candidate ways[WAYS] = {
        [LIBPROC] = {.name = "libproc", .run = way_libproc, .arg = tiny},
        [POSIX_SPAWN] = {.name = "posix_spawn", .run = way_posix_spawn, .arg = tiny},
        [VFORK] = {.name = "vfork", .run = way_vfork, .arg = tiny},
        [FORK] = {.name = "fork", .run = way_fork, .arg = tiny},
        [UV] = {.name = "libuv", .peer = PEER("spawn_uv", tiny, held)},
        [GLIB] = {.name = "g_spawn_async", .peer = PEER("spawn_glib", tiny, held, "async")},
        [GSUBPROCESS] = {.name = "g_subprocess", .peer = PEER("spawn_glib", tiny, held, "subprocess")},
        [PYTHON] = {.name = "Python subprocess", .peer = PEER("python3", "spawn_python.py", tiny, held)},
        [PHP] = {.name = "PHP pcntl", .peer = PEER("php", "-d", "memory_limit=-1", "spawn_php.php", tiny, held)},
    };

    bench_title("spawn + wait + free of a tiny program, %zu MiB resident in the parent", mib);
    if (bench_available_mib() < mib + mib / 2) {
        bench_note("left out: memory");
        return;
    }
    bench_note("libraries and languages in processes of their own, which hold as much");
    leave_out_what_does_not_fit(ways, mib);
    void *memory = resident_hold(mib);
    run_rounds(ways, WAYS, rounds);
    print(ways);
    release_candidates(ways, WAYS);
    resident_drop(memory, mib);
}

int main(int argc, char **argv)
{
    static const size_t sizes_mib[] = {0, 1024, 4096};
    unsigned rounds = bench_setting("BENCH_ROUNDS", ROUNDS);

    if (argc != 2)
        errx(2, "usage: spawn TINY");
    stay_on_one_processor();
    resident_in_small_pages();
    for (size_t i = 0; i < BENCH_COUNT(sizes_mib); i++)
        compare(argv[1], sizes_mib[i], rounds);
    return 0;
}
