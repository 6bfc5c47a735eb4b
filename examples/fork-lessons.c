/* fork-lessons: what fork(2) does that few expect at first, each seen with a plain fork, and then with libproc.
 *
 *     $ fork-lessons zombie
 *     zombie: a child that has ended, and for which nobody has waited
 *       fork     it has ended, and is still there, in state Z; after waitpid it is gone
 *       libproc  after proc_free, or proc_wait, it is gone
 *     $ fork-lessons                   all of them; -l: their names
 *
 * What it prints is what it has seen, and always the same: nothing depends on who runs when. Where one process has to be further
 * than another, a pipe says so, or waitid(WNOWAIT), which tells that a child has ended and leaves it as it is.
 *
 * Each lesson is played in a process of its own, which has no other children, and every signal as it is by default. */
#include <proc.h>

#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define SEVERAL 3

/* ---- what all need ---- */

static pid_t fork_or_fail(void)
{
    pid_t pid = fork();

    if (pid < 0)
        err(1, "fork");
    return pid;
}

static int status_of(pid_t child)
{
    int status;

    if (waitpid(child, &status, 0) < 0)
        err(1, "waitpid");
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static struct proc *spawn(const struct proc_options *options)
{
    struct proc *child = proc_spawn(options);

    if (!child)
        err(1, "proc_spawn: %s", proc_spawn_step());
    return child;
}

/* The exit status of a child that is to end by itself. */
static int finish(struct proc *child)
{
    struct proc_exit exit;

    if (proc_wait(child, &exit, -1) < 0)
        err(1, "proc_wait");
    proc_free(child);
    return exit.code;
}

/* Returns when the child has ended, and does not reap it. */
static void wait_for_end(pid_t child)
{
    siginfo_t info;

    if (waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT) < 0)
        err(1, "waitid");
}

static void make_pipe(int ends[2])
{
    if (pipe(ends) < 0)
        err(1, "pipe");
}

static void tell(int fd, const void *data, size_t size)
{
    if (write(fd, data, size) != (ssize_t)size)
        err(1, "write");
}

static void hear(int fd, void *data, size_t size)
{
    if (read(fd, data, size) != (ssize_t)size)
        errx(1, "a child has ended too early");
}

/* How often the byte comes out of a pipe until its end. Closes it. */
static int how_many(char byte, int fd)
{
    int count = 0;
    char c;

    while (read(fd, &c, 1) == 1)
        count += c == byte;
    close(fd);
    return count;
}

/* For a child that goes on until it is killed, or its parent ends. */
static int go_on(struct proc *self, void *unused)
{
    (void)self, (void)unused;
    while (pause() < 0)
        ;
    return 0;
}

/* ---- memory ---- */

static void memory_with_fork(void)
{
    int number = 0;
    pid_t child = fork_or_fail();

    if (child == 0)
        _exit(++number);
    int seen = status_of(child);
    printf("the child has counted to %d, the parent still has %d: each has its own\n", seen, number);
}

static int count(struct proc *self, void *counter)
{
    (void)self;
    return (int)proc_counter_add(counter, 0, 1);
}

static void memory_with_libproc(void)
{
    struct proc_counter *counter = proc_counter_open(PROC_PRIVATE, 1, 0, 0);

    if (!counter)
        err(1, "proc_counter_open");
    int seen = finish(spawn(&(struct proc_options){.main = count, .arg = counter}));
    printf("with a proc_counter (or proc_shm): the child has counted to %d, the parent has %d\n", seen,
           (int)proc_counter_get(counter, 0));
    proc_counter_close(counter);
}

/* ---- loop ---- */

static void loop_with_fork(void)
{
    pid_t first = getpid();
    int ends[2];

    make_pipe(ends);
    for (int i = 0; i < SEVERAL; i++)
        fork_or_fail();
    tell(ends[1], "!", 1);
    while (wait(NULL) > 0)
        ;
    if (getpid() != first)
        _exit(0);
    close(ends[1]);
    printf("%d processes come out of it, since each child goes on with the loop\n", how_many('!', ends[0]));
}

