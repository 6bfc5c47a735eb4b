/* Where a program's file is: the search through PATH, in the child, one execve per place. */
#ifndef LIBPROC_SEARCH_H
#define LIBPROC_SEARCH_H

#include <stdbool.h>
#include <stddef.h>

struct search {
    const char *name;       /* the program as it was named */
    const char *places;     /* PATH; NULL: the name has a slash and is not searched */
    char *directory;        /* put before what is relative; NULL: the working directory will do */
    bool absolute_only;     /* the working directory has no name any more: relative places hold nothing */
    char *candidate;        /* room for the longest path that can arise */
};

/* Plans the search in `environment`'s PATH. With `moves`, the child will be in another directory by then, and what is
 * relative is made absolute. -1 with errno: ENOENT for an empty name, ENAMETOOLONG, ENOMEM, or what getcwd says. */
int search_plan(struct search *search, const char *name, char *const *environment, bool moves);
void search_release(struct search *search);

/* In the child (raw system calls only): tries every place. Returns the error to report: it does not return on success. */
int search_exec(const struct search *search, const char *const *argv, char *const *environment);

#endif
