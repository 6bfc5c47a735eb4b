/* The gate is a signal that the child, born with all signals blocked, waits for: it needs no descriptor, which some other
 * fork could inherit, and no shared page. It carries a word along, and so the parent asks for the 64 dispositions while the
 * child is still on its way to a processor, instead of the child afterwards.
 *
 * A child whose parent dies, or is stopped, before it lets the child go, does not wait for ever; so the signal is one that
 * does no harm if it comes when nobody waits for it any more. */
#include "gate.h"

#include <string.h>
#include <time.h>

#define GATE_SIGNAL SIGURG
#define LONGEST_WAIT_S 2

void gate_open(pid_t child)
{
    kernel_sigset inherited = signals_not_for_children();
    siginfo_t info;

    memset(&info, 0, sizeof info);
    info.si_signo = GATE_SIGNAL;
    info.si_code = SI_QUEUE;
    memcpy(&info.si_value, &inherited, sizeof inherited);
    if (raw(SYS_rt_sigqueueinfo, child, GATE_SIGNAL, &info) < 0)
        raw(SYS_kill, child, GATE_SIGNAL); /* no room for one more queued signal: without the word then */
}

kernel_sigset gate_pass(void)
{
    kernel_sigset gate = KERNEL_SIGNAL_BIT(GATE_SIGNAL), inherited;
    siginfo_t info = {.si_code = SI_USER};

    long result;
    do /* stopping and continuing interrupts it, though all signals are blocked */
        result = raw(SYS_rt_sigtimedwait, &gate, &info, &(struct timespec){.tv_sec = LONGEST_WAIT_S}, sizeof gate);
    while (result == -EINTR);
    if (result != GATE_SIGNAL || info.si_code != SI_QUEUE)
        return signals_not_for_children();
    memcpy(&inherited, &info.si_value, sizeof inherited);
    return inherited;
}
