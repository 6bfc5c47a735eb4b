/* Candidates that consist of several processes: each takes its turn with all of them, and the others' processes sleep. */
#ifndef BENCH_POOL_TURNS_H
#define BENCH_POOL_TURNS_H

#include "bench.h"

struct contender {
    const char *name;
    double (*turn)(void *arg); /* one measurement */
    void *arg;
    bool beside;               /* held against no goal: in fewer rounds */
    const char *left_out;      /* why it is not to run */

    struct series series; /* from make_contenders on */
};

/* So many rounds in all, a part of them in each call of take_turns. Then release_contenders.
 *
 * Where the kernel puts a process is a habit that it keeps for its life. So for some, each part has new processes. */
void make_contenders(struct contender *contenders, size_t count, unsigned rounds);

/* From that round on. The first turn of each is not counted. */
void take_turns(struct contender *contenders, size_t count, unsigned first_round, unsigned rounds);
void release_contenders(struct contender *contenders, size_t count);
void print_contenders(const struct contender *contenders, size_t count, const char *unit);

/* From now on this process, and those that it starts, stay on the first so many of the processors that it may use. false:
 * there are not so many. */
bool stay_on_processors(unsigned count);

#define MOST_PROCESSORS 2
const char *processors_name(unsigned count);

#endif
