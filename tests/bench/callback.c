/* A C function in a child: what the library adds to fork (a clean child, its own view of itself, nothing written twice).
 * Parent and child run at once where they can, and the library makes use of that: so they are measured on all processors,
 * which is as things are, and on one, which is steadier. */
#include "rounds.h"
#include "ways.h"

#define ROUNDS 200

static int nothing(struct proc *self, void *arg)
{
    (void)self, (void)arg;
    return 0;
}

static void compare(const char *where)
{
    struct proc_options options = {.main = nothing};
    struct candidate candidates[] = {{.name = "libproc", .run = spawn_and_wait, .arg = &options},
                                     {.name = "fork", .run = way_fork_alone}};

    bench_title("a callback that returns at once: spawn + wait + free, and fork + _exit + waitpid; on %s", where);
    run_rounds(candidates, BENCH_COUNT(candidates), bench_setting("BENCH_ROUNDS", ROUNDS));
    print_candidates(candidates, BENCH_COUNT(candidates));
    bench_print_ratio(&candidates[0].series, &candidates[1].series, GOAL_AT_MOST(1.05));
    release_candidates(candidates, BENCH_COUNT(candidates));
}

int main(void)
{
    compare("all processors");
    stay_on_one_processor();
    compare("one");
    return 0;
}
