/* Keeping the process dumpable while a child that shares its memory changes its ids. */
#ifndef LIBPROC_DUMPABLE_H
#define LIBPROC_DUMPABLE_H

/* Until dumpable_restore, one thread at a time. Also held over a fork, so that no child is born in between. */
int dumpable_hold(void);
void dumpable_restore(int dumpable);
void dumpable_lock(void);
void dumpable_unlock(void);

#endif
