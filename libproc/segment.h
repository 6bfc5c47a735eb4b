/* Shared memory that says what it is, so that none is taken for something else.
 *
 * There is no set-up that a process could leave half done: memory that is new is zero, and every opener writes the same word
 * into it, in one step. What is in the rest of it must make sense when it is zero. */
#ifndef LIBPROC_SEGMENT_H
#define LIBPROC_SEGMENT_H

#include "mapping.h"
#include "robust.h"

#include <stdbool.h>
#include <stdint.h>

enum segment_kind {
    SEGMENT_COUNTER = 1,
    SEGMENT_LOCK = 2 | ROBUST_MAKER,
    SEGMENT_TABLE = 3 | ROBUST_MAKER,
    SEGMENT_QUEUE = 4 | ROBUST_MAKER, /* in a file: what the users of a large queue share */
    SEGMENT_POOL = 5 | ROBUST_MAKER,
};

#define SEGMENT_HEADER 64 /* bytes, before what the kind makes of it */

/* Opens memory of this kind and shape (whatever tells two of a kind apart), with `size` bytes after the header. EINVAL: it is
 * something else. */
int segment_open(struct mapping *mapping, enum segment_kind kind, uint32_t shape, size_t size, key_t key, int flags, mode_t mode);

/* Opens memory of this kind that exists, whatever its shape is. ENOENT: there is none; EAGAIN: it has just been made, and does
 * not say yet what it is; EINVAL: it is something else. */
int segment_find(struct mapping *mapping, enum segment_kind kind, uint32_t *shape, key_t key);

/* Memory that was got in another way, zeros when it is new: whether it is this now. */
bool segment_is(void *memory, enum segment_kind kind, uint32_t shape);

/* A word of the header that is the kind's own. */
static inline void *segment_word(const struct mapping *mapping)
{
    return (char *)mapping->memory + sizeof(uint64_t);
}

static inline void *segment_body(const struct mapping *mapping)
{
    return (char *)mapping->memory + SEGMENT_HEADER;
}

#endif
