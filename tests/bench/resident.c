#include "resident.h"

#include <err.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#define PAGE 4096

void resident_in_small_pages(void)
{
    if (prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) < 0)
        warn("prctl");
}

void *resident_hold(size_t mib)
{
    size_t size = mib << 20;

    if (mib == 0)
        return NULL;
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        err(1, "mmap");
    madvise(memory, size, MADV_NOHUGEPAGE); /* a kernel without 2 MiB pages refuses: as well */
    for (size_t at = 0; at < size; at += PAGE)
        memory[at] = 1;
    return memory;
}

void resident_drop(void *memory, size_t mib)
{
    if (memory)
        munmap(memory, mib << 20);
}
