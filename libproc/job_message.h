/* A job as a message: a small header and its data; or a header and the name of the file that has the data; or a bare message of
 * another program's, which is all data. */
#ifndef LIBPROC_JOB_MESSAGE_H
#define LIBPROC_JOB_MESSAGE_H

#include "large_files.h"
#include "pool_area.h"

#include <string.h>

struct job_header {
    unsigned char mark[8];
    uint64_t id;
    uint64_t size;
    uint32_t attempt;
    uint32_t flags;
};

#define JOB_IN_FILE 0x01u

#define JOB_TYPE 1L
/* A message that is no job, but gets a worker out of its wait. */
#define NUDGE_TYPE 0x6c70206e75646765L

struct job_header job_header_of(uint64_t id, size_t size, uint32_t flags);

/* What lies in a slot that says nothing of it yet: of that length, or SLOT_LENGTH_UNKNOWN if its worker was killed before it
 * could note it. Then the slot says it. */
enum message_kind { MESSAGE_JOB, MESSAGE_NUDGE, MESSAGE_DAMAGED };
enum message_kind job_message_settle(const struct pool_area *area, uint32_t slot, int64_t length);

/* The data of a job whose slot says so. */
struct job_body {
    const void *data;
    size_t size;
    bool is_in_file; /* and not at data */
    struct large_name name;
};
struct job_body job_message_body(const struct pool_area *area, uint32_t slot);

/* Whether what is in a message lies in a file, and its name. The length may be unknown. */
bool job_message_names_file(const char *text, int64_t length, size_t room, struct large_name *name);

#endif
