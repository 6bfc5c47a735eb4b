/* Which descriptors a child gets, and where: planned in the parent, carried out in the child as one step, so that every
 * permutation comes out right. */
#ifndef LIBPROC_FD_MAP_H
#define LIBPROC_FD_MAP_H

#include <proc/process.h>

struct fd_move {
    int from; /* in the parent */
    int to;   /* in the child */
    int at;   /* where the child has it while it works */
};

struct fd_map {
    struct fd_move *moves;
    size_t count, room;
    struct fd_move few[4]; /* enough for the streams and the channel: no memory is needed for those */
    int *kept;             /* what stays open above 2, in rising order: filled by fd_map_seal */
    size_t nkept;
    int few_kept[4];
    bool far_by_copy;      /* descriptors far above are not fetched one by one: the table is copied up to them */
};

void fd_map_init(struct fd_map *map);
int fd_map_add(struct fd_map *map, int from, int to); /* EINVAL: the place is taken */
void fd_map_renumber(struct fd_map *map, int from, int now); /* a source that has moved in the parent */
bool fd_map_has_target(const struct fd_map *map, int fd);
int fd_map_above(const struct fd_map *map); /* the first number above 2 and above every target */

/* Once all is added; may be repeated. also_kept: one more number that is to stay open, or -1. */
int fd_map_seal(struct fd_map *map, int also_kept);
void fd_map_release(struct fd_map *map);

/* In the child; raw system calls only; -errno on failure. */

/* Leaves the table that is shared with the parent, taking what is needed along and nothing that lies above it. */
long fd_map_cut_loose(struct fd_map *map, pid_t parent, bool keep_all);

/* Puts everything into its place. */
long fd_map_apply(struct fd_map *map);

/* Closes what is neither standard nor kept. */
long fd_map_close_others(const struct fd_map *map);

/* fd_map_cut_loose could not fetch a far descriptor: to be tried again with far_by_copy. No errno has this value. */
#define FD_MAP_TOO_FAR (-4095L)

#endif