static int tell_of_itself(struct proc *self, void *ends)
{
    (void)self;
    tell(((int *)ends)[1], "!", 1);
    return 0;
}

static void loop_with_libproc(void)
{
    struct proc *children[SEVERAL];
    int ends[2];

    make_pipe(ends);
    for (int i = 0; i < SEVERAL; i++)
        children[i] = spawn(&(struct proc_options){.main = tell_of_itself, .arg = ends});
    tell(ends[1], "!", 1);
    for (int i = 0; i < SEVERAL; i++)
        finish(children[i]);
    close(ends[1]);
    printf("%d come out of it: a child runs its main, and never gets back here\n", how_many('!', ends[0]));
}

/* ---- orphan ---- */

struct parents {
    pid_t child, first, later;
};

/* Runs in a child whose own child outlives it. That one looks for its parent before and after. */
static void leave_an_orphan(int go[2], int answer[2])
{
    struct parents parents = {.first = getpid()};
    char c;

    close(go[1]);
    if (fork_or_fail() > 0)
        _exit(0);
    if (read(go[0], &c, 1) != 1) /* waits until its parent was reaped, or nobody is there any more */
        _exit(1);
    parents.child = getpid();
    parents.later = getppid();
    tell(answer[1], &parents, sizeof parents);
    _exit(0);
}

static void orphan_with_fork(void)
{
    struct parents parents;
    int go[2], answer[2];

    prctl(PR_SET_CHILD_SUBREAPER, 1); /* so that the orphan comes to us, and is not left behind */
    make_pipe(go);
    make_pipe(answer);
    pid_t parent = fork_or_fail();
    if (parent == 0)
        leave_an_orphan(go, answer);
    close(answer[1]);
    status_of(parent);
    tell(go[1], "!", 1);
    hear(answer[0], &parents, sizeof parents);
    printf("it lives on, and its parent is %s\n",
           parents.later == parents.first ? "the same" :
           parents.later == getpid()      ? "another one: process 1 or, as here, a subreaper" :
                                            "another one");
    status_of(parents.child);
    prctl(PR_SET_CHILD_SUBREAPER, 0);
    for (int i = 0; i < 2; i++)
        close(go[i]);
    close(answer[0]);
}

/* Whether there is still such a child of ours. */
static const char *what_is_left_of(pid_t child)
{
    siginfo_t info;

    return waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT | WNOHANG) < 0 && errno == ECHILD ? "gone" : "still there";
}

static void free_ends_it(void)
{
    struct proc *child = spawn(&(struct proc_options){.main = go_on, .death_signal = SIGKILL});
    pid_t pid = proc_pid(child);

    proc_free(child);
    printf("proc_free kills and reaps it: it is %s\n", what_is_left_of(pid));
}

static int leave_one_with_death_signal(struct proc *self, void *unused)
{
    (void)self, (void)unused;
    return proc_spawn(&(struct proc_options){.main = go_on, .death_signal = SIGTERM}) ? 0 : 1;
}

static void death_signal_ends_it(void)
{
    struct proc_waiter *waiter = proc_waiter_new(PROC_WAITER_ADOPT);
    struct proc_event event = {.type = PROC_EVENT_EXIT};
    char how[64];

    if (!waiter)
        err(1, "proc_waiter_new");
    struct proc *parent = spawn(&(struct proc_options){.main = leave_one_with_death_signal});
    if (proc_waiter_add(waiter, parent, NULL) < 0)
        err(1, "proc_waiter_add");
    while (event.type != PROC_EVENT_ORPHAN) {
        if (proc_waiter_next(waiter, &event, -1) < 0)
            err(1, "proc_waiter_next");
        if (event.type == PROC_EVENT_EXIT && !proc_exit_ok(&event.exit))
            errx(1, "the child could not be started");
    }
    printf("with a .death_signal, when its parent has ended, it is %s\n", proc_exit_string(&event.exit, how, sizeof how));
    finish(parent);
    proc_waiter_free(waiter);
}

static int answer_when_told(struct proc *self, void *arg)
{
    int(*pipes)[2] = arg;
    char c;

    (void)self;
    close(pipes[0][1]);
    if (read(pipes[0][0], &c, 1) == 1)
        tell(pipes[1][1], "!", 1);
    return 0;
}

