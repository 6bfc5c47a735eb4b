/* daemon: a service and its own command line, as an init script, a unit file or a user calls it.
 *
 *     $ daemon start -d /tmp/d             comes back when the service is ready, or with what is wrong
 *     $ daemon status -d /tmp/d
 *     4711 is running
 *     $ echo hello >/tmp/d/daemon.fifo     the service: it logs what comes there, and counts ticks, which ps shows
 *     $ tail -n 1 /tmp/d/daemon.log
 *     2026-11-21 23:01:21 4711 heard: hello
 *     $ mv /tmp/d/daemon.log /tmp/d/old.log; echo 'tick 100' >/tmp/d/daemon.conf
 *     $ daemon reload -d /tmp/d            begins a new log, and a tick is 100 ms now
 *     $ daemon restart -d /tmp/d           stop and start; it need not be running
 *     $ daemon stop -d /tmp/d              comes back when it has gone
 *
 * -d DIRECTORY  where its files are; /run/daemon for root, $XDG_RUNTIME_DIR/daemon for others
 * -t SECONDS    how long it may take to be ready, and to leave before it is killed; 30
 * -f            start, restart: in the foreground, with its standard output as the log, as for systemd's Type=notify-reload
 *
 * Exit status, as in the Linux Standard Base: status: 0 it runs, 1 it is dead and its pidfile is there, 3 it does not run, 4 that
 * cannot be known. The others: 0 done, 1 trouble, 2 wrong arguments, 6 the settings are wrong, 7 (reload) it does not run. Not as
 * there: to start what runs is 1, with its number: 0 says that this command has started it, and that it is ready. */
#include <proc.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { TROUBLE = 1, WRONG_ARGUMENTS = 2, WRONG_SETTINGS = 6, NOT_RUNNING = 7 };
enum { STATUS_RUNS, STATUS_DEAD, STATUS_NOT_RUNNING = 3, STATUS_UNKNOWN };

enum { KILLED_MS = 30000 }; /* what is killed is gone at once, unless the machine is in trouble */

struct request {
    const char *directory;
    char pidfile[PATH_MAX], log[PATH_MAX];
    bool foreground;
    int timeout_ms;
};

/* ---- the service ---- */

struct service {
    struct proc_waiter *waiter;
    int tick_ms, tick, watchdog; /* the setting, and the ids of alarms */
    uint64_t ticks;
    int fifo;
    char message[PIPE_BUF]; /* as much of it as has come */
    size_t length;
    bool stops;
};

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
    time_t now = time(NULL);
    char when[32];
    va_list values;

    strftime(when, sizeof when, "%F %T", localtime(&now));
    printf("%s %d ", when, (int)getpid());
    va_start(values, format);
    vprintf(format, values);
    va_end(values);
    putchar('\n');
}

/* Ends the service before it is ready; whoever starts it sees why. */
__attribute__((noreturn)) static void fail(int code, const char *what)
{
    char message[200];

    snprintf(message, sizeof message, "daemon: %s: %s", what, strerror(errno));
    proc_daemon_fail(code, message);
}

/* Milliseconds; -1 with errno: the file is wrong. Without one it is a second. */
static int read_tick(void)
{
    FILE *file = fopen("daemon.conf", "re");
    int tick_ms;
    char more;

    if (!file)
        return errno == ENOENT ? 1000 : -1;
    bool good = fscanf(file, "tick %d %c", &tick_ms, &more) == 1 && tick_ms >= 1;
    fclose(file);
    errno = EINVAL;
    return good ? tick_ms : -1;
}

/* What a supervisor wants to hear twice in its interval, or 0. */
static int64_t watchdog_us(void)
{
    const char *interval = getenv("WATCHDOG_USEC"), *whose = getenv("WATCHDOG_PID");

    return interval && (!whose || atol(whose) == getpid()) ? atoll(interval) / 2 : 0;
}

static void set_ticks(struct service *service)
{
    int64_t every_us = service->tick_ms * INT64_C(1000);

    if (service->tick > 0)
        proc_waiter_cancel(service->waiter, service->tick);
    service->tick = proc_waiter_alarm(service->waiter, every_us, every_us, NULL);
    if (service->tick < 0)
        say("no ticks: %s", strerror(errno));
}

/* Here and not before proc_daemon: a waiter would be the command's, and who starts the daemon is to wait for this. */
static void begin(struct service *service)
{
    int64_t every_us = watchdog_us();

    service->tick_ms = read_tick();
    if (service->tick_ms < 0)
        fail(WRONG_SETTINGS, "daemon.conf");
    service->waiter = proc_waiter_new(PROC_WAITER_PIDFD);
    if (!service->waiter || proc_waiter_signal(service->waiter, SIGTERM, NULL) < 0 ||
        proc_waiter_signal(service->waiter, SIGINT, NULL) < 0 || proc_waiter_signal(service->waiter, SIGHUP, NULL) < 0)
        fail(TROUBLE, "waiter");
    /* Written and read: then its end does not come when one of those who write leaves. */
    service->fifo = proc_fifo("daemon.fifo", 0600, O_RDWR | O_CREAT, 0);
    if (service->fifo < 0)
        fail(TROUBLE, "daemon.fifo");
    fcntl(service->fifo, F_SETFL, O_NONBLOCK); /* another one may read it as well, and take what poll has seen */
    set_ticks(service);
    if (every_us > 0)
        service->watchdog = proc_waiter_alarm(service->waiter, 0, every_us, NULL);
}

