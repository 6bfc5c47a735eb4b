/* scoreboard: what several workers do, on one board, while they do it; and the sum is right, although one of them is killed.
 *
 *     $ scoreboard                        counts the words of the files in /usr/include
 *                   pid  state    killed   files       words  file
 *     worker 1       4711  reads         0     612      261034  if_link.h
 *     worker 2       4720  reads         1     608      250128  nl80211.h
 *     worker 3       4713  reads         0     615      255510  math.h
 *     worker 4       4714  reads         0     601      270012  elf.h
 *     2436 of 4806 files, 1036684 words; the lock was handed on: 1
 *     $ scoreboard -n 8 -p 20 FILE ...    eight workers, which pause for 20 ms after each file; a directory stands for its files
 *
 * On a terminal the board stays in its place, and moves; elsewhere it is printed anew each second, whenever a worker was killed,
 * and in the end. The worker that has the file in the middle of the list is killed with SIGKILL, at the worst moment; kill others
 * as you like. Another takes over the row of the dead, and reads the file again of which there is no result.
 *
 * Why nothing is lost or counted twice: a row changes in one step, so what the workers' rows say is true at any time. The totals
 * are no more than what the rows amount to, kept under a lock. Who gets the lock from the dead (2 from proc_lock_acquire) may
 * find them half done, and adds them up anew. */
#include <proc.h>

#include <ctype.h>
#include <err.h>
#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST_WORKERS 100

/* The board has a row for each worker, and counters. */
static const char files_done[] = "files", words_found[] = "words", next_file[] = "next file", handed_on[] = "handed on";

struct row {
    pid_t pid;
    int killed; /* how often */
    bool is_dead, reads;
    int64_t file; /* the last that it has taken; -1: none yet */
    int64_t files, words;
};

struct worker {
    char name[32];
    struct proc *proc;
    struct board *board;
};

struct board {
    struct proc_table *table;
    struct proc_lock *lock;
    struct worker workers[MOST_WORKERS];
    int many, pause_ms;
    bool is_on_terminal, is_drawn;
};

static char **files;
static int64_t file_count;

/* ---- rows and counters ---- */

static struct row get_row(const struct worker *worker)
{
    struct row row;

    if (proc_table_get(worker->board->table, worker->name, &row, sizeof row) < 0)
        err(1, "%s", worker->name);
    return row;
}

static void put_row(const struct worker *worker, const struct row *row)
{
    if (proc_table_put(worker->board->table, worker->name, row, sizeof *row) < 0)
        err(1, "%s", worker->name);
}

/* Returns what it is then. */
static int64_t add(const struct board *board, const char *counter, int64_t delta)
{
    int64_t sum = proc_table_add(board->table, counter, delta);

    if (sum == -1 && errno != 0)
        err(1, "%s", counter);
    return sum;
}

static int64_t get(const struct board *board, const char *counter)
{
    int64_t value;

    if (proc_table_get(board->table, counter, &value, sizeof value) < 0)
        err(1, "%s", counter);
    return value;
}

static void set(const struct board *board, const char *counter, int64_t value)
{
    if (proc_table_put(board->table, counter, &value, sizeof value) < 0)
        err(1, "%s", counter);
}

/* ---- the totals, and the lock that they are under ---- */

struct totals {
    int64_t files, words, next;
};

static int add_up_row(const char *name, const void *value, size_t size, void *arg)
{
    struct totals *totals = arg;
    struct row row;

    if (strncmp(name, "worker", 6) != 0)
        return 0;
    memcpy(&row, value, size);
    totals->files += row.files;
    totals->words += row.words;
    if (row.file >= totals->next)
        totals->next = row.file + 1;
    return 0;
}

static struct totals add_up(const struct board *board)
{
    struct totals totals = {.files = 0};

    if (proc_table_each(board->table, add_up_row, &totals) < 0)
        err(1, "proc_table_each");
    return totals;
}

