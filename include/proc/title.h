/* What ps and top show of this process. */
#ifndef PROC_TITLE_H
#define PROC_TITLE_H

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/* Shows the text as the command line of this process, and its first 15 bytes as the command (the name of its first thread), in
 * any length. Where the kernel cannot be pointed to other memory (without CONFIG_CHECKPOINT_RESTORE) it is written over argv
 * and, if it is longer, over the environment's strings, which have been moved: as much as these have room for. getenv and
 * environ go on to work. A forked child has its parent's title; a program that is executed, its own. Returns 0, or -1 with
 * errno, and nothing has changed. EBUSY: the process has other threads already: set the first title, and any of 4096 bytes and
 * more, before; EINVAL: no format, or one that cannot be printed; ENOMEM; ENOSYS: there is no way here, as under valgrind;
 * what open(2) says of /proc/self/stat. Thread-safe. */
__attribute__((format(printf, 1, 2))) int proc_title(const char *format, ...);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