/* Lines; one that is too long for a message comes in pieces. */
static void take_messages(struct service *service)
{
    ssize_t size = read(service->fifo, service->message + service->length, sizeof service->message - service->length);
    char *from = service->message, *end;

    if (size <= 0)
        return;
    service->length += (size_t)size;
    for (; (end = memchr(from, '\n', service->length)); from = end + 1) {
        say("heard: %.*s", (int)(end - from), from);
        service->length -= (size_t)(end + 1 - from);
    }
    if (service->length == sizeof service->message) {
        say("heard: %.*s", (int)service->length, from);
        service->length = 0;
    }
    memmove(service->message, from, service->length);
}

static void reload(struct service *service)
{
    struct timespec now;
    char text[100];

    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%lld", now.tv_sec * 1000000LL + now.tv_nsec / 1000);
    proc_notify(text);
    if (proc_daemon_reopen() < 0)
        say("the old log goes on: %s", strerror(errno));
    int tick_ms = read_tick();
    if (tick_ms < 0)
        say("daemon.conf: %s", strerror(errno));
    else
        service->tick_ms = tick_ms;
    set_ticks(service);
    say("a tick each %d ms", service->tick_ms);
    proc_notify("READY=1");
}

static void tick(struct service *service, uint64_t times)
{
    char text[64];

    service->ticks += times;
    snprintf(text, sizeof text, "STATUS=%llu ticks", (unsigned long long)service->ticks);
    proc_notify(text);
    proc_title("daemon: %llu ticks", (unsigned long long)service->ticks);
}

static void handle(struct service *service, const struct proc_event *event)
{
    if (event->type == PROC_EVENT_ALARM && event->alarm == service->watchdog)
        proc_notify("WATCHDOG=1");
    else if (event->type == PROC_EVENT_ALARM)
        tick(service, event->expirations);
    else if (event->signo == SIGHUP)
        reload(service);
    else
        service->stops = true;
}

static void serve(struct service *service)
{
    struct pollfd fds[] = {{.fd = proc_waiter_fd(service->waiter), .events = POLLIN}, {.fd = service->fifo, .events = POLLIN}};
    struct proc_event event;

    while (!service->stops) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR) {
            say("poll: %s", strerror(errno));
            return;
        }
        if (fds[1].revents)
            take_messages(service);
        while (!service->stops && proc_waiter_next(service->waiter, &event, 0) == 1)
            handle(service, &event);
    }
}

static void end(struct service *service)
{
    struct pollfd rest = {.fd = service->fifo, .events = POLLIN};

    proc_notify("STOPPING=1");
    unlink("daemon.fifo");
    /* What was there before the stop is heard. A pipe holds so much; who goes on to write is not waited for. */
    for (int times = 0; times < 16 && poll(&rest, 1, 0) == 1; times++)
        take_messages(service);
    close(service->fifo);
    signal(SIGTERM, SIG_IGN); /* whoever asks once more: it leaves, and takes its pidfile with it */
    signal(SIGINT, SIG_IGN);
    proc_waiter_free(service->waiter);
    say("ends after %llu ticks", (unsigned long long)service->ticks);
}

static void be_the_service(void)
{
    struct service service = {.fifo = -1};

    setvbuf(stdout, NULL, _IOLBF, 0); /* a line of the log is there at once */
    begin(&service);
    say("is ready");
    tick(&service, 0);
    proc_notify("READY=1");
    proc_daemon_ready();
    serve(&service);
    end(&service);
}

/* ---- the command line ---- */

/* The process that holds the pidfile, as a pidfd: another one that gets its number afterwards is not meant. -1: nobody does. */
static int open_holder(const char *pidfile, pid_t *pid)
{
    for (int tries = 0; tries < 10; tries++) {
        *pid = proc_pidfile_read(pidfile);
        if (*pid < 0 && (errno == ENOENT || errno == ESRCH))
            return -1;
        int holder = *pid < 0 ? -1 : (int)syscall(SYS_pidfd_open, *pid, 0);
        if (holder < 0 && errno != ESRCH)
            break;
        if (holder >= 0 && proc_pidfile_read(pidfile) == *pid) /* still: so that is the one */
            return holder;
        if (holder >= 0)
            close(holder);
    }
    err(TROUBLE, "%s", pidfile);
}