static void enter(const struct board *board)
{
    int got = proc_lock_acquire(board->lock, -1);

    if (got < 0)
        err(1, "proc_lock_acquire");
    if (got == 2) {
        struct totals totals = add_up(board);

        set(board, files_done, totals.files);
        set(board, words_found, totals.words);
        set(board, next_file, totals.next);
        add(board, handed_on, 1);
    }
}

static void leave(const struct board *board)
{
    if (proc_lock_release(board->lock) < 0)
        err(1, "proc_lock_release");
}

/* ---- a worker ---- */

static int64_t words_in(const char *path)
{
    FILE *file = fopen(path, "r");
    int64_t words = 0;
    bool in_word = false;

    if (!file)
        return 0; /* one that we may not read has none */
    for (int byte; (byte = getc_unlocked(file)) != EOF; in_word = !isspace(byte))
        words += !in_word && !isspace(byte);
    fclose(file);
    return words;
}

/* With the lock. */
static void take_file(const struct board *board, struct row *row)
{
    row->file = add(board, next_file, 1) - 1;
    row->reads = row->file < file_count;
}

/* It may be one that has been taken by a worker that is dead now. */
static struct row begin(const struct worker *me, pid_t pid)
{
    enter(me->board);
    struct row row = get_row(me);
    row.pid = pid;
    row.is_dead = false;
    if (!row.reads)
        take_file(me->board, &row);
    put_row(me, &row);
    leave(me->board);
    return row;
}

static void finish(const struct worker *me, struct row *row, int64_t words)
{
    enter(me->board);
    row->reads = false;
    row->files++;
    row->words += words;
    put_row(me, row);
    if (row->file == file_count / 2)
        raise(SIGKILL); /* the row has it, the totals do not, and the lock is ours */
    add(me->board, files_done, 1);
    add(me->board, words_found, words);
    take_file(me->board, row);
    put_row(me, row);
    leave(me->board);
}

static int work(struct proc *self, void *arg)
{
    const struct worker *me = arg;
    struct row row = begin(me, proc_pid(self));

    while (row.reads) {
        int64_t words = words_in(files[row.file]);
        usleep((useconds_t)me->board->pause_ms * 1000);
        finish(me, &row, words);
    }
    return 0;
}

/* ---- the parent ---- */

static void start(struct worker *worker, struct proc_waiter *waiter)
{
    struct proc_options options = {.main = work, .arg = worker, .title = worker->name, .death_signal = SIGKILL};

    worker->proc = proc_spawn(&options);
    if (!worker->proc || proc_waiter_add(waiter, worker->proc, worker) < 0)
        err(1, "%s", worker->name);
}

static void draw_row(const struct worker *worker)
{
    struct row row = get_row(worker);
    const char *state = row.is_dead ? "dead" : row.reads ? "reads" : row.file < 0 ? "begins" : "done";
    const char *path = row.reads ? files[row.file] : "";
    const char *slash = strrchr(path, '/');

    printf("%-10s%7d  %-8s%7d%8" PRId64 "%12" PRId64 "  %.22s%s\n", worker->name, (int)row.pid, state, row.killed, row.files,
           row.words, slash ? slash + 1 : path, worker->board->is_on_terminal ? "\033[K" : "");
}

/* Without the lock: readers never wait. While the workers work, the totals may be a step behind the rows. */
static void draw(struct board *board)
{
    if (board->is_drawn && board->is_on_terminal)
        printf("\033[%dA", board->many + 2);
    board->is_drawn = true;
    printf("%17s  %-8s%7s%8s%12s  %s\n", "pid", "state", "killed", "files", "words", "file");
    for (int i = 0; i < board->many; i++)
        draw_row(&board->workers[i]);
    printf("%" PRId64 " of %" PRId64 " files, %" PRId64 " words; the lock was handed on: %" PRId64 "\n", get(board, files_done),
           file_count, get(board, words_found), get(board, handed_on));
    fflush(stdout);
}

