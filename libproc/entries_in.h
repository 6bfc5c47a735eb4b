/* What is in a directory. */
#ifndef LIBPROC_ENTRIES_IN_H
#define LIBPROC_ENTRIES_IN_H

/* Calls `each` for every entry; `directory` is the descriptor through which they are read. Raw system calls only, no memory but
 * the stack's. Returns 0, or -errno. */
typedef void entries_in_fn(void *argument, int directory, const char *name);
long entries_in(const char *path, entries_in_fn *each, void *argument);

/* The same for those whose names are numbers, as /proc has them. */
typedef void numbers_in_fn(void *argument, int directory, int number);
long numbers_in(const char *path, numbers_in_fn *each, void *argument);

#endif
