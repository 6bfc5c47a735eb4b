/* What a daemon's standard streams are connected to. */
#ifndef LIBPROC_STREAM_FILES_H
#define LIBPROC_STREAM_FILES_H

#include <stdbool.h>

struct stream_files {
    const char *path[3]; /* of each stream: a file to append to, an absolute path; NULL: none */
    int fd[3];           /* from open to install; -1: none */
};

/* Opens them all, or none; those without a file are /dev/null with `silent`, else they stay as they are. 0 or -errno; then
 * *failed (if it is asked for) is the path that could not be opened. Async-signal-safe, as all of these. */
long stream_files_open(struct stream_files *files, bool silent, const char **failed);

/* Puts them into their places, 0 to 2. 0 or -errno. */
long stream_files_install(struct stream_files *files);
void stream_files_close(struct stream_files *files);

#endif
