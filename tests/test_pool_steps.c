/* Workers, managers and those who hand in jobs, killed or asked to leave at each of their system calls, and between two of them
 * after each single instruction. A tracer stops them there. */
#include "pools.h"

#include <limits.h>
#include <sched.h>
#include <sys/ptrace.h>

/* ---- the tracer ---- */

enum trace_state { SEIZING, TRACING, REFUSED, DONE, RAN_OUT };

/* Lets the process go on up to a system call, then some instructions, and sends it a signal there. */
static struct trace {
    pid_t pid;
    long call;                 /* SYS_…: up to the return from this call; -1: … */
    int stops;                 /* … or so many entries into and returns from calls */
    int steps;                 /* then so many instructions */
    int signo;
    _Atomic int state;
    _Atomic bool give_up;      /* the process will not get there */
    _Atomic bool blocked;      /* an instruction was a call that waits */
    _Atomic int begun, ended;  /* what was on the board when the signal was sent */
} *trace;

static bool traced_has_ended(int status)
{
    return WIFEXITED(status) || WIFSIGNALED(status);
}

/* The next stop; 0: it has ended, or there is none within so long and the tracer is to give up. */
static int next_stop(bool may_block, int *status)
{
    for (int tries = 0;; tries++) {
        pid_t pid = waitpid(trace->pid, status, WNOHANG | __WALL);

        if (pid < 0 || (pid > 0 && traced_has_ended(*status)))
            return 0;
        if (pid > 0)
            return 1;
        if (trace->give_up || (may_block && tries > 400))
            return -1;
        if (tries < 100)
            sched_yield();
        else
            nap();
    }
}

static int signal_to_pass(int status)
{
    int signo = WSTOPSIG(status);

    return signo == SIGTRAP || signo == (SIGTRAP | 0x80) || status >> 16 ? 0 : signo;
}

static bool is_call_stop(int status)
{
    return WIFSTOPPED(status) && WSTOPSIG(status) == (SIGTRAP | 0x80);
}

static bool returns_from(long call)
{
    struct __ptrace_syscall_info info;
    static long entered = -1;

    if (ptrace(PTRACE_GET_SYSCALL_INFO, trace->pid, (void *)sizeof info, &info) <= 0)
        return false;
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
        entered = (long)info.entry.nr;
    return info.op == PTRACE_SYSCALL_INFO_EXIT && entered == call && info.exit.rval >= 0;
}

static bool go_to_call(void)
{
    int status, signo = 0, stops = 0;

    if (trace->call < 0 && trace->stops == 0)
        return true;
    for (;;) {
        if (ptrace(PTRACE_SYSCALL, trace->pid, NULL, (void *)(long)signo) < 0 || next_stop(false, &status) <= 0)
            return false;
        if (is_call_stop(status) && (trace->call >= 0 ? returns_from(trace->call) : ++stops == trace->stops))
            return true;
        signo = signal_to_pass(status);
    }
}

static void go_steps(void)
{
    int status, signo = 0;

    for (int i = 0; i < trace->steps; i++) {
        if (ptrace(PTRACE_SINGLESTEP, trace->pid, NULL, (void *)(long)signo) < 0)
            return;
        if (next_stop(true, &status) <= 0) {
            trace->blocked = true;
            return;
        }
        signo = signal_to_pass(status);
    }
}

/* It runs, or waits in a call: the first stop may be that of an instruction, and the signal's the next. */
static void let_go_running(void)
{
    int status, signo = 0;

    ptrace(PTRACE_INTERRUPT, trace->pid, NULL, NULL);
    while (waitpid(trace->pid, &status, __WALL) > 0 && !traced_has_ended(status)) {
        signo = signal_to_pass(status);
        if (signo != 0 || !trace->blocked)
            break;
        ptrace(PTRACE_CONT, trace->pid, NULL, NULL);
    }
    ptrace(PTRACE_DETACH, trace->pid, NULL, (void *)(long)signo);
}

static void let_go(void)
{
    if (ptrace(PTRACE_DETACH, trace->pid, NULL, NULL) < 0)
        let_go_running();
}

static int run_trace(struct proc *self, void *unused)
{
    int status;

    (void)self, (void)unused;
    if (ptrace(PTRACE_SEIZE, trace->pid, NULL, (void *)(long)PTRACE_O_TRACESYSGOOD) < 0 ||
        ptrace(PTRACE_INTERRUPT, trace->pid, NULL, NULL) < 0 || waitpid(trace->pid, &status, __WALL) != trace->pid) {
        trace->state = REFUSED;
        return 0;
    }
    trace->state = TRACING;
    bool is_there = go_to_call();
    if (is_there) {
        go_steps();
        trace->begun = board->begun;
        trace->ended = board->ended;
        kill(trace->pid, trace->signo);
    }
    if (is_there && trace->signo == SIGKILL)
        while (waitpid(trace->pid, &status, __WALL) > 0 && !traced_has_ended(status))
            ;
    else
        let_go();
    trace->state = is_there ? DONE : RAN_OUT;
    return 0;
}

