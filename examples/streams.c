/* streams: the parent's ends of a child's streams are plain descriptors, for stdio, poll or an event loop of one's own. They
 * belong to the child's object, so stdio gets copies to close.
 *
 *     $ streams
 *     out: one
 *     err: two */
#include <proc.h>

#include <err.h>
#include <stdio.h>
#include <unistd.h>

static FILE *stream_of(int fd, const char *mode)
{
    int copy = dup(fd);
    FILE *stream = copy < 0 ? NULL : fdopen(copy, mode);

    if (!stream)
        err(1, "fdopen");
    return stream;
}

static void show(const char *name, FILE *stream)
{
    char line[256];

    while (fgets(line, sizeof line, stream))
        printf("%s: %s", name, line);
    fclose(stream);
}

int main(void)
{
    const char *const argv[] = {"sh", "-c", "read a; echo $a; read b; echo $b >&2", NULL};
    struct proc_options options = {.argv = argv, .in = PROC_PIPE, .out = PROC_PIPE, .err = PROC_PIPE};

    struct proc *child = proc_spawn(&options);
    if (!child)
        err(1, "%s: %s", argv[0], proc_spawn_step());
    FILE *in = stream_of(proc_in(child), "w");
    fputs("one\ntwo\n", in);
    fclose(in);
    proc_close(child, PROC_CLOSE_IN); /* the last writer: now the child could read end-of-file */
    show("out", stream_of(proc_out(child), "r"));
    show("err", stream_of(proc_err(child), "r"));
    proc_wait(child, NULL, -1);
    proc_free(child);
    return 0;
}
