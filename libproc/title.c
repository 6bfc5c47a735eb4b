/* The title of a process is the memory that the kernel takes for argv. PR_SET_MM_MAP points the kernel at memory of ours,
 * without any privilege, so nothing is overwritten; the program's own argv stays readable. Kernels built without
 * checkpoint/restore lack it: there the title is written over argv and, when it is longer, over the environment's strings.
 *
 * Our memory is a page, into which the next title is written, too, without a system call: where the last byte of what it takes
 * for argv is not NUL, the kernel shows the text up to the first NUL. It reads no more than a page then, so a longer title gets
 * memory of just its size.
 *
 * Where argv lies is read from /proc/self/stat: it works in a shared library and with every C library. */
#include "title.h"

#include <proc/title.h>

#include "futex.h"
#include "kernel.h"

#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#ifndef PR_SET_MM_MAP
#define PR_SET_MM_MAP 14
#define PR_SET_MM_MAP_SIZE 15
#endif

/* struct prctl_mm_map of linux/prctl.h, which cannot be included beside sys/prctl.h everywhere. */
struct memory_map {
    uint64_t start_code, end_code, start_data, end_data, start_brk, brk, start_stack;
    uint64_t arg_start, arg_end, env_start, env_end;
    uint64_t *auxv;
    uint32_t auxv_size, exe_fd;
};

/* Fields of /proc/PID/stat, by the numbers of proc(5). */
enum { THREADS = 20, START_CODE = 26, END_CODE = 27, START_STACK = 28, START_DATA = 45, END_DATA = 46, START_BRK = 47,
       ARG_START = 48, ARG_END = 49, ENV_START = 50, ENV_END = 51, LAST_FIELD = 52 };

/* What forked children inherit: nothing of it changes by that. */
static uint64_t known[LAST_FIELD + 1];

/* In a mapping that belongs to no file: the kernel shows no other, and what malloc gives may be the rest of a page of the
 * program's own data. */
struct label {
    size_t size;        /* of the mapping */
    bool is_rewritable; /* it has a page, whatever the title's length */
    char text[];
};

#define PAGE_SIZE_SHOWN 4096 /* of a text that is written anew in its place */

static struct label *label; /* the kernel points at its text; NULL: not yet. One word, which a fork finds whole */

/* 0, or -errno. */
static long read_fields(uint64_t fields[LAST_FIELD + 1])
{
    char text[2048];
    long file = raw(SYS_openat, AT_FDCWD, "/proc/self/stat", O_RDONLY | O_CLOEXEC, 0);
    if (file < 0)
        return file;
    long size = raw(SYS_read, file, text, sizeof text - 1);
    raw(SYS_close, file);
    if (size <= 0)
        return size < 0 ? size : -ENODATA;
    text[size] = '\0';
    char *field = strrchr(text, ')'); /* the second field, the command, may hold anything */
    int number = 2;
    while (field && number < LAST_FIELD && (field = strchr(field, ' ')))
        fields[++number] = strtoull(++field, NULL, 10);
    return number >= ENV_END && fields[ARG_START] != 0 ? 0 : -ENODATA;
}

/* Nobody else runs in this memory. To leave the others' memory changes nothing for one who is alone, and is refused to others;
 * a sandbox may refuse it to all. */
static bool is_alone(void)
{
    uint64_t fields[LAST_FIELD + 1] = {0};
    long result = raw(SYS_unshare, CLONE_VM);

    if (result == 0 || result == -EINVAL)
        return result == 0;
    return read_fields(fields) == 0 && fields[THREADS] == 1;
}

/* The kernel wants to be told the end of the heap as well. If another thread moved it at this moment it would be set back, and
 * what malloc gave next might not be there. */
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

