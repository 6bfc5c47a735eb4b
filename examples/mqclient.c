/* mqclient: hands in work at examples/mqserver, one line each, and prints the answers.
 *
 *     $ mqclient /tmp/mq.sock 'water the flowers' 'mend the fence'
 *     ok
 *     ok
 *     $ seq 1000 | mqclient /tmp/mq.sock          lines from standard input, until it ends
 *     ok
 *     …
 *     full
 *     $ mqclient tcp:127.0.0.1:9933 'feed the cat'
 *     $ mqclient -s /tmp/mq.sock                  how the server is
 *
 * Exit status: 0 when all were accepted, 75 when one was not, because the queue was full for one. 1: the server has closed the
 * connection; then nobody knows what became of the line in question, and of the others that were not answered nothing did.
 *
 * Nothing here is libproc's: a client of a pool is a program in any language that writes frames, a length in 4 bytes, the highest
 * first, and so many bytes; and reads as many, in the same order. */
#include <err.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define NOT_ACCEPTED 75
#define ANSWER_MOST 65536

/* ---- the connection ---- */

static int dial_unix(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (strlen(path) >= sizeof address.sun_path)
        errx(1, "%s: too long", path);
    memcpy(address.sun_path, path, strlen(path));
    if (server < 0 || connect(server, (struct sockaddr *)&address, sizeof address) < 0)
        err(1, "%s", path);
    return server;
}

/* HOST:PORT, or [HOST]:PORT */
static int dial_tcp(const char *place)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    const char *port = strrchr(place, ':');
    char host[256];

    if (!port || (size_t)(port - place) >= sizeof host)
        errx(1, "%s: no address", place);
    bool has_brackets = place[0] == '[';
    snprintf(host, sizeof host, "%.*s", (int)(port - place) - 2 * has_brackets, place + has_brackets);
    int failure = getaddrinfo(host, port + 1, &hints, &found);
    if (failure)
        errx(1, "%s: %s", place, gai_strerror(failure));
    int server = socket(found->ai_family, found->ai_socktype | SOCK_CLOEXEC, 0);
    if (server < 0 || connect(server, found->ai_addr, found->ai_addrlen) < 0)
        err(1, "%s", place);
    freeaddrinfo(found);
    return server;
}

static int dial(const char *place)
{
    return strncmp(place, "tcp:", 4) == 0 ? dial_tcp(place + 4) : dial_unix(place);
}

/* ---- frames ---- */

/* A server that is gone shows when the answer is read. */
static void write_frame(int server, char kind, const char *text, size_t size)
{
    uint32_t length = (uint32_t)size + 1;
    unsigned char head[5] = {(unsigned char)(length >> 24), (unsigned char)(length >> 16), (unsigned char)(length >> 8),
                             (unsigned char)length, (unsigned char)kind};
    struct iovec parts[] = {{.iov_base = head, .iov_len = sizeof head}, {.iov_base = (char *)text, .iov_len = size}};
    struct msghdr frame = {.msg_iov = parts, .msg_iovlen = 2};

    sendmsg(server, &frame, MSG_NOSIGNAL);
}

static char *read_frame(int server)
{
    static char answer[ANSWER_MOST + 1];
    unsigned char head[4];

    if (recv(server, head, sizeof head, MSG_WAITALL) != sizeof head)
        errx(1, "the server has closed the connection");
    uint32_t size = (uint32_t)head[0] << 24 | (uint32_t)head[1] << 16 | (uint32_t)head[2] << 8 | head[3];
    if (size > ANSWER_MOST || recv(server, answer, size, MSG_WAITALL) != (ssize_t)size)
        errx(1, "the server's answer is not whole");
    answer[size] = '\0';
    return answer;
}

/* Returns whether the line was accepted. */
static bool hand_in(int server, const char *line, size_t size)
{
    write_frame(server, 'j', line, size);
    const char *answer = read_frame(server);
    puts(answer);
    fflush(stdout);
    return strcmp(answer, "ok") == 0;
}

static bool hand_in_lines(int server)
{
    char *line = NULL;
    size_t room = 0;
    bool all = true;

    for (ssize_t size; (size = getline(&line, &room, stdin)) > 0;)
        all &= hand_in(server, line, (size_t)size - (line[size - 1] == '\n'));
    free(line);
    return all;
}

int main(int argc, char **argv)
{
    bool asks = argc > 1 && strcmp(argv[1], "-s") == 0;
    bool all = true;

    if (argc < 2 + asks || (asks && argc > 3))
        errx(1, "usage: mqclient SOCKET [LINE ...], or mqclient -s SOCKET");
    int server = dial(argv[1 + asks]);
    if (asks) {
        write_frame(server, 's', "", 0);
        fputs(read_frame(server), stdout);
    } else if (argc == 2) {
        all = hand_in_lines(server);
    }
    for (int i = 2; !asks && i < argc; i++)
        all &= hand_in(server, argv[i], strlen(argv[i]));
    close(server);
    return all ? 0 : NOT_ACCEPTED;
}
