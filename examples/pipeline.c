/* pipeline: joins three programs as a shell does: how often does each word occur in a file?
 *
 *     $ pipeline /usr/include/proc.h
 *           1 0
 *           3 a
 *           …
 *
 * is tr -cs '[:alnum:]' '\n' <FILE | sort | uniq -c. Each reads from a pipe that the one before writes to. Without a file,
 * the standard input is read. The exit status is 0 when all three exited with 0. */
#include <proc.h>

#include <err.h>
#include <stdio.h>

enum { STAGES = 3 };

static const char *const *const stages[STAGES] = {
    (const char *const[]){"tr", "-cs", "[:alnum:]", "\\n", NULL},
    (const char *const[]){"sort", NULL},
    (const char *const[]){"uniq", "-c", NULL},
};

static struct proc *start(int stage, struct proc *before, const char *file)
{
    struct proc_options options = {.argv = stages[stage], .env = (const char *const[]){"LC_ALL=C", NULL}};

    if (before)
        options.in = PROC_FD(proc_out(before));
    else if (file)
        options.in = PROC_READ(file);
    if (stage < STAGES - 1)
        options.out = PROC_PIPE;
    struct proc *child = proc_spawn(&options);
    if (!child)
        err(1, "%s: %s", stages[stage][0], proc_spawn_step());
    /* The reader has the pipe now. With our copy open too, the writer would never hear that the reader has gone. */
    if (before && proc_close(before, PROC_CLOSE_OUT) < 0)
        err(1, "proc_close");
    return child;
}

static int finish(int stage, struct proc *child)
{
    struct proc_exit exit;
    char how[64];

    if (proc_wait(child, &exit, -1) < 0)
        err(1, "proc_wait");
    proc_free(child);
    if (proc_exit_ok(&exit))
        return 0;
    warnx("%s %s", stages[stage][0], proc_exit_string(&exit, how, sizeof how));
    return 1;
}

int main(int argc, char **argv)
{
    struct proc *children[STAGES];
    int status = 0;

    if (argc > 2)
        errx(2, "usage: pipeline [FILE]");
    for (int i = 0; i < STAGES; i++)
        children[i] = start(i, i > 0 ? children[i - 1] : NULL, argv[1]);
    for (int i = 0; i < STAGES; i++)
        status |= finish(i, children[i]);
    return status;
}
