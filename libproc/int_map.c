/* Open addressing with linear probing, at most half full; removing moves later entries back, so that there are no graves. */
#include "int_map.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#define BITS_FIRST 4
#define BITS_MOST 31

/* Neighbouring keys, as process ids are, spread over the table. */
static size_t home(const struct int_map *map, int key)
{
    return (uint32_t)key * UINT32_C(2654435769) >> (32 - map->bits);
}

static size_t after(const struct int_map *map, size_t place)
{
    return (place + 1) & (map->room - 1);
}

static size_t find(const struct int_map *map, int key)
{
    size_t place = home(map, key);

    while (map->slots[place].key != 0 && map->slots[place].key != key)
        place = after(map, place);
    return place;
}

int int_map_reserve(struct int_map *map)
{
    if (2 * (map->count + 1) <= map->room)
        return 0;
    struct int_map grown = {.bits = map->room ? map->bits + 1 : BITS_FIRST};
    grown.room = (size_t)1 << grown.bits;
    grown.slots = grown.bits <= BITS_MOST ? calloc(grown.room, sizeof *grown.slots) : NULL;
    if (!grown.slots) {
        errno = ENOMEM;
        return -1;
    }
    for (size_t i = 0; i < map->room; i++)
        if (map->slots[i].key)
            int_map_put(&grown, map->slots[i].key, map->slots[i].value);
    free(map->slots);
    *map = grown;
    return 0;
}

void int_map_put(struct int_map *map, int key, void *value)
{
    map->slots[find(map, key)] = (struct int_map_slot){key, value};
    map->count++;
}

void *int_map_get(const struct int_map *map, int key)
{
    return map->count ? map->slots[find(map, key)].value : NULL;
}

void int_map_remove(struct int_map *map, int key)
{
    if (!int_map_get(map, key))
        return;
    size_t hole = find(map, key);
    for (size_t place = after(map, hole); map->slots[place].key; place = after(map, place)) {
        size_t from = home(map, map->slots[place].key);

        /* It may move into the hole unless its home lies behind the hole. */
        if (((place - from) & (map->room - 1)) >= ((place - hole) & (map->room - 1))) {
            map->slots[hole] = map->slots[place];
            hole = place;
        }
    }
    map->slots[hole] = (struct int_map_slot){0};
    map->count--;
}

/* Removing moves entries back to the place that became free at most. */
void *int_map_from(const struct int_map *map, size_t *place)
{
    while (*place < map->room && map->slots[*place].key == 0)
        ++*place;
    return *place < map->room ? map->slots[*place].value : NULL;
}

void int_map_free(struct int_map *map)
{
    free(map->slots);
    *map = (struct int_map){0};
}
