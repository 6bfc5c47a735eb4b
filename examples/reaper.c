/* reaper: a small init for containers, as tini is: runs a program, passes signals on to it, and reaps what others leave behind.
 *
 *     $ reaper -v sh -c '(true &) ; exec sleep 0.1'
 *     reaper: sh started as 4711
 *     reaper: orphan 4713 exited with status 0
 *     reaper: 4711 exited with status 0
 *     # unshare --pid --fork --mount-proc reaper -g -- PROGRAM        # as process 1, as in a container
 *
 * -g         signals go to the program's whole group
 * -e STATUS  counts as success: 0 is returned in its place (-e 143: SIGTERM is a good end); may be repeated
 * -p SIGNAL  reaper gets this signal when its own parent ends, and passes it on
 * -w         tells of each orphan; -v: of all that happens
 *
 * Exit status: the program's, or 128 and the signal that killed it; 126: it cannot be run, 127: there is no such program; 1:
 * trouble of reaper's own.
 *
 * The program leads a group of its own, which becomes the terminal's foreground where reaper's was: Ctrl+C is the program's.
 * Passed on is every signal but those that tell of a fault in reaper itself, those that a terminal sends to a process in the
 * background, and SIGCHLD. reaper need not be process 1: orphaned descendants come to it in any case. (Not reaped are children
 * that its process had before it became reaper.) */
#include <proc.h>

#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

struct request {
    bool to_group, tells_of_orphans, tells_all, is_success[256];
    bool has_terminal; /* reaper is in its foreground */
    int death_signal;  /* for reaper, when its own parent ends; 0: none */
    char **command;
};

static int number_in(const char *text, int least, int most)
{
    char *end;
    long number = strtol(text, &end, 10);

    if (end == text || *end || number < least || number > most)
        errx(1, "%s: not one of %d to %d", text, least, most);
    return (int)number;
}

static int signal_number(const char *name)
{
    static const struct {
        const char *name;
        int number;
    } known[] = {{"HUP", SIGHUP},   {"INT", SIGINT},   {"QUIT", SIGQUIT}, {"ABRT", SIGABRT}, {"KILL", SIGKILL},
                 {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"TERM", SIGTERM}, {"CONT", SIGCONT}, {"STOP", SIGSTOP}};

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(name + (strncmp(name, "SIG", 3) == 0 ? 3 : 0), known[i].name) == 0)
            return known[i].number;
    return number_in(name, 1, SIGRTMAX);
}

static struct request parse(int argc, char **argv)
{
    struct request request = {.is_success = {[0] = true}};

    for (int option; (option = getopt(argc, argv, "+e:gp:vw")) != -1;)
        switch (option) {
        case 'e': request.is_success[number_in(optarg, 0, 255)] = true; break;
        case 'g': request.to_group = true; break;
        case 'p': request.death_signal = signal_number(optarg); break;
        case 'v': request.tells_all = true; /* fall through */
        case 'w': request.tells_of_orphans = true; break;
        default: exit(1);
        }
    if (optind == argc)
        errx(1, "usage: reaper [-gvw] [-e STATUS] [-p SIGNAL] [--] PROGRAM [ARGUMENT ...]");
    request.command = argv + optind;
    return request;
}

/* ---- the program ---- */

/* In the child, so that the terminal is the program's before it can read from it. A group in the background that asks for the
 * foreground gets SIGTTOU. */
static void take_terminal(void)
{
    sigset_t ttou;

    sigemptyset(&ttou);
    sigaddset(&ttou, SIGTTOU);
    sigprocmask(SIG_BLOCK, &ttou, NULL);
    if (tcsetpgrp(STDIN_FILENO, getpgrp()) < 0)
        warn("tcsetpgrp");
    sigprocmask(SIG_UNBLOCK, &ttou, NULL);
}

static int become_program(struct proc *self, void *argument)
{
    const struct request *request = argument;

    (void)self;
    if (request->has_terminal)
        take_terminal();
    proc_exec(request->command[0], (const char *const *)request->command, NULL);
    int status = errno == ENOENT ? 127 : 126;
    warn("%s", request->command[0]);
    return status;
}

