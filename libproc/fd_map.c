/* Mapping descriptors into a child.
 *
 * A program's child shares the parent's table at first (CLONE_FILES), since copying it costs about 90 ns for each open
 * descriptor. It then takes a copy of only the part below a cut (close_range with CLOSE_RANGE_UNSHARE), which takes no
 * longer with 20,000 descriptors than with ten. A descriptor that it needs and that lies far above is not worth copying all
 * that is below it: it is fetched from the parent afterwards (pidfd_getfd). */
#include "fd_map.h"

#include "kernel.h"
#include "entries_in.h"

#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>

#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE 2u
#endif

/* From here on fetching one descriptor (about a microsecond) is cheaper than copying the table up to it. */
#define FAR 128

void fd_map_init(struct fd_map *map)
{
    map->moves = map->few;
    map->count = 0;
    map->room = sizeof map->few / sizeof map->few[0];
    map->kept = map->few_kept;
    map->nkept = 0;
    map->far_by_copy = false;
}

bool fd_map_has_target(const struct fd_map *map, int fd)
{
    for (size_t i = 0; i < map->count; i++)
        if (map->moves[i].to == fd)
            return true;
    return false;
}

int fd_map_above(const struct fd_map *map)
{
    int above = 3;

    for (size_t i = 0; i < map->count; i++)
        if (map->moves[i].to >= above)
            above = map->moves[i].to + 1;
    return above;
}

static int grow(struct fd_map *map)
{
    size_t room = map->room * 2;
    struct fd_move *old = map->moves == map->few ? NULL : map->moves;
    struct fd_move *moves = realloc(old, room * sizeof *moves);

    if (!moves)
        return -1;
    for (size_t i = 0; !old && i < map->count; i++)
        moves[i] = map->few[i];
    map->moves = moves;
    map->room = room;
    return 0;
}

int fd_map_add(struct fd_map *map, int from, int to)
{
    if (fd_map_has_target(map, to)) {
        errno = EINVAL;
        return -1;
    }
    if (map->count == map->room && grow(map) < 0)
        return -1;
    map->moves[map->count++] = (struct fd_move){.from = from, .to = to, .at = from};
    return 0;
}

void fd_map_renumber(struct fd_map *map, int from, int now)
{
    for (size_t i = 0; i < map->count; i++)
        if (map->moves[i].from == from)
            map->moves[i].from = map->moves[i].at = now;
}

static int rising(const void *one, const void *other)
{
    int a = *(const int *)one, b = *(const int *)other;

    return (a > b) - (a < b);
}

int fd_map_seal(struct fd_map *map, int also_kept)
{
    size_t most = map->count + 1;

    if (most > sizeof map->few_kept / sizeof map->few_kept[0] && map->kept == map->few_kept) {
        int *kept = malloc(most * sizeof *kept);

        if (!kept)
            return -1;
        map->kept = kept;
    }
    map->nkept = 0;
    for (size_t i = 0; i < map->count; i++)
        if (map->moves[i].to > 2)
            map->kept[map->nkept++] = map->moves[i].to;
    if (also_kept > 2)
        map->kept[map->nkept++] = also_kept;
    if (map->nkept > 1)
        qsort(map->kept, map->nkept, sizeof *map->kept, rising);
    return 0;
}

void fd_map_release(struct fd_map *map)
{
    if (map->moves != map->few)
        free(map->moves);
    if (map->kept != map->few_kept)
        free(map->kept);
    fd_map_init(map);
}

/* ---- in the child ---- */

/* The last resort, where there is no list of what is open: no number above the hard limit can be. */
static long close_each(unsigned from, unsigned to)
{
    struct rlimit limit = {.rlim_max = 0};

    raw(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &limit);
    for (unsigned fd = from; fd <= to && fd < limit.rlim_max; fd++)
        raw(SYS_close, fd);
    return 0;
}

struct range {
    unsigned from, to;
};

static void close_in_range(void *range, int directory, int fd)
{
    const struct range *closed = range;

    if ((unsigned)fd >= closed->from && (unsigned)fd <= closed->to && fd != directory)
        raw(SYS_close, fd);
}

static long close_open_ones(unsigned from, unsigned to)
{
    struct range closed = {from, to};
    long result = numbers_in("/proc/self/fd", close_in_range, &closed);

    return result < 0 ? close_each(from, to) : 0;
}

/* close_range is as old as the kernels that we ask for, but sandboxes and emulators may not know it. */
static long close_between(unsigned from, unsigned to)
{
    if (from > to)
        return 0;
    long result = raw(SYS_close_range, from, to, 0);
    return result == -ENOSYS || result == -EPERM ? close_open_ones(from, to) : result;
}

