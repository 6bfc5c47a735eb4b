#include "peer.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PATIENCE_MS 120000

/* NULL at the end. */
const char *peer_hear(struct proc *peer)
{
    static char line[128];
    size_t used = 0;

    while (used + 1 < sizeof line && proc_read(peer, line + used, 1) == 1 && line[used] != '\n')
        used++;
    line[used] = '\0';
    return used > 0 ? line : NULL;
}

static struct proc *start(struct proc_options options)
{
    options.in = options.out = PROC_PIPE;
    options.death_signal = SIGKILL;
    struct proc *peer = proc_spawn(&options);
    if (!peer)
        return NULL;
    proc_set_timeout(peer, PATIENCE_MS);
    const char *word = peer_hear(peer);
    if (word && strcmp(word, "ready") == 0)
        return peer;
    proc_free(peer);
    return NULL;
}

struct proc *peer_start(const char *const *argv)
{
    return start((struct proc_options){.argv = argv});
}

struct proc *peer_fork(proc_main_fn *run, void *arg)
{
    return start((struct proc_options){.main = run, .arg = arg});
}

static int tell(struct proc *peer, const char *format, va_list arguments)
{
    char line[64];
    int length = vsnprintf(line, sizeof line - 1, format, arguments);

    line[length++] = '\n';
    return proc_write(peer, line, (size_t)length) < 0 ? -1 : 0;
}

int peer_tell(struct proc *peer, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int result = tell(peer, format, arguments);
    va_end(arguments);
    return result;
}

const char *peer_ask(struct proc *peer, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int result = tell(peer, format, arguments);
    va_end(arguments);
    return result < 0 ? NULL : peer_hear(peer);
}
