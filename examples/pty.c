/* pty: runs a program on a terminal of its own, and relays what it shows there.
 *
 *     $ pty ls --color=auto | cat      # coloured, although the output goes to a pipe
 *     $ pty tty                        # and not the one that you sit at
 *     /dev/pts/7
 *     $ pty stty size
 *     24 80
 *
 * The terminal ends each line with "\r\n", as terminals do. Nobody types there: the program reads end-of-file. The exit
 * status is the program's, 128 and the signal that killed it, or 127 when it cannot be run. */
#include <proc.h>

#include <err.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* The child: a function first, since a new terminal has no size, and the program may look for it at once. */
static int run_on_terminal(struct proc *self, void *argv)
{
    struct winsize size = {.ws_row = 24, .ws_col = 80};
    const char *const *command = argv;

    (void)self;
    if (ioctl(STDIN_FILENO, TIOCSWINSZ, &size) < 0)
        err(126, "TIOCSWINSZ");
    proc_exec(command[0], command, NULL);
    err(127, "%s", command[0]); /* shown on the terminal, as all that the child writes */
}

static void print(const char *text, size_t size)
{
    while (size > 0) {
        ssize_t count = write(STDOUT_FILENO, text, size);

        if (count < 0)
            err(1, "standard output");
        text += count;
        size -= (size_t)count;
    }
}

/* Until the child has ended and what it wrote is printed: the terminal itself comes to its end only when the last of those
 * whom the child left behind has closed it. (The kernel calls that end EIO; proc_read makes an end-of-file of it.) */
static void relay(struct proc *child)
{
    struct pollfd fds[] = {
        {.fd = proc_pidfd(child), .events = POLLIN}, /* looked at first: when it has ended, all that it wrote is there */
        {.fd = proc_out(child), .events = POLLIN},
    };
    char piece[4096];
    ssize_t count = 0;

    if (fds[0].fd < 0)
        err(1, "proc_pidfd");
    do {
        print(piece, (size_t)count);
        if (poll(fds, 2, -1) < 0)
            err(1, "poll");
        count = fds[1].revents ? proc_read(child, piece, sizeof piece) : 0;
    } while (count > 0);
    if (count < 0)
        err(1, "proc_read");
}

int main(int argc, char **argv)
{
    struct proc_options options = {
        .main = run_on_terminal,
        .arg = argv + 1,
        .in = PROC_PTY,
        .out = PROC_PTY,
        .err = PROC_PTY,
    };
    struct proc_exit exit;

    if (argc < 2)
        errx(2, "usage: pty PROGRAM [ARGUMENT ...]");
    struct proc *child = proc_spawn(&options);
    if (!child)
        err(1, "proc_spawn: %s", proc_spawn_step());
    if (proc_close(child, PROC_CLOSE_IN) < 0) /* as Ctrl+D on an empty line */
        err(1, "proc_close");
    relay(child);
    if (proc_wait(child, &exit, -1) < 0)
        err(1, "proc_wait");
    proc_free(child);
    return exit.signal ? 128 + exit.signal : exit.code;
}
