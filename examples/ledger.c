/* ledger: accounts in shared memory, and transfers between them that are whole, whoever is killed in the middle of one.
 *
 *     $ ledger deposit /tmp alice 100
 *     $ ledger transfer /tmp alice bob 30
 *     $ ledger list /tmp
 *     alice 70
 *     bob 30
 *     2 accounts, 100 in all
 *     $ ledger die /tmp alice bob 5          as transfer, but killed when alice has paid, and bob has got nothing yet
 *     Killed
 *     $ ledger list /tmp
 *     ledger: somebody died over 5 from alice to bob: it is done now
 *     alice 65
 *     bob 35
 *     2 accounts, 100 in all
 *     $ ledger remove /tmp                   the accounts stay until then
 *
 * A transfer changes two rows of a table, so there is a lock around it. When its holder dies, the next one gets the lock, and is
 * told so. What it needs to put things right is in a row of its own, the journal, which is written before the first change and
 * deleted after the last: what both accounts will have. To do that once more does no harm. */
#include <proc.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS 1000
#define JOURNAL "(journal)"

struct ledger {
    struct proc_lock *lock;
    struct proc_table *table;
};

struct entry {
    char from[PROC_TABLE_NAME_MAX + 1], to[PROC_TABLE_NAME_MAX + 1];
    int64_t amount, left_in_from, left_in_to; /* afterwards */
};

/* ---- accounts ---- */

static int64_t balance(struct ledger *ledger, const char *name)
{
    int64_t amount;

    if (proc_table_get(ledger->table, name, &amount, sizeof amount) < 0)
        err(1, "%s", name); /* ENOENT: there is no such account */
    return amount;
}

/* Returns what there is then; 0 is a way to open an account. */
static int64_t add(struct ledger *ledger, const char *name, int64_t amount)
{
    int64_t sum = proc_table_add(ledger->table, name, amount);

    if (sum == -1 && errno != 0)
        err(1, "%s", name);
    return sum;
}

static void put(struct ledger *ledger, const char *name, const void *value, size_t size)
{
    if (proc_table_put(ledger->table, name, value, size) < 0)
        err(1, "%s", name);
}

/* ---- the lock, and what is to be done when it comes from the dead ---- */

static void finish_for_the_dead(struct ledger *ledger)
{
    struct entry entry;

    if (!proc_table_has(ledger->table, JOURNAL))
        return; /* he had not begun, or all was done */
    if (proc_table_get(ledger->table, JOURNAL, &entry, sizeof entry) < 0)
        err(1, JOURNAL);
    put(ledger, entry.from, &entry.left_in_from, sizeof entry.left_in_from);
    put(ledger, entry.to, &entry.left_in_to, sizeof entry.left_in_to);
    proc_table_delete(ledger->table, JOURNAL);
    warnx("somebody died over %" PRId64 " from %s to %s: it is done now", entry.amount, entry.from, entry.to);
}

static void enter(struct ledger *ledger)
{
    int got = proc_lock_acquire(ledger->lock, 10 * 1000);

    if (got < 0)
        err(1, "proc_lock_acquire");
    if (got == 0)
        errx(1, "somebody takes very long");
    if (got == 2)
        finish_for_the_dead(ledger);
}

static void leave(struct ledger *ledger)
{
    if (proc_lock_release(ledger->lock) < 0)
        err(1, "proc_lock_release");
}

/* ---- what can be done: `arguments` is what follows the file ---- */

static int64_t amount_in(const char *text)
{
    int64_t amount = atoll(text);

    if (amount <= 0)
        errx(1, "%s: not above 0", text);
    return amount;
}

static void check_name(const char *name)
{
    if (strlen(name) > PROC_TABLE_NAME_MAX || strcmp(name, JOURNAL) == 0)
        errx(1, "%s: not a name for an account", name);
}

static void deposit(struct ledger *ledger, char **arguments)
{
    check_name(arguments[0]);
    enter(ledger);
    add(ledger, arguments[0], amount_in(arguments[1]));
    leave(ledger);
}

