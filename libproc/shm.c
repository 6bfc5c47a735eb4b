/* Shared memory as its users see it: nothing but the bytes, so that other programs can use the segment as well. */
#include "mapping.h"

#include <proc/shm.h>
#include <stdlib.h>

struct proc_shm {
    struct mapping mapping;
};

struct proc_shm *proc_shm_open(key_t key, size_t size, int flags, mode_t mode)
{
    struct proc_shm *shm = calloc(1, sizeof *shm);

    if (shm && mapping_open(&shm->mapping, key, size, flags, mode) == 0)
        return shm;
    free(shm);
    return NULL;
}

void *proc_shm_data(const struct proc_shm *shm)
{
    return shm->mapping.memory;
}

size_t proc_shm_size(const struct proc_shm *shm)
{
    return shm->mapping.size;
}

int proc_shm_remove(struct proc_shm *shm)
{
    return mapping_remove(&shm->mapping);
}

void proc_shm_close(struct proc_shm *shm)
{
    if (!shm)
        return;
    mapping_close(&shm->mapping);
    free(shm);
}
