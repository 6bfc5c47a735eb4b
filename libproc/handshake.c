/* The command waits until the daemon says that it is ready, says why it fails, or ends. The last is why the keeper stays for so
 * long: it is the daemon's parent, so it learns how the daemon ended, and its not having been reaped keeps the daemon's number,
 * and that of the group, from becoming a stranger's while the command may have to kill them. When the daemon is ready the
 * keeper is killed, and the daemon is init's; when the command is killed, the kernel kills the keeper.
 *
 * Words are packets, so those of the daemon and of the keeper do not mix. A message may be longer than a packet: it comes in
 * several, and the last says the code. */
#include "handshake.h"

#include <proc/process.h>

#include "clone.h"
#include "deadline.h"
#include "fd_map.h"
#include "pidfd.h"
#include "signals.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define TEXT_SIZE 1000
#define KILLED_WAIT_MS 5000 /* a process that was killed may take so long, when the machine is busy with its memory */

struct word {
    enum { OF_DAEMON, OF_LEAVE, OF_TEXT, OF_FAILURE, OF_READINESS, OF_END } kind; /* OF_LEAVE: the command's, to the daemon */
    int value; /* the daemon's number; the code; si_status */
    int how;   /* OF_END: si_code */
    char text[TEXT_SIZE];
};

int handshake_make(struct ends *ends)
{
    return ends_create(ends_make_socketpair, SOCK_SEQPACKET, ends, END_TO_COMMAND, ends, END_TO_DAEMON);
}

/* ---- the words of the daemon and of the keeper ---- */

static long say(int fd, const struct word *word, size_t text_size)
{
    long result;

    do
        result = raw(SYS_sendto, fd, word, offsetof(struct word, text) + text_size, MSG_NOSIGNAL, NULL, 0);
    while (result == -EINTR);
    return result < 0 ? result : 0;
}

static long say_text(int fd, const char *text, size_t size)
{
    long result = 0;

    while (size > 0 && result == 0) {
        size_t part = size < TEXT_SIZE ? size : TEXT_SIZE;
        struct word word = {.kind = OF_TEXT};

        memcpy(word.text, text, part);
        result = say(fd, &word, part);
        text += part;
        size -= part;
    }
    return result;
}

long handshake_say_ready(int fd)
{
    return say(fd, &(struct word){.kind = OF_READINESS}, 0);
}

long handshake_say_failed(int fd, int code, const char *message)
{
    long result = message ? say_text(fd, message, strlen(message)) : 0;

    if (result == 0 && message)
        result = say_text(fd, "\n", 1);
    return result < 0 ? result : say(fd, &(struct word){.kind = OF_FAILURE, .value = code}, 0);
}

/* Neither the command nor the keeper has the lock any more when there is something that others can see. */
bool handshake_has_leave(int fd)
{
    struct word word;
    long size;

    do
        size = raw(SYS_recvfrom, fd, &word, sizeof word, 0, NULL, NULL);
    while (size == -EINTR);
    return size > 0;
}

static void close_all_but(int fd)
{
    struct fd_map map;

    fd_map_init(&map);
    if (fd_map_seal(&map, fd) == 0)
        fd_map_close_others(&map);
    fd_map_release(&map);
}

void handshake_keep(const struct ends *ends, pid_t daemon)
{
    siginfo_t info = {.si_pid = 0};
    int fd = ends->fd[END_TO_COMMAND];
    long result;

    close_all_but(fd); /* the daemon's lock, above all: before it is let go */
    say(fd, &(struct word){.kind = OF_DAEMON, .value = daemon}, 0);
    do
        result = raw(SYS_waitid, P_PID, daemon, &info, WEXITED | WNOWAIT, NULL);
    while (result == -EINTR);
    say(fd, &(struct word){.kind = OF_END, .value = info.si_status, .how = info.si_code}, 0);
    for (;;)
        raw(SYS_exit_group, 0);
}

/* ---- on standard error ---- */

static long write_some(const char *text, size_t size)
{
    long result;

    do
        result = raw(SYS_write, 2, text, size);
    while (result == -EINTR);
    return result;
}

/* 0 or -errno. */
static long write_all(const char *text, size_t size)
{
    while (size > 0) {
        long result = write_some(text, size);

        if (result < 0)
            return result;
        text += result;
        size -= (size_t)result;
    }
    return 0;
}

