/* Starting a child, for the library itself. */
#ifndef LIBPROC_SPAWN_H
#define LIBPROC_SPAWN_H

#include "launch.h"

/* As proc_spawn. */
struct proc *spawn_with_hooks(const struct proc_options *options, struct launch_hooks hooks);

#endif
