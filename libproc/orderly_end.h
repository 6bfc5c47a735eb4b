/* What is done when a process ends in order: by exit() or a return from main, and by the end of a callback child, which runs no
 * exit handlers. */
#ifndef LIBPROC_ORDERLY_END_H
#define LIBPROC_ORDERLY_END_H

/* To be called by constructors, for the life of the program. */
void orderly_end_add(void (*step)(void));

void orderly_end(void);

#endif
