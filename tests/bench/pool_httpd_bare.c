/* The least web server, as a peer: each connection is for one request, and all answers are the same.
 *
 *     pool_httpd_bare prefork|fork WORKERS SIZE
 *
 * Its first line of input it answers with its port.
 *
 * Its processes, or its child for each connection, accept, read, write, and close; nothing else. It is a program of its own,
 * so that a fork copies as little as that of the example which it stands beside. */
#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST_WORKERS 64

static char answer[4096];
static size_t size;

static int listen_somewhere(in_port_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) < 0 || listen(fd, SOMAXCONN) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) < 0)
        err(1, "a socket");
    *port = ntohs(address.sin_port);
    return fd;
}

static void tell_port(in_port_t port)
{
    char line[32];

    puts("ready");
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin))
        exit(1);
    printf("%u\n", port);
    fflush(stdout);
}

/* The page makes it as long as was asked for. */
static void make_answer(size_t wanted)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Type: text/plain\r\n"
                               "Content-Length: %3zu\r\nConnection: close\r\n\r\n";
    size_t head_size = (size_t)snprintf(NULL, 0, head, (size_t)0);

    if (wanted < head_size || wanted >= sizeof answer)
        errx(1, "an answer of %zu bytes", wanted);
    snprintf(answer, sizeof answer, head, wanted - head_size);
    memset(answer + head_size, '.', wanted - head_size);
    size = wanted;
}

static void serve(int client)
{
    char request[8192];

    if (read(client, request, sizeof request) > 0 && write(client, answer, size) < 0)
        warn("write");
    close(client);
}

static void work(int listener, pid_t parent)
{
    int client;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        return;
    while ((client = accept(listener, NULL, NULL)) >= 0)
        serve(client);
}

static void run_prefork(int listener, unsigned workers)
{
    pid_t parent = getpid(), pids[MOST_WORKERS];
    sigset_t terminate;
    int signo;

    sigemptyset(&terminate);
    sigaddset(&terminate, SIGTERM);
    sigprocmask(SIG_BLOCK, &terminate, NULL);
    for (unsigned i = 0; i < workers; i++)
        if ((pids[i] = fork()) == 0) {
            work(listener, parent);
            _exit(1);
        }
    sigwait(&terminate, &signo);
    for (unsigned i = 0; i < workers; i++)
        if (pids[i] > 0)
            kill(pids[i], SIGKILL);
    while (wait(NULL) > 0)
        ;
}

static void run_fork(int listener)
{
    int client;

    while ((client = accept(listener, NULL, NULL)) >= 0) {
        pid_t child = fork();

        if (child == 0) {
            close(listener);
            serve(client);
            _exit(0);
        }
        close(client);
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
    }
}

int main(int argc, char **argv)
{
    in_port_t port;

    if (argc != 4 || atoi(argv[2]) < 1 || atoi(argv[2]) > MOST_WORKERS)
        errx(2, "usage: pool_httpd_bare prefork|fork WORKERS SIZE");
    make_answer(strtoul(argv[3], NULL, 10));
    int listener = listen_somewhere(&port);
    tell_port(port);
    if (strcmp(argv[1], "prefork") == 0)
        run_prefork(listener, (unsigned)atoi(argv[2]));
    else
        run_fork(listener);
    return 1;
}
