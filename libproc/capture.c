/* Growing by doubling: large blocks are moved by the kernel's page tables, not copied, and pages that are not written to
 * cost nothing. */
#include "capture.h"

#include <stdlib.h>

#define FIRST_ROOM ((size_t)16 << 10)

char *capture_room(struct capture *capture, size_t *room)
{
    size_t used = *capture->size;

    if (capture->room < used + 2) {
        size_t larger = used + 1 < FIRST_ROOM ? FIRST_ROOM : 2 * (used + 1);
        char *data = realloc(*capture->data, larger);

        if (!data)
            return NULL;
        *capture->data = data;
        capture->room = larger;
        data[used] = '\0';
    }
    *room = capture->room - used - 1;
    return *capture->data + used;
}

void capture_took(struct capture *capture, size_t size)
{
    *capture->size += size;
    (*capture->data)[*capture->size] = '\0';
}
