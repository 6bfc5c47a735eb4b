/* counter: several processes count together, in the three ways of every textbook.
 *
 *     $ counter
 *     way                  counted   of 400000   ns each
 *     memory alone          173250      43.31%         9
 *     with a semaphore      400000     100.00%      3120
 *     with a counter        400000     100.00%        11
 *
 * Memory alone: `++*number` is read, add and write, and of two processes that read the same value one is lost. (Not always:
 * with one processor it may come out right for a long time.) A semaphore around it makes it right, at the price of two system
 * calls, and of the kernel's waking of who waits. A counter does it in one instruction.
 *
 * The number of processes may be given: counter 8. */
#include <proc.h>

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define EACH 100000

struct shared {
    struct proc_shm *memory;
    struct proc_sem *sem;
    struct proc_counter *counter;
};

/* ---- the three ways ---- */

static void add_to_memory(struct shared *shared)
{
    volatile long *number = proc_shm_data(shared->memory);

    ++*number;
}

static void add_with_semaphore(struct shared *shared)
{
    if (proc_sem_acquire(shared->sem, -1) < 0)
        err(1, "proc_sem_acquire");
    add_to_memory(shared);
    if (proc_sem_release(shared->sem) < 0)
        err(1, "proc_sem_release");
}

static void add_to_counter(struct shared *shared)
{
    proc_counter_add(shared->counter, 0, 1);
}

static long memory(const struct shared *shared)
{
    return *(long *)proc_shm_data(shared->memory);
}

static long counter(const struct shared *shared)
{
    return (long)proc_counter_get(shared->counter, 0);
}

static const struct way {
    const char *name;
    void (*add)(struct shared *shared);
    long (*result)(const struct shared *shared);
} ways[] = {
    {"memory alone", add_to_memory, memory},
    {"with a semaphore", add_with_semaphore, memory},
    {"with a counter", add_to_counter, counter},
};

/* ---- the children ---- */

struct task {
    const struct way *way;
    struct shared *shared;
};

static int count(struct proc *self, void *arg)
{
    struct task *task = arg;
    char start;

    if (proc_read(self, &start, 1) < 0)
        return 1;
    for (int i = 0; i < EACH; i++)
        task->way->add(task->shared);
    return 0;
}

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* All begin when all are there. Returns how long it took. */
static double run(struct task *task, size_t many)
{
    struct proc **children = calloc(many, sizeof(struct proc *));
    struct proc_options options = {.main = count, .arg = task, .channel = PROC_STREAM};
    struct proc_exit exit;

    if (!children)
        err(1, "memory");
    for (size_t i = 0; i < many; i++)
        if (!(children[i] = proc_spawn(&options)))
            err(1, "proc_spawn");
    double start = seconds();
    for (size_t i = 0; i < many; i++)
        if (proc_write(children[i], "!", 1) != 1)
            err(1, "proc_write");
    for (size_t i = 0; i < many; i++) {
        if (proc_wait(children[i], &exit, -1) < 0 || !proc_exit_ok(&exit))
            errx(1, "a child failed");
        proc_free(children[i]);
    }
    free(children);
    return seconds() - start;
}

int main(int argc, char **argv)
{
    int many = argc > 1 ? atoi(argv[1]) : 4;

    if (many < 1 || many > 1000)
        errx(1, "usage: counter [PROCESSES]");
    double wanted = (double)EACH * many;
    printf("%-18s%10s%5s %.0f%10s\n", "way", "counted", "of", wanted, "ns each");
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        struct shared shared = {
            .memory = proc_shm_open(PROC_PRIVATE, sizeof(long), 0, 0),
            .sem = proc_sem_open(PROC_PRIVATE, 1, 0, 0),
            .counter = proc_counter_open(PROC_PRIVATE, 1, 0, 0),
        };
        struct task task = {&ways[i], &shared};

        if (!shared.memory || !shared.sem || !shared.counter)
            err(1, "shared objects");
        double took = run(&task, (size_t)many);
        long result = ways[i].result(&shared);
        printf("%-18s%10ld%11.2f%%%10.0f\n", ways[i].name, result, 100 * (double)result / wanted, took / wanted * 1e9);
        proc_counter_close(shared.counter);
        proc_sem_close(shared.sem);
        proc_shm_close(shared.memory);
    }
    return 0;
}
