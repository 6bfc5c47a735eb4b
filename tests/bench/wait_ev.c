/* libev, as a peer of `wait`: wait_ev LASTING */
#include "wait_side.h"

#include <err.h>
#include <ev.h>
#include <stdlib.h>

static ev_child *watchers; /* by slot */

static void begin(unsigned most)
{
    watchers = calloc(most, sizeof *watchers);
    if (!watchers || !ev_default_loop(0))
        err(1, "ev_default_loop");
}

static void ended(struct ev_loop *loop, ev_child *watcher, int events)
{
    (void)events;
    ev_child_stop(loop, watcher);
    wait_ended((unsigned)(watcher - watchers));
}

static pid_t start(unsigned slot)
{
    pid_t pid = lasting_start();

    ev_child_init(&watchers[slot], ended, pid, 0);
    ev_child_start(ev_default_loop(0), &watchers[slot]);
    return pid;
}

static void hear(void)
{
    ev_run(ev_default_loop(0), EVRUN_ONCE);
}

int main(int argc, char **argv)
{
    static const struct wait_way way = {begin, start, hear, NULL};

    if (argc != 2)
        errx(2, "usage: wait_ev LASTING");
    wait_serve(&way, argv[1]);
    return 0;
}