void handshake_print(const char *message)
{
    kernel_sigset blocked = signals_block(KERNEL_SIGNAL_BIT(SIGPIPE));
    siginfo_t info;

    long result = write_all(message, strlen(message));
    if (result == 0)
        result = write_all("\n", 1);
    if (result == -EPIPE)
        signals_take(blocked, &info);
    signals_unblock(blocked);
}

/* ---- the command ---- */

struct command {
    int socket, signals;
    struct deadline deadline;
    pid_t keeper, daemon; /* daemon: 0: not known yet */
    struct word word;     /* the last one */
    size_t text_size;
    const char *log;
    bool has_failed;
    int code;
};

/* Nobody may be reading what we print: then it is given up when a signal has come, or the time is over. */
static bool can_print(const struct command *command)
{
    struct pollfd fds[] = {{.fd = 2, .events = POLLOUT}, {.fd = command->signals, .events = POLLIN}};
    bool ready = deadline_poll(command->deadline, fds, 2) > 0;

    return ready && fds[0].revents && !fds[1].revents;
}

static void print(const struct command *command, const char *text, size_t size)
{
    while (size > 0 && can_print(command)) {
        long result = write_some(text, size < TEXT_SIZE ? size : TEXT_SIZE); /* so much a pipe has room for */

        if (result < 0 && result != -EAGAIN)
            return;
        text += result > 0 ? result : 0;
        size -= result > 0 ? (size_t)result : 0;
    }
}

static void print_of_daemon(const struct command *command, const char *what)
{
    char line[4096 + 256];

    int size = snprintf(line, sizeof line, "%s: the daemon %s%s%s\n", program_invocation_short_name, what,
                        command->log ? "; see " : "", command->log ? command->log : "");
    print(command, line, (size_t)size < sizeof line ? (size_t)size : sizeof line - 1);
}

#define ENDING_SIGNALS \
    (KERNEL_SIGNAL_BIT(SIGINT) | KERNEL_SIGNAL_BIT(SIGTERM) | KERNEL_SIGNAL_BIT(SIGHUP) | KERNEL_SIGNAL_BIT(SIGQUIT))

/* Of the signals that are blocked, those that would have ended the command: not what it ignores. Ctrl+Z works as ever. */
static kernel_sigset signals_to_heed(void)
{
    kernel_sigset heeded = ENDING_SIGNALS;

    for (int signo = 1; signo <= KERNEL_SIGNALS; signo++)
        if (heeded & KERNEL_SIGNAL_BIT(signo) && signals_action(signo).handler == SIG_IGN)
            heeded &= ~KERNEL_SIGNAL_BIT(signo);
    if (signals_action(SIGTSTP).handler == SIG_DFL)
        signals_unblock(KERNEL_SIGNAL_BIT(SIGTSTP));
    return heeded;
}

enum heard { A_WORD, NOTHING_IN_TIME, NOBODY, A_SIGNAL };

/* Waits for one, if there is none. */
static enum heard take_word(struct command *command)
{
    long size;

    do
        size = raw(SYS_recvfrom, command->socket, &command->word, sizeof command->word, 0, NULL, NULL);
    while (size == -EINTR);
    if (size < (long)offsetof(struct word, text))
        return NOBODY;
    command->text_size = (size_t)size - offsetof(struct word, text);
    return A_WORD;
}

static enum heard hear(struct command *command)
{
    struct pollfd fds[] = {{.fd = command->socket, .events = POLLIN}, {.fd = command->signals, .events = POLLIN}};
    int ready = deadline_poll(command->deadline, fds, 2);

    if (ready == 0)
        return NOTHING_IN_TIME;
    return ready > 0 && fds[1].revents ? A_SIGNAL : take_word(command);
}

/* Until the keeper says that the daemon has ended, or nobody has the other end any more: then all have died, and nothing of
 * theirs is done any more. */
static void await_end(struct command *command)
{
    struct pollfd fd = {.fd = command->socket, .events = POLLIN};

    while (deadline_poll(command->deadline, &fd, 1) == 1 && take_word(command) == A_WORD && command->word.kind != OF_END)
        ;
}

static bool keeper_lives(const struct command *command)
{
    siginfo_t info = {.si_pid = 0};

    return raw(SYS_waitid, P_PID, command->keeper, &info, WEXITED | WNOWAIT | WNOHANG, NULL) == 0 && info.si_pid == 0;
}

/* The number is its own as long as the keeper lives, who has not reaped it: so if he does, this is its pidfd. */
static void send_kill_to_daemon(const struct command *command)
{
    long pidfd = raw(SYS_pidfd_open, command->daemon, 0);

    if (keeper_lives(command) && (pidfd < 0 || pidfd_kill((int)pidfd, SIGKILL) < 0))
        raw(SYS_kill, command->daemon, SIGKILL);
    if (pidfd >= 0)
        raw(SYS_close, pidfd);
}

