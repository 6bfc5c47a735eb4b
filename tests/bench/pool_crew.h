/* Processes that make up one candidate. They die with us, whatever becomes of us. */
#ifndef BENCH_POOL_CREW_H
#define BENCH_POOL_CREW_H

#include "peer.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CREW_MOST 64

struct crew {
    struct proc *processes[CREW_MOST];
    size_t count;
};

/* Adds forked children, which are to call crew_is_ready; a program, as peer_start (false: it is absent, or cannot run); or a
 * process that was started otherwise. */
void crew_fork(struct crew *crew, proc_main_fn *run, void *arg, unsigned count);
bool crew_start(struct crew *crew, const char *const *argv);
void crew_add(struct crew *crew, struct proc *process);

/* In one of them: it is as far as it has to be. */
void crew_is_ready(void);

/* SIGTERM, and to wait for their ends. */
void crew_stop(struct crew *crew);

/* Where they pass by, while one process waits until all have that he expects. */
struct gate;

struct gate *gate_new(void);
void gate_expect(struct gate *gate, unsigned more); /* once all that were expected have passed */
void gate_pass(struct gate *gate);
bool gate_wait(struct gate *gate, int timeout_ms); /* false: the time ran out */

#endif
