/* The entries of a directory whose names are numbers, as /proc has them. */
#ifndef LIBPROC_NUMBERS_IN_H
#define LIBPROC_NUMBERS_IN_H

/* Calls `each` for every such entry; `directory` is the descriptor through which they are read. Raw system calls only, no
 * memory but the stack's. Returns 0, or -errno. */
typedef void numbers_in_fn(void *argument, int directory, int number);
long numbers_in(const char *path, numbers_in_fn *each, void *argument);

#endif
