/* libuv, as a peer of `wait`: wait_uv LASTING. It watches only what it has started itself. */
#include "wait_side.h"

#include <err.h>
#include <stdint.h>
#include <stdlib.h>
#include <uv.h>

static uv_process_t *processes; /* by slot */

static void begin(unsigned most)
{
    processes = calloc(most, sizeof *processes);
    if (!processes)
        err(1, "calloc");
}

static void ended(uv_process_t *process, int64_t status, int signo)
{
    (void)status, (void)signo;
    wait_ended((unsigned)(process - processes));
    uv_close((uv_handle_t *)process, NULL);
}

static pid_t start(unsigned slot)
{
    char *args[] = {lasting_program, NULL};
    uv_stdio_container_t stdio[3];

    for (int fd = 0; fd < 3; fd++) {
        stdio[fd].flags = UV_INHERIT_FD;
        stdio[fd].data.fd = fd;
    }
    uv_process_options_t options = {
        .file = lasting_program, .args = args, .stdio = stdio, .stdio_count = 3, .exit_cb = ended};
    int result = uv_spawn(uv_default_loop(), &processes[slot], &options);
    if (result < 0)
        errx(1, "uv_spawn: %s", uv_strerror(result));
    return processes[slot].pid;
}

static void hear(void)
{
    uv_run(uv_default_loop(), UV_RUN_ONCE);
}

int main(int argc, char **argv)
{
    static const struct wait_way way = {begin, start, hear, NULL};

    if (argc != 2)
        errx(2, "usage: wait_uv LASTING");
    wait_serve(&way, argv[1]);
    return 0;
}
