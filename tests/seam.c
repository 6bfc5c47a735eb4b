/* Stands between the library and the kernel. Compiled without sanitizers: children on borrowed memory come through here.
 * Its counters are in shared memory, so that forked children count along. */
#include "seam.h"

#include "kernel.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#define RWF_ANY_KIND 0x108
#define PIDFD_INFO_REQUEST 11

static struct {
    long number;
    int left;
    int failure;
    bool made;
} *armed;

static _Atomic long calls;

static const char *const features[] = {"clone_vm",    "clone3",     "close_range", "pidfd", "pidfd_getfd",
                                       "pidfd_group", "pidfd_info", "rwf",         "mm_map"};
enum { CLONE_VM_OFF, CLONE3_OFF, CLOSE_RANGE_OFF, PIDFD_OFF, PIDFD_GETFD_OFF, PIDFD_GROUP_OFF, PIDFD_INFO_OFF, RWF_OFF,
       MM_MAP_OFF, FEATURES };
static bool off[FEATURES];

__attribute__((constructor)) static void seam_start(void)
{
    armed = mmap(NULL, sizeof *armed, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (getenv("OFF") && *getenv("OFF"))
        seam_off(getenv("OFF"));
}

void seam_off(const char *feature)
{
    for (int i = 0; i < FEATURES; i++)
        if (strcmp(features[i], feature) == 0) {
            off[i] = true;
            return;
        }
    abort(); /* a misspelt one would test nothing */
}

bool seam_is_off(const char *feature)
{
    for (int i = 0; i < FEATURES; i++)
        if (strcmp(features[i], feature) == 0)
            return off[i];
    abort();
}

void seam_fail(long number, int nth, int failure)
{
    armed->left = nth;
    armed->failure = failure;
    armed->made = false;
    armed->number = number;
}

bool seam_end(void)
{
    armed->number = -1;
    armed->left = 0;
    return armed->made;
}

long seam_calls(void)
{
    return calls;
}

static long injected(long number)
{
    if (armed->left == 0 || armed->number != number || --armed->left > 0)
        return 0;
    armed->made = true;
    return -armed->failure;
}

/* What a kernel without the feature answers. */
static long missing(long number, const long arguments[6])
{
    if (off[CLOSE_RANGE_OFF] && number == SYS_close_range)
        return -ENOSYS;
    if (off[PIDFD_OFF] && number == SYS_pidfd_open)
        return -EMFILE;
    if (off[PIDFD_GETFD_OFF] && number == SYS_pidfd_getfd)
        return -EPERM;
    if (off[PIDFD_GROUP_OFF] && number == SYS_pidfd_send_signal && arguments[3] != 0)
        return -EINVAL;
    if (off[PIDFD_INFO_OFF] && number == SYS_ioctl && (arguments[1] & 0xffff) == (0xff00 | PIDFD_INFO_REQUEST))
        return -ENOTTY;
    if (off[RWF_OFF] && (number == SYS_preadv2 || number == SYS_pwritev2) && arguments[5] & RWF_ANY_KIND)
        return -EOPNOTSUPP;
    if (off[MM_MAP_OFF] && number == SYS_prctl && arguments[0] == PR_SET_MM)
        return -EINVAL;
    return 0;
}

long proc_test_call(long number, const long arguments[6])
{
    long answer = injected(number);

    calls++;
    if (answer == 0)
        answer = missing(number, arguments);
    if (answer != 0)
        return answer;
    return kernel_enter(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
}

long proc_test_refusal(long number, void *arguments)
{
    uint64_t *flags = arguments;
    long answer = injected(number);

    if (answer != 0)
        return answer;
    if (off[CLONE3_OFF] && number == SYS_clone3)
        return -ENOSYS;
    if (flags && off[PIDFD_OFF] && *flags & CLONE_PIDFD)
        return -EMFILE;
    if (flags && off[CLONE_VM_OFF])
        *flags &= ~(uint64_t)CLONE_VM;
    return 0;
}

/* ---- memory: the linker sends the library's calls here ---- */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void __real_free(void *memory);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void __wrap_free(void *memory);
char *__wrap_strdup(const char *text);

static _Atomic long held;
static int memory_left;
static bool memory_refused;

void seam_fail_memory(int nth)
{
    memory_left = nth;
    memory_refused = false;
}

bool seam_end_memory(void)
{
    memory_left = 0;
    return memory_refused;
}

long seam_memory_held(void)
{
    return held;
}

static bool refuses(void)
{
    if (memory_left == 0 || --memory_left > 0)
        return false;
    memory_refused = true;
    errno = ENOMEM;
    return true;
}

static void *counted(void *memory)
{
    held += memory != NULL;
    return memory;
}

void *__wrap_malloc(size_t size)
{
    return refuses() ? NULL : counted(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
    return refuses() ? NULL : counted(__real_calloc(count, size));
}

void *__wrap_realloc(void *old, size_t size)
{
    if (refuses())
        return NULL;
    void *memory = __real_realloc(old, size);
    held += memory && !old;
    return memory;
}

void __wrap_free(void *memory)
{
    held -= memory != NULL;
    __real_free(memory);
}

char *__wrap_strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = __wrap_malloc(size);

    return copy ? memcpy(copy, text, size) : NULL;
}
