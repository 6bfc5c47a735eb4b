/* The environment of a child: the caller's, with changes. */
#ifndef LIBPROC_ENVIRONMENT_H
#define LIBPROC_ENVIRONMENT_H

#include <stdbool.h>

/* One block of memory, to be freed: the inherited strings are pointed to, the changes are copied. NULL with EINVAL or ENOMEM. */
char **environment_merge(const char *const *changes, bool clear);

/* The value of NAME in an environment, or NULL. */
const char *environment_get(char *const *environment, const char *name);

#endif