static void move_money(struct ledger *ledger, char **arguments, bool dies)
{
    struct entry entry = {.amount = amount_in(arguments[2])};

    check_name(arguments[0]);
    check_name(arguments[1]);
    memcpy(entry.from, arguments[0], strlen(arguments[0]) + 1);
    memcpy(entry.to, arguments[1], strlen(arguments[1]) + 1);
    if (strcmp(entry.from, entry.to) == 0)
        errx(1, "to whom?");
    enter(ledger);
    entry.left_in_from = balance(ledger, entry.from) - entry.amount;
    if (entry.left_in_from < 0)
        errx(1, "%s has not that much", entry.from); /* the lock is handed on, and there is nothing to finish */
    entry.left_in_to = add(ledger, entry.to, 0) + entry.amount;
    put(ledger, JOURNAL, &entry, sizeof entry);
    put(ledger, entry.from, &entry.left_in_from, sizeof entry.left_in_from);
    if (dies)
        raise(SIGKILL);
    put(ledger, entry.to, &entry.left_in_to, sizeof entry.left_in_to);
    proc_table_delete(ledger->table, JOURNAL);
    leave(ledger);
}

static void transfer(struct ledger *ledger, char **arguments)
{
    move_money(ledger, arguments, false);
}

static void die(struct ledger *ledger, char **arguments)
{
    move_money(ledger, arguments, true);
}

static int print(const char *name, const void *value, size_t size, void *arg)
{
    int64_t amount, *sum = arg;

    memcpy(&amount, value, size); /* an account, since there is no journal now */
    printf("%s %" PRId64 "\n", name, amount);
    *sum += amount;
    return 0;
}

/* With the lock: otherwise the sum might be that of half a transfer. */
static void list(struct ledger *ledger, char **arguments)
{
    int64_t sum = 0;

    (void)arguments;
    enter(ledger);
    if (proc_table_each(ledger->table, print, &sum) < 0)
        err(1, "proc_table_each");
    printf("%zu accounts, %" PRId64 " in all\n", proc_table_count(ledger->table), sum);
    leave(ledger);
}

static void remove_both(struct ledger *ledger, char **arguments)
{
    (void)arguments;
    if (proc_table_remove(ledger->table) < 0 || proc_lock_remove(ledger->lock) < 0)
        err(1, "remove");
}

static const struct verb {
    const char *name;
    int arguments;
    void (*run)(struct ledger *ledger, char **arguments);
} verbs[] = {
    {"deposit", 2, deposit}, {"transfer", 3, transfer}, {"die", 3, die}, {"list", 0, list}, {"remove", 0, remove_both},
};

static const struct verb *verb_for(int argc, char **argv)
{
    for (size_t i = 0; argc > 2 && i < sizeof verbs / sizeof verbs[0]; i++)
        if (strcmp(argv[1], verbs[i].name) == 0 && argc - 3 == verbs[i].arguments)
            return &verbs[i];
    errx(1, "usage: ledger deposit FILE NAME AMOUNT, ledger transfer|die FILE FROM TO AMOUNT, ledger list|remove FILE");
}

int main(int argc, char **argv)
{
    const struct verb *verb = verb_for(argc, argv);
    key_t lock_key = proc_key(argv[2], 'L'), table_key = proc_key(argv[2], 'T');

    if (lock_key == -1 || table_key == -1)
        err(1, "%s", argv[2]);
    struct ledger ledger = {
        .lock = proc_lock_open(lock_key, O_CREAT, 0),
        .table = proc_table_open(table_key, ROWS, sizeof(struct entry), O_CREAT, 0),
    };
    if (!ledger.lock || !ledger.table)
        err(1, "ledger");
    verb->run(&ledger, argv + 3);
    proc_table_close(ledger.table);
    proc_lock_close(ledger.lock);
    return 0;
}
