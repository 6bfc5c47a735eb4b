/* Tables whose users are stopped, or killed, after each single instruction. */
#include "table_index.h"
#include "tables.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

/* ---- one instruction after the other ---- */

#if defined(__has_feature)
#define HAS_FEATURE(x) __has_feature(x)
#else
#define HAS_FEATURE(x) 0
#endif

#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__) && !HAS_FEATURE(thread_sanitizer)

/* A process that goes step by step: after each instruction comes SIGTRAP, whose handler stops it where it is told to. */
#define POINTS 400
#define ACTIONS 14
#define REFUSES 9
#define EACH 13
#define ACTORS 2

struct actor {
    _Atomic long stops_at; /* after so many steps; 0: goes at full speed */
    _Atomic bool has_ended;
    _Atomic long result;
    pid_t pid; /* 0: reaped */
};

static struct stage {
    struct actor actors[ACTORS];
    long steps, points[POINTS]; /* after which something in the table has changed */
    int npoints;
} *stage;

static struct actor *me;
static long steps;
static const unsigned char *view; /* the table's memory, to see what changes; only for the one who notes it */
static size_t view_size;
static unsigned char *seen;

static void note_point(void)
{
    if (memcmp(view, seen, view_size) == 0 || stage->npoints == POINTS)
        return;
    memcpy(seen, view, view_size);
    stage->points[stage->npoints++] = steps;
}

static void after_step(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info;
    steps++;
    if (seen)
        note_point();
    if (steps == me->stops_at)
        raise(SIGSTOP);
    if (!seen && steps >= me->stops_at) /* at full speed from here on */
        ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~0x100;
}

static void begin_steps(void)
{
    struct sigaction action = {.sa_sigaction = after_step, .sa_flags = SA_SIGINFO};

    sigaction(SIGTRAP, &action, NULL);
    __asm__ volatile("lea -128(%%rsp), %%rsp\n pushfq\n orq $0x100, (%%rsp)\n popfq\n lea 128(%%rsp), %%rsp" ::: "memory", "cc");
}

static void end_steps(void)
{
    __asm__ volatile("lea -128(%%rsp), %%rsp\n pushfq\n andq $~0x100, (%%rsp)\n popfq\n lea 128(%%rsp), %%rsp" ::
                         : "memory", "cc");
}

/* Names that want the same place in the index: to take one away moves the others. */
static char rivals[5][16];

static void find_rivals(void)
{
    uint32_t mask = (uint32_t)table_index_entries(4) - 1;

    for (unsigned found = 0, i = 0; found < 5; i++) {
        snprintf(rivals[found], sizeof rivals[found], "rival %u", i);
        found += (hash_of(rivals[found]) & mask) == mask;
    }
}

static long outcome(long result)
{
    return result < 0 ? -errno : result;
}

static int grow_by_one(void *value, size_t *size, void *arg)
{
    if (*size == 16)
        return -ENOBUFS;
    (void)arg;
    ((char *)value)[(*size)++] = '+';
    return 0;
}

static int refuse(void *value, size_t *size, void *arg)
{
    (void)arg;
    memset(value, '?', 16);
    *size = 16;
    return 77;
}

static long both(long one, long another)
{
    return (long)((unsigned long)one * 1000003 + (unsigned long)another);
}

static long checksum(long sum, const void *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        sum = (sum * 31 + ((const unsigned char *)data)[i]) & 0xffffffff;
    return sum + (long)size;
}

static long get_sum(const char *name)
{
    char value[16];
    ssize_t size = proc_table_get(table, name, value, sizeof value);

    return size < 0 ? -errno : checksum(1, value, (size_t)size);
}

/* Who is about to make a row has room for it already: so it is while there is this one. */
#define PLACEHOLDER "place"

static int sum_up(const char *name, const void *value, size_t size, void *sum)
{
    if (strcmp(name, PLACEHOLDER) != 0)
        *(long *)sum += checksum(checksum(1, name, strlen(name)), value, size);
    return 0;
}

static long each_sum(void)
{
    long sum = 0;

    return proc_table_each(table, sum_up, &sum) < 0 ? -errno : sum;
}

