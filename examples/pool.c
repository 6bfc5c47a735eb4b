/* pool: hashes files in a pool of workers, while somebody kills one of them ten times a second; and no file is missed.
 *
 *     $ pool                              the files in /usr/include
 *     worker      pid  state       jobs  restarts
 *          0     4731  works       1102         8
 *          1     4730  works       1230         7
 *          2     4728  works       1178         9
 *          3     4733  starts      1296         7
 *     [#############################-----------]  3612 of 4806 files, 31 kills
 *     4806 files, 44 kills, 44 restarts, 27 run twice, lost: 0
 *     sha256sum says the same of 4806 files
 *     $ pool -n 8 -k 50 -m 1000 PATH ...  eight workers, 50 kills a second, 1000 files at most; a directory stands for its files
 *
 * On a terminal the table stays in its place, and moves; elsewhere a line a second says how far it is. Kill workers as you like.
 * SIGHUP replaces all workers, one after the other, SIGTTIN and SIGTTOU make it one more or less, SIGINT and SIGTERM stop it.
 *
 * Exit status: 0 only if no file is lost, and sha256sum agrees.
 *
 * A job is the number of a file, and its result goes to a row in shared memory. A worker that is killed had a job in hand, which
 * another one then does again: so a job may run twice, and its row is the same afterwards. The manager is this program's own loop
 * around poll(), with the pool's descriptor and a waiter's; two more children hand in the jobs and kill the workers. */
#include <proc.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LARGEST (16 << 20) /* a worker lives long enough to hash such a file */
#define MOST_SHOWN 32
#define BAR_WIDTH 40

enum outcome { NOT_DONE, DONE, UNREADABLE };

struct row {
    atomic_int runs; /* that were begun */
    _Atomic enum outcome outcome;
    unsigned char sum[32];
};

struct demo {
    struct proc_pool *pool;
    struct row *rows; /* of all files, shared by all processes */
    unsigned kills_a_second, kills;
    bool is_on_terminal, was_stopped;
};

static char **files;
static size_t file_count, most_files = 5000;

/* ---- SHA-256, as FIPS 180-4 has it ---- */

struct sha256 {
    uint32_t state[8];
    uint64_t size;
    unsigned char block[64];
};

static const struct sha256 sha256_start = {.state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c,
                                                     0x1f83d9ab, 0x5be0cd19}};

static uint32_t turn(uint32_t word, int bits)
{
    return word >> bits | word << (32 - bits);
}

static void sha256_block(uint32_t state[8], const unsigned char *block)
{
    static const uint32_t constants[64] = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01,
        0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc,
        0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
        0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
        0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08,
        0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
        0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
    uint32_t w[64], v[8];

    for (int i = 0; i < 16; i++, block += 4)
        w[i] = (uint32_t)block[0] << 24 | (uint32_t)block[1] << 16 | (uint32_t)block[2] << 8 | block[3];
    for (int i = 16; i < 64; i++)
        w[i] = w[i - 16] + (turn(w[i - 15], 7) ^ turn(w[i - 15], 18) ^ w[i - 15] >> 3) + w[i - 7] +
               (turn(w[i - 2], 17) ^ turn(w[i - 2], 19) ^ w[i - 2] >> 10);
    memcpy(v, state, sizeof v);
    for (int i = 0; i < 64; i++) {
        uint32_t first = v[7] + (turn(v[4], 6) ^ turn(v[4], 11) ^ turn(v[4], 25)) + ((v[4] & v[5]) ^ (~v[4] & v[6])) +
                         constants[i] + w[i];
        uint32_t second = (turn(v[0], 2) ^ turn(v[0], 13) ^ turn(v[0], 22)) + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));

        memmove(v + 1, v, 7 * sizeof v[0]);
        v[4] += first;
        v[0] = first + second;
    }
    for (int i = 0; i < 8; i++)
        state[i] += v[i];
}

static void sha256_add(struct sha256 *sha, const void *data, size_t size)
{
    const unsigned char *from = data;

    for (size_t part; size > 0; from += part, size -= part) {
        size_t held = sha->size % 64;

        part = size < 64 - held ? size : 64 - held;
        memcpy(sha->block + held, from, part);
        sha->size += part;
        if (sha->size % 64 == 0)
            sha256_block(sha->state, sha->block);
    }
}

