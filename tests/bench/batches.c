/* Turns of candidates in random order, each as long as it takes to forget the clock's and the other side's start.
 *
 * Rivals end together: who is done first tells the other one. Else the slower one would have the end for itself, and two
 * processes that hinder each other could not be told from two that take turns. */
#include "batches.h"

#include <err.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define ROUNDS 200
#define TURN_NS 1000000
#define PARTS 5                /* of a turn without another process */
#define ROUNDS_OF_TWO 80
#define TURN_OF_TWO_NS 5000000 /* the second side starts later */
#define BESIDE_EVERY 5         /* rounds */
#define LOOKS 256              /* at the rival, in a turn */
#define FEWEST 16              /* times in a turn */
#define TRIALS 3

static atomic_bool *over; /* for both sides */

/* ---- processors ---- */

bool stay_on_processor(unsigned which)
{
    static cpu_set_t usable;
    cpu_set_t one;

    if (CPU_COUNT(&usable) == 0 && sched_getaffinity(0, sizeof usable, &usable) < 0)
        err(1, "sched_getaffinity");
    for (int processor = 0; processor < CPU_SETSIZE; processor++) {
        if (!CPU_ISSET(processor, &usable) || which-- > 0)
            continue;
        CPU_ZERO(&one);
        CPU_SET(processor, &one);
        return sched_setaffinity(0, sizeof one, &one) == 0;
    }
    return false;
}

const char *place_name(enum place place)
{
    static const char *const names[] = {"in one process", "two processes on one processor", "two processes on two processors"};

    return names[place];
}

/* ---- sides ---- */

static bool is_second;

void batch_fail(const char *what)
{
    warn("%s", what);
    if (is_second)
        kill(getppid(), SIGTERM);
    exit(1);
}

static unsigned do_it(const struct batch *batch, batch_fn *run, unsigned count)
{
    if (!batch->rivals) {
        run(batch->arg, count);
        return count;
    }
    unsigned done = 0, chunk = count / LOOKS + 1;
    while (done < count && !atomic_load_explicit(over, memory_order_relaxed)) {
        run(batch->arg, chunk);
        done += chunk;
    }
    atomic_store(over, true);
    return done;
}

static int serve_batch(struct proc *self, void *arg)
{
    const struct batch *batch = arg;
    char line[32];

    (void)self;
    is_second = true;
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        printf("%u\n", do_it(batch, batch->second.run, (unsigned)strtoul(line, NULL, 10)));
        fflush(stdout);
    }
    return 0;
}

static void tell(const struct batch *batch, const struct side *side, unsigned count)
{
    if (side->process && peer_tell(side->process, "%u", count) < 0)
        err(1, "%s", batch->name);
}

static unsigned hear(const struct batch *batch, const struct side *side)
{
    const char *answer = peer_hear(side->process);

    if (!answer)
        errx(1, "%s: does not answer", batch->name);
    return (unsigned)strtoul(answer, NULL, 10);
}

/* ---- turns ---- */

/* Nanoseconds for all, and how many were done. */
static int64_t take_turn(const struct batch *batch, unsigned count, unsigned *done)
{
    const struct side *first = &batch->first, *second = &batch->second;

    atomic_store(over, false);
    int64_t start = bench_now_ns();
    tell(batch, second, count);
    tell(batch, first, count);
    *done = first->process ? hear(batch, first) : do_it(batch, first->run, count);
    unsigned others = second->process ? hear(batch, second) : 0;
    if (batch->rivals)
        *done += others;
    return bench_now_ns() - start;
}

/* So many take at least that long. */
static unsigned enough(const struct batch *batch, int64_t turn_ns)
{
    unsigned done;

    for (unsigned count = FEWEST;; count *= 2) {
        int64_t took = take_turn(batch, count, &done);
        if (took >= turn_ns / 4)
            return (unsigned)((double)count * (double)turn_ns / (double)took) + FEWEST;
    }
}

