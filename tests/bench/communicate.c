/* A lot of data through `cat`: fed and collected at once. The library beside a loop that a careful programmer writes by
 * hand, with large and with usual pipes, and beside GLib and Python.
 *
 *     communicate
 *     communicate WAY MIB     measures one, in a process of its own so that its peak of memory is its own, and prints
 *                             nanoseconds and KiB
 *
 * The time runs from the spawn until cat is reaped. The memory is the process's peak (VmHWM) less the input: the output,
 * what was used to collect it, and the program itself. */
#include "bench.h"
#include "measured.h"
#include "poll_loop.h"

#include <err.h>
#include <proc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ROUNDS 7
#define MIB 1024
#define PATIENCE_MS 120000

/* ---- measuring ---- */

static void by_libproc(const char *input, size_t size)
{
    struct proc_options options = {.argv = (const char *const[]){"cat", NULL}, .in = PROC_PIPE, .out = PROC_PIPE};
    struct proc_output output = {0};
    struct proc *cat = proc_spawn(&options);

    if (!cat)
        err(1, "proc_spawn: %s", proc_spawn_step());
    if (proc_communicate(cat, input, size, &output, -1) != 1)
        err(1, "proc_communicate");
    if (output.out_size != size || !proc_exit_ok(&output.exit))
        errx(1, "proc_communicate: unexpected output");
    proc_output_free(&output);
    proc_free(cat);
}

static void by_loop_with_large_pipes(const char *input, size_t size)
{
    poll_loop(input, size, 1 << 20);
}

static void by_loop_with_usual_pipes(const char *input, size_t size)
{
    poll_loop(input, size, 64 << 10);
}

static const struct {
    const char *name;
    void (*run)(const char *input, size_t size);
} ways[] = {{"libproc", by_libproc}, {"large", by_loop_with_large_pipes}, {"usual", by_loop_with_usual_pipes}};

static int measure(const char *name, size_t mib)
{
    size_t size = mib << 20;
    char *input = measured_input(size);

    for (size_t i = 0; i < BENCH_COUNT(ways); i++) {
        if (strcmp(name, ways[i].name) != 0)
            continue;
        int64_t start = bench_now_ns();
        ways[i].run(input, size);
        measured_print(start);
    }
    free(input);
    return 0;
}

/* ---- comparing ---- */

struct measured {
    const char *name;
    const char *const *argv;
    unsigned every;       /* in each how many-th round */
    struct series speed;  /* GiB each second */
    struct series memory; /* beyond the input, in multiples of the data */
};

/* A virtual machine may have given memory that it did not use back to its host, and getting it again takes longer than all
 * that is measured here. Touched just now, it is there. */
static void warm_memory(size_t mib)
{
    size_t size = mib << 20;
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        return;
    madvise(memory, size, MADV_HUGEPAGE);
    for (size_t at = 0; at < size; at += 4096)
        memory[at] = 1;
    munmap(memory, size);
}

static void leave_out(struct measured *way, const char *why)
{
    way->speed.left_out = way->memory.left_out = why;
}

static void measure_apart(struct measured *way, unsigned round, size_t mib)
{
    struct proc_options options = {.argv = way->argv, .death_signal = SIGKILL};
    struct proc_output output = {0};
    double ns, kib;

    if (way->speed.left_out || round % way->every != 0)
        return;
    warm_memory(2 * mib + mib / 4);
    if (proc_run(&options, NULL, 0, &output, PATIENCE_MS) != 1)
        leave_out(way, "absent");
    else if (!proc_exit_ok(&output.exit) || sscanf(output.out, "%lf %lf", &ns, &kib) != 2)
        leave_out(way, round == 0 ? "absent" : "failed");
    else {
        way->speed.values[round] = (double)mib / 1024 / ns * 1e9;
        way->memory.values[round] = kib / 1024 / (double)mib - 1;
    }
    proc_output_free(&output);
}

static void run_all(struct measured *all, size_t count, unsigned rounds, size_t mib)
{
    size_t *order = malloc(count * sizeof *order);

    if (!order)
        err(1, "malloc");
    for (size_t i = 0; i < count; i++) {
        series_make(&all[i].speed, all[i].name, rounds);
        series_make(&all[i].memory, all[i].name, rounds);
    }
    for (unsigned round = 0; round < rounds; round++) {
        bench_shuffle(order, count);
        for (size_t i = 0; i < count; i++)
            measure_apart(&all[order[i]], round, mib);
    }
    free(order);
}

static void print_and_release(struct measured *all, size_t count)
{
    bench_print_heads("GiB each second");
    for (size_t i = 0; i < count; i++)
        bench_print_series(&all[i].speed);
    bench_print_heads("peak of memory beyond the input / data");
    for (size_t i = 0; i < count; i++)
        bench_print_series(&all[i].memory);
    bench_print_ratio(&all[0].speed, &all[1].speed, GOAL_AT_LEAST(0.95));
    for (size_t i = 2; i < count; i++)
        bench_print_ratio(&all[0].speed, &all[i].speed, GOAL_NONE);
    double peak = series_quantile(&all[0].memory, 0.5);
    bench_print_number("libproc's peak of memory beyond the input / data", peak, GOAL_AT_MOST(2));
    for (size_t i = 0; i < count; i++) {
        series_release(&all[i].speed);
        series_release(&all[i].memory);
    }
}

/* The greediest holds the data five times over. */
static size_t size_that_fits(void)
{
    size_t mib = bench_setting("BENCH_COMMUNICATE_MIB", MIB);
    size_t fits = bench_available_mib() / 6;

    return mib < fits ? mib : fits;
}

static void compare(unsigned rounds)
{
    size_t mib = size_that_fits();
    char size[16];

    snprintf(size, sizeof size, "%zu", mib);
    struct measured all[] = {
        {.name = "libproc", .argv = (const char *[]){"/proc/self/exe", "libproc", size, NULL}, 1},
        {.name = "poll loop, 1 MiB pipes", .argv = (const char *[]){"/proc/self/exe", "large", size, NULL}, 1},
        {.name = "poll loop, 64 KiB pipes", .argv = (const char *[]){"/proc/self/exe", "usual", size, NULL}, 4},
        {.name = "g_subprocess", .argv = (const char *[]){"communicate_glib", size, NULL}, 4},
        {.name = "Python subprocess", .argv = (const char *[]){"python3", "communicate_python.py", size, NULL}, 4},
    };

    bench_title("%zu MiB through cat and back, on all processors", mib);
    bench_note("memory: the peak (VmHWM) of a process that does nothing else, less the input");
    run_all(all, BENCH_COUNT(all), rounds, mib);
    print_and_release(all, BENCH_COUNT(all));
}

int main(int argc, char **argv)
{
    if (argc == 3)
        return measure(argv[1], strtoul(argv[2], NULL, 10));
    compare(ROUNDS);
    return 0;
}
