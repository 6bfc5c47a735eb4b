/* Last of all at exit(), as a destructor: the program's own exit handlers find everything still there. */
#include "orderly_end.h"

#include <stdlib.h>

#define MOST_STEPS 4

static void (*steps[MOST_STEPS])(void);
static int count;

void orderly_end_add(void (*step)(void))
{
    if (count == MOST_STEPS)
        abort(); /* one more room has one */
    steps[count++] = step;
}

__attribute__((destructor)) void orderly_end(void)
{
    for (int i = 0; i < count; i++)
        steps[i]();
}
