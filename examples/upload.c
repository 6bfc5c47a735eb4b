/* upload: takes pictures, answers at once, and brings them to another server in the background.
 *
 *     $ upload --store files 9000 &                                    the other server, to try it on one machine
 *     $ upload spool pictures.db http://127.0.0.1:9000 8080 &          port 0, here and there: a free one
 *     upload: listening on port 8080
 *     $ curl --data-binary @cat.jpg http://127.0.0.1:8080/pictures     answers 202 with the link under which it will be found
 *     waiting http://127.0.0.1:9000/5f0c6e0b7d4a4f0f9a3c2b1d8e7f6a5b
 *     $ curl http://127.0.0.1:8080/pictures/5f0c6e0b7d4a4f0f9a3c2b1d8e7f6a5b
 *     stored http://127.0.0.1:9000/5f0c6e0b7d4a4f0f9a3c2b1d8e7f6a5b
 *     $ upload --list pictures.db                                      what is recorded there: names, sizes, links
 *     $ upload -c 0 -r 5 spool …                       at most 0 children upload (else 16); after 5 s all begins anew (else 60)
 *     $ upload --store files --fail 3 --slow 500 9000  a store that fails three times, and takes 500 ms for each picture
 *
 * The server only accepts, forks and reaps: each connection has a child. It writes the picture into the spool, under another
 * name, then come fsync() and rename(), and only then the answer: what was accepted outlives any crash. Then the child goes on,
 * while nobody waits for it: it uploads the picture with libcurl, records it with SQLite, and takes it out of the spool. If it
 * is still there when the child has ended, in whatever way, a pool of workers does the same. When there are 16 children already,
 * further ones only answer: no client ever waits for the store, and the store gets no more at once than it can bear.
 *
 * The spool alone says what is to be done. A picture that was not handed in for a while (the store was down for too long, the
 * queue was full, everything was killed) is handed to the pool again, and at the start all are. So none is lost, and one may be
 * uploaded twice, which does no harm: PUT replaces it by itself, and the record has the picture's name as its key. SIGTERM lets
 * children and workers finish what they have in hand, and removes the pool's queue from the system. After a SIGKILL it stays
 * there, and the next server of that spool goes on with it.
 *
 * No curl handle and no connection to the database is ever carried over a fork: the server itself has none, nor has it called
 * curl_global_init(). Two processes on one TLS stream would use the same keys and the same record numbers, and each would end
 * the stream for the other. SQLite's locks are those of a process: a child has none of its parent's, and to close any descriptor
 * of the file drops all that its process has on it. Then two write at once, and the database is damaged. */
#include <proc.h>

#include <arpa/inet.h>
#include <curl/curl.h>
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LARGEST (32 << 20) /* bytes of a picture */
#define MOST_CHILDREN 100  /* more connections wait until there is room */
#define CHILD_S 60         /* a child that takes longer than this, for all that it does, is ended */
#define PATIENCE_S 5       /* with a client that says nothing */
#define UPLOAD_S 20
#define BUSY_MS 10000      /* for the database's lock */

struct server {
    int listener, dir; /* of the spool, or of the store's files */
    struct proc_waiter *waiter;
    struct proc_pool *pool; /* NULL: this is the store */
    char *database, *store;
    size_t most_uploads; /* by children, at once */
    int again_s;
    struct proc_counter *puts; /* to the store, … */
    int failures, delay_ms;    /* … of which the first fail */
};

/* What a child is for. The parent has chosen the picture's name, to know of it when the child has been killed. */
struct visit {
    const struct server *server;
    int socket;
    FILE *in;
    bool uploads;
    char name[33];
    char method[8], target[100];
    long length;         /* of the body; -1: unknown */
    bool waits;          /* for leave to send it */
    const char *allowed; /* methods for that target */
};

static bool is_name(const char *text)
{
    return strlen(text) == 32 && strspn(text, "0123456789abcdef") == 32;
}

/* ---- HTTP: these return the status of the answer; 0: nobody waits for one ---- */

/* What has come may be an end, or silence. */
static int why_nothing_comes(const struct visit *visit)
{
    return ferror(visit->in) && errno == EAGAIN ? 408 : 0;
}