static void sha256_end(struct sha256 *sha, unsigned char sum[32])
{
    uint64_t bits = sha->size * 8;
    unsigned char tail[8];

    for (int i = 0; i < 8; i++)
        tail[i] = (unsigned char)(bits >> (56 - 8 * i));
    sha256_add(sha, "\x80", 1);
    while (sha->size % 64 != 56)
        sha256_add(sha, "", 1);
    sha256_add(sha, tail, sizeof tail);
    for (int i = 0; i < 32; i++)
        sum[i] = (unsigned char)(sha->state[i / 4] >> (24 - 8 * (i % 4)));
}

/* ---- a worker ---- */

static bool hash_file(const char *path, unsigned char sum[32])
{
    static unsigned char piece[65536];
    struct sha256 sha = sha256_start;
    ssize_t size = -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return false;
    while ((size = read(fd, piece, sizeof piece)) > 0)
        sha256_add(&sha, piece, (size_t)size);
    close(fd);
    sha256_end(&sha, sum);
    return size == 0;
}

static int hash(struct proc_worker *worker, const struct proc_job *job, void *arg)
{
    const struct demo *demo = arg;
    size_t number;

    (void)worker;
    memcpy(&number, job->data, sizeof number);
    struct row *row = &demo->rows[number];
    row->runs++;
    row->outcome = hash_file(files[number], row->sum) ? DONE : UNREADABLE; /* the sum is whole by then */
    return 0;
}

/* ---- the two other children ---- */

static int hand_in(struct proc *self, void *arg)
{
    const struct demo *demo = arg;

    (void)self;
    for (size_t number = 0; number < file_count; number++)
        if (proc_pool_submit(demo->pool, &number, sizeof number, -1) < 0)
            err(1, "proc_pool_submit");
    return 0;
}

/* The scoreboard says who there is. Nobody else has that process id so soon. */
static int kill_workers(struct proc *self, void *arg)
{
    const struct demo *demo = arg;
    struct proc_worker_stats workers[MOST_SHOWN];
    struct proc_pool_stats stats;

    srand((unsigned)proc_pid(self));
    while (usleep(1000000 / demo->kills_a_second) == 0 && proc_pool_stats(demo->pool, &stats, workers, MOST_SHOWN) == 0) {
        unsigned victim = (unsigned)rand() % (stats.workers < MOST_SHOWN ? stats.workers : MOST_SHOWN);

        if (workers[victim].pid > 0)
            kill(workers[victim].pid, SIGKILL);
    }
    return 0;
}

static struct proc *start(proc_main_fn *what, const char *title, struct demo *demo, struct proc_waiter *waiter)
{
    struct proc_options options = {.main = what, .arg = demo, .title = title, .death_signal = SIGKILL};
    struct proc *child = proc_spawn(&options);

    if (!child || proc_waiter_add(waiter, child, NULL) < 0)
        err(1, "%s", title);
    return child;
}

/* ---- what is to be seen ---- */

static void draw_table(const struct proc_pool_stats *stats, const struct proc_worker_stats *workers)
{
    static const char *const states[] = {[PROC_WORKER_STARTING] = "starts", [PROC_WORKER_IDLE] = "waits",
                                         [PROC_WORKER_BUSY] = "works", [PROC_WORKER_STOPPING] = "leaves",
                                         [PROC_WORKER_BACKING_OFF] = "backs off", [PROC_WORKER_GONE] = "is gone"};
    int filled = (int)(file_count > 0 ? stats->done * BAR_WIDTH / file_count : 0);

    printf("worker %8s  %-10s%6s%10s\033[K\n", "pid", "state", "jobs", "restarts");
    for (unsigned i = 0; i < stats->workers && i < MOST_SHOWN; i++)
        printf("%6u %8d  %-10s%6" PRIu64 "%10u\033[K\n", i, (int)workers[i].pid, states[workers[i].state], workers[i].jobs,
               workers[i].restarts);
    printf("[%.*s%.*s]  ", filled, "########################################", BAR_WIDTH - filled,
           "----------------------------------------");
}

