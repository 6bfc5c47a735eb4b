/* Being the one to whom orphaned descendants come (a subreaper), and telling them from other children. */
#ifndef LIBPROC_ADOPTION_H
#define LIBPROC_ADOPTION_H

#include "ends.h"

#include <stdint.h>

struct adoption {
    bool begun;
    int was_subreaper;
    struct stranger { /* a child that was there before: other code's, and left to it */
        pid_t pid;
        uint64_t started; /* tells it from a later process of that number */
    } *strangers;
    size_t nstrangers, room;
};

int adoption_begin(struct adoption *adoption);
void adoption_end(struct adoption *adoption); /* puts back what was; also accepts one that has not begun */
void adoption_free(struct adoption *adoption);

/* Whether a child that has ended is one to be reaped here. */
enum adopted { ADOPTED_NOT, ADOPTED, ADOPTED_IN_DOUBT } adoption_has(const struct adoption *adoption, pid_t zombie);

/* Calls `each` for every child of this process that has ended, whosever it is. -errno when some may have been missed. */
long adoption_each_zombie(void (*each)(void *argument, pid_t zombie), void *argument);

#endif
