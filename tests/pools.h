/* What the suites of the pool share: a board in shared memory, on which workers, jobs and the manager note what they see;
 * workers that do as a job tells them; and managers in processes of their own, which can be killed. */
#ifndef TESTS_POOLS_H
#define TESTS_POOLS_H

#include "harness.h"
#include "seam.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS(often, seldom) (runs_shortened() ? (seldom) : (often))
#ifndef PATIENCE_MS /* for who does not want to wait so long for a failure */
#define PATIENCE_MS (runs_instrumented() ? 150000 : 40000)
#endif

/* ---- the board ---- */

#define ORDERS 4096
#define WORKERS 128
#define HAPPENED 8192
#define EVENT_TYPES (PROC_POOL_GAVE_UP + 1)

struct happened {
    int type, worker;
    pid_t pid;
    int code, signal;
    uint64_t job;
    unsigned attempt;
    unsigned number; /* of the job's order */
    size_t size;
    int64_t at_ms;
};

static struct board {
    /* what jobs note, by the number of their order */
    struct {
        _Atomic int begins, ends, attempt;
        _Atomic pid_t by;
    } orders[ORDERS];
    _Atomic int begun, ended;
    _Atomic int turn;             /* the next that begins has this place in `turns` */
    _Atomic int turns[ORDERS];    /* the numbers in the order of their begin */
    _Atomic int ids[ORDERS];      /* how often a job of that id has begun */
    _Atomic int gate;             /* what waits goes on when it is not 0 */

    /* what workers note, by index */
    _Atomic int starts[WORKERS], stops[WORKERS];
    _Atomic int started, stopped;
    _Atomic int wrong;            /* anything that must not be */

    /* what the manager notes */
    struct happened list[HAPPENED];
    _Atomic int nhappened;
    _Atomic int count[EVENT_TYPES];
    _Atomic int managers;         /* that have made their pool */
    _Atomic int result, failure;  /* of the last manager's run */

    _Atomic int64_t answers[16];  /* whatever a test wants to know */
} *board;

static struct proc_pool *pool;
static bool manages; /* this process polls the pool */

static inline void board_begin(void)
{
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert(board != MAP_FAILED);
    manages = false;
    pool = NULL;
}

static inline TCase *tcase_pools(Suite *suite, const char *name)
{
    TCase *tcase = tcase_checked(suite, name);

    tcase_add_checked_fixture(tcase, board_begin, NULL);
    return tcase;
}

static inline const char *board_text(void)
{
    static const char *const names[] = {"started", "ready",    "exited",  "killed",  "retried",
                                        "dead",    "damaged", "reloaded", "resized", "gave up"};
    static char text[4096];
    int size = snprintf(text, sizeof text, "begun %d ended %d start %d stop %d wrong %d;", board->begun, board->ended,
                        board->started, board->stopped, board->wrong);
    int last = board->nhappened;
    struct proc_pool_stats stats;

    for (int i = 0; i < EVENT_TYPES; i++)
        if (board->count[i] > 0)
            size += snprintf(text + size, sizeof text - (size_t)size, " %d %s", board->count[i], names[i]);
    size += snprintf(text + size, sizeof text - (size_t)size, ";");

    if (pool && proc_pool_stats(pool, &stats, NULL, 0) == 0)
        size += snprintf(text + size, sizeof text - (size_t)size, " %d submitted, %d done, %d dead, %d queued, %d idle, %d busy;",
                         (int)stats.submitted, (int)stats.done, (int)stats.dead, (int)stats.queued, (int)stats.idle,
                         (int)stats.busy);
    for (int i = last > 25 ? last - 25 : 0; i < last && size < (int)sizeof text - 100; i++) {
        const struct happened *h = &board->list[i];

        size += snprintf(text + size, sizeof text - (size_t)size, " %s", names[h->type]);
        if (h->worker >= 0)
            size += snprintf(text + size, sizeof text - (size_t)size, "[%d]", h->worker);
        if (h->type == PROC_POOL_WORKER_EXITED)
            size += snprintf(text + size, sizeof text - (size_t)size, "(%d/%d)", h->code, h->signal);
        if (h->job)
            size += snprintf(text + size, sizeof text - (size_t)size, "(job %d, attempt %u)", (int)h->job, h->attempt);
    }
    return text;
}

