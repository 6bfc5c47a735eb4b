/* Keeping the process dumpable while a child that shares its memory changes its ids. */
#ifndef LIBPROC_DUMPABLE_H
#define LIBPROC_DUMPABLE_H

/* From the one to the other, one thread at a time. */
void dumpable_hold(void);
void dumpable_restore(void);

#endif
