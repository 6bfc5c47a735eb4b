/* How a child ended, in words. */
#include <proc/process.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>

bool proc_exit_ok(const struct proc_exit *exit)
{
    return exit->code == 0 && exit->signal == 0;
}

/* The C libraries' own tables come and go with their versions. */
static const char *signal_name(int signo, char *room, size_t size)
{
    static const char *const names[] = {
        [SIGHUP] = "SIGHUP",       [SIGINT] = "SIGINT",   [SIGQUIT] = "SIGQUIT", [SIGILL] = "SIGILL",
        [SIGTRAP] = "SIGTRAP",     [SIGABRT] = "SIGABRT", [SIGBUS] = "SIGBUS",   [SIGFPE] = "SIGFPE",
        [SIGKILL] = "SIGKILL",     [SIGUSR1] = "SIGUSR1", [SIGSEGV] = "SIGSEGV", [SIGUSR2] = "SIGUSR2",
        [SIGPIPE] = "SIGPIPE",     [SIGALRM] = "SIGALRM", [SIGTERM] = "SIGTERM", [SIGCHLD] = "SIGCHLD",
        [SIGCONT] = "SIGCONT",     [SIGSTOP] = "SIGSTOP", [SIGTSTP] = "SIGTSTP", [SIGTTIN] = "SIGTTIN",
        [SIGTTOU] = "SIGTTOU",     [SIGURG] = "SIGURG",   [SIGXCPU] = "SIGXCPU", [SIGXFSZ] = "SIGXFSZ",
        [SIGVTALRM] = "SIGVTALRM", [SIGPROF] = "SIGPROF", [SIGWINCH] = "SIGWINCH", [SIGIO] = "SIGIO",
        [SIGPWR] = "SIGPWR",       [SIGSYS] = "SIGSYS",
#ifdef SIGSTKFLT
        [SIGSTKFLT] = "SIGSTKFLT",
#endif
    };

    if (signo > 0 && signo < (int)(sizeof names / sizeof names[0]) && names[signo])
        return names[signo];
    snprintf(room, size, "signal %d", signo);
    return room;
}

char *proc_exit_string(const struct proc_exit *exit, char *buf, size_t size)
{
    char room[24];

    if (exit->signal == 0)
        snprintf(buf, size, "exited with status %d", exit->code);
    else if (exit->signal < 0)
        snprintf(buf, size, "ended, status unknown");
    else
        snprintf(buf, size, "killed by %s%s", signal_name(exit->signal, room, sizeof room),
                 exit->core_dumped ? " (core dumped)" : "");
    return buf;
}
