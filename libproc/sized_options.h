/* Options as the callers' headers knew them: a struct that has grown at its end since, or that will. */
#ifndef LIBPROC_SIZED_OPTIONS_H
#define LIBPROC_SIZED_OPTIONS_H

#include <stddef.h>

/* Copies `size` bytes of options into a struct of room bytes, whose other members become zero. -1 with EINVAL: there are none, or
 * less than `smallest` (the first header's), or members that are set and unknown here. */
int sized_options_copy(void *copy, size_t room, size_t smallest, const void *options, size_t size);

/* A member that is added begins where the older header's struct ended, padding and all: nobody has had to zero that.
 *
 * The size of a struct up to and including a member. */
#define SIZE_UP_TO(type, member) (offsetof(type, member) + sizeof(((type *)0)->member))

#endif