static long act(int action)
{
    switch (action) {
    case 0:
        return outcome(proc_table_put(table, rivals[0], "a longer value", 14));
    case 1:
        return outcome(proc_table_put(table, rivals[3], "new", 3));
    case 2:
        return outcome(proc_table_delete(table, rivals[0]));
    case 3:
        return outcome(proc_table_delete(table, rivals[1]));
    case 4:
        return outcome(proc_table_delete(table, rivals[3]));
    case 5:
        return outcome(proc_table_add(table, rivals[1], 1));
    case 6:
        return outcome(proc_table_add(table, rivals[4], 5));
    case 7:
        return outcome(proc_table_update(table, rivals[0], grow_by_one, NULL));
    case 8:
        return outcome(proc_table_update(table, rivals[3], grow_by_one, NULL));
    case REFUSES:
        return outcome(proc_table_update(table, rivals[4], refuse, NULL));
    case 10:
        return outcome(proc_table_put(table, rivals[0], "b", 1));
    case 11: /* from here on: readers */
        return get_sum(rivals[0]);
    case 12:
        return get_sum(rivals[2]) * 2 + proc_table_has(table, rivals[1]);
    default: /* EACH */
        return each_sum();
    }
}

/* Where a story begins: with room, with room that was used before, and with none. */
static void begin_story(int start, key_t key)
{
    table = must_create(key, start == 2 ? 3 : 4, 16);
    for (int i = start == 1 ? 3 : 0; i >= 0; i--)
        proc_table_add(table, rivals[i], 7);
    if (start == 0)
        for (int i = 1; i < 3; i++)
            proc_table_add(table, rivals[i], 7);
    if (start == 1)
        proc_table_delete(table, rivals[3]);
    if (start == 2)
        for (int i = 1; i < 3; i++)
            proc_table_add(table, rivals[i], 7);
    must_put(rivals[0], "first");
    must_put(rivals[2], "third");
}

static void end_story(void)
{
    proc_table_remove(table);
    proc_table_close(table);
}

static int note_contents(const char *name, const void *value, size_t size, void *text)
{
    char *end = (char *)text + strlen(text);

    end += sprintf(end, " %s=", name + 6);
    for (size_t i = 0; i < size; i++)
        end += sprintf(end, "%c", ((const char *)value)[i] >= ' ' ? ((const char *)value)[i] : '0' + ((const char *)value)[i]);
    return 0;
}

/* What is in the table, in the order of the names. */
static const char *contents(void)
{
    static char text[512];
    char rest[512] = "";

    text[0] = '\0';
    for (int i = 0; i < 5; i++) {
        char value[16];
        ssize_t size = proc_table_get(table, rivals[i], value, sizeof value);

        if (size >= 0)
            note_contents(rivals[i], value, (size_t)size, text);
    }
    ck_assert_int_eq(proc_table_each(table, note_contents, rest), 0);
    ck_assert_uint_eq(strlen(rest), strlen(text));
    return text;
}

/* One process does `first`; when it has come so far, another does the `then`. What is killed is killed. */
struct story {
    int start, first, then[4], nthen;
    long stops_at, leaves_at; /* of the first; in between comes the other one */
    long other_stops_at;
    bool is_killed, other_is_killed;
    bool then_fill; /* what is left, without a look for the names that may be there */
};

static void start_actor(int number, const int *actions, int nactions)
{
    long result = 0;

    me = &stage->actors[number];
    steps = 0;
    me->has_ended = false;
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid > 0) {
        me->pid = pid;
        return;
    }
    if (me->stops_at)
        begin_steps();
    for (int i = 0; i < nactions; i++)
        result = both(result, act(actions[i]));
    if (me->stops_at)
        end_steps();
    me->result = result;
    stage->steps = steps;
    me->has_ended = true;
    _exit(0);
}

