/* A binary heap, ordered by the time at which an alarm is due. */
#include "alarms.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

static void put(struct alarms *alarms, size_t place, struct alarm *alarm)
{
    alarms->heap[place] = alarm;
    alarm->place = place;
}

static void rise(struct alarms *alarms, struct alarm *alarm)
{
    size_t place = alarm->place;

    for (; place > 0 && alarms->heap[(place - 1) / 2]->at_ns > alarm->at_ns; place = (place - 1) / 2)
        put(alarms, place, alarms->heap[(place - 1) / 2]);
    put(alarms, place, alarm);
}

static void sink(struct alarms *alarms, struct alarm *alarm)
{
    size_t place = alarm->place;

    for (size_t below; (below = 2 * place + 1) < alarms->count; place = below) {
        if (below + 1 < alarms->count && alarms->heap[below + 1]->at_ns < alarms->heap[below]->at_ns)
            below++;
        if (alarms->heap[below]->at_ns >= alarm->at_ns)
            break;
        put(alarms, place, alarms->heap[below]);
    }
    put(alarms, place, alarm);
}

static int reserve(struct alarms *alarms)
{
    if (alarms->count == alarms->room) {
        size_t room = alarms->room ? 2 * alarms->room : 8;
        struct alarm **heap = realloc(alarms->heap, room * sizeof(struct alarm *));

        if (!heap)
            return -1;
        alarms->heap = heap;
        alarms->room = room;
    }
    return int_map_reserve(&alarms->by_id);
}

/* What is further away than the clock can count never comes. */
static int64_t later(int64_t from_ns, int64_t by_ns)
{
    return by_ns > NEVER_NS - from_ns ? NEVER_NS : from_ns + by_ns;
}

static int64_t nanoseconds(int64_t us)
{
    return us > NEVER_NS / 1000 ? NEVER_NS : us * 1000;
}

static int fresh_id(struct alarms *alarms)
{
    do
        alarms->last_id = alarms->last_id == INT_MAX ? 1 : alarms->last_id + 1;
    while (int_map_get(&alarms->by_id, alarms->last_id));
    return alarms->last_id;
}

int alarms_add(struct alarms *alarms, int64_t now_ns, int64_t first_us, int64_t every_us, void *data)
{
    if (reserve(alarms) < 0)
        return -1;
    struct alarm *alarm = malloc(sizeof *alarm);
    if (!alarm)
        return -1;
    *alarm = (struct alarm){.at_ns = later(now_ns, nanoseconds(first_us)),
                            .every_ns = nanoseconds(every_us),
                            .id = fresh_id(alarms),
                            .data = data,
                            .place = alarms->count++};
    int_map_put(&alarms->by_id, alarm->id, alarm);
    rise(alarms, alarm);
    return alarm->id;
}

static void discard(struct alarms *alarms, struct alarm *alarm)
{
    struct alarm *last = alarms->heap[--alarms->count];

    int_map_remove(&alarms->by_id, alarm->id);
    if (last != alarm) {
        last->place = alarm->place;
        rise(alarms, last);
        sink(alarms, last);
    }
    free(alarm);
}

int alarms_cancel(struct alarms *alarms, int id)
{
    struct alarm *alarm = int_map_get(&alarms->by_id, id);

    if (!alarm) {
        errno = ENOENT;
        return -1;
    }
    discard(alarms, alarm);
    return 0;
}

int64_t alarms_next_ns(const struct alarms *alarms)
{
    return alarms->count ? alarms->heap[0]->at_ns : NEVER_NS;
}

bool alarms_ring(struct alarms *alarms, int64_t now_ns, struct rung *rung)
{
    if (alarms_next_ns(alarms) > now_ns)
        return false;
    struct alarm *alarm = alarms->heap[0];
    *rung = (struct rung){alarm->id, alarm->data, 1};
    if (alarm->every_ns == 0) {
        discard(alarms, alarm);
        return true;
    }
    int64_t missed = (now_ns - alarm->at_ns) / alarm->every_ns;
    rung->expirations += (uint64_t)missed;
    alarm->at_ns = later(alarm->at_ns + missed * alarm->every_ns, alarm->every_ns);
    sink(alarms, alarm);
    return true;
}

void alarms_free(struct alarms *alarms)
{
    for (size_t i = 0; i < alarms->count; i++)
        free(alarms->heap[i]);
    free(alarms->heap);
    int_map_free(&alarms->by_id);
    *alarms = (struct alarms){0};
}