static struct proc *start(struct request *request)
{
    struct proc_options options = {.main = become_program, .arg = request, .flags = PROC_NEW_GROUP};

    request->has_terminal = tcgetpgrp(STDIN_FILENO) == getpgrp();
    struct proc *child = proc_spawn(&options);
    if (!child)
        err(1, "proc_spawn: %s", proc_spawn_step());
    signal(SIGTTIN, SIG_IGN); /* from now on reaper is in the background, and not to be stopped there for what it says */
    signal(SIGTTOU, SIG_IGN);
    return child;
}

/* ---- signals ---- */

static bool is_passed_on(int signo)
{
    static const int kept[] = {SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGABRT, SIGTRAP, SIGSYS, SIGTTIN, SIGTTOU, SIGCHLD};

    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
        if (signo == kept[i])
            return false;
    return true;
}

static void take_signals(struct proc_waiter *waiter)
{
    for (int signo = 1; signo <= SIGRTMAX; signo++)
        if (is_passed_on(signo) && proc_waiter_signal(waiter, signo, NULL) < 0 && errno != EINVAL) /* as SIGKILL is */
            err(1, "proc_waiter_signal");
}

/* There is nobody left to pass them on to, and none is to end reaper before the status is returned. */
static void drop_signals(struct proc_waiter *waiter)
{
    for (int signo = 1; signo <= SIGRTMAX; signo++)
        if (is_passed_on(signo) && signal(signo, SIG_IGN) != SIG_ERR)
            proc_waiter_unsignal(waiter, signo);
}

static void pass_on(const struct request *request, struct proc *child, int signo)
{
    if (request->tells_all)
        warnx("passes on signal %d (%s)", signo, strsignal(signo));
    if ((request->to_group ? proc_kill_group(child, signo) : proc_kill(child, signo)) < 0 && errno != ESRCH)
        warn("signal %d", signo);
}

/* ---- the end of others ---- */

static void tell(const char *who, const struct proc_exit *exit)
{
    char how[64];

    warnx("%s%d %s", who, (int)exit->pid, proc_exit_string(exit, how, sizeof how));
}

/* Until the program has ended. */
static struct proc_exit serve(const struct request *request, struct proc_waiter *waiter, struct proc *child)
{
    struct proc_event event = {.type = PROC_EVENT_SIGNAL};

    while (event.type != PROC_EVENT_EXIT) {
        if (proc_waiter_next(waiter, &event, -1) < 0)
            err(1, "proc_waiter_next");
        if (event.type == PROC_EVENT_SIGNAL)
            pass_on(request, child, event.signo);
        else if (event.type == PROC_EVENT_ORPHAN && request->tells_of_orphans)
            tell("orphan ", &event.exit);
    }
    return event.exit;
}

/* Those that were dead by then. */
static void reap_rest(const struct request *request, struct proc_waiter *waiter)
{
    struct proc_event event;

    while (proc_waiter_next(waiter, &event, 0) == 1)
        if (event.type == PROC_EVENT_ORPHAN && request->tells_of_orphans)
            tell("orphan ", &event.exit);
}

int main(int argc, char **argv)
{
    struct request request = parse(argc, argv);

    if (request.death_signal != 0 && prctl(PR_SET_PDEATHSIG, request.death_signal) < 0)
        err(1, "PR_SET_PDEATHSIG");
    struct proc_waiter *waiter = proc_waiter_new(PROC_WAITER_ADOPT);
    if (!waiter)
        err(1, "proc_waiter_new");
    take_signals(waiter);
    struct proc *child = start(&request);
    if (request.tells_all)
        warnx("%s started as %d", request.command[0], (int)proc_pid(child));
    if (proc_waiter_add(waiter, child, NULL) < 0)
        err(1, "proc_waiter_add");
    struct proc_exit exit = serve(&request, waiter, child);
    if (request.tells_all)
        tell("", &exit);
    drop_signals(waiter);
    reap_rest(&request, waiter);
    proc_free(child);
    proc_waiter_free(waiter);
    int status = exit.signal ? 128 + exit.signal : exit.code;
    return request.is_success[status] ? 0 : status;
}
