/* Starting a child, for the library itself. */
#ifndef LIBPROC_SPAWN_H
#define LIBPROC_SPAWN_H

#include <proc/process.h>

/* As proc_spawn. In a callback child `prepare` is called with the options' arg while all signals are blocked; NULL: nothing is. */
struct proc *spawn_prepared(const struct proc_options *options, void (*prepare)(void *arg));

#endif
