/* What the suites of daemons share: a command that starts one, a gate at which a daemon waits, and facts in shared memory. The
 * command of a test is a callback child; the test is its daemon's new parent, and reaps it. */
#ifndef TESTS_DAEMONS_H
#define TESTS_DAEMONS_H

#include "harness.h"
#include "seam.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define DAEMON_PATIENCE_MS 20000 /* for what happens at once, on a busy machine */

/* What the daemon and its command tell the test. */
static struct facts {
    pid_t daemon, parent, session, group, child;
    int failure, result, second;
    mode_t umask;
    char cwd[PATH_MAX], streams[3][PATH_MAX], blocked[32];
    int queue;
    bool inside;
} *facts;

static char path[PATH_MAX];        /* of the pidfile */
static int gate[2];                /* a byte lets a daemon go on that waits */
static struct proc_output output;  /* what the command has printed */

struct start {
    struct proc_daemon_options options;
    void (*before)(void);
    void (*life)(void);
};

static inline void be_ready(void)
{
    facts->result = proc_daemon_ready();
}

static inline int command(struct proc *self, void *argument)
{
    const struct start *start = argument;

    (void)self;
    close(gate[1]); /* so that a daemon that waits goes when the test does */
    if (start->before)
        start->before();
    if (proc_daemon(&start->options) < 0) {
        facts->failure = errno;
        return 99;
    }
    facts->daemon = getpid();
    (start->life ? start->life : be_ready)();
    return 0;
}

static inline struct proc *begin(struct start *start)
{
    return must_spawn((struct proc_options){.main = command, .arg = start, .out = PROC_PIPE, .err = PROC_PIPE});
}

/* How the command ended. */
static inline int end_of(struct proc *proc)
{
    proc_output_free(&output);
    output = (struct proc_output){0};
    ck_assert_int_eq(proc_communicate(proc, NULL, 0, &output, 60000), 1);
    proc_free(proc);
    return output.exit.signal ? -output.exit.signal : output.exit.code;
}

static inline int run(struct start start)
{
    return end_of(begin(&start));
}

static inline void let_go(void)
{
    ck_assert_int_eq(write(gate[1], "", 1), 1);
}

static inline void wait_for_gate(void)
{
    char byte;

    while (read(gate[0], &byte, 1) < 0 && errno == EINTR)
        ;
}

static inline void be_ready_and_wait(void)
{
    be_ready();
    wait_for_gate();
}

static inline bool soon(bool (*what)(void))
{
    for (int64_t end = now_ms() + DAEMON_PATIENCE_MS; now_ms() < end; usleep(1000))
        if (what())
            return true;
    return what();
}

/* The daemon's, which the kernel gives us when its keeper has gone. */
static inline int end_of_daemon(void)
{
    int status = -1;

    ck_assert_int_ne(facts->daemon, 0);
    int64_t end = now_ms() + DAEMON_PATIENCE_MS;
    while (waitpid(facts->daemon, &status, 0) != facts->daemon && now_ms() < end)
        usleep(1000);
    ck_assert_int_ne(status, -1);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static inline void all_orphans_end(void)
{
    while (waitpid(-1, NULL, 0) > 0)
        ;
    ck_assert_int_eq(errno, ECHILD);
}

/* In the temporary directory. */
static inline int files(void)
{
    DIR *listing = opendir(temporary(""));
    int count = 0;

    ck_assert_ptr_nonnull(listing);
    for (struct dirent *entry; (entry = readdir(listing));)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(listing);
    return count;
}

static inline bool daemon_exists(void)
{
    return facts->daemon != 0;
}

static inline void write_file(const char *name, const char *text)
{
    FILE *file = fopen(name, "we");

    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

static inline void check_refusal(struct proc_daemon_options options, int failure)
{
    ck_assert_int_eq(proc_daemon(&options), -1);
    ck_assert_msg(errno == failure, "%s", strerror(errno));
}

/* One that lives until it is let go. */
static inline void start_with_pidfile(void)
{
    facts->daemon = 0;
    ck_assert_int_eq(run((struct start){.options.pidfile = path, .life = be_ready_and_wait}), 0);
}

static inline void daemons_begin(void)
{
    facts = mmap(NULL, sizeof *facts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert(facts != MAP_FAILED);
    ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    snprintf(path, sizeof path, "%s", temporary("pid"));
    ck_assert_int_eq(pipe2(gate, O_CLOEXEC), 0);
}

static inline void daemons_end(void)
{
    all_orphans_end();
    proc_output_free(&output);
    close(gate[0]);
    close(gate[1]);
}

static inline TCase *tcase_daemons(Suite *suite, const char *name)
{
    TCase *tcase = tcase_checked(suite, name);

    tcase_add_checked_fixture(tcase, daemons_begin, daemons_end);
    tcase_set_timeout(tcase, 120);
    return tcase;
}

#endif
