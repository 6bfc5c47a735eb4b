/* Candidates that take turns, here or each in a process of its own. */
#ifndef BENCH_ROUNDS_H
#define BENCH_ROUNDS_H

#include "bench.h"
#include "peer.h"

/* Does the thing once. */
typedef void bench_fn(void *arg);

struct candidate {
    const char *name;
    bench_fn *run; /* in this process … */
    void *arg;
    const char *const *peer; /* … or a program that answers as serve() does */
    const char *left_out;    /* why it is not to run */

    struct series series; /* microseconds for once, from run_rounds on */
    struct proc *process;
    unsigned burst; /* how often in a turn, of which the median counts: it does not notice who else had the processor */
    unsigned every; /* in each how many-th round */
};

/* From now on we, our peers, and the children that they start stay on one processor. Where the kernel puts a child is a
 * habit that a process keeps for its life: left free, one and the same program is slower by a tenth in every other run.
 * With BENCH_PIN=0 nothing is done. */
void stay_on_one_processor(void);

/* Measures all of them, in `rounds` rounds; slow ones in fewer of them. Then release_candidates. */
void run_rounds(struct candidate *candidates, size_t count, unsigned rounds);
void release_candidates(struct candidate *candidates, size_t count);
void print_candidates(const struct candidate *candidates, size_t count);

/* The other side, for peers: says "ready", then does it as often as each line says, and answers with the median time in
 * nanoseconds. */
void serve(bench_fn *run, void *arg);

#endif