/* Until it stops or ends: whether it did. */
static bool wait_for_actor(struct actor *actor, int flags)
{
    int status, pid = actor->pid ? waitpid(actor->pid, &status, WUNTRACED | flags) : 0;

    if (pid == 0)
        return actor->pid == 0;
    ck_assert_int_eq(pid, actor->pid);
    if (!WIFSTOPPED(status))
        actor->pid = 0;
    ck_assert_msg(WIFSTOPPED(status) || (WIFEXITED(status) && WEXITSTATUS(status) == 0) || WIFSIGNALED(status), "%x", status);
    return true;
}

static bool is_asleep(pid_t pid)
{
    return strncmp(status_of(pid, "State"), "S", 1) == 0;
}

/* Until it stops or ends, or waits for somebody. */
static void wait_unless_asleep(struct actor *actor)
{
    for (int i = 1; !wait_for_actor(actor, WNOHANG); i++) {
        if (i % 100 == 0 && is_asleep(actor->pid))
            return;
        sched_yield();
    }
}

static void end_actor(struct actor *actor, bool is_killed)
{
    if (actor->pid)
        kill(actor->pid, is_killed ? SIGKILL : SIGCONT);
    while (actor->pid)
        wait_for_actor(actor, 0);
    ck_assert(is_killed || actor->has_ended);
}

static void play(const struct story *story)
{
    struct actor *one = &stage->actors[0], *another = &stage->actors[1];
    bool die_together = rand() % 2;

    one->stops_at = story->stops_at;
    another->stops_at = story->other_stops_at;
    start_actor(0, &story->first, 1);
    wait_for_actor(one, 0);
    start_actor(1, story->then, story->nthen);
    wait_unless_asleep(another);
    if (story->other_is_killed && !die_together)
        end_actor(another, true);
    if (one->pid && story->is_killed && story->leaves_at > story->stops_at) {
        one->stops_at = story->leaves_at;
        kill(one->pid, SIGCONT);
        wait_unless_asleep(one);
    }
    end_actor(one, story->is_killed);
    end_actor(another, story->other_is_killed);
}

static bool has_happened(const struct story *story, long first, long then, const char *found)
{
    const struct actor *one = &stage->actors[0], *another = &stage->actors[1];

    return ((story->is_killed && !one->has_ended) || first == one->result) &&
           ((story->other_is_killed && !another->has_ended) || then == another->result) && strcmp(contents(), found) == 0;
}

/* A row that is deleted is gone at once; its room is had by others a moment later. */
static bool is_delete(int action)
{
    return action >= 2 && action <= 4;
}

/* It had the room for a row before it made it, and was killed or refused before it did; or still had it after a delete. */
static bool may_have_held_room(const struct story *story, key_t key, int n, const char *found)
{
    bool may = false, frees = is_delete(story->first);

    for (int from = 0; from <= n && !may; from++)
        for (int to = from + 1; to <= n + 1 && !may; to++)
            for (int makes_it = !story->is_killed; makes_it < 2 && !may; makes_it++) {
                long first = 0, then = 0;

                begin_story(story->start, key);
                for (int i = 0; i < n + 2; i++) {
                    if (i == from && frees && makes_it)
                        first = act(story->first);
                    if (i == from)
                        proc_table_put(table, PLACEHOLDER, "", 0);
                    if (i == to)
                        proc_table_delete(table, PLACEHOLDER);
                    if (i == to && !frees && makes_it)
                        first = act(story->first);
                    if (i < n)
                        then = both(then, act(story->then[i]));
                }
                may = has_happened(story, first, then, found);
                end_story();
            }
    return may;
}

/* The first did it before, between or after the other's; and who was killed may not have done it. */
static bool may_have_been(const struct story *story, key_t key, const char *found)
{
    bool may = false;

    for (int n = story->other_is_killed ? 0 : story->nthen; n <= story->nthen && !may; n++) {
        for (int when = story->is_killed ? -1 : 0; when <= n && !may; when++) {
            long first = 0, then = 0;

            begin_story(story->start, key);
            for (int i = 0; i <= n; i++) {
                if (i == when)
                    first = act(story->first);
                if (i < n)
                    then = both(then, act(story->then[i]));
            }
            may = has_happened(story, first, then, found);
            end_story();
        }
        may = may || may_have_held_room(story, key, n, found);
    }
    return may;
}

