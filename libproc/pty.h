/* Pseudo-terminals. */
#ifndef LIBPROC_PTY_H
#define LIBPROC_PTY_H

#include "deadline.h"

/* Makes a terminal: pair[0] is the master side, pair[1] the child's. For ends_create. */
int pty_make(int pair[2], int unused);

/* Sends the terminal's end-of-file character through its master side, if it is in line mode: once for an empty line, twice
 * where a line is open, since the first then only ends that. Waits for room until the deadline. */
void pty_send_eof(int master, int line_open, struct deadline deadline);

#endif
