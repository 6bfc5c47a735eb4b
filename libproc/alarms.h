/* The alarms of a waiter, the next one to ring first. */
#ifndef LIBPROC_ALARMS_H
#define LIBPROC_ALARMS_H

#include "int_map.h"
#include "timer.h"

#include <stdbool.h>
#include <stdint.h>


struct alarm {
    int64_t at_ns, every_ns; /* every: 0: once */
    int id;
    void *data;
    size_t place; /* in the heap */
};

struct alarms {
    struct alarm **heap;
    size_t count, room;
    struct int_map by_id;
    int last_id;
};

/* Times in microseconds from `now`, ids above 0. -1 with ENOMEM. */
int alarms_add(struct alarms *alarms, int64_t now_ns, int64_t first_us, int64_t every_us, void *data);
int alarms_cancel(struct alarms *alarms, int id); /* -1 with ENOENT */
int64_t alarms_next_ns(const struct alarms *alarms); /* NEVER_NS: none */

/* The next alarm that is due: its id and data, and how often it has rung; false when none is. */
struct rung {
    int id;
    void *data;
    uint64_t expirations;
};
bool alarms_ring(struct alarms *alarms, int64_t now_ns, struct rung *rung);

void alarms_free(struct alarms *alarms);

#endif
