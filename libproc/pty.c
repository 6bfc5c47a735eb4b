/* Pseudo-terminals by the kernel's calls: no name in /dev/pts is looked up, so no mount can mislead us. */
#include "pty.h"

#include "kernel.h"

#include <fcntl.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <termios.h>

#ifndef TIOCGPTPEER
#define TIOCGPTPEER 0x5441
#endif

int pty_make(int pair[2], int unused)
{
    int unlocked = 0;

    (void)unused;
    pair[0] = (int)sys(SYS_openat, AT_FDCWD, "/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (pair[0] < 0)
        return -1;
    if (sys(SYS_ioctl, pair[0], TIOCSPTLCK, &unlocked) == 0) {
        pair[1] = (int)sys(SYS_ioctl, pair[0], TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (pair[1] >= 0)
            return 0;
    }
    raw(SYS_close, pair[0]);
    return -1;
}

void pty_send_eof(int master, int line_open, struct deadline deadline)
{
    struct termios settings;
    struct pollfd room = {.fd = master, .events = POLLOUT};

    if (tcgetattr(master, &settings) < 0 || !(settings.c_lflag & ICANON))
        return;
    for (int times = line_open ? 2 : 1; times > 0; times--)
        if (deadline_poll(deadline, &room, 1) == 1 && room.revents & POLLOUT)
            raw(SYS_write, master, &settings.c_cc[VEOF], 1);
}
