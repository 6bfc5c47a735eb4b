/* The title of a process is the memory that the kernel takes for argv. PR_SET_MM_MAP points the kernel at memory of ours,
 * without any privilege, so nothing is overwritten; the program's own argv stays readable. Kernels built without
 * checkpoint/restore lack it: there the title is written over argv and, when it is longer, over the environment's strings.
 *
 * Where argv lies is read from /proc/self/stat: it works in a shared library and with every C library. */
#include "title.h"

#include "kernel.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#ifndef PR_SET_MM_MAP
#define PR_SET_MM_MAP 14
#endif

/* struct prctl_mm_map of linux/prctl.h, which cannot be included beside sys/prctl.h everywhere. */
struct memory_map {
    uint64_t start_code, end_code, start_data, end_data, start_brk, brk, start_stack;
    uint64_t arg_start, arg_end, env_start, env_end;
    uint64_t *auxv;
    uint32_t auxv_size, exe_fd;
};

/* Fields of /proc/PID/stat, by the numbers of proc(5). */
enum { START_CODE = 26, END_CODE = 27, START_STACK = 28, START_DATA = 45, END_DATA = 46, START_BRK = 47, ARG_START = 48,
       ARG_END = 49, ENV_START = 50, ENV_END = 51, LAST_FIELD = 52 };

/* What forked children inherit: nothing of it changes by that. */
static uint64_t known[LAST_FIELD + 1];

static bool read_fields(uint64_t fields[LAST_FIELD + 1])
{
    char text[2048];
    long file = raw(SYS_openat, AT_FDCWD, "/proc/self/stat", O_RDONLY | O_CLOEXEC, 0);
    if (file < 0)
        return false;
    long size = raw(SYS_read, file, text, sizeof text - 1);
    raw(SYS_close, file);
    if (size <= 0)
        return false;
    text[size] = '\0';
    char *field = strrchr(text, ')'); /* the second field, the command, may hold anything */
    int number = 2;
    while (field && number < LAST_FIELD && (field = strchr(field, ' ')))
        fields[++number] = strtoull(++field, NULL, 10);
    return number >= ENV_END;
}

static bool point_to(const char *text, size_t size, const uint64_t *fields)
{
    struct memory_map map = {
        .start_code = fields[START_CODE],
        .end_code = fields[END_CODE],
        .start_data = fields[START_DATA],
        .end_data = fields[END_DATA],
        .start_brk = fields[START_BRK],
        .brk = (uint64_t)raw(SYS_brk, 0),
        .start_stack = fields[START_STACK],
        .arg_start = (uintptr_t)text,
        .arg_end = (uintptr_t)text + size,
        .env_start = fields[ENV_START],
        .env_end = fields[ENV_END],
        .exe_fd = (uint32_t)-1,
    };

    return raw(SYS_prctl, PR_SET_MM, PR_SET_MM_MAP, &map, sizeof map, 0) == 0;
}

static bool lies_in(const char *text, uintptr_t from, uintptr_t to)
{
    return (uintptr_t)text >= from && (uintptr_t)text < to;
}

/* Copies the environment's strings out of the memory that a long title will take: one block, never freed, since the program
 * may point into it from now on. */
static bool move_environment(uintptr_t from, uintptr_t to)
{
    size_t count = 0, bytes = 0;

    for (; environ && environ[count]; count++)
        bytes += lies_in(environ[count], from, to) ? strlen(environ[count]) + 1 : 0;
    char **moved = malloc((count + 1) * sizeof *moved + bytes);
    if (!moved)
        return false;
    char *text = (char *)(moved + count + 1);
    for (size_t i = 0; i < count; i++) {
        bool moves = lies_in(environ[i], from, to);

        moved[i] = moves ? text : environ[i];
        if (moves)
            text = stpcpy(text, environ[i]) + 1;
    }
    moved[count] = NULL;
    environ = moved;
    return true;
}

/* Where the last byte of argv is not NUL, the kernel shows the text up to the first NUL, also beyond argv's end. */
static void write_over(const char *title, const uint64_t *fields)
{
    char *start = (char *)(uintptr_t)fields[ARG_START];
    size_t argv_size = fields[ARG_END] - fields[ARG_START], room = argv_size;
    size_t length = strlen(title);

    if (argv_size < 2)
        return;
    if (length >= room && fields[ENV_START] == fields[ARG_END] && move_environment(fields[ENV_START], fields[ENV_END]))
        room = fields[ENV_END] - fields[ARG_START];
    if (length >= room)
        length = room - 1;
    memset(start, 0, room);
    memcpy(start, title, length);
    if (length + 1 < argv_size)
        start[argv_size - 1] = '.';
}

/* In memory that belongs to no file: the kernel shows no other, and what malloc gives may be the rest of a page of the program's
 * own data. */
static char *anonymous_copy(const char *title, size_t size)
{
    long memory = raw(SYS_mmap, NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0L);

    if (memory < 0 && memory > -4096)
        return NULL;
    memcpy((char *)memory, title, size);
    return (char *)memory;
}

struct shown {
    char *text;
    size_t size;
};

static void release(const struct shown *shown)
{
    if (shown->text)
        raw(SYS_munmap, shown->text, shown->size);
}

void title_prepare(void)
{
    uint64_t fields[LAST_FIELD + 1] = {0};

    if (read_fields(fields))
        memcpy(known, fields, sizeof known);
}

void title_set(const char *title)
{
    static struct shown shown; /* what the kernel points at; released when it points elsewhere */
    uint64_t fields[LAST_FIELD + 1] = {0};
    struct shown next = {.size = strlen(title) + 1};

    raw(SYS_prctl, PR_SET_NAME, title, 0, 0, 0);
    if (known[ARG_START] != 0)
        memcpy(fields, known, sizeof fields);
    else if (!read_fields(fields) || fields[ARG_START] == 0)
        return;
    next.text = anonymous_copy(title, next.size);
    if (!next.text)
        return;
    if (point_to(next.text, next.size, fields)) {
        release(&shown);
        shown = next;
        return;
    }
    release(&next);
    write_over(title, fields);
}
