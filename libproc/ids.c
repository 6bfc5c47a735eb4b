/* A user's ids and groups, from the user database. Looked up in the parent: a child before exec could not. */
#include <proc/process.h>

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

/* The entry of the user, in *room, which is to be freed. 0, or the errno. */
static int look_up(const char *user, struct passwd *entry, char **room)
{
    struct passwd *found = NULL;
    int failure = ERANGE;

    *room = NULL;
    for (size_t size = 1024; failure == ERANGE; size *= 2) {
        char *larger = realloc(*room, size);

        if (!larger)
            return ENOMEM;
        *room = larger;
        failure = getpwnam_r(user, entry, *room, size, &found);
    }
    if (found)
        return 0;
    /* "Not found" has many names: see getpwnam(3). */
    return failure == 0 || failure == ESRCH || failure == EBADF || failure == EPERM ? ENOENT : failure;
}

static gid_t *groups_of(const char *user, gid_t gid, size_t *count)
{
    gid_t *groups = NULL;

    for (int room = 16;;) {
        int wanted = room;
        gid_t *larger = realloc(groups, (size_t)room * sizeof *groups);

        if (!larger) {
            free(groups);
            return NULL;
        }
        groups = larger;
        if (getgrouplist(user, gid, groups, &wanted) >= 0) {
            *count = (size_t)wanted;
            return groups;
        }
        room = wanted > room ? wanted : room * 2;
    }
}

int proc_ids_of(const char *user, struct proc_ids *ids)
{
    struct passwd entry;
    char *room;
    int failure = user && ids ? 0 : EINVAL;

    if (failure == 0) {
        failure = look_up(user, &entry, &room);
        if (failure == 0) {
            *ids = (struct proc_ids){.uid = entry.pw_uid, .gid = entry.pw_gid};
            ids->groups = groups_of(user, entry.pw_gid, &ids->ngroups);
            failure = ids->groups ? 0 : ENOMEM;
        }
        free(room);
    }
    errno = failure ? failure : errno;
    return failure ? -1 : 0;
}

void proc_ids_free(struct proc_ids *ids)
{
    if (!ids)
        return;
    free((gid_t *)ids->groups);
    ids->groups = NULL;
    ids->ngroups = 0;
}
