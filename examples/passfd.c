/* passfd: hands open files to a child over its channel; the child reads them and answers. That is how a process with rights
 * opens files for one without.
 *
 *     $ passfd /etc/passwd /etc/hosts
 *     /etc/passwd: child 4711 counts 31 lines
 *     /etc/hosts: child 4711 counts 7 lines */
#include <proc.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- the child ---- */

static long count_lines(int fd)
{
    char piece[4096];
    ssize_t size;
    long lines = 0;

    while ((size = read(fd, piece, sizeof piece)) > 0)
        for (ssize_t i = 0; i < size; i++)
            lines += piece[i] == '\n';
    return size < 0 ? -1 : lines;
}

/* A function for a child: its return value is the exit status. */
static int answer_for_each_file(struct proc *self, void *unused)
{
    char answer[128];
    int fd;

    (void)unused;
    while ((fd = proc_recv_fd(self)) >= 0) {
        long lines = count_lines(fd);

        if (lines < 0)
            snprintf(answer, sizeof answer, "child %d cannot read it: %s", (int)proc_pid(self), strerror(errno));
        else
            snprintf(answer, sizeof answer, "child %d counts %ld lines", (int)proc_pid(self), lines);
        close(fd); /* received, so ours */
        if (proc_write(self, answer, strlen(answer)) < 0)
            return 1;
    }
    return errno == EPIPE ? 0 : 1; /* EPIPE: the parent has no more */
}

/* ---- the parent ---- */

static void ask(struct proc *child, const char *path)
{
    char answer[128];
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        err(1, "%s", path);
    if (proc_send_fd(child, fd) < 0)
        err(1, "proc_send_fd");
    close(fd); /* the child has its own */
    ssize_t size = proc_read(child, answer, sizeof answer); /* SEQPACKET: one answer, and all of it */
    if (size <= 0)
        err(1, "no answer");
    printf("%s: %.*s\n", path, (int)size, answer);
}

int main(int argc, char **argv)
{
    struct proc_options options = {.main = answer_for_each_file, .channel = PROC_SEQPACKET};
    struct proc_exit exit;
    char how[64];

    if (argc < 2)
        errx(2, "usage: passfd FILE ...");
    struct proc *child = proc_spawn(&options); /* before any file is open, so it inherits none */
    if (!child)
        err(1, "proc_spawn: %s", proc_spawn_step());
    for (int i = 1; i < argc; i++)
        ask(child, argv[i]);
    if (proc_close(child, PROC_CLOSE_WRITE) < 0 || proc_wait(child, &exit, -1) < 0)
        err(1, "cannot end the child");
    proc_free(child);
    if (!proc_exit_ok(&exit))
        errx(1, "the child %s", proc_exit_string(&exit, how, sizeof how));
    return 0;
}