static inline void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* Lets the pool do what it has to do; where another process manages it, this one just waits a moment. */
static inline void give_turn(void)
{
    if (!manages)
        nap();
    else
        ck_assert_msg(proc_pool_poll(pool, 5) >= 0, "poll: %s", strerror(errno));
}

#define MUST_BECOME_BY(condition, meanwhile)                                                                   \
    do {                                                                                                        \
        int64_t end_of_patience = now_ms() + PATIENCE_MS;                                                       \
        while (!(condition)) {                                                                                  \
            ck_assert_msg(now_ms() < end_of_patience, "does not become true: %s;\n%s", #condition, board_text()); \
            meanwhile;                                                                                          \
        }                                                                                                       \
    } while (0)
#define MUST_BECOME(condition) MUST_BECOME_BY(condition, give_turn())

/* As it was all the time; there is no event that would say that nothing comes. */
#define MUST_STAY(condition, ms)                                                          \
    do {                                                                                  \
        for (int64_t end_of_look = now_ms() + (ms); now_ms() < end_of_look; give_turn()) \
            ck_assert_msg(condition, "is no longer true: %s;\n%s", #condition, board_text()); \
    } while (0)

/* ---- what is done by order ---- */

enum what { PASS, WAIT, DIE, FAIL, EXIT, DIE_ONCE, FAIL_ONCE };

struct order {
    unsigned number, what;
};

static inline struct order order_of(const struct proc_job *job)
{
    struct order order = {0};

    memcpy(&order, job->data, job->size < sizeof order ? job->size : sizeof order);
    if (order.number >= ORDERS)
        order.number = 0, board->wrong++;
    return order;
}

static inline void wait_at_gate(void)
{
    while (!board->gate)
        nap();
}

static inline int obey(struct proc_worker *worker, const struct proc_job *job, void *arg)
{
    struct order order = order_of(job);
    int place = board->turn++;

    (void)worker, (void)arg;
    board->orders[order.number].attempt = (int)job->attempt;
    board->orders[order.number].by = getpid();
    if (place < ORDERS)
        board->turns[place] = (int)order.number;
    if (job->id < ORDERS)
        board->ids[job->id]++;
    board->orders[order.number].begins++;
    board->begun++;
    if (order.what == WAIT)
        wait_at_gate();
    else if (order.what == DIE || (order.what == DIE_ONCE && job->attempt == 1))
        raise(SIGKILL);
    else if (order.what == FAIL || (order.what == FAIL_ONCE && job->attempt == 1))
        return -1;
    else if (order.what == EXIT)
        _exit(7);
    board->orders[order.number].ends++;
    board->ended++;
    return 0;
}

static inline int note_start(struct proc_worker *worker, void *arg)
{
    (void)arg;
    board->starts[proc_worker_index(worker)]++;
    board->started++;
    return 0;
}

static inline int note_stop(struct proc_worker *worker, void *arg)
{
    (void)arg;
    board->stops[proc_worker_index(worker)]++;
    board->stopped++;
    return 0;
}

static inline void note_event(const struct proc_pool_event *event, void *arg)
{
    int place = board->nhappened;

    (void)arg;
    if (place < HAPPENED) {
        struct happened *happened = &board->list[place];

        *happened = (struct happened){
            .type = (int)event->type, .worker = event->worker, .pid = event->pid, .at_ms = now_ms()};
        happened->code = event->exit.code, happened->signal = event->exit.signal;
        if (event->job) {
            happened->job = event->job->id;
            happened->attempt = event->job->attempt;
            happened->size = event->job->size;
            if (event->job->size >= sizeof(struct order))
                happened->number = order_of(event->job).number;
        }
        board->nhappened = place + 1;
    }
    board->count[event->type]++;
}

static inline struct proc_pool_options usual(unsigned workers)
{
    return (struct proc_pool_options){.workers = workers,
                                      .job = obey,
                                      .start = note_start,
                                      .stop = note_stop,
                                      .event = note_event,
                                      .grace_ms = 60000,
                                      .backoff_min_ms = 5,
                                      .backoff_max_ms = 50};
}

/* ---- a pool that this process manages ---- */

static inline void must_make(struct proc_pool_options options)
{
    pool = proc_pool_new(&options);
    ck_assert_msg(pool != NULL, "proc_pool_new: %s", strerror(errno));
    manages = true;
}

static inline void must_make_ready(struct proc_pool_options options)
{
    int ready = board->count[PROC_POOL_WORKER_READY] + (int)options.workers;

    must_make(options);
    MUST_BECOME(board->count[PROC_POOL_WORKER_READY] == ready);
}

static inline void must_stop(void)
{
    ck_assert_msg(proc_pool_stop(pool) == 0, "stop: %s", strerror(errno));
    MUST_BECOME(proc_pool_done(pool));
}

static inline void must_stop_and_free(void)
{
    must_stop();
    proc_pool_free(pool);
    pool = NULL;
    manages = false;
}

static inline void must_remove_and_free(void)
{
    ck_assert_msg(proc_pool_remove(pool) == 0, "remove: %s", strerror(errno));
    proc_pool_free(pool);
    pool = NULL;
    manages = false;
}

static inline void must_submit(unsigned number, enum what what)
{
    struct order order = {number, what};
    int result = proc_pool_submit(pool, &order, sizeof order, PATIENCE_MS);

    ck_assert_msg(result == 1, "submit: %d, %s", result, strerror(errno));
}

#define must_fail(call, failure)                                                                               \
    do {                                                                                                       \
        int64_t result_of_call = (call);                                                                       \
        int errno_of_call = errno;                                                                             \
        ck_assert_msg(result_of_call == -1, "%s returned %d", #call, (int)result_of_call);                     \
        ck_assert_msg(errno_of_call == (failure), "%s: %s, not %s", #call, strerror(errno_of_call), #failure); \
        errno = 0;                                                                                             \
    } while (0)

static inline struct proc_pool_stats stats_now(void)
{
    struct proc_pool_stats stats;

    memset(&stats, 0x5a, sizeof stats);
    ck_assert_msg(proc_pool_stats(pool, &stats, NULL, 0) == 0, "stats: %s", strerror(errno));
    return stats;
}

static inline struct proc_worker_stats worker_stats(unsigned index)
{
    struct proc_worker_stats workers[WORKERS];

    memset(workers, 0x5a, sizeof workers);
    ck_assert_int_eq(proc_pool_stats(pool, NULL, workers, index + 1), 0);
    return workers[index];
}

static inline pid_t pid_of(unsigned index)
{
    pid_t pid = worker_stats(index).pid;

    ck_assert_int_gt(pid, 0);
    return pid;
}

/* The last event of that type for this worker (-1: any); NULL: there was none. */
static inline const struct happened *last_of(enum proc_pool_event_type type, int worker)
{
    for (int i = board->nhappened - 1; i >= 0; i--)
        if (board->list[i].type == (int)type && (worker < 0 || board->list[i].worker == worker))
            return &board->list[i];
    return NULL;
}

/* The nth event of that type (from 0) for this worker. */
static inline const struct happened *nth_of(enum proc_pool_event_type type, int worker, int nth)
{
    for (int i = 0; i < board->nhappened; i++)
        if (board->list[i].type == (int)type && (worker < 0 || board->list[i].worker == worker) && nth-- == 0)
            return &board->list[i];
    return NULL;
}

static inline int times(enum proc_pool_event_type type, int worker)
{
    int count = 0;

    for (int i = 0; i < board->nhappened; i++)
        count += board->list[i].type == (int)type && board->list[i].worker == worker;
    return count;
}

/* When nothing moves any more. */
static inline void must_add_up(void)
{
    struct proc_pool_stats stats = stats_now();

    ck_assert_msg(stats.submitted == stats.done + stats.dead + stats.queued, "%d submitted, %d done, %d dead, %d queued",
                  (int)stats.submitted, (int)stats.done, (int)stats.dead, (int)stats.queued);
}

/* ---- what the kernel says ---- */

/* Whether there is such a process, and it has not ended. */
static inline bool lives(pid_t pid)
{
    const char *state = status_of(pid, "State");

    return state[0] && state[0] != 'Z' && state[0] != 'X';
}

static inline pid_t parent_of(pid_t pid)
{
    return (pid_t)atoi(status_of(pid, "PPid"));
}

static inline bool has_signal(pid_t pid, const char *field, int signo)
{
    return strtoull(status_of(pid, field), NULL, 16) >> (signo - 1) & 1;
}

static inline long messages_under(key_t key)
{
    struct msqid_ds status;

    return msgctl(msgget(key, 0), IPC_STAT, &status) < 0 ? -1 : (long)status.msg_qnum;
}

/* One that no test before has left anything under. */
static inline key_t unused_key(void)
{
    key_t key;

    do
        key = fresh_key();
    while (msgget(key, 0) >= 0 || shmget(key, 0, 0) >= 0);
    return key;
}

/* How many objects of a kind ("msg", "shm") there are. */
static inline int objects_of(const char *kind)
{
    char path[64], line[512];
    int count = -1; /* the heading */

    snprintf(path, sizeof path, "/proc/sysvipc/%s", kind);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        count++;
    if (file)
        fclose(file);
    return count;
}

/* ---- a manager in a process of its own ---- */

static inline int manage(struct proc *self, void *options)
{
    struct proc_pool *mine = proc_pool_new(options);

    (void)self;
    if (!mine) {
        board->failure = errno;
        return 99;
    }
    board->managers++;
    board->result = proc_pool_run(mine);
    board->failure = errno;
    proc_pool_free(mine);
    return board->result < 0 ? 1 : 0;
}

static proc_main_fn *manager_main = manage;

/* Its pool has a key; from then on `pool` is a view of it. It leads a process group. */
static inline struct proc *must_manage(struct proc_pool_options options)
{
    int before = board->managers;
    struct proc *manager = must_spawn((struct proc_options){.main = manager_main, .arg = &options, .flags = PROC_NEW_GROUP});

    manages = false;
    MUST_BECOME(board->managers > before || !proc_running(manager));
    ck_assert_msg(board->managers > before, "proc_pool_new: %s", strerror(board->failure));
    proc_pool_free(pool);
    pool = proc_pool_attach(options.key);
    ck_assert_msg(pool != NULL, "proc_pool_attach: %s", strerror(errno));
    return manager;
}

static inline struct proc *must_manage_ready(struct proc_pool_options options)
{
    int ready = board->count[PROC_POOL_WORKER_READY] + (int)options.workers;
    struct proc *manager = must_manage(options);

    MUST_BECOME(board->count[PROC_POOL_WORKER_READY] == ready);
    return manager;
}

/* Asks it to stop; its run, which must have begun, must have returned 0. */
static inline void must_end_well(struct proc *manager)
{
    MUST_BECOME(has_signal(proc_pid(manager), "SigBlk", SIGTERM) || has_signal(proc_pid(manager), "SigCgt", SIGTERM) ||
                !proc_running(manager));
    ck_assert_int_eq(proc_kill(manager, SIGTERM), 0);
    struct proc_exit exit = must_end(manager);
    ck_assert_msg(exit.code == 0, "code %d, signal %d: run said %d, %s", exit.code, exit.signal, board->result,
                  strerror(board->failure));
}

/* From now on orphans become this process's children: bury() waits until each of them has ended. */
static inline void adopt(void)
{
    ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
}

static inline bool all_buried(void)
{
    pid_t pid;

    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
        ;
    return pid < 0 && errno == ECHILD;
}

static inline void bury(void)
{
    manages = false;
    MUST_BECOME(all_buried());
}

static inline void must_kill(struct proc *manager)
{
    ck_assert_int_eq(proc_kill(manager, SIGKILL), 0);
    ck_assert_int_eq(must_end(manager).signal, SIGKILL);
}

#endif
