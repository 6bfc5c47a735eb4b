/* What every suite shares: the check that nothing is left behind, and a look at what the kernel says. */
#ifndef TESTS_HARNESS_H
#define TESTS_HARNESS_H

#include <check.h>
#include <proc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Each suite defines this; main is in the harness. Every test runs with the question at its end: did it leave a child, a
 * descriptor, a System V object or a changed signal mask behind? */
Suite *suite_make(void);
TCase *tcase_checked(Suite *suite, const char *name);

/* Which descriptors are open, as a set of up to 32768. */
struct fd_set_all {
    unsigned char open[4096];
};
void fds_open(struct fd_set_all *set);
int fds_count(void);
bool fds_same(const struct fd_set_all *one, const struct fd_set_all *other);

/* One line of /proc/PID/status, such as "SigBlk"; the text after the tab, in a static buffer. */
const char *status_of(pid_t pid, const char *field);

/* Runs argv and returns what it wrote to out, in a static buffer; fails the test if it did not exit with 0. */
const char *output_of(struct proc_options options);
const char *output_of_shell(struct proc_options options, const char *script);

/* Spawns, and fails the test with the step if that fails. */
struct proc *must_spawn(struct proc_options options);
struct proc *must_spawn_shell(struct proc_options options, const char *script);
struct proc_exit must_end(struct proc *proc);

/* A spawn that must fail with this errno at this step. */
void must_not_spawn(struct proc_options options, int failure, const char *step);

#define SHELL(script) (const char *const[]){"/bin/sh", "-c", script, NULL}

/* A temporary directory that goes with the test, and a path in it (a static buffer, the next of eight). */
const char *temporary(const char *name);
const char *contents_of(const char *path);

int64_t now_ms(void); /* on the monotonic clock */

/* Interrupts this thread with SIGUSR1, whose handler does nothing, again and again until interrupt_end. */
void interrupt_begin(void);
void interrupt_end(void);

/* A PHP that runs this script, with pipes to its standard input and output; NULL: there is none. */
struct proc *php(const char *script);

/* A key that nobody else uses. */
key_t fresh_key(void);

/* How many files large queues have in /dev/shm, of those that are ours alone; 0 if none can be. */
int files_of_queues(void);

/* The helper program beside the tests. */
const char *probe_path(void);

bool no_pidfds(void);         /* switched off, or unknown to what we run in */
bool runs_in_valgrind(void);  /* which answers some system calls itself, and lacks others */
bool runs_instrumented(void); /* under valgrind or a sanitizer: slower, and with more open than we opened */
bool runs_without_a_feature(void); /* of the kernel: one of many such runs */
bool runs_shortened(void);         /* either of these: what is done often is done less often */
void skip(const char *why);   /* says it; the test then returns */

#endif
