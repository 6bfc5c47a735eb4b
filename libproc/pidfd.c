/* The kernel's calls on process descriptors. */
#include "pidfd.h"

#include "kernel.h"

#include <stddef.h>
#include <sys/ioctl.h>

#ifndef PIDFD_SIGNAL_PROCESS_GROUP
#define PIDFD_SIGNAL_PROCESS_GROUP 4u
#endif

/* struct pidfd_info of linux/pidfd.h, in its first size. */
struct exit_info {
    uint64_t mask, cgroup;
    uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
    int32_t exit_code;
};

#define EXIT_INFO_HAS_EXIT 8u /* PIDFD_INFO_EXIT */
#define GET_EXIT_INFO _IOWR(0xFF, 11, struct exit_info)

long pidfd_kill(int pidfd, int signo)
{
    return raw(SYS_pidfd_send_signal, pidfd, signo, NULL, 0);
}

long pidfd_kill_group(int pidfd, int signo)
{
    return raw(SYS_pidfd_send_signal, pidfd, signo, NULL, PIDFD_SIGNAL_PROCESS_GROUP);
}

int pidfd_exit_status(int pidfd, int *status)
{
    struct exit_info info = {.mask = EXIT_INFO_HAS_EXIT};
    long result = raw(SYS_ioctl, pidfd, GET_EXIT_INFO, &info);

    if (result == -ENOTTY || result == -EINVAL)
        return -1;
    if (result < 0 || !(info.mask & EXIT_INFO_HAS_EXIT))
        return 0;
    *status = info.exit_code;
    return 1;
}

/* Its pidfd hangs up when it is reaped. */
void pidfd_await_reaper(int pidfd, struct deadline deadline)
{
    deadline_poll(deadline, &(struct pollfd){.fd = pidfd, .events = 0}, 1);
}
