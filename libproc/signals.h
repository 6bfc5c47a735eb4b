/* Signals around the start of a child: none may run a handler of the parent's in it. Raw system calls only. */
#ifndef LIBPROC_SIGNALS_H
#define LIBPROC_SIGNALS_H

#include "kernel.h"

#include <signal.h>

/* Blocks every signal in this thread, the C library's own included, and returns the mask that was set. */
kernel_sigset signals_block_all(void);
void signals_set_mask(kernel_sigset mask);

/* The signals whose disposition no child shall have: caught ones, and SIGPIPE and SIGCHLD where they are ignored. What else
 * is ignored stays so, for nohup's sake. */
kernel_sigset signals_not_for_children(void);

/* Those of them that are no matter of handlers. */
#define SIGNALS_NEVER_IGNORED (KERNEL_SIGNAL_BIT(SIGPIPE) | KERNEL_SIGNAL_BIT(SIGCHLD))

/* The C library's own two, which a child that goes on in C keeps: they are needed there, and installed but once. */
#define SIGNALS_OF_THE_C_LIBRARY (KERNEL_SIGNAL_BIT(32) | KERNEL_SIGNAL_BIT(33))

void signals_set_default(kernel_sigset which);

#endif