static bool can_point(void)
{
    unsigned size;

    return raw(SYS_prctl, PR_SET_MM, PR_SET_MM_MAP_SIZE, &size, 0, 0) == 0;
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

/* An emulator's own arguments lie elsewhere than those of its program. */
static bool is_ours_to_write(const uint64_t *fields)
{
    return label || lies_in(program_invocation_name, fields[ARG_START], fields[ARG_END]);
}

/* Where the last byte of argv is not NUL, the kernel shows the text up to the first NUL, also beyond argv's end. Other threads
 * may be reading the environment: then it stays where it is. Of the program's argv nothing is left. */
static long write_over(const char *title, const uint64_t *fields, bool alone)
{
    char *start = (char *)(uintptr_t)fields[ARG_START];
    size_t argv_size = fields[ARG_END] - fields[ARG_START], room = argv_size;
    size_t length = strlen(title);

    if (argv_size < 2 || !is_ours_to_write(fields))
        return -ENOSYS;
    if (length >= room && alone && fields[ENV_START] == fields[ARG_END] &&
        move_environment(fields[ENV_START], fields[ENV_END]))
        room = fields[ENV_END] - fields[ARG_START];
    if (length >= room)
        length = room - 1;
    memset(start, 0, room);
    memcpy(start, title, length);
    if (length + 1 < argv_size)
        start[argv_size - 1] = '.';
    return 0;
}

static struct label *map_label(size_t size)
{
    long memory = raw(SYS_mmap, NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0L);

    return memory < 0 && memory > -4096 ? NULL : (struct label *)memory;
}

static struct label *new_label(size_t text_size)
{
    bool is_rewritable = text_size < PAGE_SIZE_SHOWN;
    size_t size = offsetof(struct label, text) + (is_rewritable ? PAGE_SIZE_SHOWN : text_size);
    struct label *made = map_label(size);

    if (!made)
        return NULL;
    made->size = size;
    made->is_rewritable = is_rewritable;
    return made;
}

static void free_label(struct label *old)
{
    if (old)
        raw(SYS_munmap, old, old->size);
}

/* The rest is cleared, so that no more than this title is ever to be seen. */
static void write_label(struct label *it, const char *title, size_t size)
{
    memcpy(it->text, title, size);
    if (!it->is_rewritable)
        return;
    memset(it->text + size, 0, PAGE_SIZE_SHOWN - 1 - size);
    it->text[PAGE_SIZE_SHOWN - 1] = '.';
}

static long find_fields(uint64_t fields[LAST_FIELD + 1])
{
    long result = 0;

    if (known[ARG_START] != 0)
        memcpy(fields, known, sizeof known);
    else
        result = read_fields(fields);
    if (label) {
        fields[ARG_START] = (uintptr_t)label->text;
        fields[ARG_END] = (uintptr_t)label + label->size;
    }
    return result;
}

static long show_in_new_label(const char *title, size_t size, bool alone)
{
    uint64_t fields[LAST_FIELD + 1] = {0};
    struct label *old = label;
    long result = find_fields(fields);

    if (result < 0)
        return result;
    if (!alone)
        return can_point() ? -EBUSY : write_over(title, fields, alone);
    struct label *next = new_label(size);
    if (!next)
        return -ENOMEM;
    write_label(next, title, size);
    if (point_to(next->text, next->size - offsetof(struct label, text), fields)) {
        label = next;
        free_label(old);
        return 0;
    }
    free_label(next);
    return write_over(title, fields, alone);
}

static void name_first_thread(const char *title)
{
    char name[16];

    if (raw(SYS_gettid) == raw(SYS_getpid)) {
        raw(SYS_prctl, PR_SET_NAME, title, 0, 0, 0);
        return;
    }
    long file = raw(SYS_openat, AT_FDCWD, "/proc/self/comm", O_WRONLY | O_CLOEXEC, 0);
    if (file < 0)
        return;
    raw(SYS_write, file, name, snprintf(name, sizeof name, "%.15s", title));
    raw(SYS_close, file);
}

static long show(const char *title, size_t size, bool alone)
{
    if (label && label->is_rewritable && size < PAGE_SIZE_SHOWN)
        write_label(label, title, size);
    else {
        long result = show_in_new_label(title, size, alone || is_alone());

        if (result < 0)
            return result;
    }
    name_first_thread(title);
    return 0;
}

/* ---- one at a time ---- */

/* Whose process a thread is changing the title: in a forked child, a lock that its parent's thread has held is free. */
static _Atomic uint32_t changing;

static void begin_change(void)
{
    uint32_t self = (uint32_t)raw(SYS_getpid), found = 0;

    while (!atomic_compare_exchange_strong(&changing, &found, self)) {
        if (found == self) {
            futex_wait(&changing, self, deadline_in(-1));
            found = 0;
        }
    }
}

static void end_change(void)
{
    atomic_store(&changing, 0);
    futex_wake(&changing, 1);
}

static long change(const char *title, bool alone)
{
    begin_change();
    long result = show(title, strlen(title) + 1, alone);
    end_change();
    return result;
}

void title_prepare(void)
{
    uint64_t fields[LAST_FIELD + 1] = {0};

    if (read_fields(fields) == 0)
        memcpy(known, fields, sizeof known);
}

void title_set(const char *title)
{
    int saved = errno;

    change(title, true);
    errno = saved;
}

int proc_title(const char *format, ...)
{
    char few[512], *many = NULL;
    va_list values;
    int length = -1;

    if (format) {
        va_start(values, format);
        length = vsnprintf(few, sizeof few, format, values);
        va_end(values);
    }
    if (length < 0)
        return (int)kernel_result(-EINVAL);
    if ((size_t)length >= sizeof few) {
        many = malloc((size_t)length + 1);
        if (!many)
            return -1;
        va_start(values, format);
        vsnprintf(many, (size_t)length + 1, format, values);
        va_end(values);
    }
    long result = change(many ? many : few, false);
    free(many);
    return (int)kernel_result(result);
}