static int take_field(struct visit *visit, const char *line)
{
    char *end;

    if (strncasecmp(line, "Transfer-Encoding:", 18) == 0)
        return 411;
    if (strncasecmp(line, "Content-Length:", 15) != 0)
        return 200;
    long length = strtol(line + 15, &end, 10);
    if (visit->length >= 0 || length < 0 || end == line + 15 || end[strspn(end, " \t")] != '\r')
        return 400;
    visit->length = length;
    return 200;
}

static int read_head(struct visit *visit)
{
    char line[4096], minor;
    int status = 200;

    visit->length = -1;
    if (!fgets(line, sizeof line, visit->in))
        return why_nothing_comes(visit);
    if (sscanf(line, "%7[^ ] %99[^ ] HTTP/1.%c\r", visit->method, visit->target, &minor) != 3)
        return 400;
    while (status == 200 && fgets(line, sizeof line, visit->in)) {
        if (strcmp(line, "\r\n") == 0)
            return 200;
        if (strncasecmp(line, "Expect:", 7) == 0)
            visit->waits = true;
        status = strchr(line, '\n') ? take_field(visit, line) : 431;
    }
    return status == 200 ? why_nothing_comes(visit) : status;
}

static int copy_body(const struct visit *visit, FILE *file)
{
    char buf[65536];
    size_t got;

    if (visit->length <= 0 || visit->length > LARGEST)
        return visit->length < 0 ? 411 : visit->length == 0 ? 400 : 413;
    if (visit->waits)
        dprintf(visit->socket, "HTTP/1.1 100 Continue\r\n\r\n");
    for (size_t left = (size_t)visit->length; left > 0; left -= got) {
        got = fread(buf, 1, left < sizeof buf ? left : sizeof buf, visit->in);
        if (got == 0 || ferror(visit->in))
            return why_nothing_comes(visit);
        if (fwrite(buf, 1, got, file) != got)
            return 500;
    }
    return fflush(file) == 0 && fsync(fileno(file)) == 0 ? 200 : 500;
}

