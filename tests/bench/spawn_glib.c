/* GLib, as a peer: spawn_glib TINY MIB async|subprocess */
#include "resident.h"
#include "rounds.h"

#include <err.h>
#include <gio/gio.h>
#include <stdlib.h>
#include <string.h>

static void quit(GPid pid, gint status, gpointer loop)
{
    if (status != 0)
        errx(1, "glib: unexpected end");
    g_spawn_close_pid(pid);
    g_main_loop_quit(loop);
}

static void spawn_async(void *program)
{
    char *argv[] = {program, NULL};
    GSpawnFlags flags = G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_CHILD_INHERITS_STDIN;
    GMainLoop *loop = g_main_loop_new(NULL, FALSE);
    GError *error = NULL;
    GPid pid;

    if (!g_spawn_async(NULL, argv, NULL, flags, NULL, NULL, &pid, &error))
        errx(1, "g_spawn_async: %s", error->message);
    g_child_watch_add(pid, quit, loop);
    g_main_loop_run(loop);
    g_main_loop_unref(loop);
}

static void spawn_subprocess(void *program)
{
    const char *argv[] = {program, NULL};
    GError *error = NULL;
    GSubprocess *process = g_subprocess_newv(argv, G_SUBPROCESS_FLAGS_STDIN_INHERIT, &error);

    if (!process || !g_subprocess_wait_check(process, NULL, &error))
        errx(1, "g_subprocess: %s", error->message);
    g_object_unref(process);
}

int main(int argc, char **argv)
{
    if (argc != 4)
        errx(2, "usage: spawn_glib TINY MIB async|subprocess");
    resident_hold(strtoul(argv[2], NULL, 10));
    serve(strcmp(argv[3], "async") == 0 ? spawn_async : spawn_subprocess, argv[1]);
    return 0;
}
