/* Children that share our memory: clone with CLONE_VM, and mostly CLONE_VFORK. */
#ifndef LIBPROC_CLONE_H
#define LIBPROC_CLONE_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

/* What older headers lack. */
#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x1000
#endif
#ifndef CLONE_CLEAR_SIGHAND
#define CLONE_CLEAR_SIGHAND UINT64_C(0x100000000)
#endif
#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP UINT64_C(0x200000000)
#endif

/* The child runs on a stack of its own, which lies in the caller's frame: no call needs memory. */
struct clone_stack {
    _Alignas(16) char bytes[8192];
};

struct clone_request {
    uint64_t flags;  /* besides CLONE_VM; CLONE_VFORK unless `beside` */
    bool beside;     /* the caller goes on meanwhile: the stack must last until clone_reap */
    int exit_signal; /* 0: the child's end is told to nobody, and only __WALL waits for it */
    int *pidfd;      /* with CLONE_PIDFD */
    int cgroup;      /* with CLONE_INTO_CGROUP */
    int (*entry)(void *argument);
    void *argument;
};

/* Whether such a child really shares our memory: not under valgrind, qemu-user or WSL1. Tried once. */
bool clone_shares_memory(void);

/* Whether a child would be the first process of a new namespace (after unshare(CLONE_NEWPID)): when that one ends, no other can
 * be had there any more. */
bool clone_would_be_init(void);

/* Reaps a child that is about to end, whatever its exit signal. */
void clone_reap(long pid);

/* Both run entry(argument) in the child, whose return value is its exit status, and return its pid when it has become a
 * program or ended, or at once if it is to run beside the caller; -errno on failure. The caller has blocked all signals.
 * clone_modern also clears the caught signals; -ENOSYS where the kernel or a sandbox refuses it. */
long clone_modern(struct clone_stack *stack, const struct clone_request *request);
long clone_classic(struct clone_stack *stack, const struct clone_request *request);

#endif
