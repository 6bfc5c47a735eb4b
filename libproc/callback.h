/* The life of a callback child: see callback.c. */
#ifndef LIBPROC_CALLBACK_H
#define LIBPROC_CALLBACK_H

#include "launch.h"

/* In the forked child: makes it one of its own, calls `ready` and then main, and ends the process. Returns only when the
 * set-up failed, with launch->report filled. */
void callback_live(struct launch *launch, void (*ready)(struct launch *launch));

#endif
