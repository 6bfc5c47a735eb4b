/* System V objects that do not outlive the benchmark. */
#ifndef BENCH_IPC_APART_H
#define BENCH_IPC_APART_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/ipc.h>

/* To be called first. Where it may be, this process and those that it starts have System V objects, and limits on them, of
 * their own, which vanish with the last of them. Where it may not, what is made is removed at the end. */
void ipc_apart(void);

/* A key that nobody uses. What has it at the end, or when a signal ends us, is removed. */
key_t ipc_new_key(void);

/* The capacity that a queue may get. false with errno: others use the same limit, or it may not be changed. */
bool ipc_allow_capacity(size_t bytes);

#endif
