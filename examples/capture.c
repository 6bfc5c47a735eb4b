/* capture: run a program, and have all that it wrote.
 *
 *     $ capture uname -s
 *     "uname" exited with status 0 after 1.2 ms
 *     out: 6 bytes: Linux */
#include <proc.h>

#include <err.h>
#include <errno.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    if (argc < 2)
        errx(2, "usage: capture PROGRAM [ARGUMENT ...]");
    struct proc_options options = {.argv = (const char *const *)argv + 1};
    struct proc_output output = {.limit = 1 << 20}; /* a megabyte will do */
    char how[64];

    int finished = proc_run(&options, NULL, 0, &output, 10 * 1000);
    if (finished < 0 && errno == EFBIG)
        errx(1, "%s wrote more than %zu bytes", argv[1], output.limit);
    if (finished < 0)
        err(1, "%s: %s", argv[1], proc_spawn_step());
    printf("\"%s\" %s after %.1f ms%s\n", argv[1], proc_exit_string(&output.exit, how, sizeof how),
           (double)output.exit.elapsed_ns / 1e6, finished ? "" : ": its time was up");
    printf("out: %zu bytes: %s", output.out_size, output.out);
    if (output.err_size > 0)
        printf("err: %zu bytes: %s", output.err_size, output.err);
    int status = proc_exit_ok(&output.exit) ? 0 : 1;
    proc_output_free(&output);
    return status;
}
