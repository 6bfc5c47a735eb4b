/* The side of a candidate of `wait`: a process that holds a number of children, ends them, and hears of it in its own way. */
#ifndef BENCH_WAIT_SIDE_H
#define BENCH_WAIT_SIDE_H

#include <stdbool.h>
#include <sys/types.h>

/* A child is named by its slot, below `most`. */
struct wait_way {
    void (*begin)(unsigned most);
    pid_t (*start)(unsigned slot); /* starts lasting_program in it, and watches it */
    void (*hear)(void);            /* sleeps until one or more have ended, reaps them, and says so of each */
    void (*idle)(int ms);          /* sleeps so long, while none ends; NULL: not asked for */
};

extern char *lasting_program;

/* Starts it as a program without a library does. */
pid_t lasting_start(void);

/* For `hear`: what follows needs its slot no more. */
void wait_ended(unsigned slot);

/* Says "ready", and then answers each line with two numbers:
 *     hold COUNT   starts as many as are missing: nothing
 *     one COUNT    ends so many one by one, and replaces each: the median nanoseconds of an exit, and those of this process's
 *                  processor time
 *     all          ends them all at once: the same, on average
 *     idle MS      sleeps so long: nanoseconds of processor time, context switches */
void wait_serve(const struct wait_way *way, char *program);

#endif
