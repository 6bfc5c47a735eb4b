/* Ways to start a child and wait for its end, once. */
#ifndef BENCH_WAYS_H
#define BENCH_WAYS_H

#include <proc.h>

/* As these options say, through the library. */
void spawn_and_wait(void *options);

/* The program at this path. */
void way_libproc(void *program);
void way_libproc_pipes(void *program); /* with a pipe for each of its streams */
void way_posix_spawn(void *program);
void way_vfork(void *program);
void way_fork(void *program);

/* No program: a child that leaves at once. */
void way_fork_alone(void *unused);

#endif
