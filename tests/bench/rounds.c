/* Rounds of candidates in random order. Each turn starts with one that is not counted: it finds the caches, and the page
 * tables after a fork, as its predecessor left them. */
#include "rounds.h"

#include <err.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#define BURST 11
#define SLOW_NS 1000000
#define SLOW_TURNS 10

/* ---- peers ---- */

static int64_t median_time(bench_fn *run, void *arg, unsigned count)
{
    struct series times;

    series_make(&times, "", count);
    for (unsigned i = 0; i < count; i++) {
        int64_t start = bench_now_ns();

        run(arg);
        times.values[i] = (double)(bench_now_ns() - start);
    }
    double median = series_quantile(&times, 0.5);
    series_release(&times);
    return (int64_t)median;
}

static int64_t there(struct candidate *candidate, unsigned count)
{
    const char *answer = peer_ask(candidate->process, "%u", count);

    if (!answer)
        errx(1, "%s: does not answer", candidate->name);
    return strtoll(answer, NULL, 10);
}

static int64_t take_turn(struct candidate *candidate, unsigned count)
{
    return candidate->peer ? there(candidate, count) : median_time(candidate->run, candidate->arg, count);
}

void serve(bench_fn *run, void *arg)
{
    char line[32];

    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        printf("%lld\n", (long long)median_time(run, arg, (unsigned)strtoul(line, NULL, 10)));
        fflush(stdout);
    }
}

/* ---- rounds ---- */

/* Peers inherit it. */
void stay_on_one_processor(void)
{
    cpu_set_t one;

    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    if (bench_setting("BENCH_PIN", 1))
        sched_setaffinity(0, sizeof one, &one);
}

/* The first time may have to set things up; the next three tell how long it takes. */
static void prepare(struct candidate *candidate, unsigned rounds)
{
    series_make(&candidate->series, candidate->name, rounds);
    if (!candidate->left_out && candidate->peer && !(candidate->process = peer_start(candidate->peer)))
        candidate->left_out = "absent";
    candidate->series.left_out = candidate->left_out;
    if (candidate->left_out)
        return;
    take_turn(candidate, 1);
    bool slow = take_turn(candidate, 3) > SLOW_NS;
    candidate->burst = slow ? 1 : BURST;
    candidate->every = slow && rounds > SLOW_TURNS ? rounds / SLOW_TURNS : 1;
}

static void measure(struct candidate *candidate, unsigned round)
{
    if (candidate->left_out || round % candidate->every != 0)
        return;
    if (candidate->burst > 1)
        take_turn(candidate, 1);
    candidate->series.values[round] = (double)take_turn(candidate, candidate->burst) / 1e3;
}

void run_rounds(struct candidate *candidates, size_t count, unsigned rounds)
{
    size_t *order = malloc(count * sizeof *order);

    if (!order)
        err(1, "malloc");
    for (size_t i = 0; i < count; i++)
        prepare(&candidates[i], rounds);
    for (unsigned round = 0; round < rounds; round++) {
        bench_shuffle(order, count);
        for (size_t i = 0; i < count; i++)
            measure(&candidates[order[i]], round);
    }
    free(order);
}

void release_candidates(struct candidate *candidates, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        proc_free(candidates[i].process);
        series_release(&candidates[i].series);
        candidates[i].process = NULL;
    }
}

void print_candidates(const struct candidate *candidates, size_t count)
{
    bench_print_heads("microseconds");
    for (size_t i = 0; i < count; i++)
        bench_print_series(&candidates[i].series);
}
