/* Turns in a new random order in each round. On two processors the kernel decides who runs where: that is how pools run. */
#include "pool_turns.h"

#include <err.h>
#include <sched.h>
#include <stdlib.h>

#define BESIDE_EVERY 5 /* rounds */

void make_contenders(struct contender *contenders, size_t count, unsigned rounds)
{
    for (size_t i = 0; i < count; i++) {
        series_make(&contenders[i].series, contenders[i].name, rounds);
        contenders[i].series.left_out = contenders[i].left_out;
    }
}

static void take_turn(struct contender *contender, unsigned round)
{
    if (!contender->left_out && (!contender->beside || round % BESIDE_EVERY == 0))
        contender->series.values[round] = contender->turn(contender->arg);
}

void take_turns(struct contender *contenders, size_t count, unsigned first_round, unsigned rounds)
{
    size_t *order = malloc(count * sizeof *order);

    if (!order)
        err(1, "malloc");
    for (size_t i = 0; i < count; i++)
        if (!contenders[i].left_out)
            contenders[i].turn(contenders[i].arg);
    for (unsigned round = first_round; round < first_round + rounds; round++) {
        bench_shuffle(order, count);
        for (size_t i = 0; i < count; i++)
            take_turn(&contenders[order[i]], round);
    }
    free(order);
}

void release_contenders(struct contender *contenders, size_t count)
{
    for (size_t i = 0; i < count; i++)
        series_release(&contenders[i].series);
}

void print_contenders(const struct contender *contenders, size_t count, const char *unit)
{
    bench_print_heads(unit);
    for (size_t i = 0; i < count; i++)
        bench_print_series(&contenders[i].series);
}

/* ---- processors ---- */

bool stay_on_processors(unsigned count)
{
    static cpu_set_t usable;
    cpu_set_t some;

    if (CPU_COUNT(&usable) == 0 && sched_getaffinity(0, sizeof usable, &usable) < 0)
        err(1, "sched_getaffinity");
    CPU_ZERO(&some);
    for (int processor = 0; processor < CPU_SETSIZE && count > 0; processor++) {
        if (!CPU_ISSET(processor, &usable))
            continue;
        CPU_SET(processor, &some);
        count--;
    }
    return count == 0 && sched_setaffinity(0, sizeof some, &some) == 0;
}

const char *processors_name(unsigned count)
{
    return count == 1 ? "on one processor" : "on two processors";
}
