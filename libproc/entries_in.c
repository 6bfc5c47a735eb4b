/* Reading a directory without opendir, which allocates: a child on borrowed memory does it, too. */
#include "entries_in.h"

#include "kernel.h"

#include <fcntl.h>

struct linux_dirent64 {
    uint64_t inode;
    int64_t offset;
    uint16_t size;
    uint8_t type;
    char name[];
};

long entries_in(const char *path, entries_in_fn *each, void *argument)
{
    _Alignas(8) char entries[1024] = {0};
    long directory = raw(SYS_openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    long size;

    if (directory < 0)
        return directory;
    while ((size = raw(SYS_getdents64, directory, entries, sizeof entries)) > 0) {
        for (long at = 0; at < size;) {
            const struct linux_dirent64 *entry = (const struct linux_dirent64 *)(entries + at);

            each(argument, (int)directory, entry->name);
            at += entry->size;
        }
    }
    raw(SYS_close, directory);
    return size;
}

struct number_search {
    numbers_in_fn *each;
    void *argument;
};

/* -1: it is not one. */
static int number_of(const char *name)
{
    int number = 0;

    for (; *name >= '0' && *name <= '9'; name++)
        number = number * 10 + (*name - '0');
    return *name == '\0' ? number : -1;
}

static void look_at_name(void *argument, int directory, const char *name)
{
    const struct number_search *search = argument;
    int number = number_of(name);

    if (number >= 0)
        search->each(search->argument, directory, number);
}

long numbers_in(const char *path, numbers_in_fn *each, void *argument)
{
    struct number_search search = {each, argument};

    return entries_in(path, look_at_name, &search);
}
