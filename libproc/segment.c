/* The word at the start of a segment: what it is, in which version, and of which shape. */
#include "segment.h"

#include <errno.h>
#include <stdatomic.h>

#define MAGIC UINT64_C(0x4c50)
#define VERSION UINT64_C(1)

static uint64_t identity_of(enum segment_kind kind, uint32_t shape)
{
    return MAGIC << 48 | VERSION << 40 | (uint64_t)kind << 32 | shape;
}

bool segment_is(void *memory, enum segment_kind kind, uint32_t shape)
{
    uint64_t identity = identity_of(kind, shape), found = 0;

    return atomic_compare_exchange_strong((_Atomic uint64_t *)memory, &found, identity) || found == identity;
}

int segment_find(struct mapping *mapping, enum segment_kind kind, uint32_t *shape, key_t key)
{
    if (mapping_open(mapping, key, 0, 0, 0) < 0)
        return -1;
    uint64_t found = mapping->size < SEGMENT_HEADER ? 1 : atomic_load((_Atomic uint64_t *)mapping->memory);
    *shape = (uint32_t)found;
    if (found == identity_of(kind, *shape))
        return 0;
    mapping_close(mapping);
    errno = found == 0 ? EAGAIN : EINVAL;
    return -1;
}

int segment_open(struct mapping *mapping, enum segment_kind kind, uint32_t shape, size_t size, key_t key, int flags, mode_t mode)
{
    if (size > SIZE_MAX - SEGMENT_HEADER) {
        errno = ENOMEM;
        return -1;
    }
    if (mapping_open(mapping, key, SEGMENT_HEADER + size, flags, mode) < 0)
        return -1;
    if (mapping->size == SEGMENT_HEADER + size && segment_is(mapping->memory, kind, shape))
        return 0;
    mapping_close(mapping);
    errno = EINVAL;
    return -1;
}
