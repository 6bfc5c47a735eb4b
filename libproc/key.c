/* ftok, whose traps are errors here: a missing file, whose -1 looks like a key, and numbers that it cuts. */
#include "kernel.h"

#include <fcntl.h>
#include <proc/key.h>
#include <sys/stat.h>

key_t proc_key(const char *path, int id)
{
    struct stat file = {0};

    if (id < 1 || id > 255) {
        errno = EINVAL;
        return -1;
    }
    if (sys(SYS_newfstatat, AT_FDCWD, path, &file, 0) < 0)
        return -1;
    unsigned key = (unsigned)id << 24 | ((unsigned)file.st_dev & 0xff) << 16 | ((unsigned)file.st_ino & 0xffff);
    if (key == ~0u) { /* ftok's word for an error */
        errno = EINVAL;
        return -1;
    }
    return (key_t)key;
}
