/* Memory that processes share: a System V segment under a key, or an anonymous mapping, which vanishes with its last user. */
#ifndef LIBPROC_MAPPING_H
#define LIBPROC_MAPPING_H

#include <proc/key.h>
#include <stddef.h>
#include <sys/types.h>

struct mapping {
    void *memory;
    size_t size;
    int id; /* of the segment; -1: private */
};

/* size 0: as large as it is. flags: O_CREAT and O_EXCL; mode 0: 0600. -1 with errno. */
int mapping_open(struct mapping *mapping, key_t key, size_t size, int flags, mode_t mode);

int mapping_remove(const struct mapping *mapping);
void mapping_close(struct mapping *mapping); /* keeps errno */

#endif