/* The cursor goes back to where the table began, and what was below it is wiped away: it may have become shorter. */
static void draw(struct demo *demo)
{
    static unsigned lines;
    struct proc_worker_stats workers[MOST_SHOWN];
    struct proc_pool_stats stats;

    if (proc_pool_stats(demo->pool, &stats, workers, MOST_SHOWN) < 0)
        err(1, "proc_pool_stats");
    if (demo->is_on_terminal) {
        if (lines > 0)
            printf("\033[%uA\033[J", lines);
        lines = 2 + (stats.workers < MOST_SHOWN ? stats.workers : MOST_SHOWN);
        draw_table(&stats, workers);
    }
    printf("%" PRIu64 " of %zu files, %u kills\n", stats.done, file_count, demo->kills);
    fflush(stdout);
}

static void note(const struct proc_pool_event *event, void *arg)
{
    struct demo *demo = arg;

    if (event->type == PROC_POOL_WORKER_EXITED && event->exit.signal == SIGKILL)
        demo->kills++;
}

/* ---- the manager ---- */

static void take_signal(struct demo *demo, int signo)
{
    struct proc_pool_stats stats;

    if (signo == SIGHUP) {
        proc_pool_reload(demo->pool);
    } else if (signo == SIGTTIN || signo == SIGTTOU) {
        proc_pool_stats(demo->pool, &stats, NULL, 0);
        proc_pool_resize(demo->pool, signo == SIGTTIN ? stats.workers + 1 : stats.workers - 1);
    } else {
        demo->was_stopped = true;
        proc_pool_stop(demo->pool);
    }
}

static void take_events(struct demo *demo, struct proc_waiter *waiter, const struct proc *feeder)
{
    struct proc_event event;

    while (proc_waiter_next(waiter, &event, 0) == 1)
        if (event.type == PROC_EVENT_ALARM)
            draw(demo);
        else if (event.type == PROC_EVENT_SIGNAL)
            take_signal(demo, event.signo);
        else if (event.proc == feeder && proc_exit_ok(&event.exit))
            proc_pool_drain(demo->pool); /* all are handed in; it ends when they are done */
        else if (!demo->was_stopped)
            errx(1, "one of the children has ended");
}

static struct proc_waiter *make_waiter(const struct demo *demo)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGTTIN, SIGTTOU};
    int64_t pace_us = demo->is_on_terminal ? 100000 : 1000000;
    struct proc_waiter *waiter = proc_waiter_new(PROC_WAITER_PIDFD);

    if (!waiter || proc_waiter_alarm(waiter, pace_us, pace_us, NULL) < 0)
        err(1, "waiter");
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        if (proc_waiter_signal(waiter, signals[i], NULL) < 0)
            err(1, "proc_waiter_signal");
    return waiter;
}

static void manage(struct demo *demo)
{
    struct proc_waiter *waiter = make_waiter(demo);
    struct proc *feeder = start(hand_in, "pool: hands in", demo, waiter);
    struct proc *killer = demo->kills_a_second > 0 ? start(kill_workers, "pool: kills", demo, waiter) : NULL;
    struct pollfd fds[] = {{.fd = proc_pool_fd(demo->pool), .events = POLLIN}, {.fd = proc_waiter_fd(waiter), .events = POLLIN}};

    while (proc_pool_poll(demo->pool, 0) >= 0 && !proc_pool_done(demo->pool)) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            err(1, "poll");
        take_events(demo, waiter, feeder);
    }
    if (!proc_pool_done(demo->pool))
        err(1, "proc_pool_poll");
    draw(demo);
    proc_free(killer);
    proc_free(feeder);
    proc_waiter_free(waiter);
}

/* ---- the end ---- */

/* Returns how many files are lost. */
static size_t report(const struct demo *demo)
{
    size_t twice = 0, lost = 0;
    struct proc_pool_stats stats;

    if (proc_pool_stats(demo->pool, &stats, NULL, 0) < 0)
        err(1, "proc_pool_stats");
    for (size_t i = 0; i < file_count; i++) {
        twice += demo->rows[i].runs > 1;
        lost += demo->rows[i].outcome == NOT_DONE;
    }
    printf("%zu files, %u kills, %" PRIu64 " restarts, %zu run twice, ", file_count, demo->kills, stats.restarts, twice);
    printf("lost: %zu\n", lost);
    fflush(stdout);
    return lost;
}

