/* Series of measurements, their medians, and the report. */
#include "bench.h"

#include <err.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int64_t bench_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static size_t chance(size_t below)
{
    static bool seeded;

    if (!seeded)
        srandom((unsigned)bench_now_ns());
    seeded = true;
    return (size_t)random() % below;
}

void bench_shuffle(size_t *order, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t place = chance(i + 1);

        order[i] = order[place];
        order[place] = i;
    }
}

unsigned bench_setting(const char *name, unsigned usual)
{
    const char *text = getenv(name);

    return text && *text ? (unsigned)strtoul(text, NULL, 10) : usual;
}

size_t bench_available_mib(void)
{
    FILE *file = fopen("/proc/meminfo", "re");
    char line[128];
    size_t kib = 0;

    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "MemAvailable: %zu", &kib) == 1)
            break;
    if (file)
        fclose(file);
    return kib >> 10;
}

/* ---- series ---- */

void series_make(struct series *series, const char *name, size_t rounds)
{
    *series = (struct series){.name = name, .rounds = rounds, .values = malloc(rounds * sizeof(double))};
    if (!series->values)
        err(1, "malloc");
    for (size_t i = 0; i < rounds; i++)
        series->values[i] = NAN;
}

void series_release(struct series *series)
{
    free(series->values);
    series->values = NULL;
}

static int rising(const void *one, const void *other)
{
    double a = *(const double *)one, b = *(const double *)other;

    return (a > b) - (a < b);
}

static double quantile_of_sorted(const double *sorted, size_t count, double part)
{
    double place = part * (double)(count - 1);
    size_t below = (size_t)place;
    size_t above = below + 1 < count ? below + 1 : below;

    return sorted[below] + (place - (double)below) * (sorted[above] - sorted[below]);
}

double series_quantile(const struct series *series, double part)
{
    double *sorted = malloc(series->rounds * sizeof *sorted);
    size_t count = 0;

    if (!sorted)
        err(1, "malloc");
    for (size_t i = 0; i < series->rounds; i++)
        if (!isnan(series->values[i]))
            sorted[count++] = series->values[i];
    qsort(sorted, count, sizeof *sorted, rising);
    double value = count > 0 ? quantile_of_sorted(sorted, count, part) : NAN;
    free(sorted);
    return value;
}

static double paired_ratio(const struct series *one, const struct series *other)
{
    struct series ratios;

    series_make(&ratios, "", one->rounds);
    for (size_t i = 0; i < one->rounds; i++)
        ratios.values[i] = one->values[i] / other->values[i];
    double median = series_quantile(&ratios, 0.5);
    series_release(&ratios);
    return median;
}

/* ---- the report ---- */

void bench_title(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    printf("\n== ");
    vprintf(format, arguments);
    printf(" ==\n");
    fflush(stdout);
    va_end(arguments);
}

void bench_note(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    printf("   ");
    vprintf(format, arguments);
    putchar('\n');
    fflush(stdout);
    va_end(arguments);
}

void bench_print_heads(const char *unit)
{
    printf("   %-42s %10s %10s %10s\n", unit, "median", "10 %", "90 %");
}

void bench_print_series(const struct series *series)
{
    if (series->left_out)
        printf("   %-42s left out: %s\n", series->name, series->left_out);
    else
        printf("   %-42s %10.2f %10.2f %10.2f\n", series->name, series_quantile(series, 0.5), series_quantile(series, 0.1),
               series_quantile(series, 0.9));
    fflush(stdout);
}

static void print_goal(double number, struct goal goal)
{
    bool met = goal.kind == AT_MOST ? number <= goal.value : number >= goal.value;

    if (goal.kind != NO_GOAL)
        printf("   goal %s %g: %s", goal.kind == AT_MOST ? "<=" : ">=", goal.value, met ? "met" : "MISSED");
    putchar('\n');
    fflush(stdout);
}

void bench_print_ratio(const struct series *one, const struct series *other, struct goal goal)
{
    if (one->left_out || other->left_out)
        return;
    double ratio = series_quantile(one, 0.5) / series_quantile(other, 0.5), paired = paired_ratio(one, other);
    printf("   %24s / %-24s %6.3f   paired %6.3f", one->name, other->name, ratio, paired);
    print_goal(paired, goal);
}

void bench_print_number(const char *label, double number, struct goal goal)
{
    printf("   %-51s %6.3f", label, number);
    print_goal(number, goal);
}
