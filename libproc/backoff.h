/* How long to wait before a worker that failed is started again, and when to give up. */
#ifndef LIBPROC_BACKOFF_H
#define LIBPROC_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

/* The pause before the next start, after so many failures in a row (at least 1): doubled each time. */
int backoff_pause_ms(unsigned failures, int min_ms, int max_ms);

/* The latest failures, as many as may be within the window. */
struct failures {
    int64_t *at_ns;
    unsigned most, next;
    bool is_full;
    int64_t window_ns;
};

int failures_init(struct failures *failures, unsigned most, int window_ms); /* -1 with errno. most 0: any number */
void failures_free(struct failures *failures);

/* Notes one; true: there were more than may be. */
bool failures_add(struct failures *failures, int64_t now_ns);

#endif
