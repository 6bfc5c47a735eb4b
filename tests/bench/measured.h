/* What a process that measures itself has in common with the others: the same input, the same account of its memory. */
#ifndef BENCH_MEASURED_H
#define BENCH_MEASURED_H

#include <stddef.h>

char *measured_input(size_t size);

/* Prints the time since then, and the process's peak of memory in KiB. */
void measured_print(long long start_ns);

#endif
