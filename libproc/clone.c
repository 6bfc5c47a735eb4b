/* Entering a child on a stack of its own. A bare syscall() will not do: the child would return from it first and overwrite
 * the return address that the parent still needs. */
#include "clone.h"

#include "signals.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* struct clone_args of linux/sched.h, which cannot be included beside sched.h everywhere. */
struct clone3_arguments {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};

static uint64_t flags_for(const struct clone_request *request)
{
    return request->flags | CLONE_VM | (request->beside ? 0 : CLONE_VFORK);
}

static long clone3_enter(struct clone3_arguments *arguments, int (*entry)(void *), void *argument)
{
#if defined __x86_64__
    long result;
    register int (*r8)(void *) __asm__("r8") = entry;
    register void *r9 __asm__("r9") = argument;

    __asm__ volatile("syscall\n\t"
                     "test %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "xor %%ebp, %%ebp\n\t" /* the outermost frame, for whoever unwinds */
                     "mov %%r9, %%rdi\n\t"
                     "call *%%r8\n\t"
                     "mov %%eax, %%edi\n\t"
                     "mov %[exit], %%eax\n\t"
                     "syscall\n\t"
                     "hlt\n"
                     "1:"
                     : "=a"(result)
                     : "a"(SYS_clone3), "D"(arguments), "S"(sizeof *arguments), "r"(r8), "r"(r9), [exit] "i"(SYS_exit_group)
                     : "rcx", "r11", "cc", "memory");
    return result;
#elif defined __aarch64__
    register long x8 __asm__("x8") = SYS_clone3;
    register void *x0 __asm__("x0") = arguments;
    register long x1 __asm__("x1") = sizeof *arguments;
    register int (*x9)(void *) __asm__("x9") = entry;
    register void *x10 __asm__("x10") = argument;

    __asm__ volatile("svc 0\n\t"
                     "cbnz x0, 1f\n\t"
                     "mov x29, xzr\n\t"
                     "mov x0, x10\n\t"
                     "blr x9\n\t"
                     "mov x8, %[exit]\n\t"
                     "svc 0\n\t"
                     "brk 1\n"
                     "1:"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x9), "r"(x10), [exit] "i"(SYS_exit_group)
                     : "cc", "memory");
    return (long)x0;
#else
    (void)arguments, (void)entry, (void)argument;
    return -ENOSYS;
#endif
}

long clone_modern(struct clone_stack *stack, const struct clone_request *request)
{
    struct clone3_arguments arguments = {
        .flags = flags_for(request) | CLONE_CLEAR_SIGHAND,
        .pidfd = (uintptr_t)request->pidfd,
        .exit_signal = (uint64_t)request->exit_signal,
        .stack = (uintptr_t)stack->bytes,
        .stack_size = sizeof stack->bytes,
        .cgroup = (uint64_t)request->cgroup,
    };
    long result = kernel_refusal(SYS_clone3, &arguments.flags);

    if (result == 0)
        result = clone3_enter(&arguments, request->entry, request->argument);
    /* A sandbox may say EPERM; an older kernel does not know the size or a flag. */
    return result == -EPERM || result == -E2BIG || result == -EINVAL ? -ENOSYS : result;
}

long clone_classic(struct clone_stack *stack, const struct clone_request *request)
{
    uint64_t flags = flags_for(request) | (uint64_t)request->exit_signal;
    long result = kernel_refusal(SYS_clone, &flags);
    int saved = errno;

    if (result < 0)
        return result;
    result = clone(request->entry, stack->bytes + sizeof stack->bytes, (int)flags, request->argument, request->pidfd);
    if (result < 0)
        result = -errno;
    errno = saved;
    return result;
}

void clone_reap(long pid)
{
    while (raw(SYS_wait4, pid, NULL, __WALL, NULL) == -EINTR)
        ;
}

/* Without /proc it is not known; then it is taken for one. */
bool clone_would_be_init(void)
{
    struct stat ours = {0}, children = {0};

    return raw(SYS_newfstatat, AT_FDCWD, "/proc/self/ns/pid", &ours, 0) < 0 ||
           raw(SYS_newfstatat, AT_FDCWD, "/proc/self/ns/pid_for_children", &children, 0) < 0 || ours.st_ino != children.st_ino;
}

static int leave_word(void *word)
{
    *(volatile int *)word = 1;
    return 0;
}

enum sharing { UNKNOWN, SHARED, COPIED };

static enum sharing try_sharing(void)
{
    if (clone_would_be_init())
        return UNKNOWN;
    struct clone_stack stack;
    volatile int word = 0;
    struct clone_request request = {.entry = leave_word, .argument = (void *)&word};
    kernel_sigset mask = signals_block_all();
    long pid = clone_modern(&stack, &request);

    if (pid == -ENOSYS)
        pid = clone_classic(&stack, &request);
    signals_set_mask(mask);
    if (pid < 0) /* no process can be had now; or an emulator cannot do it at all */
        return pid == -EAGAIN || pid == -ENOMEM ? UNKNOWN : COPIED;
    clone_reap(pid);
    return word ? SHARED : COPIED;
}

bool clone_shares_memory(void)
{
    static _Atomic enum sharing answer = UNKNOWN; /* the same in every thread: a fact about where the program runs */

    if (answer == UNKNOWN)
        answer = try_sharing();
    return answer != COPIED; /* if unknown, the attempt that follows will say why */
}
