/* A callback child: a copy of its parent, from which everything is taken that is not its business (signal handlers, other
 * children's descriptors, unwritten output, exit handlers) before its main runs. */
#include "callback.h"

#include "child.h"
#include "orderly_end.h"
#include "stdio_buffers.h"
#include "title.h"

#include <stdio.h>
#include <stdlib.h>

/* The exit handlers are the parent's; what the child itself has printed is written. */
static _Noreturn void leave(int status)
{
    fflush(NULL);
    orderly_end();
    _exit(status);
}

#ifdef __GLIBC__
/* exit() in the child runs the newest handler first: this one, and then nothing is left to run. */
static void leave_instead(int status, void *unused)
{
    (void)unused;
    leave(status);
}

static void make_exit_like_return(void)
{
    on_exit(leave_instead, NULL);
}
#else
/* A handler of atexit is not told the status: exit() in the child stays what the C library makes of it. */
static void make_exit_like_return(void)
{
}
#endif

/* What the options name is the child's, even where its number was that of another child's end. */
static bool is_mapped(const void *map, int fd)
{
    return fd_map_has_target(map, fd);
}

static void take_over(struct launch *launch)
{
    int channel = ends_give(&launch->ends, END_CHANNEL);
    int report = ends_give(&launch->ends, END_REPORT);

    if (launch->hooks.keep)
        launch->hooks.keep(launch->options.arg);
    ends_close_inherited(is_mapped, &launch->map);
    ends_enlist(&launch->ends);
    ends_set(&launch->ends, END_REPORT, report);
    process_become_self(launch->proc, channel, &launch->options);
    if (launch->environment)
        environ = launch->environment;
    if (launch->options.title)
        title_set(launch->options.title);
}

void callback_live(struct launch *launch, void (*ready)(struct launch *launch))
{
    stdio_buffers_forget(launch->options.in.kind != PROC_STDIO_INHERIT || fd_map_has_target(&launch->map, 0));
    if (child_set_up(launch) < 0)
        return;
    take_over(launch);
    ready(launch);
    if (launch->hooks.prepare)
        launch->hooks.prepare(launch->options.arg);
    signals_set_mask(0);
    make_exit_like_return();
    leave(launch->options.main(launch->proc, launch->options.arg));
}
