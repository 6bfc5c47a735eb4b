/* A file without a name, which goes with its last descriptor. */
#include "letter.h"

#include "ends.h"
#include "kernel.h"
#include "large_files.h"

#include <sys/mman.h>

static long write_at(int fd, const char *data, size_t size)
{
    size_t done = 0;

    while (done < size) {
        long more = raw(SYS_pwrite64, fd, data + done, size - done, done);

        if (more < 0 && more != -EINTR)
            return more;
        if (more > 0)
            done += (size_t)more;
    }
    return 0;
}

long letter_make_file(const void *data, size_t size)
{
    if (!large_file_may_have(size))
        return -EFBIG;
    int fd = fd_above_stdio((int)kernel_result(raw(SYS_memfd_create, "libproc-message", MFD_CLOEXEC)));
    if (fd < 0)
        return -errno;
    long result = write_at(fd, data, size);
    if (result == 0)
        return fd;
    raw(SYS_close, fd);
    return result;
}

long letter_read_file(int fd, void *data, size_t size)
{
    size_t done = 0;
    long more = 1;

    while (done < size && more > 0) {
        more = raw(SYS_pread64, fd, (char *)data + done, size - done, done);
        if (more > 0)
            done += (size_t)more;
        else if (more == -EINTR)
            more = 1;
    }
    raw(SYS_close, fd);
    return done == size ? 0 : more < 0 ? more : -EBADMSG;
}