static int note_death(void *value, size_t *size, void *arg)
{
    struct row *row = value;

    (void)size, (void)arg;
    row->is_dead = true;
    row->killed++;
    return 0;
}

/* A worker has ended: in order, or not. */
static void see_off(struct worker *worker, const struct proc_exit *exit, struct proc_waiter *waiter)
{
    char how[64];

    proc_free(worker->proc);
    if (proc_exit_ok(exit))
        return;
    if (exit->signal != SIGKILL)
        errx(1, "%s %s", worker->name, proc_exit_string(exit, how, sizeof how));
    if (proc_table_update(worker->board->table, worker->name, note_death, NULL) < 0)
        err(1, "%s", worker->name);
    draw(worker->board);
    start(worker, waiter);
}

static void watch(struct board *board)
{
    struct proc_waiter *waiter = proc_waiter_new(0);
    struct proc_event event;

    if (!waiter || proc_waiter_alarm(waiter, 0, board->is_on_terminal ? 100000 : 1000000, NULL) < 0)
        err(1, "waiter");
    for (int i = 0; i < board->many; i++)
        start(&board->workers[i], waiter);
    while (proc_waiter_children(waiter) > 0) {
        if (proc_waiter_next(waiter, &event, -1) < 0)
            err(1, "proc_waiter_next");
        if (event.type == PROC_EVENT_ALARM)
            draw(board);
        else
            see_off(event.data, &event.exit, waiter);
    }
    draw(board);
    proc_waiter_free(waiter);
}

/* ---- the beginning ---- */

/* For nftw(). */
static int add_file(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status, (void)place;
    if (type != FTW_F)
        return 0;
    files = realloc(files, (size_t)(file_count + 1) * sizeof *files);
    if (!files || !(files[file_count++] = strdup(path)))
        err(1, "memory");
    return 0;
}

static void find_files(const char *path)
{
    if (nftw(path, add_file, 16, FTW_PHYS) < 0)
        err(1, "%s", path);
}

static void open_board(struct board *board)
{
    static const struct row nothing_yet = {.file = -1};
    static const char *const counters[] = {files_done, words_found, next_file, handed_on};
    size_t counter_count = sizeof counters / sizeof counters[0];

    board->table = proc_table_open(PROC_PRIVATE, (size_t)board->many + counter_count, sizeof(struct row), 0, 0);
    board->lock = proc_lock_open(PROC_PRIVATE, 0, 0);
    if (!board->table || !board->lock)
        err(1, "table or lock");
    for (size_t i = 0; i < counter_count; i++)
        set(board, counters[i], 0);
    for (int i = 0; i < board->many; i++) {
        struct worker *worker = &board->workers[i];

        worker->board = board;
        snprintf(worker->name, sizeof worker->name, "worker %d", i + 1);
        put_row(worker, &nothing_yet);
    }
    board->is_on_terminal = isatty(STDOUT_FILENO);
}

int main(int argc, char **argv)
{
    struct board board = {.many = 4};

    for (int option; (option = getopt(argc, argv, "n:p:")) != -1;)
        switch (option) {
        case 'n': board.many = atoi(optarg); break;
        case 'p': board.pause_ms = atoi(optarg); break;
        default: return 1;
        }
    if (board.many < 1 || board.many > MOST_WORKERS || board.pause_ms < 0)
        errx(1, "usage: scoreboard [-n WORKERS] [-p MILLISECONDS] [FILE ...]");
    if (optind == argc)
        find_files("/usr/include");
    for (; optind < argc; optind++)
        find_files(argv[optind]);
    open_board(&board);
    watch(&board);
    struct totals totals = add_up(&board);
    if (totals.files != file_count || totals.files != get(&board, files_done) || totals.words != get(&board, words_found))
        errx(1, "the rows amount to %" PRId64 " files, %" PRId64 " words", totals.files, totals.words);
    proc_lock_close(board.lock);
    proc_table_close(board.table);
    return 0;
}