/* Dead, the keeper forks no more; and not reaped yet, it keeps its number, which is the group's, for it. */
static void end_keeper(const struct command *command)
{
    raw(SYS_kill, command->keeper, SIGKILL);
    while (raw(SYS_waitid, P_PID, command->keeper, NULL, WEXITED | WNOWAIT, NULL) == -EINTR)
        ;
}

/* The daemon may have left the group. */
static void kill_daemon(struct command *command)
{
    command->deadline = deadline_in(KILLED_WAIT_MS);
    if (command->daemon > 0) {
        send_kill_to_daemon(command);
        await_end(command);
    }
    end_keeper(command);
    raw(SYS_kill, -command->keeper, SIGKILL);
    await_end(command);
}

static int give_up(struct command *command, int timeout_ms)
{
    char what[80];

    kill_daemon(command);
    if (command->has_failed)
        return command->code;
    snprintf(what, sizeof what, "was not ready within %g s, and was killed", timeout_ms / 1000.0);
    print_of_daemon(command, what);
    return 1;
}

static int be_ended(struct command *command, kernel_sigset heeded)
{
    siginfo_t info;
    int signo = signals_take(heeded, &info);

    if (signo == 0) /* somebody else has taken it */
        signo = SIGTERM;
    kill_daemon(command);
    return -signo;
}

/* A daemon that exits with 0 before it is ready is none, either. */
static int daemon_has_ended(const struct command *command)
{
    const struct word *word = &command->word;
    bool exited = word->how == CLD_EXITED;
    struct proc_exit exit = {.code = exited ? word->value : -1,
                             .signal = exited ? 0 : word->value,
                             .core_dumped = word->how == CLD_DUMPED};
    char what[100], how[64];

    if (command->has_failed)
        return command->code;
    snprintf(what, sizeof what, "was %s before it was ready", proc_exit_string(&exit, how, sizeof how));
    print_of_daemon(command, exited ? what + strlen("was ") : what);
    return exited && word->value != 0 ? word->value : 1;
}

/* Or nobody can be heard. */
static int nobody_is_left(struct command *command)
{
    kill_daemon(command);
    if (command->has_failed)
        return command->code;
    print_of_daemon(command, "has ended before it was ready");
    return 1;
}

/* Whether it was the last one. */
static bool act_on_word(struct command *command, int *status)
{
    switch (command->word.kind) {
    case OF_DAEMON:
        command->daemon = command->word.value;
        say(command->socket, &(struct word){.kind = OF_LEAVE}, 0);
        return false;
    case OF_TEXT:
        print(command, command->word.text, command->text_size);
        return false;
    case OF_FAILURE: /* it ends now, and so do we when it has */
        command->has_failed = true;
        command->code = command->word.value & 0xff;
        return false;
    case OF_READINESS:
        *status = 0;
        return true;
    case OF_END:
        *status = daemon_has_ended(command);
        return true;
    case OF_LEAVE:
        break;
    }
    return false;
}

static int wait_for_last_word(struct command *command, int timeout_ms, kernel_sigset heeded)
{
    int status = 1;

    for (;;) {
        switch (hear(command)) {
        case A_WORD:
            if (act_on_word(command, &status))
                return status;
            break;
        case NOTHING_IN_TIME:
            return give_up(command, timeout_ms);
        case A_SIGNAL:
            return be_ended(command, heeded);
        case NOBODY:
            return nobody_is_left(command);
        }
    }
}

int handshake_wait(const struct ends *ends, pid_t keeper, int timeout_ms, const char *log)
{
    struct command command = {
        .socket = ends->fd[END_TO_DAEMON], .deadline = deadline_in(timeout_ms), .keeper = keeper, .log = log};
    kernel_sigset heeded = signals_to_heed();

    /* Whoever waits for the end of one of these does not have to wait for us. But other threads go on with theirs. */
    raw(SYS_close, ends->fd[END_TO_COMMAND]);
    if (raw(SYS_unshare, CLONE_FILES) == 0)
        close_all_but(command.socket);
    command.signals = fd_above_stdio((int)raw(SYS_signalfd4, -1, &heeded, sizeof heeded, SFD_CLOEXEC));
    int status = wait_for_last_word(&command, timeout_ms, heeded);
    end_keeper(&command);
    clone_reap(keeper);
    return status;
}
