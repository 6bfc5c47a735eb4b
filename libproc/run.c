/* A program run to its end, and what it wrote. */
#include "communicate.h"
#include "options.h"
#include "step.h"

#include <errno.h>

static bool is_mapped(const struct proc_options *options, int stream)
{
    for (size_t i = 0; i < options->nfds; i++)
        if (options->fds && options->fds[i].child == stream)
            return true;
    return false;
}

static void capture_by_default(struct proc_options *options, bool fed)
{
    if (options->in.kind == PROC_STDIO_INHERIT && !is_mapped(options, 0))
        options->in = fed ? PROC_PIPE : PROC_NULL;
    if (options->out.kind == PROC_STDIO_INHERIT && !is_mapped(options, 1))
        options->out = PROC_PIPE;
    if (options->err.kind == PROC_STDIO_INHERIT && !is_mapped(options, 2))
        options->err = PROC_PIPE;
}

static int invalid(void)
{
    errno = EINVAL;
    return step_failed("options");
}

int proc_run_sized(const struct proc_options *given, size_t options_size, const void *input, size_t size,
                   struct proc_output *output, int timeout_ms)
{
    struct proc_options options;

    if (output)
        *output = (struct proc_output){.limit = output->limit, .exit = {.code = -1, .signal = -1}};
    if (timeout_ms < -1 || (size > 0 && !input))
        return invalid();
    if (options_copy(&options, given, options_size) < 0)
        return step_failed("options");
    capture_by_default(&options, size > 0);
    struct proc *proc = proc_spawn(&options);
    if (!proc)
        return -1;
    int result = communicate_with(proc, input, size, output, timeout_ms, false);
    if (result == 0)
        proc_stop(proc, output ? &output->exit : NULL, COMMUNICATE_GRACE_MS);
    proc_free(proc);
    return result;
}
