/* A pool's options, checked, and with what was left at zero filled in. */
#ifndef LIBPROC_POOL_OPTIONS_H
#define LIBPROC_POOL_OPTIONS_H

#include <proc/pool.h>

/* Copies options of an older or newer header's size. EINVAL; ENOMEM. To be freed. */
int pool_options_copy(struct proc_pool_options *copy, const struct proc_pool_options *options, size_t size);
void pool_options_free(struct proc_pool_options *options);

#endif