static void tell_holder(int holder, pid_t pid, int signo)
{
    if (syscall(SYS_pidfd_send_signal, holder, signo, NULL, 0) < 0 && errno != ESRCH)
        err(TROUBLE, "%d", (int)pid);
}

static bool ends_in_time(int holder, int timeout_ms)
{
    struct pollfd end = {.fd = holder, .events = POLLIN};

    return poll(&end, 1, timeout_ms) == 1;
}

static int start(const struct request *request)
{
    struct proc_daemon_options options = {
        .cwd = request->directory,
        .pidfile = request->pidfile,
        .umask = 027,
        .ready_timeout_ms = request->timeout_ms,
    };

    if (request->foreground)
        options.flags = PROC_DAEMON_FOREGROUND;
    else
        options.out = options.err = request->log;
    if (mkdir(request->directory, 0700) < 0 && errno != EEXIST)
        err(TROUBLE, "%s", request->directory);
    signal(SIGHUP, SIG_IGN); /* a reload that comes before the waiter has this signal is not to end the service */
    if (proc_daemon(&options) == 0) {
        be_the_service();
        return 0;
    }
    if (errno != EEXIST)
        err(TROUBLE, "%s", request->directory);
    pid_t pid = proc_pidfile_read(request->pidfile);
    if (pid < 0)
        errx(TROUBLE, "somebody else starts it in %s", request->directory);
    errx(TROUBLE, "%d is running already", (int)pid);
}

static int stop(const struct request *request)
{
    pid_t pid;
    int holder = open_holder(request->pidfile, &pid);

    if (holder < 0) {
        warnx("is not running");
        return 0;
    }
    tell_holder(holder, pid, SIGTERM);
    if (!ends_in_time(holder, request->timeout_ms)) {
        warnx("%d does not leave, and is killed", (int)pid);
        tell_holder(holder, pid, SIGKILL);
        if (!ends_in_time(holder, KILLED_MS))
            errx(TROUBLE, "%d cannot be killed", (int)pid);
    }
    close(holder);
    return 0;
}

static int restart(const struct request *request)
{
    stop(request);
    return start(request);
}

static int ask_to_reload(const struct request *request)
{
    pid_t pid;
    int holder = open_holder(request->pidfile, &pid);

    if (holder < 0)
        errx(NOT_RUNNING, "is not running");
    tell_holder(holder, pid, SIGHUP);
    close(holder);
    return 0;
}

static int show_status(const struct request *request)
{
    pid_t pid = proc_pidfile_read(request->pidfile);

    if (pid > 0) {
        printf("%d is running\n", (int)pid);
        return STATUS_RUNS;
    }
    if (errno == ESRCH) {
        printf("is dead, and has left %s\n", request->pidfile);
        return STATUS_DEAD;
    }
    if (errno != ENOENT)
        err(STATUS_UNKNOWN, "%s", request->pidfile);
    printf("is not running\n");
    return STATUS_NOT_RUNNING;
}

static const char *usual_directory(void)
{
    static char path[PATH_MAX];
    const char *runtime = getuid() == 0 ? "/run" : getenv("XDG_RUNTIME_DIR");

    if (!runtime)
        errx(WRONG_ARGUMENTS, "there is no XDG_RUNTIME_DIR: say where with -d DIRECTORY");
    snprintf(path, sizeof path, "%s/daemon", runtime);
    return path;
}

static struct request parse(int argc, char **argv)
{
    struct request request = {.timeout_ms = 30000};
    int seconds = 30;

    optind = 2; /* after the command */
    for (int option; (option = getopt(argc, argv, "d:ft:")) != -1;)
        switch (option) {
        case 'd': request.directory = optarg; break;
        case 'f': request.foreground = true; break;
        case 't': seconds = atoi(optarg); break;
        default: exit(WRONG_ARGUMENTS);
        }
    if (optind != argc || seconds < 1 || seconds > INT_MAX / 1000)
        errx(WRONG_ARGUMENTS, "usage: daemon start|stop|status|reload|restart [-f] [-d DIRECTORY] [-t SECONDS]");
    request.timeout_ms = seconds * 1000;
    if (!request.directory)
        request.directory = usual_directory();
    if (strlen(request.directory) > PATH_MAX - sizeof "/daemon.pid")
        errx(WRONG_ARGUMENTS, "%s: %s", request.directory, strerror(ENAMETOOLONG));
    snprintf(request.pidfile, sizeof request.pidfile, "%s/daemon.pid", request.directory);
    snprintf(request.log, sizeof request.log, "%s/daemon.log", request.directory);
    return request;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(const struct request *);
    } commands[] = {{"start", start}, {"stop", stop}, {"status", show_status}, {"reload", ask_to_reload}, {"restart", restart}};

    for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(argv[1], commands[i].name) == 0) {
            struct request request = parse(argc, argv);
            return commands[i].run(&request);
        }
    errx(WRONG_ARGUMENTS, "usage: daemon start|stop|status|reload|restart [-f] [-d DIRECTORY] [-t SECONDS]");
}
