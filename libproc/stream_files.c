/* All are opened before any is put into its place: if one cannot be had, nothing has changed. */
#include "stream_files.h"

#include "ends.h"
#include "kernel.h"

#include <fcntl.h>

#define APPEND (O_WRONLY | O_APPEND | O_CREAT)
#define MODE 0644 /* less the umask: never for everybody to write, also with a umask of 0 */

/* Above the three, where the file would take its place before the others are there. */
static long open_above_stdio(const char *path, int flags)
{
    int saved = errno;
    long fd;

    do
        fd = raw(SYS_openat, AT_FDCWD, path, flags | O_NOCTTY | O_CLOEXEC, MODE);
    while (fd == -EINTR);
    if (fd < 0 || fd > 2)
        return fd;
    fd = fd_above_stdio((int)fd);
    if (fd < 0)
        fd = -errno;
    errno = saved;
    return fd;
}

void stream_files_close(struct stream_files *files)
{
    for (int stream = 0; stream < 3; stream++) {
        if (files->fd[stream] >= 0)
            raw(SYS_close, files->fd[stream]);
        files->fd[stream] = -1;
    }
}

long stream_files_open(struct stream_files *files, bool silent, const char **failed)
{
    long result = 0;

    files->fd[0] = files->fd[1] = files->fd[2] = -1;
    for (int stream = 0; stream < 3 && result >= 0; stream++) {
        const char *path = files->path[stream];

        if (!path && !silent)
            continue;
        result = path ? open_above_stdio(path, APPEND) : open_above_stdio("/dev/null", O_RDWR);
        if (result >= 0)
            files->fd[stream] = (int)result;
        else if (failed)
            *failed = path ? path : "/dev/null";
    }
    if (result < 0)
        stream_files_close(files);
    return result < 0 ? result : 0;
}

long stream_files_install(struct stream_files *files)
{
    long result = 0;

    for (int stream = 0; stream < 3 && result >= 0; stream++)
        if (files->fd[stream] >= 0)
            result = raw(SYS_dup3, files->fd[stream], stream, 0);
    stream_files_close(files);
    return result < 0 ? result : 0;
}