/* When it returns 200, the body is on the disk under that name. Nobody ever sees a part of it there. */
static int keep_body(const struct visit *visit, const char *name)
{
    int dir = visit->server->dir;
    char part[32];

    snprintf(part, sizeof part, "part-%d", (int)getpid());
    int fd = openat(dir, part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    int status = file ? copy_body(visit, file) : 500;
    if (status == 200 && (renameat(dir, part, dir, name) < 0 || fsync(dir) < 0))
        status = 500;
    if (status == 500)
        warn("cannot keep %s", name);
    if (file)
        fclose(file);
    if (status != 200)
        unlinkat(dir, part, 0);
    return status;
}

static int answer(const struct visit *visit, int status, const char *field, const char *text)
{
    dprintf(visit->socket, "HTTP/1.1 %d %s\r\n%sContent-Length: %zu\r\nConnection: close\r\n\r\n%s", status,
            status < 300 ? "OK" : "Refused", field, strlen(text), text);
    return status;
}

/* To close a connection with something unread in it may take the answer away from the client. */
static void refuse(const struct visit *visit, int status)
{
    char field[32] = "", text[16], rest[4096];
    time_t deadline = time(NULL) + 2;

    if (status == 405)
        snprintf(field, sizeof field, "Allow: %s\r\n", visit->allowed);
    snprintf(text, sizeof text, "%d\n", status);
    answer(visit, status, field, text);
    shutdown(visit->socket, SHUT_WR);
    while (time(NULL) < deadline && recv(visit->socket, rest, sizeof rest, 0) > 0)
        ;
}

/* ---- the slow part: in children and workers alone ---- */

typedef int row_fn(void *arg, int columns, char **values, char **names);

/* Over a connection of its own. The table is made by whoever comes first. */
static bool run_sql(const char *path, const char *sql, row_fn *row, void *arg)
{
    static const char table[] = "CREATE TABLE IF NOT EXISTS pictures (name TEXT NOT NULL PRIMARY KEY, size INTEGER, link TEXT)";
    sqlite3 *database = NULL;
    bool done = sql && sqlite3_open(path, &database) == SQLITE_OK && sqlite3_busy_timeout(database, BUSY_MS) == SQLITE_OK &&
                sqlite3_exec(database, table, NULL, NULL, NULL) == SQLITE_OK &&
                sqlite3_exec(database, sql, row, arg, NULL) == SQLITE_OK;

    if (!done)
        warnx("%s: %s", path, sqlite3_errmsg(database));
    sqlite3_close(database);
    return done;
}

/* However often it is recorded, there is one row. */
static bool record(const char *path, const char *name, long long size, const char *link)
{
    char *sql = sqlite3_mprintf("INSERT OR IGNORE INTO pictures VALUES (%Q, %lld, %Q)", name, size, link);
    bool done = run_sql(path, sql, NULL, NULL);

    sqlite3_free(sql);
    return done;
}

static int note_row(void *found, int columns, char **values, char **names)
{
    (void)columns, (void)values, (void)names;
    *(bool *)found = true;
    return 0;
}

static bool is_recorded(const char *path, const char *name)
{
    char *sql = sqlite3_mprintf("SELECT name FROM pictures WHERE name = %Q", name);
    bool found = false;

    run_sql(path, sql, note_row, &found);
    sqlite3_free(sql);
    return found;
}

static int print_row(void *arg, int columns, char **values, char **names)
{
    (void)arg, (void)columns, (void)names;
    printf("%s %s %s\n", values[0], values[1], values[2]);
    return 0;
}

static size_t drop(char *text, size_t size, size_t count, void *arg)
{
    (void)text, (void)arg;
    return size * count;
}

static bool put(const char *link, FILE *picture, curl_off_t size)
{
    CURL *curl = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? curl_easy_init() : NULL;
    CURLcode result = CURLE_FAILED_INIT;
    long status = 0;

    if (curl) {
        curl_easy_setopt(curl, CURLOPT_URL, link);
        curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(curl, CURLOPT_READDATA, picture);
        curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, size);
        curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, drop);
        curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)UPLOAD_S);
        curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L); /* SIGALRM is ours */
        result = curl_easy_perform(curl);
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
        curl_easy_cleanup(curl);
    }
    curl_global_cleanup();
    if (result != CURLE_OK || status / 100 != 2)
        warnx("%s: status %ld, %s", link, status, curl_easy_strerror(result));
    return result == CURLE_OK && status / 100 == 2;
}

static char *link_of(const struct server *server, const char *name)
{
    char *link;

    if (asprintf(&link, "%s/%s", server->store, name) < 0)
        err(1, "memory"); /* the child's end: the picture is still in the spool */
    return link;
}

/* In this order: whatever ends it, the picture is in the spool, and all can be done again. */
static bool upload(const struct server *server, const char *name)
{
    struct stat about;
    int fd = openat(server->dir, name, O_RDONLY | O_CLOEXEC);
    FILE *picture = fd < 0 ? NULL : fdopen(fd, "r");

    if (!picture)
        return errno == ENOENT; /* somebody else has done it */
    char *link = link_of(server, name);
    bool done = fstat(fd, &about) == 0 && put(link, picture, about.st_size) &&
                record(server->database, name, about.st_size, link) && (unlinkat(server->dir, name, 0) == 0 || errno == ENOENT);
    free(link);
    fclose(picture);
    return done;
}

/* ---- a child, which has one connection: these return the status, which was answered if it is below 300 ---- */

static int tell_state(const struct visit *visit, int status, const char *name, const char *state)
{
    char field[64], text[1024], *link = link_of(visit->server, name);

    snprintf(field, sizeof field, "Location: /pictures/%s\r\n", name);
    snprintf(text, sizeof text, "%s %s\n", state, link);
    free(link);
    return answer(visit, status, status == 202 ? field : "", text);
}

static int take_picture(const struct visit *visit)
{
    int status = keep_body(visit, visit->name);

    return status == 200 ? tell_state(visit, 202, visit->name, "waiting") : status;
}

/* The spool first: a picture leaves it only when it is recorded. */
static int find_picture(const struct visit *visit, const char *name)
{
    if (faccessat(visit->server->dir, name, F_OK, 0) == 0)
        return tell_state(visit, 200, name, "waiting");
    return is_recorded(visit->server->database, name) ? tell_state(visit, 200, name, "stored") : 404;
}

