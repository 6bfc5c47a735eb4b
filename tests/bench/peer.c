#include "peer.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PATIENCE_MS 120000

/* NULL at the end. */
static const char *hear(struct proc *peer)
{
    static char line[128];
    size_t used = 0;

    while (used + 1 < sizeof line && proc_read(peer, line + used, 1) == 1 && line[used] != '\n')
        used++;
    line[used] = '\0';
    return used > 0 ? line : NULL;
}

struct proc *peer_start(const char *const *argv)
{
    struct proc_options options = {.argv = argv, .in = PROC_PIPE, .out = PROC_PIPE, .death_signal = SIGKILL};
    struct proc *peer = proc_spawn(&options);

    if (!peer)
        return NULL;
    proc_set_timeout(peer, PATIENCE_MS);
    const char *word = hear(peer);
    if (word && strcmp(word, "ready") == 0)
        return peer;
    proc_free(peer);
    return NULL;
}

const char *peer_ask(struct proc *peer, const char *format, ...)
{
    char line[64];
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    line[length++] = '\n';
    return proc_write(peer, line, (size_t)length) < 0 ? NULL : hear(peer);
}
