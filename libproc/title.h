/* What ps and top show of this process. */
#ifndef LIBPROC_TITLE_H
#define LIBPROC_TITLE_H

/* Shows the title as the command line, and its first 15 bytes as the command. argv and the environment stay as they are,
 * unless the kernel lacks the call that allows it; then they are overwritten, the environment having been moved. Best
 * effort: what cannot be shown is left. Not to be called by two threads at once. */
void title_set(const char *title);

/* In a process that will fork many whose titles are set: what these would read, each for itself. */
void title_prepare(void);

#endif
