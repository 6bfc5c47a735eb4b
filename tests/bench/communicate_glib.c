/* GSubprocess: communicate_glib MIB, measured as `communicate WAY MIB` is. */
#include "bench.h"
#include "measured.h"

#include <err.h>
#include <gio/gio.h>
#include <stdlib.h>

static void communicate(GBytes *input)
{
    const char *argv[] = {"cat", NULL};
    GError *error = NULL;
    GBytes *output = NULL;
    GSubprocess *cat = g_subprocess_newv(argv, G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE, &error);

    if (!cat || !g_subprocess_communicate(cat, input, NULL, &output, NULL, &error))
        errx(1, "g_subprocess: %s", error->message);
    if (g_bytes_get_size(output) != g_bytes_get_size(input) || !g_subprocess_get_successful(cat))
        errx(1, "g_subprocess: unexpected output");
    g_bytes_unref(output);
    g_object_unref(cat);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        errx(2, "usage: communicate_glib MIB");
    size_t size = strtoul(argv[1], NULL, 10) << 20;
    GBytes *input = g_bytes_new_take(measured_input(size), size);
    int64_t start = bench_now_ns();
    communicate(input);
    measured_print(start);
    g_bytes_unref(input);
    return 0;
}
