/* Merging "NAME=value" and "NAME" changes into the inherited environment: each name once, the last change wins. */
#include "environment.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static size_t name_length(const char *entry)
{
    return strcspn(entry, "=");
}

static bool same_name(const char *one, const char *other)
{
    size_t length = name_length(one);

    return length == name_length(other) && memcmp(one, other, length) == 0;
}

static bool named_in(const char *entry, const char *const *changes)
{
    for (; changes && *changes; changes++)
        if (same_name(entry, *changes))
            return true;
    return false;
}

/* Counts the changes and the bytes of those that set something; EINVAL for an empty name. */
static int measure(const char *const *changes, size_t *count, size_t *bytes)
{
    *count = *bytes = 0;
    for (; changes && *changes; changes++) {
        size_t name = name_length(*changes);

        if (name == 0) {
            errno = EINVAL;
            return -1;
        }
        if ((*changes)[name] == '=') {
            *count += 1;
            *bytes += strlen(*changes) + 1;
        }
    }
    return 0;
}

char **environment_merge(const char *const *changes, bool clear)
{
    static char *const none[] = {NULL};
    char *const *inherited = clear || !environ ? none : environ;
    size_t old = 0, set, bytes;

    if (measure(changes, &set, &bytes) < 0)
        return NULL;
    while (inherited[old])
        old++;
    char **merged = malloc((old + set + 1) * sizeof *merged + bytes);
    if (!merged)
        return NULL;
    char *text = (char *)(merged + old + set + 1);
    size_t n = 0;
    for (size_t i = 0; i < old && inherited[i]; i++)
        if (!named_in(inherited[i], changes))
            merged[n++] = inherited[i];
    for (; changes && *changes; changes++) {
        if (!strchr(*changes, '=') || named_in(*changes, changes + 1))
            continue;
        merged[n++] = text;
        text = stpcpy(text, *changes) + 1;
    }
    merged[n] = NULL;
    return merged;
}

const char *environment_get(char *const *environment, const char *name)
{
    size_t length = strlen(name);

    for (; environment && *environment; environment++)
        if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=')
            return *environment + length + 1;
    return NULL;
}
