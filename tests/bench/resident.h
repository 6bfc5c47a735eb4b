/* Memory that a parent has, and that a fork must copy the page tables of. */
#ifndef BENCH_RESIDENT_H
#define BENCH_RESIDENT_H

#include <stddef.h>

/* Makes this process, and the programs that it starts, do without 2 MiB pages, which would hide the cost. */
void resident_in_small_pages(void);

/* Memory of so many MiB, all of it touched; NULL for none. */
void *resident_hold(size_t mib);
void resident_drop(void *memory, size_t mib);

#endif
