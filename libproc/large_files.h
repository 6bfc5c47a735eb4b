/* The files of large messages: their names, making, reading and removing them.
 *
 * A file belongs to a message that is in the queue, or to a process that is just sending it and holds a lock on it. All others
 * are left over by the dead. */
#ifndef LIBPROC_LARGE_FILES_H
#define LIBPROC_LARGE_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ipc.h>

struct large_place {
    unsigned long long ipc_namespace; /* where the queue's number means something */
    int queue;
    const char *kind; /* "", or what the names of a pool's end in: its messages may lie elsewhere than in the queue */
};

struct large_name {
    unsigned char bytes[16]; /* random */
};

/* Memory that all who have the queue open share, zeros when it is new: its address, or -errno. -EACCES: it is a stranger's. */
long large_files_share(const struct large_place *place, const struct ipc_perm *owner, size_t size);

#define LARGE_MESSAGES ""
#define LARGE_JOBS ".job"

/* Whether a file of this process may be so large: to write beyond that limit would be a signal. */
bool large_file_may_have(size_t size);

/* -errno. */
long large_place_find(struct large_place *place, int queue, const char *kind);

/* Makes a file with this content: a descriptor, which holds the lock until large_file_sent. -errno. */
long large_file_make(const struct large_place *place, const struct ipc_perm *owner, const void *data, size_t size,
                     struct large_name *name);
void large_file_sent(long fd);
long large_file_remove(const struct large_place *place, const struct large_name *name);
void large_file_empty(const struct large_place *place, const struct large_name *name);

long large_file_open(const struct large_place *place, const struct large_name *name);

/* From one kind to another. */
long large_file_rename(const struct large_place *from, const struct large_place *to, const struct large_name *name);

/* 0, or -errno: -EBADMSG: the file has another size. */
long large_file_read(long fd, void *buf, size_t size);

/* Calls `see` for each message that is there and has a file; false: for some it could not be found out. */
typedef void large_see_fn(void *argument, const struct large_name *name);
typedef bool large_each_fn(const void *where, large_see_fn *see, void *argument);

/* Removes the files of this queue, and of this kind, whose messages are not there any more; and those of queues that are gone. */
void large_files_sweep(const struct large_place *place, large_each_fn *each, const void *where);

/* Whether the queue is gone; then its files are, too. */
bool large_files_abandoned(const struct large_place *place);

/* Removes all of a queue that is gone, its lock as well. */
void large_files_remove_all(int queue);

#endif
