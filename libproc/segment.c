/* The word at the start of a segment: what it is, in which version, and of which shape. */
#include "segment.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>

#define MAGIC UINT64_C(0x4c50)
#define VERSION UINT64_C(1)

static uint64_t identity_of(enum segment_kind kind, uint32_t shape)
{
    return MAGIC << 48 | VERSION << 40 | (uint64_t)kind << 32 | shape;
}

static bool has_identity(struct mapping *mapping, uint64_t identity)
{
    uint64_t found = 0;

    return atomic_compare_exchange_strong((_Atomic uint64_t *)mapping->memory, &found, identity) || found == identity;
}

int segment_open(struct mapping *mapping, enum segment_kind kind, uint32_t shape, size_t size, key_t key, int flags, mode_t mode)
{
    if (size > SIZE_MAX - SEGMENT_HEADER) {
        errno = ENOMEM;
        return -1;
    }
    if (mapping_open(mapping, key, SEGMENT_HEADER + size, flags, mode) < 0)
        return -1;
    if (mapping->size == SEGMENT_HEADER + size && has_identity(mapping, identity_of(kind, shape)))
        return 0;
    mapping_close(mapping);
    errno = EINVAL;
    return -1;
}
