/* The files of jobs that are too large for a message. */
#ifndef LIBPROC_JOB_FILES_H
#define LIBPROC_JOB_FILES_H

#include "job_message.h"

/* A job's data in memory, to be freed: 0, or -errno. -EBADMSG: the file is gone, or has another size. */
long job_file_read(int queue, const struct job_body *body, void **data);
void job_file_remove(int queue, const struct job_body *body);

/* Removes those whose jobs are neither in the queue nor in a slot. No worker may take one meanwhile. */
void job_files_sweep(int queue, const struct pool_area *area);

#endif
