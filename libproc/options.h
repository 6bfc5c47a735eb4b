/* The options as the caller gave them, checked. */
#ifndef LIBPROC_OPTIONS_H
#define LIBPROC_OPTIONS_H

#include <proc/process.h>

/* Copies options of an older or newer header's size. EINVAL: it sets something that this library does not know. */
int options_copy(struct proc_options *copy, const struct proc_options *options, size_t size);

/* EINVAL for what can never work, and EBADF for a descriptor that is not open. Nothing is created. */
int options_check(const struct proc_options *options);

const struct proc_stdio *options_stream(const struct proc_options *options, int stream);
bool options_use_channel(const struct proc_options *options);         /* there is one */
bool options_channel_is_stream(const struct proc_options *options);   /* and a standard stream is connected to it */
bool options_use_pty(const struct proc_options *options);

#endif