/* NULL: it cannot be had here. */
static struct proc *trace_begin(pid_t pid, long call, int stops, int steps, int signo)
{
    if (!trace)
        trace = mmap(NULL, sizeof *trace, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    memset(trace, 0, sizeof *trace);
    *trace = (struct trace){.pid = pid, .call = call, .stops = stops, .steps = steps, .signo = signo};
    struct proc *tracer = must_spawn((struct proc_options){.main = run_trace});
    MUST_BECOME(trace->state != SEIZING || !proc_running(tracer));
    if (trace->state != REFUSED)
        return tracer;
    must_end(tracer);
    return NULL;
}

/* Returns whether the process has come to that point. */
static bool trace_end(struct proc *tracer)
{
    trace->give_up = true;
    MUST_BECOME(!proc_running(tracer));
    must_end(tracer);
    return trace->state == DONE;
}

static bool cannot_trace(struct proc *tracer)
{
    if (!tracer)
        skip("ptrace is not allowed here");
    return !tracer;
}

/* Its instructions are many, most of them not ours, and a handler is run when it sees fit. */
static bool in_thread_sanitizer(void)
{
    const char *sanitizer = getenv("SAN");

    if (!sanitizer || !strstr(sanitizer, "thread"))
        return false;
    skip("the thread sanitizer is no place to count instructions");
    return true;
}

/* ---- jobs ---- */

#define LARGE 20000

static void must_submit_of_kind(int kind, key_t key, unsigned number)
{
    static struct {
        long type;
        unsigned char bytes[LARGE];
    } message = {.type = 3};
    struct order order = {number, PASS};

    memcpy(message.bytes, &order, sizeof order);
    if (kind == 1)
        ck_assert_int_eq(msgsnd(msgget(key, 0), &message, sizeof order, 0), 0);
    else
        ck_assert_int_eq(proc_pool_submit(pool, message.bytes, kind == 2 ? LARGE : sizeof order, PATIENCE_MS), 1);
}

static struct proc_pool_options for_steps(void)
{
    struct proc_pool_options options = usual(1);

