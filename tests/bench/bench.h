/* What all benchmarks share: a clock, chance, series of measurements, and the report.
 *
 * Only ratios between candidates of one run mean anything on a machine that others use as well, and what ran just before
 * leaves its traces in caches and page tables. So candidates take turns in rounds, in a new random order each time. */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_COUNT(array) (sizeof(array) / sizeof *(array))

/* One candidate's measurements, one for each round; NAN where it did not run. */
struct series {
    const char *name;
    const char *left_out; /* why it did not run at all; NULL: it did */
    size_t rounds;
    double *values;
};

/* What the report holds a number against. Nothing fails if it is missed. */
struct goal {
    enum { NO_GOAL, AT_MOST, AT_LEAST } kind;
    double value;
};

#define GOAL_NONE ((struct goal){NO_GOAL, 0})
#define GOAL_AT_MOST(value) ((struct goal){AT_MOST, value})
#define GOAL_AT_LEAST(value) ((struct goal){AT_LEAST, value})

int64_t bench_now_ns(void);

/* A new random order of 0 … count - 1. */
void bench_shuffle(size_t *order, size_t count);

/* A number from the environment, or the usual one. */
unsigned bench_setting(const char *name, unsigned usual);

/* What the kernel could still give away, in MiB. */
size_t bench_available_mib(void);

void series_make(struct series *series, const char *name, size_t rounds);
void series_release(struct series *series);

/* The value below which this part (0 … 1) of the measurements lies; 0.5 is the median. NAN without any. */
double series_quantile(const struct series *series, double part);

void bench_title(const char *format, ...) __attribute__((format(printf, 1, 2)));
void bench_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void bench_print_heads(const char *unit);
void bench_print_series(const struct series *series);

/* The ratio of the medians, and the median of the ratios within each round. That one is held against the goal: it is less
 * disturbed when the load changes from round to round. */
void bench_print_ratio(const struct series *one, const struct series *other, struct goal goal);
void bench_print_number(const char *label, double number, struct goal goal);

#endif
