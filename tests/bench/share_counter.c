/* Adding to a counter that processes share, beside an atomic addition to shared memory. */
#include "batches.h"

#include <err.h>
#include <stdatomic.h>
#include <sys/mman.h>

static void add(void *arg, unsigned count)
{
    struct proc_counter *counter = arg;

    while (count-- > 0)
        proc_counter_add(counter, 0, 1);
}

static void add_bare(void *arg, unsigned count)
{
    _Atomic int64_t *counter = arg;

    while (count-- > 0)
        atomic_fetch_add(counter, 1);
}

static void compare(enum place place, struct proc_counter *counter, _Atomic int64_t *bare)
{
    bool two = place != NOWHERE;
    struct batch ways[] = {
        {.name = "libproc", .first.run = add, .second.run = two ? add : NULL, .arg = counter, .rivals = two},
        {.name = "atomic", .first.run = add_bare, .second.run = two ? add_bare : NULL, .arg = bare, .rivals = two},
    };

    bench_title("adding to a shared counter, %s", place_name(place));
    if (!run_batches(ways, BENCH_COUNT(ways), place)) {
        bench_note("left out: one processor");
        return;
    }
    print_batches(ways, BENCH_COUNT(ways));
    bench_print_ratio(&ways[0].series, &ways[1].series, GOAL_AT_MOST(1.05));
    release_batches(ways, BENCH_COUNT(ways));
}

int main(void)
{
    struct proc_counter *counter = proc_counter_open(PROC_PRIVATE, 1, 0, 0);
    _Atomic int64_t *bare = mmap(NULL, sizeof *bare, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (!counter || bare == MAP_FAILED)
        err(1, "a shared counter");
    for (enum place place = NOWHERE; place <= OTHER_PROCESSOR; place++)
        compare(place, counter, bare);
    proc_counter_close(counter);
    return 0;
}