static int serve_pictures(struct visit *visit)
{
    const char *name = visit->target + strlen("/pictures/");

    if (strcmp(visit->target, "/pictures") == 0)
        return strcmp(visit->method, visit->allowed = "POST") == 0 ? take_picture(visit) : 405;
    if (strncmp(visit->target, "/pictures/", strlen("/pictures/")) != 0 || !is_name(name))
        return 404;
    return strcmp(visit->method, visit->allowed = "GET") == 0 ? find_picture(visit, name) : 405;
}

static int take_file(const struct visit *visit, const char *name)
{
    if (proc_counter_add(visit->server->puts, 0, 1) <= visit->server->failures)
        return 503;
    poll(NULL, 0, visit->server->delay_ms);
    int status = keep_body(visit, name);
    return status == 200 ? answer(visit, 201, "", "") : status;
}

static int send_file(const struct visit *visit, const char *name)
{
    int fd = openat(visit->server->dir, name, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return 404;
    dprintf(visit->socket, "HTTP/1.0 200 OK\r\n\r\n");
    while (sendfile(visit->socket, fd, NULL, LARGEST) > 0)
        ;
    close(fd);
    return 200;
}

static int serve_files(struct visit *visit)
{
    const char *name = visit->target + 1;

    visit->allowed = "GET, PUT";
    if (!is_name(name))
        return 404;
    if (strcmp(visit->method, "PUT") == 0)
        return take_file(visit, name);
    return strcmp(visit->method, "GET") == 0 ? send_file(visit, name) : 405;
}

/* The listener is closed, or else the port would be taken for as long as the child lives. */
static int serve(struct proc *self, void *arg)
{
    struct visit *visit = arg;
    const struct server *server = visit->server;

    (void)self;
    close(server->listener);
    signal(SIGINT, SIG_IGN); /* Ctrl+C is for the one who accepts */
    signal(SIGPIPE, SIG_IGN);
    alarm(CHILD_S);
    visit->in = fdopen(visit->socket, "r");
    if (!visit->in)
        err(1, "fdopen");
    int status = read_head(visit);
    if (status == 200)
        status = server->pool ? serve_pictures(visit) : serve_files(visit);
    if (status >= 300)
        refuse(visit, status);
    fclose(visit->in); /* from here on nobody waits */
    return status == 202 && visit->uploads && !upload(server, visit->name);
}

/* ---- the pool's workers ---- */

static int start_worker(struct proc_worker *worker, void *arg)
{
    const struct server *server = arg;

    (void)worker;
    if (server->listener >= 0)
        close(server->listener);
    signal(SIGPIPE, SIG_IGN);
    return 0;
}

/* The pause before an attempt doubles. A store that is down for longer than all of them is tried again from the spool. */
static int try_again(struct proc_worker *worker, const struct proc_job *job, void *arg)
{
    struct pollfd stop = {.fd = proc_worker_fd(worker), .events = POLLIN};
    char name[64];

    snprintf(name, sizeof name, "%.*s", (int)job->size, (const char *)job->data);
    if (!is_name(name))
        return 0; /* others can put messages into the queue, too */
    if (job->attempt > 1)
        poll(&stop, 1, 50 << job->attempt);
    return !proc_worker_stopping(worker) && upload(arg, name) ? 0 : -1;
}

static void tell(const struct proc_pool_event *event, void *arg)
{
    const struct proc_job *job = event->job;
    char how[64];

    (void)arg;
    if (event->type == PROC_POOL_WORKER_EXITED && !proc_exit_ok(&event->exit))
        warnx("worker %d %s", (int)event->pid, proc_exit_string(&event->exit, how, sizeof how));
    else if (event->type == PROC_POOL_JOB_DEAD)
        warnx("stays in the spool for now: %.*s", (int)job->size, (const char *)job->data);
}

/* ---- the server ---- */

/* The file's time says when it was handed in. False: the queue is full; the picture has its turn later. */
static bool hand_in(const struct server *server, const char *name)
{
    int accepted = proc_pool_submit(server->pool, name, strlen(name), 0);

    if (accepted < 0)
        warn("cannot hand in %s", name);
    return accepted == 1 && (utimensat(server->dir, name, NULL, 0) == 0 || errno == ENOENT);
}

/* Hands in the pictures that were not for so long. Returns how many are in the spool. */
static size_t look_through_spool(const struct server *server, int age_s)
{
    int fd = openat(server->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *spool = fd < 0 ? NULL : fdopendir(fd);
    bool has_room = true;
    struct stat about;
    size_t count = 0;

    if (!spool)
        err(1, "spool");
    for (const struct dirent *entry; (entry = readdir(spool));) {
        if (fstatat(server->dir, entry->d_name, &about, 0) < 0)
            continue;
        time_t age = time(NULL) - about.st_mtime;
        if (strncmp(entry->d_name, "part-", 5) == 0 && age > 2 * CHILD_S)
            unlinkat(server->dir, entry->d_name, 0); /* its child was killed */
        if (!is_name(entry->d_name))
            continue;
        count++;
        if (has_room && (age >= age_s || age < 0))
            has_room = hand_in(server, entry->d_name);
    }
    closedir(spool);
    return count;
}

static void start_child(struct server *server, int socket)
{
    struct visit *visit = calloc(1, sizeof *visit);
    struct proc_options options = {.main = serve, .arg = visit, .title = "upload: child"};
    struct proc *child = NULL;
    uint64_t bits[2];

    if (visit && getrandom(bits, sizeof bits, 0) == sizeof bits) {
        visit->server = server;
        visit->socket = socket;
        visit->uploads = proc_waiter_children(server->waiter) < server->most_uploads;
        snprintf(visit->name, sizeof visit->name, "%016" PRIx64 "%016" PRIx64, bits[0], bits[1]);
        child = proc_spawn(&options);
    }
    if (!child || proc_waiter_add(server->waiter, child, visit) < 0) {
        warn("cannot serve"); /* this client; others maybe later */
        proc_free(child);
        free(visit);
    }
    close(socket);
}

static void accept_clients(struct server *server)
{
    int socket;

    while (proc_waiter_children(server->waiter) < MOST_CHILDREN &&
           (socket = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
        start_child(server, socket);
}

static void see_off(const struct server *server, const struct proc_event *event)
{
    struct visit *visit = event->data;
    char how[64];

    if (event->exit.signal)
        warnx("child %d %s", (int)event->exit.pid, proc_exit_string(&event->exit, how, sizeof how));
    if (server->pool && faccessat(server->dir, visit->name, F_OK, 0) == 0)
        hand_in(server, visit->name);
    proc_free(event->proc);
    free(visit);
}

static void begin_to_end(struct server *server)
{
    if (server->listener < 0)
        return;
    close(server->listener); /* from now on connections are refused */
    server->listener = -1;
    if (server->pool)
        proc_pool_stop(server->pool);
}

static void take_events(struct server *server)
{
    struct proc_event event;

    while (proc_waiter_next(server->waiter, &event, 0) == 1)
        if (event.type == PROC_EVENT_EXIT)
            see_off(server, &event);
        else if (event.type == PROC_EVENT_SIGNAL)
            begin_to_end(server);
        else if (server->listener >= 0)
            look_through_spool(server, server->again_s);
}

static void run(struct server *server)
{
    bool pool_runs = server->pool != NULL;

    while (server->listener >= 0 || proc_waiter_children(server->waiter) > 0 || pool_runs) {
        bool has_room = proc_waiter_children(server->waiter) < MOST_CHILDREN;
        struct pollfd fds[] = {{.fd = proc_waiter_fd(server->waiter), .events = POLLIN},
                               {.fd = pool_runs ? proc_pool_fd(server->pool) : -1, .events = POLLIN},
                               {.fd = has_room ? server->listener : -1, .events = POLLIN}};

        if (poll(fds, 3, -1) < 0 && errno != EINTR)
            err(1, "poll");
        if (fds[1].revents && proc_pool_poll(server->pool, 0) < 0)
            err(1, "proc_pool_poll");
        if (fds[2].revents)
            accept_clients(server);
        if (fds[0].revents)
            take_events(server);
        pool_runs = pool_runs && !proc_pool_done(server->pool);
    }
}

/* ---- the beginning ---- */

static int open_dir(const char *path)
{
    int dir = mkdir(path, 0700) < 0 && errno != EEXIST ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (dir < 0)
        err(1, "%s", path);
    return dir;
}

static int listen_on(const char *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = PATIENCE_S}; /* connections inherit it */
    int yes = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    socklen_t size = sizeof address;

    address.sin_port = htons((uint16_t)atoi(port));
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) < 0 ||
        setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0 ||
        setsockopt(listener, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) < 0 ||
        bind(listener, (struct sockaddr *)&address, size) < 0 || listen(listener, SOMAXCONN) < 0 ||
        getsockname(listener, (struct sockaddr *)&address, &size) < 0)
        err(1, "port %s", port);
    warnx("listening on port %u", ntohs(address.sin_port));
    return listener;
}

static struct proc_pool *open_pool(struct server *server, const char *spool)
{
    struct proc_pool_options options = {
        .name = "upload",
        .workers = 4,
        .job = try_again,
        .start = start_worker,
        .arg = server,
        .key = proc_key(spool, 1),
        .max_attempts = 5,
        .job_timeout_ms = CHILD_S * 1000,
        .event = tell,
    };
    struct proc_pool *pool = proc_pool_new(&options);

    if (!pool && errno == EBUSY)
        errx(1, "%s: another server has it", spool);
    if (!pool)
        err(1, "%s", spool);
    return pool;
}

static void run_store(struct server *server, char **argv)
{
    server->puts = proc_counter_open(PROC_PRIVATE, 1, 0, 0);
    if (!server->puts)
        err(1, "proc_counter_open");
    server->listener = listen_on(argv[0]);
    run(server);
    proc_counter_close(server->puts);
}

static void run_server(struct server *server, char **argv)
{
    server->dir = open_dir(argv[0]);
    server->database = strdup(argv[1]); /* where the kernel knows no other way, a child's title is written over argv */
    server->store = strdup(argv[2]);
    if (!server->database || !server->store)
        err(1, "memory");
    server->pool = open_pool(server, argv[0]);
    server->listener = listen_on(argv[3]);
    look_through_spool(server, 0);
    if (proc_waiter_alarm(server->waiter, 1000000, 1000000, NULL) < 0)
        err(1, "proc_waiter_alarm");
    run(server);
    warnx("%zu pictures wait for the next start", look_through_spool(server, INT_MAX));
    if (proc_pool_remove(server->pool) < 0)
        warn("proc_pool_remove");
    proc_pool_free(server->pool);
    free(server->database);
    free(server->store);
}

int main(int argc, char **argv)
{
    static const struct option names[] = {{"store", required_argument, NULL, 's'},
                                          {"fail", required_argument, NULL, 'f'},
                                          {"slow", required_argument, NULL, 'd'},
                                          {"list", required_argument, NULL, 'l'},
                                          {0}};
    struct server server = {.most_uploads = 16, .again_s = 60, .dir = -1};

    for (int option; (option = getopt_long(argc, argv, "c:r:", names, NULL)) != -1;)
        switch (option) {
        case 'c': server.most_uploads = (size_t)atoi(optarg); break;
        case 'r': server.again_s = atoi(optarg); break;
        case 's': server.dir = open_dir(optarg); break;
        case 'f': server.failures = atoi(optarg); break;
        case 'd': server.delay_ms = atoi(optarg); break;
        case 'l': return !run_sql(optarg, "SELECT * FROM pictures", print_row, NULL);
        default: optind = argc;
        }
    bool is_store = server.dir >= 0;
    if (argc - optind != (is_store ? 1 : 4))
        errx(1, "usage: upload [-c CHILDREN] [-r SECONDS] SPOOL DATABASE STORE PORT\n"
                "or: upload --store DIR [--fail NUMBER] [--slow MILLISECONDS] PORT\nor: upload --list DATABASE");
    server.waiter = proc_waiter_new(PROC_WAITER_PIDFD);
    if (!server.waiter || proc_waiter_signal(server.waiter, SIGTERM, NULL) < 0 ||
        proc_waiter_signal(server.waiter, SIGINT, NULL) < 0)
        err(1, "waiter");
    (is_store ? run_store : run_server)(&server, argv + optind);
    proc_waiter_free(server.waiter);
    close(server.dir);
    return 0;
}
