/* A candidate in a process of its own, with its own memory, handlers and threads: it answers each line with a line. */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include <proc.h>

/* Program and arguments. */
#define PEER(...) ((const char *const[]){__VA_ARGS__, NULL})

/* Starts it, and waits until it says "ready". NULL: it is not there, or cannot run. It dies with us, whatever becomes of
 * us. */
struct proc *peer_start(const char *const *argv);

/* The same for a function of ours in a forked child, which talks through its standard streams as a program does. */
struct proc *peer_fork(proc_main_fn *run, void *arg);

/* Sends a line, and returns the answer without its newline, which stays valid until the next call. NULL: there is none. */
const char *peer_ask(struct proc *peer, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The two halves of it, for when we have something to do ourselves meanwhile. peer_tell: -1 with errno. */
int peer_tell(struct proc *peer, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *peer_hear(struct proc *peer);

#endif
