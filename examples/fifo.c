/* fifo: two programs that meet at a named pipe, and do not wait for ever for one that does not come.
 *
 *     $ fifo receive /tmp/pipe &           in any order
 *     $ fifo send /tmp/pipe hello, world
 *     hello, world
 *     $ fifo send -t 5 /tmp/pipe <FILE     without a text: its standard input
 *     fifo: /tmp/pipe: nobody came
 *
 * -t SECONDS: how long it waits for the other one; otherwise as long as it takes. Exit status: 0 all is in the pipe, or has come
 * out of it; 75 nobody came in time; 1 trouble, or the reader has left early.
 *
 * Whoever is first makes the pipe, and it stays: rm removes it. A plain open(2) hangs until somebody has the other end. */
#include <proc.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NOBODY_CAME = 75 };

static void write_all(int fd, const char *data, size_t size, const char *name)
{
    while (size > 0) {
        ssize_t written = write(fd, data, size);

        if (written < 0 && errno == EPIPE)
            errx(1, "%s: the reader has left", name);
        if (written < 0)
            err(1, "%s", name);
        data += written;
        size -= (size_t)written;
    }
}

static void copy(int from, const char *from_name, int to, const char *to_name)
{
    char data[65536];
    ssize_t size;

    while ((size = read(from, data, sizeof data)) > 0)
        write_all(to, data, (size_t)size, to_name);
    if (size < 0)
        err(1, "%s", from_name);
}

static void send_words(char **words, int pipe, const char *path)
{
    for (; *words; words++) {
        write_all(pipe, *words, strlen(*words), path);
        write_all(pipe, words[1] ? " " : "\n", 1, path);
    }
}

static int meet(const char *path, int flags, int timeout_ms)
{
    int pipe = proc_fifo(path, 0600, flags | O_CREAT, timeout_ms);

    if (pipe < 0 && errno == ETIMEDOUT)
        errx(NOBODY_CAME, "%s: nobody came", path);
    if (pipe < 0 && errno == EEXIST)
        errx(1, "%s: is not a pipe", path);
    if (pipe < 0)
        err(1, "%s", path);
    return pipe;
}

int main(int argc, char **argv)
{
    bool sends = argc > 1 && strcmp(argv[1], "send") == 0, receives = argc > 1 && strcmp(argv[1], "receive") == 0;
    int seconds = -1;

    optind = 2; /* after the command */
    for (int option; argc > 1 && (option = getopt(argc, argv, "+t:")) != -1;)
        if (option != 't' || (seconds = atoi(optarg)) < 0 || seconds > INT_MAX / 1000)
            errx(1, "-t SECONDS");
    if ((!sends && !receives) || optind >= argc || (receives && optind + 1 < argc))
        errx(1, "usage: fifo send [-t SECONDS] PATH [TEXT ...], or fifo receive [-t SECONDS] PATH");
    const char *path = argv[optind];
    signal(SIGPIPE, SIG_IGN); /* write says it as well: EPIPE */
    int pipe = meet(path, sends ? O_WRONLY : O_RDONLY, seconds < 0 ? -1 : seconds * 1000);
    if (receives)
        copy(pipe, path, STDOUT_FILENO, "standard output");
    else if (argv[optind + 1])
        send_words(argv + optind + 1, pipe, path);
    else
        copy(STDIN_FILENO, "standard input", pipe, path);
    close(pipe);
    return 0;
}
