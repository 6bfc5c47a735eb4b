/* The kernel does not say which children were born here and which were adopted. So those that exist at the beginning are
 * noted, those that libproc starts are known, and all that come later are orphans.
 *
 * A process of which libproc does not know yet because another thread is just starting it has ended: that one is in doubt,
 * and to be asked about again. */
#include "adoption.h"

#include "kernel.h"
#include "entries_in.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

struct process_stat {
    char state;
    pid_t parent;
    uint64_t started; /* in clock ticks since the boot */
};

/* The second field is the name, in parentheses, which may contain any character: the rest follows the last one of those. */
static bool parse_stat(const char *text, struct process_stat *stat)
{
    const char *rest = strrchr(text, ')');
    int parent;
    unsigned long long started;

    if (!rest || sscanf(rest + 1, " %c %d %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu",
                        &stat->state, &parent, &started) != 3)
        return false;
    stat->parent = parent;
    stat->started = started;
    return true;
}

/* Returns 0, or -errno: -ESRCH when there is no such process. */
static long read_stat(int directory, pid_t pid, struct process_stat *stat)
{
    char path[32], text[1024];

    snprintf(path, sizeof path, "%s%d/stat", directory == AT_FDCWD ? "/proc/" : "", (int)pid);
    long fd = raw(SYS_openat, directory, path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return fd == -ENOENT ? -ESRCH : fd;
    long size = raw(SYS_read, fd, text, sizeof text - 1);
    raw(SYS_close, fd);
    if (size < 0)
        return size;
    text[size] = '\0';
    return parse_stat(text, stat) ? 0 : -ESRCH;
}

/* ---- all children ---- */

struct search_of_children {
    pid_t self;
    void (*each)(void *argument, pid_t pid, const struct process_stat *stat);
    void *argument;
    long failure;
};

static void look_at_process(void *argument, int directory, int pid)
{
    struct search_of_children *search = argument;
    struct process_stat stat;
    long result = read_stat(directory, pid, &stat);

    if (result == 0 && stat.parent == search->self)
        search->each(search->argument, pid, &stat);
    else if (result < 0 && result != -ESRCH)
        search->failure = result;
}

static long each_child(void (*each)(void *argument, pid_t pid, const struct process_stat *stat), void *argument)
{
    struct search_of_children search = {(pid_t)raw(SYS_getpid), each, argument, 0};
    long result = numbers_in("/proc", look_at_process, &search);

    return result < 0 ? result : search.failure;
}

/* ---- those that were there before ---- */

struct note {
    struct adoption *adoption;
    bool failed;
};

static void note_stranger(void *argument, pid_t pid, const struct process_stat *stat)
{
    struct note *note = argument;
    struct adoption *adoption = note->adoption;

    if (adoption->nstrangers == adoption->room) {
        size_t room = adoption->room ? 2 * adoption->room : 8;
        struct stranger *strangers = realloc(adoption->strangers, room * sizeof *strangers);

        if (!strangers) {
            note->failed = true;
            return;
        }
        adoption->strangers = strangers;
        adoption->room = room;
    }
    adoption->strangers[adoption->nstrangers++] = (struct stranger){pid, stat->started};
}

static bool has_children(void)
{
    siginfo_t info;

    return raw(SYS_waitid, P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL, NULL) != -ECHILD;
}

static int note_strangers(struct adoption *adoption)
{
    struct note note = {adoption, false};

    if (!has_children())
        return 0;
    long result = each_child(note_stranger, &note);
    if (note.failed)
        result = -ENOMEM;
    else if (result == 0 && adoption->nstrangers == 0 && has_children()) /* there is no procfs at /proc */
        result = -ENOENT;
    return (int)kernel_result(result);
}

int adoption_begin(struct adoption *adoption)
{
    if (note_strangers(adoption) < 0 || sys(SYS_prctl, PR_GET_CHILD_SUBREAPER, &adoption->was_subreaper) < 0 ||
        sys(SYS_prctl, PR_SET_CHILD_SUBREAPER, 1) < 0)
        return -1;
    adoption->begun = true;
    return 0;
}

void adoption_end(struct adoption *adoption)
{
    if (adoption->begun)
        raw(SYS_prctl, PR_SET_CHILD_SUBREAPER, adoption->was_subreaper);
    adoption->begun = false;
}

void adoption_free(struct adoption *adoption)
{
    free(adoption->strangers);
}

/* ---- whose is it? ---- */

static bool is_stranger(const struct adoption *adoption, pid_t pid, const struct process_stat *stat)
{
    for (size_t i = 0; i < adoption->nstrangers; i++)
        if (adoption->strangers[i].pid == pid && adoption->strangers[i].started == stat->started)
            return true;
    return false;
}

/* A process that we trace comes up among our children without being one. Where there is no /proc there were no children at the
 * beginning, and the kernel's word is all there is.
 *
 * ends_whose is asked last: a child of ours that was being started when this one had already ended is not this one. */
enum adopted adoption_has(const struct adoption *adoption, pid_t zombie)
{
    struct process_stat stat;

    if (!adoption->begun)
        return ADOPTED_NOT;
    long result = read_stat(AT_FDCWD, zombie, &stat);
    if (result < 0 && result != -ESRCH)
        return ADOPTED_IN_DOUBT;
    if (result == 0 && (stat.parent != raw(SYS_getpid) || is_stranger(adoption, zombie, &stat)))
        return ADOPTED_NOT;
    enum ends_whose whose = ends_whose(zombie);
    return whose == WHOSE_OTHER ? ADOPTED : whose == WHOSE_OURS ? ADOPTED_NOT : ADOPTED_IN_DOUBT;
}

struct zombies {
    void (*each)(void *argument, pid_t zombie);
    void *argument;
};

static void pass_zombie_on(void *argument, pid_t pid, const struct process_stat *stat)
{
    struct zombies *zombies = argument;

    if (stat->state == 'Z')
        zombies->each(zombies->argument, pid);
}

long adoption_each_zombie(void (*each)(void *argument, pid_t zombie), void *argument)
{
    return each_child(pass_zombie_on, &(struct zombies){each, argument});
}