static void detached_lives_on(void)
{
    int pipes[2][2];
    char c;

    make_pipe(pipes[0]);
    make_pipe(pipes[1]);
    proc_free(spawn(&(struct proc_options){.main = answer_when_told, .arg = pipes, .flags = PROC_DETACH}));
    tell(pipes[0][1], "!", 1);
    hear(pipes[1][0], &c, 1);
    printf("with PROC_DETACH it lives on, for it is meant to\n");
    close(pipes[1][1]);
    how_many('!', pipes[1][0]); /* which ends when it does */
    for (int i = 0; i < 2; i++)
        close(pipes[0][i]);
}

/* ---- zombie ---- */

/* As ps shows it. */
static char state_of(pid_t pid)
{
    char path[64], text[512];

    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (!file)
        err(1, "%s", path);
    size_t size = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[size] = '\0';
    const char *name_end = strrchr(text, ')');
    if (!name_end || strlen(name_end) < 3)
        errx(1, "%s: not understood", path);
    return name_end[2];
}

static void zombie_with_fork(void)
{
    pid_t child = fork_or_fail();

    if (child == 0)
        _exit(0);
    wait_for_end(child);
    char state = state_of(child);
    status_of(child);
    printf("it has ended, and is still there, in state %c; after waitpid it is %s\n", state, what_is_left_of(child));
}

static int end_at_once(struct proc *self, void *unused)
{
    (void)self, (void)unused;
    return 0;
}

static void zombie_with_libproc(void)
{
    struct proc *child = spawn(&(struct proc_options){.main = end_at_once});
    pid_t pid = proc_pid(child);

    wait_for_end(pid);
    proc_free(child);
    printf("after proc_free, or proc_wait, it is %s\n", what_is_left_of(pid));
}

/* ---- signal ---- */

static volatile sig_atomic_t signals, reaped;

/* The mistake: it should go on until waitpid finds none. */
static void reap_one(int signo)
{
    int saved = errno;

    (void)signo;
    signals++;
    if (waitpid(-1, NULL, WNOHANG) > 0)
        reaped++;
    errno = saved;
}

static void signal_with_fork(void)
{
    struct sigaction action = {.sa_handler = reap_one};
    pid_t children[SEVERAL];
    sigset_t child_signal, before;
    int zombies = 0;

    sigemptyset(&child_signal);
    sigaddset(&child_signal, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child_signal, &before);
    sigaction(SIGCHLD, &action, NULL);
    for (int i = 0; i < SEVERAL; i++)
        if ((children[i] = fork_or_fail()) == 0)
            _exit(0);
    for (int i = 0; i < SEVERAL; i++)
        wait_for_end(children[i]);
    while (signals == 0)
        sigsuspend(&before);
    signal(SIGCHLD, SIG_DFL);
    sigprocmask(SIG_SETMASK, &before, NULL);
    while (wait(NULL) > 0)
        zombies++;
    printf("%d children have ended, %d signal has come, one waitpid has reaped %d: %d are zombies\n", SEVERAL, (int)signals,
           (int)reaped, zombies);
}

static void signal_with_libproc(void)
{
    struct proc_waiter *waiter = proc_waiter_new(0);
    struct proc *children[SEVERAL];
    struct proc_event event;
    int reports = 0;

    if (!waiter)
        err(1, "proc_waiter_new");
    for (int i = 0; i < SEVERAL; i++) {
        children[i] = spawn(&(struct proc_options){.main = end_at_once});
        if (proc_waiter_add(waiter, children[i], NULL) < 0)
            err(1, "proc_waiter_add");
    }
    for (int i = 0; i < SEVERAL; i++)
        wait_for_end(proc_pid(children[i]));
    while (proc_waiter_next(waiter, &event, 0) == 1)
        if (event.type == PROC_EVENT_EXIT) {
            reports++;
            proc_free(event.proc);
        }
    printf("%d children have ended, and a proc_waiter has reported and reaped %d\n", SEVERAL, reports);
    proc_waiter_free(waiter);
}

