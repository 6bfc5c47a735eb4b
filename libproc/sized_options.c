/* Zero is the default of every member, so what one of the two headers does not know is zero. */
#include "sized_options.h"

#include <errno.h>
#include <string.h>

static int any_is_set(const char *bytes, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        if (bytes[i])
            return 1;
    return 0;
}

int sized_options_copy(void *copy, size_t room, size_t smallest, const void *options, size_t size)
{
    if (!options || size < smallest || any_is_set(options, room, size)) {
        errno = EINVAL;
        return -1;
    }
    memset(copy, 0, room);
    memcpy(copy, options, size < room ? size : room);
    return 0;
}
