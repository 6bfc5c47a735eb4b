/* httpd: a small web server in two forms.
 *
 *     $ httpd --pool 8080                a pool of workers that are there before the connections, one for each processor
 *     $ httpd --pool -n 8 8080           eight of them
 *     $ httpd --fork 8080                a process for each connection, …
 *     $ httpd --fork -n 20 8080          … at most 20 at a time, else 100: others wait until there is room
 *     httpd: listens on port 8080
 *     $ curl http://127.0.0.1:8080/      port 0: a free one
 *     process 4711 (worker 2, generation 1): request 17 of all, 5 of mine
 *     $ curl http://127.0.0.1:8080/?sleep=2.5
 *
 * SIGTERM and SIGINT end it: requests in hand are answered. SIGHUP replaces the pool's workers, one after the other; meanwhile
 * no connection is refused.
 *
 * It is for this machine alone, and knows of HTTP what it needs: GET and HEAD of one page, and the answers to all else. Each
 * connection is for one request, which has a few seconds to arrive.
 *
 * A request that takes long holds up nobody: the pool's worker leaves the pool with it, and another one takes its place. And one
 * that is stuck is found out by its heartbeat. In most cases a worker needs four system calls for a request: the listening
 * socket has a timeout for accept() that its connections inherit, so no poll() is needed to look up now and then. */
#include <proc.h>

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LOOK_UP_MS 1000        /* a worker without a connection, or with a silent one, looks up after so long */
#define REQUEST_MS 5000        /* a whole request has to be there by then */
#define HEARTBEAT_MS 20000     /* longer than anything that a worker does between two signs of life */
#define LONGEST_SLEEP 60       /* seconds */

struct server {
    int listener, client; /* client: a child's */
    struct proc_counter *requests; /* of all processes */
    int64_t own_requests;
    pid_t pid;
    struct proc_worker *worker; /* NULL: a child for one connection */
    bool has_left;              /* the pool */
};

/* ---- reading a request ---- */

struct request {
    char head[8192];
    size_t size;     /* of what has come, … */
    size_t expected; /* … and of the head, with the empty line; 0: it is not whole */
};

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits for more of a slow client's request. When the worker is to leave, what is on its way has a second. */
static bool more_comes(const struct server *server, int client, int64_t *deadline_ms)
{
    struct pollfd fds[] = {{.fd = client, .events = POLLIN},
                           {.fd = server->worker ? proc_worker_fd(server->worker) : -1, .events = POLLIN}};

    for (int64_t left_ms; (left_ms = *deadline_ms - now_ms()) > 0;) {
        if (poll(fds, 2, (int)left_ms) < 0 && errno != EINTR)
            return false;
        if (fds[0].revents)
            return true;
        if (fds[1].revents) {
            fds[1].fd = -1;
            if (left_ms > 1000)
                *deadline_ms = now_ms() + 1000;
        }
    }
    return false;
}

/* One recv() does for nearly all. Returns the status of the answer: 200 if the head is whole, 0: nobody waits for one. */
static int read_head(const struct server *server, int client, struct request *request)
{
    int64_t deadline_ms = 0;

    for (request->size = request->expected = 0; request->size < sizeof request->head;) {
        ssize_t got = recv(client, request->head + request->size, sizeof request->head - request->size, 0);

        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
            return 0;
        if (got > 0) {
            request->size += (size_t)got;
            const char *end = memmem(request->head, request->size, "\r\n\r\n", 4);
            if (end) {
                request->expected = (size_t)(end + 4 - request->head);
                return 200;
            }
        }
        if (deadline_ms == 0)
            deadline_ms = now_ms() + REQUEST_MS - (got < 0 ? LOOK_UP_MS : 0);
        if (request->size < sizeof request->head && !more_comes(server, client, &deadline_ms))
            return request->size > 0 ? 408 : 0;
    }
    return 431;
}

/* "GET /?sleep=1 HTTP/1.1", and the other lines. Returns the status of the answer. */
static int understand(struct request *request, bool *wants_body, double *sleep_s)
{
    char method[16], target[1024], minor, more;

    request->head[request->expected - 1] = '\0';
    char *others = memchr(request->head, '\r', request->expected);
    *others++ = '\0';
    if (sscanf(request->head, "%15[^ ] %1023[^ ] HTTP/1.%c%c", method, target, &minor, &more) != 3 ||
        (minor != '0' && minor != '1') || (minor == '1' && !strcasestr(others, "\nHost:")))
        return 400;
    *wants_body = strcmp(method, "HEAD") != 0;
    if (*wants_body && strcmp(method, "GET") != 0)
        return 405;
    if (strncmp(target, "/?sleep=", 8) == 0)
        *sleep_s = strtod(target + 8, NULL);
    return strcmp(target, "/") == 0 || strncmp(target, "/?", 2) == 0 ? 200 : 404;
}