static void check_story(const struct story *story, key_t key)
{
    char found[512], told[256];

    snprintf(told, sizeof told, "start %d: %d to %ld%s, meanwhile %d %d %d %d of %d to %ld%s, then to %ld", story->start,
             story->first, story->stops_at, story->is_killed ? " killed" : "", story->then[0], story->then[1], story->then[2],
             story->then[3], story->nthen, story->other_stops_at, story->other_is_killed ? " killed" : "", story->leaves_at);
    begin_story(story->start, key);
    play(story);
    strcpy(found, contents());
    size_t count = proc_table_count(table), rows = 0;
    for (const char *text = found; *text; text++)
        rows += *text == '=';
    ck_assert_msg(count == rows, "%s: counts %zu of %s", told, count, found);
    if (!story->then_fill && rand() % 2)
        for (int i = 0; i < 5; i++)
            proc_table_delete(table, rivals[i]);
    size_t had = proc_table_count(table), room = room_of(table);
    ck_assert_msg(had + room == (story->start == 2 ? 3 : 4), "%s: room for %zu beside %zu", told, room, had);
    ck_assert_uint_eq(proc_table_count(table), had);
    end_story();
    ck_assert_msg(may_have_been(story, key, found), "%s: %ld, %ld,%s", told, stage->actors[0].result, stage->actors[1].result,
                  found);
}

/* After which steps does an action change the table, and when does it end? */
static struct {
    long steps, points[POINTS];
    int npoints;
} plots[3][ACTIONS];

static void note_plot(int start, int action, key_t key)
{
    begin_story(start, key);
    view_size = size_under(key);
    view = shmat(shmget(key, 0, 0), NULL, 0);
    seen = malloc(view_size);
    memcpy(seen, view, view_size);
    stage->npoints = 0;
    stage->actors[0].stops_at = LONG_MAX;
    start_actor(0, &action, 1);
    end_actor(&stage->actors[0], false);
    plots[start][action].steps = stage->steps;
    plots[start][action].npoints = stage->npoints;
    memcpy(plots[start][action].points, stage->points, sizeof stage->points);
    free(seen);
    seen = NULL;
    shmdt(view);
    end_story();
}

static long random_step(int start, int action)
{
    int npoints = plots[start][action].npoints;

    if (npoints == 0 || rand() % 4 == 0)
        return 1 + rand() % plots[start][action].steps;
    return plots[start][action].points[rand() % npoints];
}

static bool can_step(void)
{
    return !runs_in_valgrind() && !runs_without_a_feature();
}

