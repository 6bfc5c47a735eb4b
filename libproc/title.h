/* What ps and top show of this process. */
#ifndef LIBPROC_TITLE_H
#define LIBPROC_TITLE_H

/* As proc_title(), in a child that was just forked and has no other thread. Best effort: what cannot be shown is left. Keeps
 * errno. */
void title_set(const char *title);

/* In a process that will fork many whose titles are set: what these would read, each for itself. */
void title_prepare(void);

#endif
