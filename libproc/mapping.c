/* Opening, mapping and removing shared memory. */
#include "mapping.h"

#include "kernel.h"

#include <fcntl.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/shm.h>

static int fail(int error)
{
    errno = error;
    return -1;
}

static int map_private(struct mapping *mapping, size_t size)
{
    if (size == 0)
        return fail(EINVAL);
    long memory = sys(SYS_mmap, NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0L);
    if (memory == -1)
        return -1;
    *mapping = (struct mapping){(void *)memory, size, -1};
    return 0;
}

/* Of a number that it has given out the kernel says EINVAL or EIDRM when the segment has been removed meanwhile. */
static int lost(void)
{
    return fail(errno == EINVAL ? EIDRM : errno);
}

static int map_segment(struct mapping *mapping, int id)
{
    struct shmid_ds status = {.shm_segsz = 0};

    if (sys(SYS_shmctl, id, IPC_STAT, &status) < 0)
        return lost();
    long memory = sys(SYS_shmat, id, NULL, 0);
    if (memory == -1)
        return lost();
    *mapping = (struct mapping){(void *)memory, status.shm_segsz, id};
    return 0;
}

/* A segment that exists is not made: else it would not be known whose it is to take away, should it not be mapped. */
static int make_or_find(key_t key, size_t size, int flags, int mode, bool *is_new)
{
    for (;;) {
        int id = -1;

        if (flags & O_CREAT) {
            id = (int)sys(SYS_shmget, key, size, IPC_CREAT | IPC_EXCL | mode);
            *is_new = id >= 0;
            if (id >= 0 || errno != EEXIST || flags & O_EXCL)
                return id;
        }
        id = (int)sys(SYS_shmget, key, size, 0);
        if (id >= 0 || errno != ENOENT || !(flags & O_CREAT))
            return id;
    }
}

int mapping_open(struct mapping *mapping, key_t key, size_t size, int flags, mode_t mode)
{
    if (key == -1 || flags & ~(O_CREAT | O_EXCL) || mode & ~(mode_t)0777)
        return fail(EINVAL);
    if (key == PROC_PRIVATE)
        return map_private(mapping, size);
    for (;;) {
        bool is_new = false;
        int id = make_or_find(key, size, flags, (int)(mode ? mode : 0600), &is_new);

        if (id < 0 || map_segment(mapping, id) == 0)
            return id < 0 ? -1 : 0;
        int failure = errno;
        if (is_new)
            raw(SYS_shmctl, id, IPC_RMID, NULL);
        if (failure != EIDRM || !(flags & O_CREAT))
            return fail(failure == EIDRM ? ENOENT : failure);
    }
}

int mapping_remove(const struct mapping *mapping)
{
    return mapping->id < 0 ? 0 : (int)sys(SYS_shmctl, mapping->id, IPC_RMID, NULL);
}

void mapping_close(struct mapping *mapping)
{
    if (mapping->id < 0)
        raw(SYS_munmap, mapping->memory, mapping->size);
    else
        raw(SYS_shmdt, mapping->memory);
}