/* Names with their NUL at the end go in, and come back behind their sums. What cannot be read is left out. */
static void ask_sha256sum(struct proc_output *output)
{
    static const char *const argv[] = {"xargs", "-0", "-r", "sha256sum", "-z", "--", NULL};
    struct proc_options options = {.argv = argv, .err = PROC_NULL};
    char *names;
    size_t size;
    FILE *list = open_memstream(&names, &size);

    for (size_t i = 0; list && i < file_count; i++)
        fwrite(files[i], 1, strlen(files[i]) + 1, list);
    if (!list || fclose(list) != 0 || proc_run(&options, names, size, output, -1) < 0)
        err(1, "sha256sum");
    free(names);
}

/* Returns whether they are the same. */
static bool compare(const struct demo *demo)
{
    struct proc_output output = {.limit = 0};
    size_t same = 0, of_ours = 0, of_theirs = 0, next = 0;

    for (size_t i = 0; i < file_count; i++)
        of_ours += demo->rows[i].outcome == DONE;
    ask_sha256sum(&output);
    for (const char *line = output.out; strlen(line) > 66; line += strlen(line) + 1, of_theirs++) {
        char sum[65] = "";

        while (next < file_count && strcmp(files[next], line + 66) != 0)
            next++;
        for (int i = 0; next < file_count && i < 32; i++)
            snprintf(sum + 2 * i, 3, "%02x", demo->rows[next].sum[i]);
        same += strncmp(sum, line, 64) == 0;
    }
    proc_output_free(&output);
    printf("sha256sum says the same of %zu files\n", same);
    if (same != of_ours || same != of_theirs)
        warnx("but we have %zu sums, and it has %zu", of_ours, of_theirs);
    return same == of_ours && same == of_theirs;
}

/* ---- the beginning ---- */

/* For nftw(). */
static int add_file(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)place;
    if (type != FTW_F || !S_ISREG(status->st_mode) || status->st_size > LARGEST || file_count == most_files)
        return 0;
    files = realloc(files, (file_count + 1) * sizeof *files);
    if (!files || !(files[file_count++] = strdup(path)))
        err(1, "memory");
    return 0;
}

static void find_files(const char *path)
{
    if (nftw(path, add_file, 16, FTW_PHYS) < 0)
        err(1, "%s", path);
}

int main(int argc, char **argv)
{
    struct demo demo = {.kills_a_second = 10, .is_on_terminal = isatty(STDOUT_FILENO)};
    struct proc_pool_options options = {
        .name = "pool",
        .workers = 4,
        .job = hash,
        .arg = &demo,
        .max_attempts = 1000000, /* it is not the jobs that kill their workers */
        .event = note,
        .event_arg = &demo,
    };

    for (int option; (option = getopt(argc, argv, "k:m:n:")) != -1;)
        switch (option) {
        case 'k': demo.kills_a_second = (unsigned)atoi(optarg); break;
        case 'm': most_files = (size_t)atol(optarg); break;
        case 'n': options.workers = (unsigned)atoi(optarg); break;
        default: errx(1, "usage: pool [-n WORKERS] [-k KILLS] [-m FILES] [PATH ...]");
        }
    if (optind == argc)
        find_files("/usr/include");
    for (; optind < argc; optind++)
        find_files(argv[optind]);
    struct proc_shm *shm = proc_shm_open(PROC_PRIVATE, (file_count + 1) * sizeof *demo.rows, 0, 0);
    if (!shm)
        err(1, "proc_shm_open");
    demo.rows = proc_shm_data(shm);
    demo.pool = proc_pool_new(&options);
    if (!demo.pool)
        err(1, "proc_pool_new");
    manage(&demo);
    size_t lost = report(&demo);
    proc_pool_free(demo.pool);
    if (demo.was_stopped)
        errx(1, "it was stopped");
    bool is_right = compare(&demo) && lost == 0;
    proc_shm_close(shm);
    return is_right ? 0 : 1;
}
