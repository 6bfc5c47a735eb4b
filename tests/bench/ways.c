/* The library, and what a program does without it. The others do less: no pidfd, no clean signal mask, no descriptors
 * closed. */
#include "ways.h"

#include <err.h>
#include <errno.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

void spawn_and_wait(void *options)
{
    struct proc_exit end;
    struct proc *proc = proc_spawn(options);

    if (!proc)
        err(1, "proc_spawn: %s", proc_spawn_step());
    if (proc_wait(proc, &end, -1) != 1 || !proc_exit_ok(&end))
        errx(1, "proc_wait: unexpected end");
    proc_free(proc);
}

void way_libproc(void *program)
{
    struct proc_options options = {.argv = (const char *const[]){program, NULL}};

    spawn_and_wait(&options);
}

void way_libproc_pipes(void *program)
{
    struct proc_options options = {
        .argv = (const char *const[]){program, NULL}, .in = PROC_PIPE, .out = PROC_PIPE, .err = PROC_PIPE};

    spawn_and_wait(&options);
}

static void await(pid_t pid)
{
    int status;

    if (waitpid(pid, &status, 0) != pid || status != 0)
        errx(1, "waitpid: unexpected end");
}

void way_posix_spawn(void *program)
{
    char *argv[] = {program, NULL};
    pid_t pid;

    if ((errno = posix_spawn(&pid, program, NULL, NULL, argv, environ)) != 0)
        err(1, "posix_spawn");
    await(pid);
}

void way_vfork(void *program)
{
    char *argv[] = {program, NULL};
    pid_t pid = vfork();

    if (pid == 0) {
        execve(program, argv, environ);
        _exit(127);
    }
    if (pid < 0)
        err(1, "vfork");
    await(pid);
}

void way_fork(void *program)
{
    char *argv[] = {program, NULL};
    pid_t pid = fork();

    if (pid == 0) {
        execve(program, argv, environ);
        _exit(127);
    }
    if (pid < 0)
        err(1, "fork");
    await(pid);
}

void way_fork_alone(void *unused)
{
    pid_t pid = fork();

    (void)unused;
    if (pid == 0)
        _exit(0);
    if (pid < 0)
        err(1, "fork");
    await(pid);
}
