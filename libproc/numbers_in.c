/* Reading a directory of /proc without opendir, which allocates: a child on borrowed memory does it, too. */
#include "numbers_in.h"

#include "kernel.h"

#include <fcntl.h>

struct linux_dirent64 {
    uint64_t inode;
    int64_t offset;
    uint16_t size;
    uint8_t type;
    char name[];
};

/* -1: it is not one. */
static int number_of(const char *name)
{
    int number = 0;

    for (; *name >= '0' && *name <= '9'; name++)
        number = number * 10 + (*name - '0');
    return *name == '\0' ? number : -1;
}

long numbers_in(const char *path, numbers_in_fn *each, void *argument)
{
    _Alignas(8) char entries[1024] = {0};
    long directory = raw(SYS_openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    long size;

    if (directory < 0)
        return directory;
    while ((size = raw(SYS_getdents64, directory, entries, sizeof entries)) > 0) {
        for (long at = 0; at < size;) {
            const struct linux_dirent64 *entry = (const struct linux_dirent64 *)(entries + at);
            int number = number_of(entry->name);

            if (number >= 0)
                each(argument, (int)directory, number);
            at += entry->size;
        }
    }
    raw(SYS_close, directory);
    return size;
}
