/* A forked child waits at the gate until its parent has taken hold of it. Both have all signals blocked. */
#ifndef LIBPROC_GATE_H
#define LIBPROC_GATE_H

#include "signals.h"

#include <sys/types.h>

/* In the parent: lets the child go. */
void gate_open(pid_t child);

/* In the child: waits, and returns the signals that are to go back to their default. */
kernel_sigset gate_pass(void);

#endif
