/* Candidates of whom once is too short to be measured: many in a row, in one process or in two at the same time. */
#ifndef BENCH_BATCHES_H
#define BENCH_BATCHES_H

#include "bench.h"
#include "peer.h"

/* Does it so often. */
typedef void batch_fn(void *arg, unsigned count);

/* The first side runs in this process, the second one in a forked child; or either is a program, which says "ready", does it
 * as often as each line says, and answers with that number. */
struct side {
    batch_fn *run;
    const char *const *peer;

    struct proc *process;
};

/* Where the second side is. */
enum place { NOWHERE, SAME_PROCESSOR, OTHER_PROCESSOR };

struct batch {
    const char *name;
    struct side first, second;
    void *arg;
    bool rivals;          /* both sides do the same, and what both have done counts; else one gives what the other takes */
    bool beside;          /* held against no goal: in fewer rounds */
    const char *left_out; /* why it is not to run */

    struct series series; /* nanoseconds for once, from run_batches on */
    unsigned count;       /* in a turn */
};

/* What the reports call it: "in one process", … */
const char *place_name(enum place place);

/* Measures all of them, by turns. Then release_batches. false: nothing was run, since there is no other processor. */
bool run_batches(struct batch *batches, size_t count, enum place place);
void release_batches(struct batch *batches, size_t count);
void print_batches(const struct batch *batches, size_t count);

/* From now on this process, and those that it starts, stay on one of the processors that it may use. false: there are not so
 * many. */
bool stay_on_processor(unsigned which);

/* Prints what errno says and ends the benchmark, from either side: who waits for the other one would wait for ever. */
_Noreturn void batch_fail(const char *what);

#endif
