/* Hearing of the ends of many children: the library in each of its modes, beside what a program does without it, and the
 * loops of other libraries. The time of an exit goes from the kill to the event, for a child that is reaped and let go of:
 * the child's own death is in it, and is the same for all. Of the waiter's processor time it is no part.
 *
 *     wait LASTING
 *
 * Every candidate is a process of its own, anew in each pass, since some are lucky with their memory. Those that are held
 * against each other live side by side and take turns of a few exits, since the machine is faster in one tenth of a second
 * than in the next. All at once would need more process ids than there are.
 *
 * What the kernel knows of thousands of children fits into no cache, and which of them ends is random: beside few children, each
 * death takes longer by itself, as the loop without the library shows. */
#include "bench.h"
#include "peer.h"
#include "rounds.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define PASSES 4
#define TURNS 30    /* of one at a time, in each pass */
#define EXITS 20    /* in each turn */
#define WARM_UP 100 /* not counted: the first exits after thousands of starts take longer */
#define SLOW_EVERY 6 /* turns, for slow ones */
#define FEW 10
#define IDLE_CHILDREN 1000
#define IDLE_MS 1000

#define CHILD_KIB 64
#define SPARE_PIDS 1000
#define SPARE_DESCRIPTORS 64

enum { ONE_CLOCK, ONE_PROCESSOR, ALL_CLOCK, ALL_PROCESSOR, MEASURES };

struct side {
    const char *name;
    const char *const *argv;
    unsigned children;
    bool slow; /* and held against no goal: only in the first pass, and there in a few turns */
    const char *left_out;
    struct series series[MEASURES]; /* microseconds */
    struct proc *process;
};

/* Those of one group take turns. */
enum {
    PIDFD_FEW, BARE_PIDFD_FEW, PIDFD, BARE_PIDFD, /* with few children beside many */
    SIGNALFD, BARE_SIGNALFD, UNHELD,
    UV, EV, GLIB, SIDES
};

/* ---- what there is room for ---- */

static unsigned long number_in(const char *path, const char *format)
{
    FILE *file = fopen(path, "re");
    unsigned long number = 0;

    if (!file || fscanf(file, format, &number) != 1)
        warnx("%s: cannot be read", path);
    if (file)
        fclose(file);
    return number;
}

static unsigned long hard_limit(int resource)
{
    struct rlimit limit;

    getrlimit(resource, &limit);
    return limit.rlim_max;
}

static unsigned long room_for_children(void)
{
    unsigned long used = number_in("/proc/loadavg", "%*s %*s %*s %*[0-9]/%lu") + SPARE_PIDS;
    unsigned long most = number_in("/proc/sys/kernel/pid_max", "%lu");
    unsigned long fit = bench_available_mib() / 2 * 1024 / CHILD_KIB;

    if (most > number_in("/proc/sys/kernel/threads-max", "%lu"))
        most = number_in("/proc/sys/kernel/threads-max", "%lu");
    if (geteuid() != 0 && most > hard_limit(RLIMIT_NPROC))
        most = hard_limit(RLIMIT_NPROC);
    most = most > used ? most - used : 0;
    return fit < most ? fit : most;
}

/* ---- one pass ---- */

static bool failed;

static bool ask(struct side *side, const char *what, unsigned number, double *one, double *other)
{
    const char *answer = peer_ask(side->process, "%s %u", what, number);

    if (answer && sscanf(answer, "%lf %lf", one, other) == 2)
        return true;
    side->left_out = "failed";
    failed = true;
    return false;
}

static void measure(struct side *side, const char *what, unsigned number, int measures, unsigned place)
{
    double clock, processor;

    if (side->left_out || !ask(side, what, number, &clock, &processor))
        return;
    side->series[measures].values[place] = clock / 1e3;
    side->series[measures + 1].values[place] = processor / 1e3;
}

static void hold(struct side *side)
{
    double unused;

    if (!side->left_out)
        ask(side, "hold", side->children, &unused, &unused);
}

static void begin(struct side *side)
{
    double unused;

    if (side->left_out)
        return;
    side->process = peer_start(side->argv);
    if (!side->process && !side->slow)
        errx(1, "%s: cannot run", side->argv[0]);
    if (!side->process)
        side->left_out = "absent";
    hold(side);
    if (!side->left_out && !side->slow)
        ask(side, "one", WARM_UP, &unused, &unused);
}