static void prepare_stage(key_t key)
{
    stage = mmap(NULL, sizeof *stage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(stage, MAP_FAILED);
    find_rivals();
    srand((unsigned)getpid());
    for (int start = 0; start < 3; start++)
        for (int action = 0; action < ACTIONS; action++) {
            begin_story(start, key);
            act(action); /* so that all symbols are bound */
            end_story();
            note_plot(start, action, key);
        }
}

static void leave_stage(void)
{
    munmap(stage, sizeof *stage);
}

static void random_story(struct story *story)
{
    *story = (struct story){.start = rand() % 3, .first = rand() % ACTIONS, .nthen = 1 + rand() % 4};
    if (story->first == EACH) /* which is no snapshot of all rows */
        story->nthen = 1;
    for (int i = 0; i < story->nthen; i++)
        story->then[i] = rand() % (rand() % 2 ? ACTIONS : 11);
    story->stops_at = random_step(story->start, story->first);
}

#ifndef THOROUGH
#define THOROUGH 1 /* times as much as usual */
#endif
#define SKIPPED ((ROUNDS(4, 12) + THOROUGH - 1) / THOROUGH)

START_TEST(whoever_is_killed_after_whichever_step_has_done_all_or_nothing)
{
    key_t key = fresh_key();

    if (!can_step()) {
        skip("no single steps here");
        return;
    }
    prepare_stage(key);
    for (int start = 0; start < 3; start++)
        for (int action = 0; action < 11; action++)
            for (int i = rand() % SKIPPED; i < plots[start][action].npoints; i += SKIPPED) {
                struct story story = {.start = start, .first = action, .is_killed = true};

                story.stops_at = story.leaves_at = plots[start][action].points[i] - rand() % 2;
                check_story(&story, key);
            }
    leave_stage();
}
END_TEST

START_TEST(those_who_recover_may_be_killed_at_any_step_as_well)
{
    key_t key = fresh_key();
    struct story story;

    if (!can_step()) {
        skip("no single steps here");
        return;
    }
    prepare_stage(key);
    for (int i = 0; i < ROUNDS(60, 15) * THOROUGH; i++) {
        random_story(&story);
        story.is_killed = true;
        story.leaves_at = random_step(story.start, story.first);
        story.other_is_killed = true;
        story.other_stops_at = 1 + rand() % (plots[story.start][story.then[0]].steps * 2);
        check_story(&story, key);
    }
    leave_stage();
}
END_TEST

START_TEST(whoever_is_held_up_at_whichever_step_does_it_before_or_after_the_others)
{
    key_t key = fresh_key();
    struct story story;

    if (!can_step()) {
        skip("no single steps here");
        return;
    }
    prepare_stage(key);
    for (int i = 0; i < ROUNDS(150, 30) * THOROUGH; i++) {
        random_story(&story);
        story.is_killed = i % 3 == 0;
        story.leaves_at = random_step(story.start, story.first);
        check_story(&story, key);
    }
    leave_stage();
}
END_TEST

/* Meanwhile its row goes to another name, or comes back with another value, once or twice. */
START_TEST(a_reader_who_is_held_up_gets_what_the_name_had_at_one_moment)
{
    static const int changes[][4] = {{2, 1, 0, 0}, {0, 10, 0, 10}, {2, 1, 4, 0}};
    key_t key = fresh_key();

    if (!can_step()) {
        skip("no single steps here");
        return;
    }
    prepare_stage(key);
    for (int kind = 0; kind < 3; kind++) {
        struct story story = {.start = 2, .first = 11, .nthen = kind ? 4 : 2};

        memcpy(story.then, changes[kind], sizeof story.then);
        for (long step = 1 + rand() % 8; step < plots[2][11].steps; step += ROUNDS(8, 40)) {
            story.stops_at = step;
            check_story(&story, key);
        }
    }
    leave_stage();
}
END_TEST

/* He who is refused while another deletes a row looks for rooms of the dead: that one is not dead yet. */
START_TEST(no_room_is_lost_with_one_who_is_killed_while_he_makes_room)
{
    key_t key = fresh_key();
    struct story story = {.start = 2, .first = 2, .then = {1}, .nthen = 1, .is_killed = true, .then_fill = true};

    if (!can_step()) {
        skip("no single steps here");
        return;
    }
    prepare_stage(key);
    for (int from = 0; from < plots[2][2].npoints; from++)
        for (int to = from + 1; to < from + 4 && to < plots[2][2].npoints; to += ROUNDS(1, 3)) {
            story.stops_at = plots[2][2].points[from];
            story.leaves_at = plots[2][2].points[to];
            check_story(&story, key);
        }
    leave_stage();
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, whoever_is_killed_after_whichever_step_has_done_all_or_nothing);
    tcase_add_test(tcase, a_reader_who_is_held_up_gets_what_the_name_had_at_one_moment);
    tcase_add_test(tcase, no_room_is_lost_with_one_who_is_killed_while_he_makes_room);
    tcase_add_test(tcase, those_who_recover_may_be_killed_at_any_step_as_well);
    tcase_add_test(tcase, whoever_is_held_up_at_whichever_step_does_it_before_or_after_the_others);
}

#else

START_TEST(there_are_no_single_steps_here)
{
    skip("single steps are for x86-64, and not for the thread sanitizer");
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, there_are_no_single_steps_here);
}

#endif

Suite *suite_make(void)
{
    Suite *suite = suite_create("table_steps");

    add_tests(tcase_checked(suite, "step by step"));
    return suite;
}
