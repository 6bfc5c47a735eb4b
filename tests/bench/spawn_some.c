/* Spawns, waits and frees so many times, for a count of the system calls: spawn_some TINY COUNT */
#include "ways.h"

#include <err.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    if (argc != 3)
        errx(2, "usage: spawn_some TINY COUNT");
    for (int left = atoi(argv[2]); left > 0; left--)
        way_libproc(argv[1]);
    return 0;
}
