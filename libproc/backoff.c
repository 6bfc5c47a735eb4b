/* A ring of the last failures: if the oldest of them is within the window, this one is too many. */
#include "backoff.h"

#include <stdlib.h>

int backoff_pause_ms(unsigned failures, int min_ms, int max_ms)
{
    int64_t pause = min_ms;

    while (--failures > 0 && pause < max_ms)
        pause *= 2;
    return pause < max_ms ? (int)pause : max_ms;
}

int failures_init(struct failures *failures, unsigned most, int window_ms)
{
    *failures = (struct failures){.most = window_ms > 0 ? most : 0, .window_ns = window_ms * INT64_C(1000000)};
    if (failures->most == 0)
        return 0;
    failures->at_ns = calloc(failures->most, sizeof *failures->at_ns);
    return failures->at_ns ? 0 : -1;
}

void failures_free(struct failures *failures)
{
    free(failures->at_ns);
}

bool failures_add(struct failures *failures, int64_t now_ns)
{
    if (failures->most == 0)
        return false;
    bool too_many = failures->is_full && now_ns - failures->at_ns[failures->next] <= failures->window_ns;
    failures->at_ns[failures->next] = now_ns;
    failures->next = (failures->next + 1) % failures->most;
    failures->is_full |= failures->next == 0;
    return too_many;
}
