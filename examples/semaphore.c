/* semaphore: at most three at a time, whoever they are.
 *
 *     $ semaphore /tmp sh -c 'echo in; sleep 1' & semaphore /tmp sh -c 'echo in; sleep 1' & …
 *
 * Runs a command when there is room for it. All that are started with the same file, by anybody who may, share one semaphore:
 * its key is made of the file. One that is killed gives its place back.
 *
 *     $ semaphore -v /tmp        how many places are free
 *     $ semaphore -w 2 /tmp CMD  waits for 2 seconds at most, and then ends with status 75
 *     $ semaphore -r /tmp        removes it: those who wait are told
 *
 * Exit status: that of the command, 128 and the number of the signal that killed it; 75: no place in time; 1: trouble. */
#include <proc.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PLACES 3
#define NO_PLACE 75

static int run(char **argv)
{
    struct proc_options options = {.argv = (const char *const *)argv};
    struct proc_exit exit;

    struct proc *child = proc_spawn(&options);
    if (!child)
        err(1, "%s: %s", argv[0], proc_spawn_step());
    if (proc_wait(child, &exit, -1) < 0)
        err(1, "proc_wait");
    proc_free(child);
    return exit.signal ? 128 + exit.signal : exit.code;
}

static int run_in_its_place(struct proc_sem *sem, char **argv, int timeout_ms)
{
    int got = proc_sem_acquire(sem, timeout_ms);

    if (got < 0)
        err(1, "no place"); /* EIDRM: it was removed */
    if (got == 0)
        return NO_PLACE;
    int status = run(argv);
    if (proc_sem_release(sem) < 0)
        err(1, "proc_sem_release");
    return status;
}

int main(int argc, char **argv)
{
    int option, timeout_ms = -1, status = 0;
    char what = 0;

    while ((option = getopt(argc, argv, "+vrw:")) != -1) {
        if (option == '?')
            return 1;
        if (option == 'w')
            timeout_ms = atoi(optarg) * 1000;
        else
            what = (char)option;
    }
    if (optind >= argc || (!what && optind + 1 >= argc))
        errx(1, "usage: semaphore [-w SECONDS] FILE COMMAND [ARGUMENT ...], or -v FILE, or -r FILE");
    key_t key = proc_key(argv[optind], 'S');
    if (key == -1)
        err(1, "%s", argv[optind]);
    struct proc_sem *sem = proc_sem_open(key, PLACES, what ? 0 : O_CREAT, 0);
    if (!sem)
        err(1, "proc_sem_open");
    if (what == 'v')
        printf("%d of %d free\n", proc_sem_value(sem), PLACES);
    else if (what == 'r' && proc_sem_remove(sem) < 0)
        err(1, "proc_sem_remove");
    else if (!what)
        status = run_in_its_place(sem, argv + optind + 1, timeout_ms);
    proc_sem_close(sem);
    return status;
}
