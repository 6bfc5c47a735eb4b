/* filter: feeds a program and drains it at once, so that no amount of data can make the two wait for each other.
 *
 *     $ filter pear apple fig
 *     apple
 *     fig
 *     pear
 *
 * The lines are the arguments, or without any the standard input; the program is sort. */
#include <proc.h>

#include <err.h>
#include <stdio.h>
#include <stdlib.h>

struct text {
    char *data;
    size_t size;
};

static void add_arguments(FILE *stream, char **lines)
{
    for (; *lines; lines++)
        fprintf(stream, "%s\n", *lines);
}

static void add_input(FILE *stream)
{
    char piece[4096];
    size_t size;

    while ((size = fread(piece, 1, sizeof piece, stdin)) > 0)
        fwrite(piece, 1, size, stream);
    if (ferror(stdin))
        err(1, "standard input");
}

static struct text gather(char **lines)
{
    struct text text;
    FILE *stream = open_memstream(&text.data, &text.size);

    if (!stream)
        err(1, "open_memstream");
    if (lines)
        add_arguments(stream, lines);
    else
        add_input(stream);
    if (fclose(stream) != 0)
        err(1, "memory");
    return text;
}

int main(int argc, char **argv)
{
    struct text text = gather(argc > 1 ? argv + 1 : NULL);
    struct proc_options options = {
        .argv = (const char *const[]){"sort", NULL},
        .in = PROC_PIPE,
        .out = PROC_PIPE, /* err is ours */
        .env = (const char *const[]){"LC_ALL=C", NULL},
    };
    struct proc_output output = {.limit = 0};
    char how[64];

    struct proc *sort = proc_spawn(&options);
    if (!sort)
        err(1, "proc_spawn: %s", proc_spawn_step());
    if (proc_communicate(sort, text.data, text.size, &output, -1) < 0)
        err(1, "proc_communicate");
    if (!proc_exit_ok(&output.exit))
        errx(1, "sort %s", proc_exit_string(&output.exit, how, sizeof how));
    if (fwrite(output.out, 1, output.out_size, stdout) != output.out_size || fflush(stdout) != 0)
        err(1, "standard output");
    proc_output_free(&output);
    proc_free(sort);
    free(text.data);
    return 0;
}
