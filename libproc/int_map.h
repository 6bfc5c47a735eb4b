/* A map from positive numbers (process ids, alarm ids) to pointers. */
#ifndef LIBPROC_INT_MAP_H
#define LIBPROC_INT_MAP_H

#include <stddef.h>

struct int_map {
    struct int_map_slot {
        int key; /* 0: free */
        void *value;
    } *slots;
    size_t count, room; /* room: 0 or a power of two, … */
    unsigned bits;      /* … of this exponent */
};

int int_map_reserve(struct int_map *map); /* room for one more; -1 with ENOMEM */
void int_map_put(struct int_map *map, int key, void *value); /* after a reserve; the key is not in the map */
void *int_map_get(const struct int_map *map, int key);       /* NULL: not there */
void int_map_remove(struct int_map *map, int key);

/* The next entry from *place on, which starts at 0; NULL: there are no more. What is returned may be removed, or *place be
 * counted up to pass it. */
void *int_map_from(const struct int_map *map, size_t *place);

void int_map_free(struct int_map *map);

#endif