/* A whole copy, of which the upper part is closed: as slow as the table is long. */
static long cut_by_hand(unsigned cut)
{
    long result = raw(SYS_unshare, CLONE_FILES);

    return result < 0 || cut == ~0u ? result : close_between(cut, ~0u);
}

static bool is_far(const struct fd_map *map, int fd)
{
    return fd >= FAR && !map->far_by_copy;
}

static unsigned highest_source(const struct fd_map *map)
{
    unsigned highest = 2;

    for (size_t i = 0; i < map->count; i++)
        if ((unsigned)map->moves[i].from > highest)
            highest = (unsigned)map->moves[i].from;
    return highest;
}

static unsigned cut_above(const struct fd_map *map)
{
    unsigned cut = 3;

    for (size_t i = 0; i < map->count; i++)
        if (!is_far(map, map->moves[i].from) && (unsigned)map->moves[i].from >= cut)
            cut = (unsigned)map->moves[i].from + 1;
    return cut;
}

static long fetch(struct fd_map *map, long parent)
{
    for (size_t i = 0; i < map->count; i++) {
        struct fd_move *move = &map->moves[i];

        if (!is_far(map, move->from))
            continue;
        long fd = raw(SYS_pidfd_getfd, parent, move->from, 0);
        if (fd < 0)
            return fd == -EBADF || fd == -EMFILE ? fd : FD_MAP_TOO_FAR; /* the rest is a matter of permission */
        move->at = (int)fd;
    }
    return 0;
}

/* The descriptors 0, 1 and 2 that the parent has closed must stay free: what is fetched is not to land there. It is lifted
 * with the others in fd_map_apply, which moves whatever is in the way of a target; the rest is closed as a source. */
static long fetch_far(struct fd_map *map, pid_t parent_pid)
{
    bool any = false;

    for (size_t i = 0; i < map->count; i++)
        any |= is_far(map, map->moves[i].from);
    if (!any)
        return 0;
    long parent = raw(SYS_pidfd_open, parent_pid, 0);
    if (parent < 0)
        return FD_MAP_TOO_FAR;
    long result = fetch(map, parent);
    raw(SYS_close, parent);
    return result;
}

long fd_map_cut_loose(struct fd_map *map, pid_t parent, bool keep_all)
{
    unsigned cut = keep_all ? ~0u : cut_above(map);
    long result;

    for (size_t i = 0; i < map->count; i++)
        map->moves[i].at = map->moves[i].from;
    result = raw(SYS_close_range, cut, ~0u, CLOSE_RANGE_UNSHARE);
    if (result == -ENOSYS || result == -EPERM || result == -EINVAL)
        return cut_by_hand(keep_all ? ~0u : highest_source(map) + 1);
    if (result < 0 || keep_all)
        return result;
    return fetch_far(map, parent);
}

static bool in_the_way(const struct fd_map *map, const struct fd_move *move)
{
    return move->at != move->to && fd_map_has_target(map, move->at);
}

long fd_map_apply(struct fd_map *map)
{
    int above = fd_map_above(map);

    for (size_t i = 0; i < map->count; i++) {
        struct fd_move *move = &map->moves[i];

        if (!in_the_way(map, move))
            continue;
        long lifted = raw(SYS_fcntl, move->at, F_DUPFD_CLOEXEC, above);
        if (lifted < 0)
            return lifted == -EINVAL ? -EMFILE : lifted;
        move->at = (int)lifted;
    }
    for (size_t i = 0; i < map->count; i++) {
        const struct fd_move *move = &map->moves[i];
        long result = move->at == move->to ? raw(SYS_fcntl, move->at, F_SETFD, 0) : raw(SYS_dup3, move->at, move->to, 0);

        if (result < 0)
            return result == -EBADF ? -EMFILE : result; /* every source was seen open: the number is above the limit */
    }
    for (size_t i = 0; i < map->count; i++) {
        const struct fd_move *move = &map->moves[i];

        if (move->at != move->from && !fd_map_has_target(map, move->at))
            raw(SYS_close, move->at);
    }
    return 0;
}

long fd_map_close_others(const struct fd_map *map)
{
    unsigned from = 3;

    for (size_t i = 0; i < map->nkept; i++) {
        long result = close_between(from, (unsigned)map->kept[i] - 1);

        if (result < 0)
            return result;
        from = (unsigned)map->kept[i] + 1;
    }
    return close_between(from, ~0u);
}
