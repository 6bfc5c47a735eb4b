/* What the caller wants of a pool. */
#include "pool_options.h"

#include "job_message.h"
#include "kernel.h"
#include "listener.h"
#include "message.h"
#include "sized_options.h"

#include <stdlib.h>
#include <string.h>

#define USUAL_NAME "pool"
#define USUAL_CLIENT_TIMEOUT_MS 60000
#define USUAL_ATTEMPTS 3
#define USUAL_GRACE_MS 5000
#define USUAL_BACKOFF_MIN_MS 100
#define USUAL_BACKOFF_MAX_MS 30000

static int fail(int error)
{
    errno = error;
    return -1;
}

static bool times_make_sense(const struct proc_pool_options *options)
{
    return options->client_timeout_ms >= -1 && options->job_timeout_ms >= 0 && options->heartbeat_ms >= 0 &&
           options->grace_ms >= -1 && options->backoff_min_ms >= 0 && options->backoff_max_ms >= 0 &&
           options->restart_window_ms >= 0;
}

/* What is for the other kind of workers would be waited for in vain. */
static bool fit_together(const struct proc_pool_options *options)
{
    if (!options->main == !options->job)
        return false;
    return options->main ? !options->listen && !options->max_jobs && !options->job_timeout_ms : !options->heartbeat_ms;
}

static int check(const struct proc_pool_options *options)
{
    bool restarts = options->restart == PROC_RESTART_ALWAYS || options->restart == PROC_RESTART_ON_FAILURE ||
                    options->restart == PROC_RESTART_NEVER;

    if (!fit_together(options) || !times_make_sense(options) || !restarts || options->flags != 0 || options->key == -1)
        return fail(EINVAL);
    if (options->listen && !listener_understands(options->listen))
        return fail(EINVAL);
    return 0;
}

static unsigned processors(void)
{
    unsigned long mask[1024 / sizeof(long)] = {0};
    long size = raw(SYS_sched_getaffinity, 0, sizeof mask, mask);
    unsigned count = 0;

    for (long i = 0; i < size / (long)sizeof *mask; i++)
        count += (unsigned)__builtin_popcountl(mask[i]);
    return count > 0 ? count : 1;
}

static void use_instead_of_zero(int *value, int usual)
{
    if (*value == 0)
        *value = usual;
}

static void fill_in(struct proc_pool_options *options)
{
    if (options->workers == 0)
        options->workers = processors();
    if (options->max_job_size == 0)
        options->max_job_size = message_limit() - sizeof(struct job_header);
    if (options->max_attempts == 0)
        options->max_attempts = USUAL_ATTEMPTS;
    use_instead_of_zero(&options->client_timeout_ms, USUAL_CLIENT_TIMEOUT_MS);
    use_instead_of_zero(&options->grace_ms, USUAL_GRACE_MS);
    use_instead_of_zero(&options->backoff_min_ms, USUAL_BACKOFF_MIN_MS);
    use_instead_of_zero(&options->backoff_max_ms, USUAL_BACKOFF_MAX_MS);
    if (options->backoff_max_ms < options->backoff_min_ms)
        options->backoff_max_ms = options->backoff_min_ms;
}

static int copy_strings(struct proc_pool_options *options)
{
    const char *listen = options->listen;

    options->name = strdup(options->name ? options->name : USUAL_NAME);
    options->listen = listen ? strdup(listen) : NULL;
    if (options->name && !options->listen == !listen)
        return 0;
    pool_options_free(options);
    return fail(ENOMEM);
}

int pool_options_copy(struct proc_pool_options *copy, const struct proc_pool_options *options, size_t size)
{
    size_t smallest = SIZE_UP_TO(struct proc_pool_options, flags);

    if (sized_options_copy(copy, sizeof *copy, smallest, options, size) < 0 || check(copy) < 0)
        return -1;
    fill_in(copy);
    return copy_strings(copy);
}

void pool_options_free(struct proc_pool_options *options)
{
    free((char *)options->name);
    free((char *)options->listen);
}
