/* The kernel's calls on process descriptors. */
#include "pidfd.h"

#include "deadline.h"
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

/* A reaper that is in the middle of it needs microseconds; one that never reaps is not waited for. */
#define REAPER_MS 200

long pidfd_kill(int pidfd, int signo)
{
    return raw(SYS_pidfd_send_signal, pidfd, signo, NULL, 0);
}

long pidfd_kill_group(int pidfd, int signo)
{
    return raw(SYS_pidfd_send_signal, pidfd, signo, NULL, PIDFD_SIGNAL_PROCESS_GROUP);
}

bool pidfd_exit_status(int pidfd, int *status)
{
    struct exit_info info = {.mask = EXIT_INFO_HAS_EXIT};
    struct pollfd reaped = {.fd = pidfd, .events = 0}; /* POLLHUP */
    long result = raw(SYS_ioctl, pidfd, GET_EXIT_INFO, &info);

    if (result == -ENOTTY || result == -EINVAL)
        return false;
    if (result < 0 || !(info.mask & EXIT_INFO_HAS_EXIT)) {
        deadline_poll(deadline_in(REAPER_MS), &reaped, 1);
        info.mask = EXIT_INFO_HAS_EXIT;
        result = raw(SYS_ioctl, pidfd, GET_EXIT_INFO, &info);
    }
    *status = info.exit_code;
    return result == 0 && info.mask & EXIT_INFO_HAS_EXIT;
}
