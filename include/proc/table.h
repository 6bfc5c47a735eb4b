/* A table that processes share: names of 1 to 63 bytes, each with a value. No two of them may be in different PID namespaces. */
#ifndef PROC_TABLE_H
#define PROC_TABLE_H

#include <proc/key.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct proc_table;

#define PROC_TABLE_NAME_MAX 63 /* bytes, without the NUL at the end */

/* Opens the table of that key, with room for `rows` rows whose values have up to value_size bytes. flags: O_CREAT makes it,
 * empty, if there is none; with O_EXCL it must not exist. mode: permissions, 0: 0600. With PROC_PRIVATE it is always made, for
 * this process and the children that it starts afterwards. ENOENT, EEXIST, EACCES; EINVAL: there is something else under that
 * key, such as a table of another size; ENOMEM, ENOSPC: limits of the system. */
struct proc_table *proc_table_open(key_t key, size_t rows, size_t value_size, int flags, mode_t mode);

/* Any number of threads and processes may call these at once. Readers see a row as one call has left it, whoever is killed
 * when, and wait for no writer. A name that is empty or longer than 63 bytes is EINVAL. */

/* Makes the row or replaces its value. 0, or -1 with errno. EMSGSIZE: size is above value_size; ENOSPC: the table is full. */
int proc_table_put(struct proc_table *table, const char *name, const void *value, size_t size);

/* Copies the value, and returns its size. -1 with errno. ENOENT; ERANGE: buf is too small, and nothing was copied;
 * ENOMEM: only if buf has not room for value_size. */
ssize_t proc_table_get(struct proc_table *table, const char *name, void *buf, size_t size);

int proc_table_has(struct proc_table *table, const char *name); /* 1: there is one; 0: none; -1 with errno */
int proc_table_delete(struct proc_table *table, const char *name); /* 0, or -1 with errno. ENOENT */

/* A counter by name: an int64_t, which is made at 0, and which proc_table_get reads. Adds delta and returns the new value,
 * with errno set to 0; or -1 with errno. EINVAL: the row's value has not 8 bytes, or the table has no room for that many;
 * ENOSPC: the table is full. */
int64_t proc_table_add(struct proc_table *table, const char *name, int64_t delta);

/* Changes a value in place, which is aligned for any type: *size bytes before, up to value_size afterwards; 0 for a row that is
 * made. Returns 0 for the row to
 * be as it has left it; anything else for it to be as it was, which proc_table_update returns. */
typedef int proc_table_update_fn(void *value, size_t *size, void *arg);

/* Calls update while nobody else changes that row, which takes a row of its own meanwhile if it is to be made. -1 with errno
 * for what goes wrong: EMSGSIZE: *size is above value_size afterwards; ENOSPC: the table is full; ENOMEM. In its callback
 * every call on this table is EDEADLK; it must not be closed there. */
int proc_table_update(struct proc_table *table, const char *name, proc_table_update_fn *update, void *arg);

/* Gets a copy, aligned for any type. Anything but 0 ends the walk, and proc_table_each returns it. */
typedef int proc_table_each_fn(const char *name, const void *value, size_t size, void *arg);

/* Calls each for every row, in no order. Others may write meanwhile: a row that is there all the time is seen once, one that
 * comes or goes may be seen, not at all or twice. -1 with errno: ENOMEM. In its callback every call on this table is EDEADLK. */
int proc_table_each(struct proc_table *table, proc_table_each_fn *each, void *arg);

/* How many rows there are; it counts them. 0 in a callback. */
size_t proc_table_count(struct proc_table *table);

/* Removes the key. Who has the table open keeps it. EPERM: it is another user's. To remove it twice, or a private one, does
 * nothing. */
int proc_table_remove(struct proc_table *table);

/* Unmaps it in this process. Accepts NULL, keeps errno. */
void proc_table_close(struct proc_table *table);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
