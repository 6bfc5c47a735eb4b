/* timeout: runs a command, and stops it, with all that it started, when its time is up.
 *
 *     $ timeout 0.5 sh -c 'sleep 60 & sleep 60'; echo $?
 *     124
 *     $ timeout -k 2 -s INT 10 COMMAND      # SIGINT after 10 s, SIGKILL to what is left 2 s later
 *
 * Exit status: 124 when the time ran out, else the command's, or 128 and the signal that killed it; 125: trouble of
 * timeout's own, 126: the command cannot be run, 127: there is no such command. SECONDS of 0: no limit.
 *
 * The command leads a process group of its own, which is what can be stopped as a whole. Ctrl+C reaches only the group in
 * the terminal's foreground, so timeout passes it on; and a command that reads from the terminal is stopped by SIGTTIN, as
 * any in the background is: a shell would have to make it the foreground. */
#include <proc.h>

#include <err.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

struct request {
    double seconds, grace; /* 0: for ever */
    int signo;
    char **command;
};

static double seconds_of(const char *text)
{
    char *end;
    double seconds = strtod(text, &end);

    if (end == text || *end || !(seconds >= 0 && seconds <= 1e9))
        errx(125, "%s: not a number of seconds", text);
    return seconds;
}

static int signal_number(const char *name)
{
    static const struct {
        const char *name;
        int number;
    } known[] = {{"HUP", SIGHUP}, {"INT", SIGINT}, {"QUIT", SIGQUIT}, {"ABRT", SIGABRT}, {"KILL", SIGKILL},
                 {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"ALRM", SIGALRM}, {"TERM", SIGTERM}};

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(name + (strncmp(name, "SIG", 3) == 0 ? 3 : 0), known[i].name) == 0)
            return known[i].number;
    int number = atoi(name);
    if (number < 1 || number > SIGRTMAX)
        errx(125, "%s: not a signal", name);
    return number;
}

static struct request parse(int argc, char **argv)
{
    struct request request = {.signo = SIGTERM};

    for (int option; (option = getopt(argc, argv, "+k:s:")) != -1;)
        if (option == 'k')
            request.grace = seconds_of(optarg);
        else if (option == 's')
            request.signo = signal_number(optarg);
        else
            exit(125);
    if (argc - optind < 2)
        errx(125, "usage: timeout [-k GRACE] [-s SIGNAL] SECONDS COMMAND [ARGUMENT ...]");
    request.seconds = seconds_of(argv[optind]);
    request.command = argv + optind + 1;
    return request;
}

/* What would end us comes here instead, but for what we were told to ignore. */
static int take_signals(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    struct sigaction action;
    sigset_t taken;

    sigemptyset(&taken);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        if (sigaction(signals[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            sigaddset(&taken, signals[i]);
    int fd = signalfd(-1, &taken, SFD_CLOEXEC);
    if (fd < 0 || sigprocmask(SIG_BLOCK, &taken, NULL) < 0) /* the command starts with no signal blocked */
        err(125, "signalfd");
    return fd;
}

static struct proc *start(char **command)
{
    struct proc_options options = {.argv = (const char *const *)command, .flags = PROC_NEW_GROUP};
    struct proc *child = proc_spawn(&options);

    if (!child)
        err(strcmp(proc_spawn_step(), "execve") != 0 ? 125 : errno == ENOENT ? 127 : 126, "%s: %s", command[0],
            proc_spawn_step());
    if (proc_pidfd(child) < 0)
        err(125, "proc_pidfd");
    return child;
}

enum { ENDED, TIME_UP, SIGNALS };

static void set_timer(int timer, double seconds)
{
    struct itimerspec in = {.it_value.tv_sec = (time_t)seconds};

    in.it_value.tv_nsec = (long)((seconds - (double)in.it_value.tv_sec) * 1e9);
    if (timerfd_settime(timer, 0, &in, NULL) < 0) /* 0: never */
        err(125, "timerfd_settime");
}

/* The first of the three that has something to say. */
static int next_event(struct pollfd fds[3])
{
    while (poll(fds, 3, -1) < 0)
        if (errno != EINTR)
            err(125, "poll");
    return fds[ENDED].revents ? ENDED : fds[TIME_UP].revents ? TIME_UP : SIGNALS;
}

/* A stopped process hears of the signal only when it goes on. */
static void signal_group(struct proc *child, int signo)
{
    proc_kill_group(child, signo);
    proc_kill_group(child, SIGCONT);
}

static void pass_on(struct proc *child, int signals)
{
    struct signalfd_siginfo info;

    if (read(signals, &info, sizeof info) == sizeof info)
        signal_group(child, (int)info.ssi_signo);
}

/* Returns when the child has ended, or when the grace after its time is over: how often its time was up. */
static int watch(struct proc *child, const struct request *request, int signals, int timer)
{
    struct pollfd fds[] = {
        [ENDED] = {.fd = proc_pidfd(child), .events = POLLIN},
        [TIME_UP] = {.fd = timer, .events = POLLIN},
        [SIGNALS] = {.fd = signals, .events = POLLIN},
    };
    int times = 0;

    set_timer(timer, request->seconds);
    for (int event; times < 2 && (event = next_event(fds)) != ENDED;)
        if (event == SIGNALS) {
            pass_on(child, signals);
        } else if (++times == 1) {
            set_timer(timer, request->grace); /* also makes the timer unreadable again */
            signal_group(child, request->signo);
        }
    return times;
}

int main(int argc, char **argv)
{
    struct request request = parse(argc, argv);
    struct proc_exit exit;

    int signals = take_signals();
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    if (timer < 0)
        err(125, "timerfd_create");
    struct proc *child = start(request.command);
    bool timed_out = watch(child, &request, signals, timer) > 0;
    if (timed_out)
        proc_stop(child, NULL, 0); /* what is left of the group is killed, and only then the child reaped */
    if (proc_wait(child, &exit, -1) < 0)
        err(125, "proc_wait");
    proc_free(child);
    if (timed_out)
        return 124;
    return exit.signal ? 128 + exit.signal : exit.code;
}
