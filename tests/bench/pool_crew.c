/* A gate costs who passes one addition; only the last one wakes who waits. */
#include "pool_crew.h"

#include "bench.h"

#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define GRACE_MS 10000

/* Of linux/futex.h, which not every C library's compiler finds. */
#define FUTEX_WAIT 0
#define FUTEX_WAKE 1

/* ---- processes ---- */

void crew_add(struct crew *crew, struct proc *process)
{
    if (crew->count == CREW_MOST)
        errx(1, "more than %d processes", CREW_MOST);
    crew->processes[crew->count++] = process;
}

void crew_fork(struct crew *crew, proc_main_fn *run, void *arg, unsigned count)
{
    while (count-- > 0) {
        struct proc *process = peer_fork(run, arg);

        if (!process)
            errx(1, "a process cannot run");
        crew_add(crew, process);
    }
}

bool crew_start(struct crew *crew, const char *const *argv)
{
    struct proc *process = peer_start(argv);

    if (process)
        crew_add(crew, process);
    return process;
}

void crew_is_ready(void)
{
    puts("ready");
    fflush(stdout);
}

void crew_stop(struct crew *crew)
{
    for (size_t i = 0; i < crew->count; i++)
        proc_kill(crew->processes[i], SIGTERM);
    for (size_t i = 0; i < crew->count; i++) {
        proc_stop(crew->processes[i], NULL, GRACE_MS);
        proc_free(crew->processes[i]);
    }
    crew->count = 0;
}

/* ---- a gate ---- */

struct gate {
    _Alignas(64) _Atomic uint32_t passed;
    _Alignas(64) _Atomic uint32_t expected;
    _Atomic uint32_t is_open;
};

struct gate *gate_new(void)
{
    struct gate *gate = mmap(NULL, sizeof *gate, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (gate == MAP_FAILED)
        err(1, "mmap");
    return gate;
}

void gate_expect(struct gate *gate, unsigned more)
{
    atomic_store(&gate->is_open, 0);
    atomic_store(&gate->expected, atomic_load(&gate->passed) + more);
}

void gate_pass(struct gate *gate)
{
    if (atomic_fetch_add(&gate->passed, 1) + 1 != atomic_load(&gate->expected))
        return;
    atomic_store(&gate->is_open, 1);
    syscall(SYS_futex, &gate->is_open, FUTEX_WAKE, 1, NULL, NULL, 0);
}

bool gate_wait(struct gate *gate, int timeout_ms)
{
    int64_t end = bench_now_ns() + (int64_t)timeout_ms * 1000000, left;

    while (!atomic_load(&gate->is_open) && (left = end - bench_now_ns()) > 0) {
        struct timespec time = {.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};

        syscall(SYS_futex, &gate->is_open, FUTEX_WAIT, 0, &time, NULL, 0);
    }
    return atomic_load(&gate->is_open);
}