static void take_turns(struct side *sides, size_t count, unsigned pass, unsigned times)
{
    size_t order[SIDES];

    for (size_t i = 0; i < count; i++)
        begin(&sides[i]);
    for (unsigned turn = 0; turn < TURNS; turn++) {
        bench_shuffle(order, count);
        for (size_t i = 0; i < count; i++)
            if (!sides[order[i]].slow || turn % SLOW_EVERY == 0)
                measure(&sides[order[i]], "one", EXITS, ONE_CLOCK, pass * TURNS + turn);
    }
    for (unsigned time = 0; time < times; time++) {
        for (size_t i = 0; i < count; i++)
            hold(&sides[i]);
        bench_shuffle(order, count);
        for (size_t i = 0; i < count; i++)
            measure(&sides[order[i]], "all", 0, ALL_CLOCK, pass * times + time);
    }
    for (size_t i = 0; i < count; i++) {
        proc_free(sides[i].process);
        sides[i].process = NULL;
    }
}

/* As many as fit at once. */
static void run_group(struct side *sides, size_t count, unsigned pass, unsigned times, unsigned long room)
{
    for (size_t first = 0, end; first < count; first = end) {
        unsigned long used = 0;

        for (end = first; end < count && used + sides[end].children <= room; end++)
            used += sides[end].children;
        if (end == first)
            sides[end++].left_out = "process ids, or memory";
        take_turns(&sides[first], end - first, pass, times);
    }
}

/* ---- the report ---- */

static void print_side(const struct side *side, const struct series *clock, const struct series *processor)
{
    if (side->left_out)
        printf("   %-42s left out: %s\n", side->name, side->left_out);
    else
        printf("   %-42s %10.2f %10.2f %10.2f %10.2f\n", side->name, series_quantile(clock, 0.5), series_quantile(clock, 0.1),
               series_quantile(clock, 0.9), series_quantile(processor, 0.5));
}

/* Goals are for the clock. */
static void print_ratio(const struct side *sides, int one, int other, int measure, struct goal goal)
{
    struct series ours = sides[one].series[measure], theirs = sides[other].series[measure];

    ours.left_out = sides[one].left_out;
    theirs.left_out = sides[other].left_out;
    bench_print_ratio(&ours, &theirs, goal);
}

static void print_shape(const struct side *sides, int clock)
{
    bool many = sides[PIDFD].children > FEW;
    struct goal bare = many ? GOAL_AT_MOST(1.1) : GOAL_NONE;
    struct goal few = sides[PIDFD].children == 8000 && clock == ONE_CLOCK ? GOAL_AT_MOST(1.2) : GOAL_NONE;

    printf("   %-42s %10s %10s %10s %10s\n", "microseconds for each", "median", "10 %", "90 %", "processor");
    for (int i = many ? PIDFD_FEW : PIDFD; i < SIDES; i++)
        print_side(&sides[i], &sides[i].series[clock], &sides[i].series[clock + 1]);
    print_ratio(sides, PIDFD, BARE_PIDFD, clock, bare);
    print_ratio(sides, SIGNALFD, BARE_SIGNALFD, clock, bare);
    print_ratio(sides, UNHELD, BARE_SIGNALFD, clock, GOAL_NONE);
    if (many) {
        print_ratio(sides, PIDFD, PIDFD_FEW, clock, few);
        print_ratio(sides, BARE_PIDFD, BARE_PIDFD_FEW, clock, GOAL_NONE);
    }
    print_ratio(sides, PIDFD, BARE_SIGNALFD, clock, GOAL_NONE);
    for (int i = UV; i < SIDES; i++)
        print_ratio(sides, PIDFD, i, clock, GOAL_NONE);
    bench_note("of the waiter's own processor time:");
    print_ratio(sides, PIDFD, BARE_PIDFD, clock + 1, GOAL_NONE);
    print_ratio(sides, SIGNALFD, BARE_SIGNALFD, clock + 1, GOAL_NONE);
    print_ratio(sides, UNHELD, BARE_SIGNALFD, clock + 1, GOAL_NONE);
}

static void print(const struct side *sides)
{
    unsigned children = sides[PIDFD].children;

    bench_title("%u live children, which end one at a time: from the kill to its event", children);
    print_shape(sides, ONE_CLOCK);
    bench_title("%u live children, which end all at once", children);
    print_shape(sides, ALL_CLOCK);
}

/* ---- numbers of children ---- */

struct size {
    unsigned children;
    unsigned times; /* all at once, in each pass */
    struct side sides[SIDES];
};

