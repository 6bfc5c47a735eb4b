/* Signals around the start of a child: none may run a handler of the parent's in it. Raw system calls only. */
#ifndef LIBPROC_SIGNALS_H
#define LIBPROC_SIGNALS_H

#include "kernel.h"

/* Blocks every signal in this thread, the C library's own included, and returns the mask that was set. */
kernel_sigset signals_block_all(void);
void signals_set_mask(kernel_sigset mask);

/* In the child. A caught signal goes back to its default; what is ignored stays ignored, except SIGPIPE and SIGCHLD. */
void signals_reset(void);

/* The same after CLONE_CLEAR_SIGHAND, which leaves only those two. */
void signals_reset_ignored(void);

/* The same for a child that goes on in C: the C library keeps its own two handlers, which it needs and installs but once. */
void signals_reset_callback(void);

#endif