/* ---- the answer ---- */

static const char *reason(int status)
{
    switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed\r\nAllow: GET, HEAD";
    case 408: return "Request Timeout";
    default: return "Request Header Fields Too Large";
    }
}

static int write_page(struct server *server, int status, char *page, size_t size)
{
    const char *why = reason(status);
    int64_t all = proc_counter_add(server->requests, 0, 1);

    server->own_requests++;
    if (status != 200)
        return snprintf(page, size, "%d %.*s\n", status, (int)strcspn(why, "\r"), why);
    if (!server->worker)
        return snprintf(page, size, "process %d: request %" PRId64 " of all\n", (int)server->pid, all);
    return snprintf(page, size, "process %d (worker %u, generation %u): request %" PRId64 " of all, %" PRId64 " of mine\n",
                    (int)server->pid, proc_worker_index(server->worker), proc_worker_generation(server->worker), all,
                    server->own_requests);
}

/* As strftime() would make it, which looks at the time zone's file each time. Once a second is enough. */
static const char *date(void)
{
    static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    static char text[80];
    static time_t last;
    time_t now = time(NULL);
    struct tm utc;

    if (now != last) {
        gmtime_r(&now, &utc);
        snprintf(text, sizeof text, "%.3s, %02d %.3s %d %02d:%02d:%02d GMT", days + 3 * utc.tm_wday, utc.tm_mday,
                 months + 3 * utc.tm_mon, utc.tm_year + 1900, utc.tm_hour, utc.tm_min, utc.tm_sec);
        last = now;
    }
    return text;
}

static void send_answer(struct server *server, int client, int status, bool wants_body)
{
    char page[200], answer[600];
    int size = write_page(server, status, page, sizeof page);
    int length = snprintf(answer, sizeof answer,
                          "HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n"
                          "Connection: close\r\n\r\n%s",
                          status, reason(status), date(), size, wants_body ? page : "");
    send(client, answer, (size_t)length, MSG_NOSIGNAL);
}

/* To close a connection with something unread in it may take the answer away from the client. */
static void read_rest(int client)
{
    struct pollfd more = {.fd = client, .events = POLLIN};
    int64_t deadline_ms = now_ms() + 1000;
    char rest[4096];

    shutdown(client, SHUT_WR);
    for (int64_t left_ms; (left_ms = deadline_ms - now_ms()) > 0;)
        if (poll(&more, 1, (int)left_ms) <= 0 || recv(client, rest, sizeof rest, 0) <= 0)
            return;
}

/* In the pool, the worker leaves it. If it cannot, it is to leave in any case, and has its grace period. */
static void take_long(struct server *server, double seconds)
{
    if (!(seconds < LONGEST_SLEEP))
        seconds = LONGEST_SLEEP;
    struct timespec left = {.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};

    if (server->worker && proc_worker_detach(server->worker) == 0)
        server->has_left = true;
    while (nanosleep(&left, &left) < 0 && errno == EINTR)
        ;
}

static void serve(struct server *server, int client)
{
    struct request request;
    bool wants_body = true;
    double sleep_s = 0;
    int status = read_head(server, client, &request);

    if (status == 200)
        status = understand(&request, &wants_body, &sleep_s);
    if (status == 200 && sleep_s > 0)
        take_long(server, sleep_s);
    if (status != 0)
        send_answer(server, client, status, wants_body);
    if (status >= 400 || request.size > request.expected)
        read_rest(client);
    close(client);
}

/* Those that nobody has to hear of: nothing came for a while, a signal, a client that is gone again. */
static bool is_usual(int error)
{
    return error == EAGAIN || error == EINTR || error == ECONNABORTED || error == EPROTO;
}

/* ---- a pool of workers ---- */

static int work(struct proc_worker *worker, void *arg)
{
    struct server *server = arg;

    server->worker = worker;
    server->pid = getpid();
    while (!server->has_left && !proc_worker_stopping(worker)) {
        int client = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);

        proc_worker_alive(worker);
        if (client >= 0)
            serve(server, client);
        else if (!is_usual(errno))
            err(1, "accept4");
    }
    return 0;
}

static void tell(const struct proc_pool_event *event, void *arg)
{
    char how[64];

    (void)arg;
    if (event->type == PROC_POOL_WORKER_EXITED && !proc_exit_ok(&event->exit))
        warnx("process %d %s", (int)event->pid, proc_exit_string(&event->exit, how, sizeof how));
    else if (event->type == PROC_POOL_RELOADED)
        warnx("reloaded");
}