/* Others may disturb one trial. */
static unsigned find_count(const struct batch *batch, int64_t turn_ns)
{
    unsigned most = 0;

    for (int trial = 0; trial < TRIALS; trial++) {
        unsigned count = enough(batch, turn_ns);
        most = count > most ? count : most;
    }
    return most;
}

static double once_ns(const struct batch *batch, unsigned count)
{
    unsigned done;
    double took = (double)take_turn(batch, count, &done);

    return took / done;
}

/* The median of parts does not notice who else had the processor meanwhile. */
static double once_ns_by_parts(const struct batch *batch)
{
    struct series parts;

    series_make(&parts, "", PARTS);
    for (size_t i = 0; i < PARTS; i++)
        parts.values[i] = once_ns(batch, batch->count / PARTS + 1);
    double median = series_quantile(&parts, 0.5);
    series_release(&parts);
    return median;
}

static void measure(struct batch *batch, unsigned round)
{
    bool is_here = !batch->first.process && !batch->second.process;

    if (batch->left_out || (batch->beside && round % BESIDE_EVERY != 0))
        return;
    batch->series.values[round] = is_here ? once_ns_by_parts(batch) : once_ns(batch, batch->count);
}

/* ---- all of them ---- */

static bool start_side(struct side *side, struct batch *batch)
{
    if (side->peer)
        return (side->process = peer_start(side->peer));
    if (side == &batch->second && side->run && !(side->process = peer_fork(serve_batch, batch)))
        err(1, "%s", batch->name);
    return true;
}

static void prepare(struct batch *batch, enum place place, unsigned rounds)
{
    series_make(&batch->series, batch->name, rounds);
    stay_on_processor(place == OTHER_PROCESSOR);
    bool started = batch->left_out || start_side(&batch->second, batch);
    stay_on_processor(0);
    if (!batch->left_out && (!started || !start_side(&batch->first, batch)))
        batch->left_out = "absent, or lacks an extension";
    batch->series.left_out = batch->left_out;
    if (!batch->left_out)
        batch->count = find_count(batch, place == NOWHERE ? TURN_NS : TURN_OF_TWO_NS);
}

/* So what a turn itself costs is the same for all that are held against each other. */
static void even_out(struct batch *batches, size_t count)
{
    unsigned most = 0;

    for (size_t i = 0; i < count; i++)
        if (!batches[i].beside && batches[i].count > most)
            most = batches[i].count;
    for (size_t i = 0; i < count; i++)
        if (!batches[i].beside)
            batches[i].count = most;
}

static void take_turns(struct batch *batches, size_t count, unsigned rounds)
{
    size_t *order = malloc(count * sizeof *order);

    if (!order)
        err(1, "malloc");
    for (unsigned round = 0; round < rounds; round++) {
        bench_shuffle(order, count);
        for (size_t i = 0; i < count; i++)
            measure(&batches[order[i]], round);
    }
    free(order);
}

bool run_batches(struct batch *batches, size_t count, enum place place)
{
    unsigned rounds = bench_setting("BENCH_ROUNDS", place == NOWHERE ? ROUNDS : ROUNDS_OF_TWO);

    if (!stay_on_processor(place == OTHER_PROCESSOR))
        return false;
    if (!over)
        over = mmap(NULL, sizeof *over, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (over == MAP_FAILED)
        err(1, "mmap");
    for (size_t i = 0; i < count; i++)
        prepare(&batches[i], place, rounds);
    even_out(batches, count);
    take_turns(batches, count, rounds);
    return true;
}

void release_batches(struct batch *batches, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        proc_free(batches[i].first.process);
        proc_free(batches[i].second.process);
        series_release(&batches[i].series);
    }
}

void print_batches(const struct batch *batches, size_t count)
{
    bench_print_heads("nanoseconds");
    for (size_t i = 0; i < count; i++)
        bench_print_series(&batches[i].series);
}
