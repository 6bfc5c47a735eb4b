/* Finding a program. The child tries each place with execve itself: a look beforehand would cost a system call more, and
 * be out of date. */
#include "search.h"

#include "environment.h"
#include "kernel.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* What confstr(_CS_PATH) says in glibc and in musl. */
static const char default_places[] = "/bin:/usr/bin";

static size_t place_length(const char *place)
{
    size_t length = 0;

    while (place[length] && place[length] != ':')
        length++;
    return length;
}

static size_t longest_place(const char *places)
{
    size_t longest = 0;

    for (;;) {
        size_t length = place_length(places);

        if (length > longest)
            longest = length;
        if (!places[length])
            return longest;
        places += length + 1;
    }
}

static bool has_relative_place(const char *places)
{
    for (;;) {
        if (*places != '/') /* an empty place is the working directory */
            return true;
        places += place_length(places);
        if (!*places++)
            return false;
    }
}

/* The working directory by name. The kernel gives "(unreachable)…" for one outside the root: that is no path. */
static char *working_directory(void)
{
    char *directory = calloc(1, PATH_MAX);

    if (!directory)
        return NULL;
    long result = raw(SYS_getcwd, directory, PATH_MAX);
    if (result >= 0 && directory[0] == '/')
        return directory;
    free(directory);
    errno = result < 0 ? (int)-result : ENOENT;
    return NULL;
}

int search_plan(struct search *search, const char *name, char *const *environment, bool moves)
{
    bool searched = !strchr(name, '/');
    size_t length = strlen(name);

    *search = (struct search){.name = name};
    if (length == 0 || (searched && length > NAME_MAX)) {
        errno = length == 0 ? ENOENT : ENAMETOOLONG;
        return -1;
    }
    if (searched) {
        search->places = environment_get(environment, "PATH");
        if (!search->places)
            search->places = default_places;
    }
    bool relative = searched ? has_relative_place(search->places) : name[0] != '/';
    if (moves && relative && !(search->directory = working_directory())) {
        if (!searched || errno == ENOMEM)
            return -1;
        search->absolute_only = true;
    }
    if (!searched && !search->directory)
        return 0;
    size_t room = (search->directory ? strlen(search->directory) + 1 : 0) + length + 2;
    if (searched)
        room += longest_place(search->places);
    search->candidate = malloc(room);
    if (!search->candidate) {
        search_release(search);
        errno = ENOMEM;
        return -1;
    }
    return 0;
}

void search_release(struct search *search)
{
    free(search->directory);
    free(search->candidate);
    search->directory = NULL;
    search->candidate = NULL;
}

static char *append(char *end, const char *text, size_t length)
{
    while (length--)
        *end++ = *text++;
    return end;
}

static char *append_string(char *end, const char *text)
{
    while (*text)
        *end++ = *text++;
    return end;
}

static const char *candidate_in(const struct search *search, const char *place, size_t length)
{
    char *end = search->candidate;

    if (search->directory && (length == 0 || *place != '/')) {
        end = append_string(end, search->directory);
        *end++ = '/';
    }
    if (length > 0) {
        end = append(end, place, length);
        *end++ = '/';
    }
    end = append_string(end, search->name);
    *end = '\0';
    return search->candidate;
}

static int try(const char *file, const char *const *argv, char *const *environment)
{
    return (int)-raw(SYS_execve, file, argv, environment);
}

static int exec_unsearched(const struct search *search, const char *const *argv, char *const *environment)
{
    const char *file = search->directory ? candidate_in(search, NULL, 0) : search->name;

    return try(file, argv, environment);
}

/* The answers that mean "not here": the next place may have it. */
static bool goes_on(int failure)
{
    return failure == ENOENT || failure == ENOTDIR || failure == EACCES || failure == ESTALE || failure == ENODEV ||
           failure == ETIMEDOUT || failure == ENAMETOOLONG;
}

int search_exec(const struct search *search, const char *const *argv, char *const *environment)
{
    bool denied = false;

    if (!search->places)
        return exec_unsearched(search, argv, environment);
    for (const char *place = search->places;;) {
        size_t length = place_length(place);
        int failure = search->absolute_only && *place != '/'
                          ? ENOENT
                          : try(candidate_in(search, place, length), argv, environment);

        if (!goes_on(failure))
            return failure;
        denied |= failure == EACCES;
        if (!place[length])
            return denied ? EACCES : ENOENT; /* one that may not be run is worth knowing of, one that is missing is not */
        place += length + 1;
    }
}
