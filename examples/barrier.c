/* barrier: commands that are started at different times begin at the same moment.
 *
 *     $ barrier /tmp 3 date & sleep 1; barrier /tmp 3 date & sleep 1; barrier /tmp 3 date
 *
 * prints the same time thrice. All that are started with the same file meet, though they know nothing of each other: the key of
 * their counters is made of the file. The last to come wakes the others, which sleep in the kernel. With -w SECONDS somebody who
 * has waited in vain leaves again, with status 75.
 *
 *     $ barrier -r /tmp          removes the counters */
#include <proc.h>

#include <err.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PARTIES, ARRIVED, ROUND, COUNTERS };

/* The first says how many meet; all others have to mean the same. */
static void agree(struct proc_counter *counter, int64_t parties)
{
    if (!proc_counter_cas(counter, PARTIES, 0, parties) && proc_counter_get(counter, PARTIES) != parties)
        errx(1, "%lld meet here, not %lld", (long long)proc_counter_get(counter, PARTIES), (long long)parties);
}

/* False: not all came in time. */
static bool meet(struct proc_counter *counter, int64_t parties, int timeout_ms)
{
    int64_t round = proc_counter_get(counter, ROUND);

    if (proc_counter_add(counter, ARRIVED, 1) == parties) {
        proc_counter_set(counter, ARRIVED, 0);
        proc_counter_add(counter, ROUND, 1);
        return proc_counter_wake(counter, ROUND, INT_MAX) >= 0;
    }
    int came = proc_counter_wait(counter, ROUND, round, timeout_ms);
    if (came < 0)
        err(1, "proc_counter_wait");
    if (came == 0 && proc_counter_get(counter, ROUND) == round) {
        proc_counter_add(counter, ARRIVED, -1);
        return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    int option, timeout_ms = -1;
    bool removes = false;

    while ((option = getopt(argc, argv, "+rw:")) != -1) {
        if (option == '?')
            return 1;
        removes |= option == 'r';
        if (option == 'w')
            timeout_ms = atoi(optarg) * 1000;
    }
    argv += optind;
    if (argc - optind < (removes ? 1 : 3) || (!removes && atoi(argv[1]) < 1))
        errx(1, "usage: barrier [-w SECONDS] FILE PARTIES COMMAND [ARGUMENT ...], or -r FILE");
    key_t key = proc_key(argv[0], 'B');
    if (key == -1)
        err(1, "%s", argv[0]);
    struct proc_counter *counter = proc_counter_open(key, COUNTERS, removes ? 0 : O_CREAT, 0);
    if (!counter)
        err(1, "proc_counter_open");
    if (removes) {
        if (proc_counter_remove(counter) < 0)
            err(1, "proc_counter_remove");
        proc_counter_close(counter);
        return 0;
    }
    agree(counter, atoi(argv[1]));
    bool all = meet(counter, atoi(argv[1]), timeout_ms);
    proc_counter_close(counter);
    if (!all)
        return 75;
    execvp(argv[2], argv + 2);
    err(127, "%s", argv[2]);
}
