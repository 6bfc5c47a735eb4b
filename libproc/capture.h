/* Memory that output is read into: it grows, and always ends in a NUL that is not counted. */
#ifndef LIBPROC_CAPTURE_H
#define LIBPROC_CAPTURE_H

#include <stddef.h>

struct capture {
    char **data;   /* the caller's, may be NULL: then what is read is dropped */
    size_t *size;
    size_t room;   /* of *data */
};

/* Makes room for more and says where it is and how much; NULL when there is no memory. */
char *capture_room(struct capture *capture, size_t *room);

void capture_took(struct capture *capture, size_t size);

#endif