/* ---- stdio ---- */

/* A stream to a pipe, or to a file, is written when its buffer is full, or by exit(). */
static FILE *stream_to(int fd)
{
    FILE *stream = fdopen(fd, "w");

    if (!stream)
        err(1, "fdopen");
    fprintf(stream, "a line, printed once\n");
    return stream;
}

static void stdio_with_fork(void)
{
    int ends[2];

    make_pipe(ends);
    FILE *stream = stream_to(ends[1]);
    pid_t child = fork_or_fail();
    if (child == 0)
        exit(0);
    status_of(child);
    fclose(stream);
    printf("a line that was printed before comes out %d times: the child has a copy of the buffer\n", how_many('\n', ends[0]));
}

static void stdio_with_libproc(void)
{
    int ends[2];

    make_pipe(ends);
    FILE *stream = stream_to(ends[1]);
    finish(spawn(&(struct proc_options){.main = end_at_once}));
    fclose(stream);
    printf("it comes out %d time; what the child itself prints is written when its main returns\n", how_many('\n', ends[0]));
}

/* ---- the lessons ---- */

#define WITH_LIBPROC 3

static const struct lesson {
    const char *name, *about;
    void (*with_fork)(void);
    void (*with_libproc[WITH_LIBPROC])(void);
} lessons[] = {
    {"memory", "what the child changes, the parent does not see", memory_with_fork, {memory_with_libproc}},
    {"loop", "three forks in a loop", loop_with_fork, {loop_with_libproc}},
    {"orphan", "the parent ends before its child", orphan_with_fork, {free_ends_it, death_signal_ends_it, detached_lives_on}},
    {"zombie", "a child that has ended, and for which nobody has waited", zombie_with_fork, {zombie_with_libproc}},
    {"signal", "children that end at the same time send one SIGCHLD", signal_with_fork, {signal_with_libproc}},
    {"stdio", "what is in the buffers of stdio is printed twice", stdio_with_fork, {stdio_with_libproc}},
};

#define LESSONS (sizeof lessons / sizeof lessons[0])

static int play(struct proc *self, void *arg)
{
    const struct lesson *lesson = arg;

    (void)self;
    printf("%s: %s\n  fork     ", lesson->name, lesson->about);
    fflush(stdout); /* or a child would have a copy of it */
    lesson->with_fork();
    for (int i = 0; i < WITH_LIBPROC && lesson->with_libproc[i]; i++) {
        printf("  libproc  ");
        fflush(stdout);
        lesson->with_libproc[i]();
    }
    return 0;
}

static const struct lesson *lesson_called(const char *name)
{
    for (size_t i = 0; i < LESSONS; i++)
        if (strcmp(lessons[i].name, name) == 0)
            return &lessons[i];
    errx(1, "%s: there is no such lesson; -l lists them", name);
}

static int run(const struct lesson *lesson)
{
    struct proc *stage = spawn(&(struct proc_options){.main = play, .arg = (void *)lesson, .death_signal = SIGKILL});
    struct proc_exit exit;
    char how[64];

    if (proc_wait(stage, &exit, -1) < 0)
        err(1, "proc_wait");
    proc_free(stage);
    if (!proc_exit_ok(&exit))
        warnx("%s: %s", lesson->name, proc_exit_string(&exit, how, sizeof how));
    return proc_exit_ok(&exit) ? 0 : 1;
}

static void list(void)
{
    for (size_t i = 0; i < LESSONS; i++)
        printf("%-8s%s\n", lessons[i].name, lessons[i].about);
}

int main(int argc, char **argv)
{
    int status = 0;
    int option = getopt(argc, argv, "l");

    if (option == 'l' && optind == argc)
        list();
    else if (option != -1)
        errx(1, "usage: fork-lessons [-l | NAME ...]");
    else if (optind == argc)
        for (size_t i = 0; i < LESSONS; i++)
            status |= run(&lessons[i]);
    else {
        for (int i = optind; i < argc; i++)
            lesson_called(argv[i]);
        for (int i = optind; i < argc; i++)
            status |= run(lesson_called(argv[i]));
    }
    return status;
}
