/* GLib, as a peer of `wait`: wait_glib LASTING */
#include "wait_side.h"

#include <err.h>
#include <glib.h>

static void begin(unsigned most)
{
    (void)most;
}

static void ended(GPid pid, gint status, gpointer slot)
{
    (void)status;
    g_spawn_close_pid(pid);
    wait_ended(GPOINTER_TO_UINT(slot));
}

static pid_t start(unsigned slot)
{
    pid_t pid = lasting_start();

    if (g_child_watch_add(pid, ended, GUINT_TO_POINTER(slot)) == 0)
        errx(1, "g_child_watch_add");
    return pid;
}

static void hear(void)
{
    g_main_context_iteration(NULL, TRUE);
}

int main(int argc, char **argv)
{
    static const struct wait_way way = {begin, start, hear, NULL};

    if (argc != 2)
        errx(2, "usage: wait_glib LASTING");
    wait_serve(&way, argv[1]);
    return 0;
}
