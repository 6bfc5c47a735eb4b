/* The way into the kernel: every system call of the library goes through here, but for fork(), clone() and what malloc needs.
 *
 * No wrapper of the C library is used, for three reasons: a child that shares our memory must not touch errno, take a lock
 * or signal the caller's threads; no call of ours shall be a cancellation point, where a thread's end would leave half-made
 * things behind; and the tests can make any call fail in one place (PROC_TEST_SEAM). */
#ifndef LIBPROC_KERNEL_H
#define LIBPROC_KERNEL_H

#include <errno.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Numbers that older C libraries do not know; they are the same on every processor. */
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_clone3
#define SYS_clone3 435
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

/* The kernel's own signal mask, which has signals that the C library's calls leave out (32 and 33 are its own). */
typedef uint64_t kernel_sigset;
#define KERNEL_SIGNALS 64
#define KERNEL_ALL_SIGNALS (~(kernel_sigset)0)
#define KERNEL_SIGNAL_BIT(signo) ((kernel_sigset)1 << ((signo) - 1))

static inline long kernel_enter(long number, long a, long b, long c, long d, long e, long f)
{
#if defined __x86_64__
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
#elif defined __aarch64__
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;

    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return x0;
#else
    int saved = errno;
    long result = syscall(number, a, b, c, d, e, f);

    if (result == -1) {
        result = -errno;
        errno = saved;
    }
    return result;
#endif
}

#ifdef PROC_TEST_SEAM
long proc_test_call(long number, const long arguments[6]); /* makes the call, or says what it shall have answered */
long proc_test_refusal(long number, void *arguments);      /* for calls that are not made here: 0, or -errno */

static inline long kernel_call(long number, long a, long b, long c, long d, long e, long f)
{
    return proc_test_call(number, (const long[6]){a, b, c, d, e, f});
}

static inline long kernel_refusal(long number, void *arguments)
{
    return proc_test_refusal(number, arguments);
}
#else
#define kernel_call kernel_enter

static inline long kernel_refusal(long number, void *arguments)
{
    (void)number, (void)arguments;
    return 0;
}
#endif

static inline long kernel_result(long result)
{
    if (result < 0) {
        errno = (int)-result;
        return -1;
    }
    return result;
}

#define RAW_PADDED(number, a, b, c, d, e, f, ...) \
    kernel_call(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

/* raw(SYS_…, …): -errno on failure, and errno is left alone. For the child, and where errno shall stay.
 * sys(SYS_…, …): -1 and errno on failure, as everywhere else. */
#define raw(...) RAW_PADDED(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)
#define sys(...) kernel_result(raw(__VA_ARGS__))

#endif
