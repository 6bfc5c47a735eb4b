/* Names for what unrelated processes share: System V keys. */
#ifndef PROC_KEY_H
#define PROC_KEY_H

#include <sys/ipc.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/* Instead of a key: the object is for its opener and the children that it starts afterwards. */
#define PROC_PRIVATE IPC_PRIVATE

/* The key that ftok() makes of a file and a number from 1 to 255, -1 with errno. EINVAL: another number; ENOENT and the like:
 * the file cannot be looked at. Two files may have the same key; a file that is made anew has another one. */
key_t proc_key(const char *path, int id);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