static void run_pool(struct server *server, unsigned workers)
{
    struct proc_pool_options options = {
        .name = "httpd",
        .workers = workers,
        .main = work,
        .arg = server,
        .heartbeat_ms = HEARTBEAT_MS,
        .event = tell,
    };
    struct proc_pool *pool = proc_pool_new(&options);

    if (!pool || proc_pool_run(pool) < 0)
        err(1, "pool");
    proc_pool_free(pool);
}

/* ---- a process for each connection ---- */

static int serve_one(struct proc *self, void *arg)
{
    struct server *server = arg;

    server->pid = proc_pid(self);
    signal(SIGINT, SIG_IGN); /* Ctrl+C is for the one who accepts */
    close(server->listener);
    serve(server, server->client);
    return 0;
}

static void start_child(struct server *server, struct proc_waiter *waiter, int client)
{
    struct proc_options options = {.main = serve_one, .arg = server};

    server->client = client;
    struct proc *child = proc_spawn(&options);
    if (!child || proc_waiter_add(waiter, child, NULL) < 0) {
        warn("cannot serve"); /* this client; others maybe later */
        proc_free(child);
    }
    close(client);
}

static bool take_events(struct proc_waiter *waiter)
{
    struct proc_event event;
    bool ends = false;

    while (proc_waiter_next(waiter, &event, 0) == 1)
        if (event.type == PROC_EVENT_EXIT)
            proc_free(event.proc);
        else if (event.signo != SIGHUP) /* each connection has a new process in any case */
            ends = true;
    return ends;
}

/* What a function's first call costs, and the time zone's file, would else be paid for by each child. */
static void rehearse(struct server *server)
{
    static const char request[] = "GET / HTTP/1.0\r\n\r\n";
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 || write(pair[0], request, sizeof request - 1) < 0)
        err(1, "socketpair");
    serve(server, pair[1]);
    close(pair[0]);
    proc_counter_set(server->requests, 0, 0);
}

static void run_children(struct server *server, size_t most)
{
    struct proc_waiter *waiter = proc_waiter_new(0);
    struct pollfd fds[] = {{.events = POLLIN}, {.events = POLLIN}};
    bool ends = false;
    int client;

    if (!waiter || proc_waiter_signal(waiter, SIGTERM, NULL) < 0 || proc_waiter_signal(waiter, SIGINT, NULL) < 0 ||
        proc_waiter_signal(waiter, SIGHUP, NULL) < 0 || fcntl(server->listener, F_SETFL, O_NONBLOCK) < 0)
        err(1, "waiter");
    rehearse(server);
    while (!ends || proc_waiter_children(waiter) > 0) {
        fds[0].fd = proc_waiter_fd(waiter);
        fds[1].fd = ends || proc_waiter_children(waiter) >= most ? -1 : server->listener;
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            err(1, "poll");
        if (fds[1].revents)
            while (proc_waiter_children(waiter) < most && (client = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
                start_child(server, waiter, client);
        if (fds[0].revents && take_events(waiter))
            ends = true;
        if (ends)
            shutdown(server->listener, SHUT_RD); /* from now on connections are refused */
    }
    proc_waiter_free(waiter);
}

/* ---- the beginning ---- */

static int listen_on(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval look_up = {.tv_sec = LOOK_UP_MS / 1000}, patience = {.tv_sec = REQUEST_MS / 1000};
    int yes = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t size = sizeof address;

    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) < 0 ||
        setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &look_up, sizeof look_up) < 0 ||
        setsockopt(listener, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) < 0 ||
        bind(listener, (struct sockaddr *)&address, size) < 0 || listen(listener, SOMAXCONN) < 0 ||
        getsockname(listener, (struct sockaddr *)&address, &size) < 0)
        err(1, "port %u", port);
    warnx("listens on port %u", ntohs(address.sin_port));
    return listener;
}

int main(int argc, char **argv)
{
    static const struct option forms[] = {{"pool", no_argument, NULL, 'p'}, {"fork", no_argument, NULL, 'f'}, {0}};
    struct server server = {.listener = -1};
    int form = 0, number = 0;

    for (int option; (option = getopt_long(argc, argv, "n:", forms, NULL)) != -1;)
        if (option == 'n')
            number = atoi(optarg);
        else
            form = option;
    if ((form != 'p' && form != 'f') || optind + 1 != argc || number < 0)
        errx(1, "usage: httpd --pool|--fork [-n NUMBER] PORT");
    server.requests = proc_counter_open(PROC_PRIVATE, 1, 0, 0);
    if (!server.requests)
        err(1, "proc_counter_open");
    server.listener = listen_on((uint16_t)atoi(argv[optind]));
    if (form == 'p')
        run_pool(&server, (unsigned)number);
    else
        run_children(&server, number > 0 ? (size_t)number : 100);
    proc_counter_close(server.requests);
    return 0;
}
