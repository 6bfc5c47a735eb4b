/* The seam at the library's system calls: the n-th call of a kind fails, or a kernel feature is missing. */
#ifndef TESTS_SEAM_H
#define TESTS_SEAM_H

#include <stdbool.h>

/* From now on the nth call of `number` (SYS_…, in this process and its children) answers -failure; only that one. */
void seam_fail(long number, int nth, int failure);

/* Back to normal. Returns whether the call to fail was made at all. */
bool seam_end(void);

/* Takes a feature away: "clone_vm", "clone3", "close_range", "pidfd", "pidfd_getfd", "pidfd_group", "pidfd_info", "rwf",
 * "mm_map". At the start of the program those in the environment variable OFF are off. */
void seam_off(const char *feature);
bool seam_is_off(const char *feature);

/* How many system calls the library has made in this process. */
long seam_calls(void);

/* The same for memory: the nth allocation of the library's fails. Counts what it has allocated and not freed. */
void seam_fail_memory(int nth);
bool seam_end_memory(void);
long seam_memory_held(void);

#endif