    options.key = unused_key();
    options.backoff_min_ms = options.backoff_max_ms = 1;
    options.max_attempts = 100;
    return options;
}

static bool is_settled(void)
{
    struct proc_pool_stats stats = stats_now();

    return stats.idle == stats.workers && stats.queued == 0 && stats.submitted == stats.done + stats.dead;
}

/* The pid of the one worker, which waits for a job. */
static pid_t settled_worker(void)
{
    MUST_BECOME(is_settled() && lives(worker_stats(0).pid));
    return pid_of(0);
}

/* ---- workers ---- */

/* Kinds: a job, a bare message, one that travels through a file. */
START_TEST(a_worker_that_is_killed_at_any_system_call_loses_no_job)
{
    struct proc_pool_options options = for_steps();
    unsigned number = 0;
    int damaged = 0;
    bool is_over = false;

    if (_i == 2)
        options.max_job_size = LARGE;
    must_make_ready(options);
    for (int stops = 1; !is_over; stops += ROUNDS(1, 3)) {
        struct proc *tracer = trace_begin(settled_worker(), -1, stops, 0, SIGKILL);
        if (cannot_trace(tracer))
            break;
        must_submit_of_kind(_i, options.key, ++number);
        MUST_BECOME(trace->state == DONE || board->orders[number].ends > 0);
        if (trace->state != DONE) { /* the job is over: has the worker gone to sleep? */
            MUST_BECOME(trace->state == DONE || stats_now().idle == 1);
            MUST_STAY(true, 20);
        }
        is_over = !trace_end(tracer);
        settled_worker();
        damaged = board->count[PROC_POOL_JOB_DAMAGED];
        ck_assert_int_le(damaged, _i == 1 ? stops : 0);
        ck_assert_msg(board->orders[number].ends + damaged >= 1, "lost after %d stops", stops);
        if (board->orders[number].ends == 0)
            ck_assert_int_eq(board->orders[number].begins, 0);
    }
    int missing = 0;
    for (unsigned i = 1; i <= number; i++) {
        missing += board->orders[i].ends == 0;
        ck_assert_int_le(board->orders[i].begins, 2);
    }
    ck_assert_int_eq(missing, damaged); /* each that was not run was told */
    ck_assert_uint_eq(stats_now().dead, (unsigned)damaged);
    ck_assert_uint_eq(stats_now().submitted, number);
    ck_assert_int_eq(board->wrong, 0);
    must_stop();
    must_add_up();
    must_remove_and_free();
}
END_TEST

/* From the return of msgrcv, when the job is in the worker's hands and it does not know it yet, to the job function. */
START_TEST(a_worker_that_is_killed_at_any_instruction_after_it_got_a_job_loses_none)
{
    struct proc_pool_options options = for_steps();
    unsigned number = 0;
    int past = 0, missing = 0;

    if (in_thread_sanitizer())
        return;
    must_make_ready(options);
    for (int steps = 0; past < 3 && number < 4000; steps += runs_instrumented() ? 97 : ROUNDS(3, 11)) {
        struct proc *tracer = trace_begin(settled_worker(), SYS_msgrcv, 0, steps, SIGKILL);
        if (cannot_trace(tracer))
            break;
        int begun = board->begun;
        must_submit_of_kind(_i, options.key, ++number);
        MUST_BECOME(trace->state == DONE);
        ck_assert(trace_end(tracer));
        settled_worker();
        missing += board->orders[number].ends == 0;
        ck_assert_msg(missing == board->count[PROC_POOL_JOB_DAMAGED], "job %u is lost after %d steps: %d missing, %d told",
                      number, steps, missing, board->count[PROC_POOL_JOB_DAMAGED]);
        past += trace->begun > begun;
    }
    if (_i == 0)
        ck_assert_int_eq(missing, 0);
    must_stop();
    must_add_up();
    must_remove_and_free();
}
END_TEST

/* A job that ends with a call that the tracer knows. */
static int obey_and_mark(struct proc_worker *worker, const struct proc_job *job, void *arg)
{
    int result = obey(worker, job, arg);

    syscall(SYS_getpgid, 0);
    return result;
}

/* From the end of one job to the wait for the next; in each moment the stop must be heeded. */
START_TEST(a_stop_at_any_instruction_before_the_wait_for_the_next_job_is_not_missed)
{
    struct proc_pool_options options = for_steps();
    unsigned number = 0;
    bool was_blocked = false;

    if (in_thread_sanitizer())
        return;
    options.job = obey_and_mark;
    must_make_ready(options);
    for (int steps = 0; !was_blocked && number < 4000; steps += runs_instrumented() ? 97 : ROUNDS(3, 11)) {
        pid_t pid = settled_worker();
        int exited = board->count[PROC_POOL_WORKER_EXITED];
        struct proc *tracer = trace_begin(pid, SYS_getpgid, 0, steps, SIGTERM);
        if (cannot_trace(tracer))
            break;
        must_submit(++number, PASS);
        MUST_BECOME(trace->state == DONE);
        ck_assert(trace_end(tracer));
        was_blocked = trace->blocked;
        MUST_BECOME(board->count[PROC_POOL_WORKER_EXITED] > exited);
        ck_assert_int_eq(last_of(PROC_POOL_WORKER_EXITED, 0)->pid, pid);
        ck_assert_msg(last_of(PROC_POOL_WORKER_EXITED, 0)->code == 0, "after %d steps: code %d, signal %d", steps,
                      last_of(PROC_POOL_WORKER_EXITED, 0)->code, last_of(PROC_POOL_WORKER_EXITED, 0)->signal);
        ck_assert_int_eq(board->orders[number].begins, 1);
    }
    MUST_BECOME(is_settled());
    ck_assert_int_eq(board->count[PROC_POOL_WORKER_KILLED], 0);
    ck_assert_uint_eq(stats_now().done, number);
    must_stop();
    must_remove_and_free();
}
END_TEST

START_TEST(a_worker_that_is_killed_at_any_instruction_after_its_job_counts_it_once)
{
    struct proc_pool_options options = for_steps();
    unsigned number = 0;
    bool was_blocked = false;

    if (in_thread_sanitizer())
        return;
    options.job = obey_and_mark;
    must_make_ready(options);
    for (int steps = 0; !was_blocked && number < 4000; steps += runs_instrumented() ? 97 : ROUNDS(3, 11)) {
        struct proc *tracer = trace_begin(settled_worker(), SYS_getpgid, 0, steps, SIGKILL);
        if (cannot_trace(tracer))
            break;
        must_submit(++number, PASS);
        MUST_BECOME(trace->state == DONE);
        ck_assert(trace_end(tracer));
        was_blocked = trace->blocked;
        MUST_BECOME(is_settled());
        ck_assert_uint_eq(stats_now().done, number);
        ck_assert_int_ge(board->orders[number].ends, 1);
        ck_assert_int_le(board->orders[number].begins, 2);
        ck_assert_int_eq(board->orders[number].begins, board->orders[number].attempt);
    }
    must_stop();
    must_add_up();
    must_remove_and_free();
}
END_TEST

/* From the end of its start to its first wait. */
static int start_at_the_gate(struct proc_worker *worker, void *arg)
{
    note_start(worker, arg);
    wait_at_gate();
    return 0;
}

START_TEST(a_worker_that_is_killed_at_any_system_call_while_it_starts_is_replaced)
{
    struct proc_pool_options options = for_steps();
    bool is_over = false;
    int ended = 0;

    options.start = start_at_the_gate;
    must_make(options);
    for (int stops = 1; !is_over; stops += ROUNDS(1, 3)) {
        MUST_BECOME(worker_stats(0).state == PROC_WORKER_STARTING && worker_stats(0).pid > 0 &&
                    board->started == board->count[PROC_POOL_WORKER_STARTED]);
        struct proc *tracer = trace_begin(pid_of(0), -1, stops, 0, SIGKILL);
        if (cannot_trace(tracer))
            break;
        board->gate = 1;
        must_submit(1, PASS);
        MUST_BECOME(trace->state == DONE || board->ended > ended);
        if (trace->state != DONE)
            MUST_STAY(true, 20);
        is_over = !trace_end(tracer);
        MUST_BECOME(board->ended > ended && is_settled());
        ended = board->ended;
        board->gate = 0;
        kill(pid_of(0), SIGKILL);
        MUST_BECOME(worker_stats(0).state != PROC_WORKER_IDLE);
    }
    board->gate = 1;
    MUST_BECOME(is_settled());
    must_stop();
    must_add_up();
    must_remove_and_free();
}
END_TEST

START_TEST(a_worker_that_is_killed_at_any_system_call_while_it_stops_does_not_hinder_the_stop)
{
    struct proc_pool_options options = for_steps();
    bool is_over = false;

    for (int stops = 1; !is_over; stops += ROUNDS(1, 3)) {
        int ended = board->ended;

        must_make_ready(options);
        must_submit(1, PASS);
        MUST_BECOME(board->ended > ended);
        struct proc *tracer = trace_begin(settled_worker(), -1, stops, 0, SIGKILL);
        if (cannot_trace(tracer)) {
            must_stop();
            proc_pool_remove(pool);
            break;
        }
        ck_assert_int_eq(proc_pool_stop(pool), 0);
        MUST_BECOME(proc_pool_done(pool));
        is_over = !trace_end(tracer);
        must_add_up();
        if (is_over)
            proc_pool_remove(pool);
        proc_pool_free(pool);
    }
}
END_TEST

/* ---- those who hand in jobs ---- */

static int submit_one(struct proc *self, void *kind)
{
    static unsigned char bytes[LARGE];
    struct order order = {(unsigned)board->answers[0], PASS};

    (void)self;
    memcpy(bytes, &order, sizeof order);
    board->answers[1] = 1;
    while (board->answers[1] != 2) /* without a system call, which would be counted */
        ;
    board->answers[2] = proc_pool_submit(pool, bytes, *(int *)kind == 2 ? LARGE : sizeof order, 30000);
    return 0;
}

START_TEST(who_is_killed_at_any_system_call_of_a_submit_has_handed_in_one_job_or_none)
{
    struct proc_pool_options options = for_steps();
    bool is_over = false;
    unsigned number = 0;

    options.max_job_size = LARGE;
    must_make_ready(options);
    for (int stops = 1; !is_over; stops += ROUNDS(1, 3)) {
        board->answers[0] = ++number;
        board->answers[1] = board->answers[2] = 0;
        struct proc *child = must_spawn((struct proc_options){.main = submit_one, .arg = &_i});
        MUST_BECOME(board->answers[1] == 1);
        struct proc *tracer = trace_begin(proc_pid(child), -1, stops, 0, SIGKILL);
        if (cannot_trace(tracer)) {
            board->answers[1] = 2;
            must_end(child);
            break;
        }
        board->answers[1] = 2;
        MUST_BECOME(!proc_running(child));
        trace_end(tracer);
        is_over = must_end(child).signal == 0;
        if (is_over)
            ck_assert_int_eq(board->answers[2], 1);
        MUST_BECOME(messages_under(options.key) == 0 && stats_now().idle == 1);
        ck_assert_int_le(board->orders[number].begins, 1);
        if (board->answers[2] == 1)
            MUST_BECOME(board->orders[number].ends == 1);
    }
    MUST_BECOME(is_settled()); /* what was not handed in is not counted for ever */
    ck_assert_int_eq(board->wrong, 0);
    must_stop();
    must_add_up();
    must_remove_and_free();
}
END_TEST

/* ---- managers ---- */

/* Begins when it is told, so that the tracer sees all of it. */
static int manage_when_told(struct proc *self, void *options)
{
    board->answers[4] = 1;
    while (board->answers[4] != 2) /* without a system call, which would be counted */
        ;
    return manage(self, options);
}

static void must_be_done_once_more(struct proc_pool_options options, int stops, unsigned first, unsigned last)
{
    struct proc *manager = must_manage(options);

    MUST_BECOME(stats_now().submitted == stats_now().done + stats_now().dead);
    for (unsigned i = first; i < last; i++)
        ck_assert_msg(board->orders[i].ends >= 1, "job %u is lost after %d stops", i, stops);
    must_end_well(manager);
    bury();
    must_add_up();
}

/* While it starts (_i 0), handles a death, a job that is to be tried again and a reload (_i 1), and stops (_i 2). */
START_TEST(a_manager_that_is_killed_at_any_system_call_loses_no_job)
{
    struct proc_pool_options options = for_steps();
    bool is_over = false;
    unsigned number = 0;
    int64_t begin = now_ms();

    adopt();
    options.workers = 2;
    for (int stops = 1 + (int)(getpid() % ROUNDS(4, 37)); !is_over && number < ORDERS - 10; stops += ROUNDS(4, 37)) {
        unsigned first = number;

        board->answers[4] = 0;
        struct proc *manager = must_spawn((struct proc_options){.main = manage_when_told, .arg = &options});
        MUST_BECOME(board->answers[4] == 1);
        int ready = board->count[PROC_POOL_WORKER_READY], reloaded = board->count[PROC_POOL_RELOADED];
        if (_i > 0) {
            board->answers[4] = 2;
            MUST_BECOME(board->count[PROC_POOL_WORKER_READY] == ready + 2);
        }
        struct proc *tracer = trace_begin(proc_pid(manager), -1, stops, 0, SIGKILL);
        if (cannot_trace(tracer)) {
            proc_free(manager);
            break;
        }
        board->answers[4] = 2;
        proc_pool_free(pool);
        MUST_BECOME((pool = proc_pool_attach(options.key)) || !proc_running(manager));
        if (pool) {
            must_submit(number++, PASS);
            must_submit(number++, _i == 1 ? DIE_ONCE : PASS);
            must_submit(number++, _i == 1 ? FAIL_ONCE : PASS);
        }
        if (_i == 0) {
            MUST_BECOME(board->count[PROC_POOL_WORKER_READY] == ready + 2 || !proc_running(manager));
        } else {
            MUST_BECOME(board->orders[number - 1].ends > 0 || !proc_running(manager));
            proc_kill(manager, _i == 1 ? SIGHUP : SIGTERM);
            MUST_BECOME(board->count[PROC_POOL_RELOADED] > reloaded || !proc_running(manager));
        }
        is_over = !trace_end(tracer);
        proc_free(manager);
        bury();
        must_be_done_once_more(options, stops, first, number);
        if (now_ms() - begin > ROUNDS(4000, 2500)) /* further ones at another run, and those between them */
            break;
    }
    if (pool)
        must_remove_and_free();
}
END_TEST

Suite *suite_make(void)
{
    Suite *suite = suite_create("pool_steps");
    TCase *tcase = tcase_pools(suite, "workers");

    tcase_add_loop_test(tcase, a_worker_that_is_killed_at_any_system_call_loses_no_job, 0, 3);
    tcase_add_loop_test(tcase, a_worker_that_is_killed_at_any_instruction_after_it_got_a_job_loses_none, 0, 2);
    tcase_add_test(tcase, a_stop_at_any_instruction_before_the_wait_for_the_next_job_is_not_missed);
    tcase_add_test(tcase, a_worker_that_is_killed_at_any_instruction_after_its_job_counts_it_once);
    tcase_add_test(tcase, a_worker_that_is_killed_at_any_system_call_while_it_starts_is_replaced);
    tcase_add_test(tcase, a_worker_that_is_killed_at_any_system_call_while_it_stops_does_not_hinder_the_stop);
    tcase = tcase_pools(suite, "others");
    tcase_add_loop_test(tcase, who_is_killed_at_any_system_call_of_a_submit_has_handed_in_one_job_or_none, 0, 3);
    tcase_add_loop_test(tcase, a_manager_that_is_killed_at_any_system_call_loses_no_job, 0, 3);
    return suite;
}