static void set_up(struct size *size, unsigned passes, const struct side *sides)
{
    unsigned long descriptors = hard_limit(RLIMIT_NOFILE);

    for (int i = 0; i < SIDES; i++) {
        struct side *side = &size->sides[i];

        *side = sides[i];
        if (side->children == 0)
            side->children = size->children;
        if ((i == PIDFD || i == BARE_PIDFD || i == GLIB) && descriptors < side->children + SPARE_DESCRIPTORS)
            side->left_out = "descriptors";
        for (int measure = 0; measure < MEASURES; measure++)
            series_make(&side->series[measure], side->name, passes * (measure < ALL_CLOCK ? TURNS : size->times));
    }
    if (descriptors / 2 < size->children)
        bench_note("no descriptors for all of %u in half of the table: %s searches for the rest", size->children,
                   sides[SIGNALFD].name);
}

static void run_pass(struct size *size, unsigned pass, unsigned long room)
{
    int first = size->children > FEW ? PIDFD_FEW : PIDFD;

    run_group(&size->sides[first], (size_t)(SIGNALFD - first), pass, size->times, room);
    run_group(&size->sides[SIGNALFD], (size_t)((pass % 2 == 0 ? UV : UNHELD) - SIGNALFD), pass, size->times, room);
    if (pass == 0)
        run_group(&size->sides[UV], SIDES - UV, pass, size->times, room);
}

static void release(struct size *size)
{
    for (int i = 0; i < SIDES; i++)
        for (int measure = 0; measure < MEASURES; measure++)
            series_release(&size->sides[i].series[measure]);
}

static void compare(const struct side *sides, unsigned passes)
{
    struct size sizes[] = {{.children = FEW, .times = 30}, {1000, .times = 4}, {4000, .times = 1}, {8000, .times = 1}};
    unsigned long room = room_for_children();

    for (size_t i = 0; i < BENCH_COUNT(sizes); i++)
        set_up(&sizes[i], passes, sides);
    for (unsigned pass = 0; pass < passes; pass++)
        for (size_t i = 0; i < BENCH_COUNT(sizes); i++)
            run_pass(&sizes[i], pass, room);
    for (size_t i = 0; i < BENCH_COUNT(sizes); i++) {
        print(sizes[i].sides);
        release(&sizes[i]);
    }
}

/* ---- waiting for nothing ---- */

static void be_idle(struct side *side)
{
    double processor_ns, switches;

    side->children = IDLE_CHILDREN;
    side->left_out = NULL;
    side->slow = true;
    begin(side);
    if (!side->left_out && ask(side, "idle", IDLE_MS, &processor_ns, &switches)) {
        bench_note("%-42s %10.1f microseconds of processor time", side->name, processor_ns / 1e3);
        bench_print_number("how often it slept", switches, GOAL_AT_MOST(1));
    }
    proc_free(side->process);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        errx(2, "usage: wait LASTING");
    if (access(argv[1], X_OK) < 0)
        err(1, "%s", argv[1]);
    struct side sides[SIDES] = {
        [PIDFD_FEW] = {.name = "libproc, pidfds, 10 live", .argv = PEER("wait_libproc", argv[1], "pidfd"), .children = FEW},
        [BARE_PIDFD_FEW] = {.name = "bare pidfds, 10 live", .argv = PEER("wait_bare", argv[1], "pidfd"), .children = FEW},
        [PIDFD] = {.name = "libproc, pidfds", .argv = PEER("wait_libproc", argv[1], "pidfd")},
        [BARE_PIDFD] = {.name = "bare pidfds", .argv = PEER("wait_bare", argv[1], "pidfd")},
        [SIGNALFD] = {.name = "libproc, signalfd", .argv = PEER("wait_libproc", argv[1], "signalfd")},
        [BARE_SIGNALFD] = {.name = "bare signalfd", .argv = PEER("wait_bare", argv[1], "signalfd")},
        [UNHELD] = {.name = "libproc, few descriptors", .argv = PEER("wait_libproc", argv[1], "few")},
        [UV] = {.name = "libuv", .argv = PEER("wait_uv", argv[1]), .slow = true},
        [EV] = {.name = "libev", .argv = PEER("wait_ev", argv[1]), .slow = true},
        [GLIB] = {.name = "GLib", .argv = PEER("wait_glib", argv[1]), .slow = true},
    };

    stay_on_one_processor();
    compare(sides, bench_setting("BENCH_WAIT_PASSES", PASSES));
    bench_title("a second without an event: %u children, three routed signals, a far alarm", IDLE_CHILDREN);
    be_idle(&sides[PIDFD]);
    be_idle(&sides[SIGNALFD]);
    be_idle(&sides[UNHELD]);
    return failed;
}
