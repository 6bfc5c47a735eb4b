/* The common frame of all suites. */
#include "harness.h"
#include "seam.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char directory[64];
static struct fd_set_all fds_before;
static char mask_before[64];
static char probe[PATH_MAX];
static pid_t runner; /* the process that the tests are forked from */
static const char *const sysv_kinds[] = {"msg", "sem", "shm"};
#define SYSV_KINDS 3
static long sysv_before[SYSV_KINDS];
static bool has_own_ipc;
static int files_before;

/* ---- what the kernel says ---- */

static int each_fd(void (*with)(int fd, void *context), void *context)
{
    DIR *listing = opendir("/proc/self/fd");
    int count = 0;

    ck_assert_ptr_nonnull(listing);
    for (struct dirent *entry; (entry = readdir(listing));) {
        int fd = atoi(entry->d_name);

        if (entry->d_name[0] == '.' || fd == dirfd(listing))
            continue;
        count++;
        if (with)
            with(fd, context);
    }
    closedir(listing);
    return count;
}

static void note(int fd, void *context)
{
    struct fd_set_all *set = context;

    if ((size_t)fd < sizeof set->open * 8)
        set->open[fd / 8] |= (unsigned char)(1 << fd % 8);
}

void fds_open(struct fd_set_all *set)
{
    memset(set, 0, sizeof *set);
    each_fd(note, set);
}

int fds_count(void)
{
    return each_fd(NULL, NULL);
}

bool fds_same(const struct fd_set_all *one, const struct fd_set_all *other)
{
    return memcmp(one, other, sizeof *one) == 0;
}

const char *status_of(pid_t pid, const char *field)
{
    static char line[512];
    char path[64];
    size_t length = strlen(field);
    const char *found = NULL;

    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return "";
    while (!found && fgets(line, sizeof line, file))
        if (strncmp(line, field, length) == 0 && line[length] == ':')
            found = line + length + 1 + strspn(line + length + 1, "\t ");
    fclose(file);
    line[strcspn(line, "\n")] = '\0';
    return found ? found : "";
}

/* ---- children ---- */

struct proc *must_spawn(struct proc_options options)
{
    struct proc *proc = proc_spawn(&options);

    ck_assert_msg(proc != NULL, "spawn failed at %s: %s", proc_spawn_step(), strerror(errno));
    return proc;
}

struct proc *must_spawn_shell(struct proc_options options, const char *script)
{
    options.argv = SHELL(script);
    return must_spawn(options);
}

struct proc_exit must_end(struct proc *proc)
{
    struct proc_exit exit;

    ck_assert_int_eq(proc_wait(proc, &exit, 60000), 1);
    proc_free(proc);
    return exit;
}

void must_not_spawn(struct proc_options options, int failure, const char *step)
{
    struct proc *proc;

    errno = 0;
    proc = proc_spawn(&options);
    int saved = errno;
    ck_assert_ptr_null(proc);
    ck_assert_msg(saved == failure, "errno is %s, not %s", strerror(saved), strerror(failure));
    ck_assert_str_eq(proc_spawn_step(), step);
}

const char *output_of(struct proc_options options)
{
    static char text[65536];
    struct proc_output output = {.limit = sizeof text - 1};
    int result = proc_run(&options, NULL, 0, &output, 60000);

    ck_assert_msg(result == 1, "run: %d at %s: %s", result, proc_spawn_step(), strerror(errno));
    ck_assert_msg(proc_exit_ok(&output.exit), "code %d signal %d: %s", output.exit.code, output.exit.signal, output.err);
    memcpy(text, output.out, output.out_size + 1);
    proc_output_free(&output);
    return text;
}

const char *output_of_shell(struct proc_options options, const char *script)
{
    options.argv = SHELL(script);
    return output_of(options);
}

/* ---- files ---- */

const char *temporary(const char *name)
{
    static char paths[8][PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % 8];

    if (!directory[0]) {
        strcpy(directory, "/tmp/libproc-test-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(directory));
        ck_assert_int_eq(chmod(directory, 0755), 0);
    }
    snprintf(path, PATH_MAX, "%s%s%s", directory, *name ? "/" : "", name);
    return path;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)status, (void)type, (void)where;
    return remove(path);
}

