/* libuv, as a peer: spawn_uv TINY MIB */
#include "resident.h"
#include "rounds.h"

#include <err.h>
#include <stdlib.h>
#include <uv.h>

static void close_it(uv_process_t *process, int64_t status, int signo)
{
    if (status != 0 || signo != 0)
        errx(1, "uv: unexpected end");
    uv_close((uv_handle_t *)process, NULL);
}

static void spawn(void *program)
{
    char *args[] = {program, NULL};
    uv_stdio_container_t stdio[3];
    uv_process_t process;

    for (int fd = 0; fd < 3; fd++) {
        stdio[fd].flags = UV_INHERIT_FD;
        stdio[fd].data.fd = fd;
    }
    uv_process_options_t options = {.file = program, .args = args, .stdio = stdio, .stdio_count = 3, .exit_cb = close_it};
    int result = uv_spawn(uv_default_loop(), &process, &options);
    if (result < 0)
        errx(1, "uv_spawn: %s", uv_strerror(result));
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        errx(2, "usage: spawn_uv TINY MIB");
    resident_hold(strtoul(argv[2], NULL, 10));
    serve(spawn, argv[1]);
    return 0;
}