static void remove_temporary(void)
{
    if (directory[0])
        nftw(directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    directory[0] = '\0';
}

const char *contents_of(const char *path)
{
    static char text[65536];
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    ck_assert_msg(fd >= 0, "%s: %s", path, strerror(errno));
    ssize_t size = read(fd, text, sizeof text - 1);
    close(fd);
    ck_assert_int_ge(size, 0);
    text[size] = '\0';
    return text;
}

static key_t key_number(unsigned count)
{
    return (key_t)(((unsigned)runner & 0x3fffff) << 8 | (count & 0xff)) + 0x40000000;
}

int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

/* ---- interruptions ---- */

static pthread_t interrupter, interrupted;
static atomic_bool interruptions_end;

static void on_interruption(int signo)
{
    (void)signo;
}

static void *interrupt(void *unused)
{
    (void)unused;
    while (!interruptions_end) {
        struct timespec moment = {.tv_nsec = 1000000};

        pthread_kill(interrupted, SIGUSR1);
        nanosleep(&moment, NULL);
    }
    return NULL;
}

void interrupt_begin(void)
{
    struct sigaction action = {.sa_handler = on_interruption};

    interrupted = pthread_self();
    interruptions_end = false;
    ck_assert_int_eq(sigaction(SIGUSR1, &action, NULL), 0);
    ck_assert_int_eq(pthread_create(&interrupter, NULL, interrupt, NULL), 0);
}

void interrupt_end(void)
{
    interruptions_end = true;
    pthread_join(interrupter, NULL);
}

/* ---- others ---- */

struct proc *php(const char *script)
{
    static const char *const places[] = {"/usr/bin/php", "/usr/local/bin/php"};

    for (int i = 0; i < 2; i++)
        if (access(places[i], X_OK) == 0)
            return must_spawn((struct proc_options){
                .argv = (const char *const[]){places[i], "-r", script, NULL}, .in = PROC_PIPE, .out = PROC_PIPE});
    return NULL;
}

key_t fresh_key(void)
{
    static unsigned count;

    return key_number(++count);
}

/* What tests that failed have left. */
static void remove_sysv_objects(void)
{
    for (unsigned count = 0; count < 256; count++) {
        semctl(semget(key_number(count), 0, 0), 0, IPC_RMID);
        shmctl(shmget(key_number(count), 0, 0), IPC_RMID, NULL);
        msgctl(msgget(key_number(count), 0), IPC_RMID, NULL);
    }
}

const char *probe_path(void)
{
    return probe;
}

bool no_pidfds(void)
{
    if (seam_is_off("pidfd"))
        return true;
    int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    if (fd >= 0)
        close(fd);
    return fd < 0;
}

bool runs_in_valgrind(void)
{
    return getenv("VALGRIND") != NULL;
}

bool runs_instrumented(void)
{
    const char *sanitizers = getenv("SAN");

    return runs_in_valgrind() || (sanitizers && *sanitizers);
}

bool runs_without_a_feature(void)
{
    const char *feature = getenv("OFF");

    return feature && *feature;
}

bool runs_shortened(void)
{
    return runs_instrumented() || runs_without_a_feature();
}

void skip(const char *why)
{
    printf("skipped: %s\n", why);
    fflush(stdout);
}

/* ---- the frame ---- */

/* The System V objects that there are: of each kind, the sum of the ids of those that are ours. */
static long sysv_objects(const char *kind)
{
    char path[64], line[512];
    long key, id, sum = 0;

    snprintf(path, sizeof path, "/proc/sysvipc/%s", kind);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "%ld %ld", &key, &id) == 2)
            sum += id + 1;
    if (file)
        fclose(file);
    return sum;
}

int files_of_queues(void)
{
    struct stat status;
    char start[64];
    int count = 0;
    DIR *listing = opendir("/dev/shm");

    if (!has_own_ipc || !listing || stat("/proc/self/ns/ipc", &status) < 0)
        return 0;
    snprintf(start, sizeof start, "libproc-%llx-", (unsigned long long)status.st_ino);
    for (struct dirent *entry; (entry = readdir(listing));)
        count += strncmp(entry->d_name, start, strlen(start)) == 0;
    closedir(listing);
    return count;
}

static const char *mask_now(void)
{
    return status_of(getpid(), "SigBlk");
}

static void before(void)
{
    fds_open(&fds_before);
    strcpy(mask_before, mask_now());
    for (int i = 0; i < SYSV_KINDS; i++)
        sysv_before[i] = sysv_objects(sysv_kinds[i]);
    files_before = files_of_queues();
}

static void after(void)
{
    struct fd_set_all fds_after;

    remove_temporary();
    fds_open(&fds_after);
    for (int fd = 0; fd < 32768; fd++)
        if ((fds_before.open[fd / 8] ^ fds_after.open[fd / 8]) & (1 << fd % 8))
            ck_abort_msg("descriptor %d was %s", fd, fds_after.open[fd / 8] & (1 << fd % 8) ? "left open" : "closed");
    int child = waitpid(-1, NULL, WNOHANG | __WALL);
    ck_assert_msg(child < 0 && errno == ECHILD, "a child was left behind: %d", child);
    ck_assert_str_eq(mask_now(), mask_before);
    for (int i = 0; i < SYSV_KINDS; i++)
        ck_assert_msg(sysv_objects(sysv_kinds[i]) == sysv_before[i], "a System V object was left behind: see ipcs (%s)",
                      sysv_kinds[i]);
    ck_assert_msg(files_of_queues() <= files_before, "a queue's file was left behind in /dev/shm");
}

TCase *tcase_checked(Suite *suite, const char *name)
{
    TCase *tcase = tcase_create(name);

    tcase_add_checked_fixture(tcase, before, after);
    tcase_set_timeout(tcase, runs_instrumented() ? 300 : 60);
    suite_add_tcase(suite, tcase);
    return tcase;
}

int main(int argc, char **argv)
{
    char self[PATH_MAX];

    (void)argc;
    if (!realpath(argv[0], self))
        return 1;
    snprintf(probe, sizeof probe, "%.*s/probe", (int)(strrchr(self, '/') - self), self);
    runner = getpid();
    /* Other people's System V objects come and go. Without the privilege to have a world of our own we live with that. */
    has_own_ipc = unshare(CLONE_NEWIPC) == 0;
    SRunner *suites = srunner_create(suite_make());
    srunner_run_all(suites, CK_ENV);
    int failed = srunner_ntests_failed(suites);
    srunner_free(suites);
    remove_sysv_objects();
    return failed ? 1 : 0;
}
