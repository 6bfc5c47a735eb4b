/* One attempt to send or receive on a channel's socket. Answers -errno; -EAGAIN: not now. A dead peer is -EPIPE in one
 * direction and end-of-file, 0, in the other, whatever the kernel calls it. */
#ifndef LIBPROC_CHANNEL_H
#define LIBPROC_CHANNEL_H

#include <proc/process.h>

/* -EMSGSIZE: it did not fit, and is gone. */
long channel_receive(int fd, enum proc_channel kind, void *buf, size_t size, bool block);
long channel_send(int fd, const void *data, size_t size, bool block);

long channel_send_fd(int fd, int passed, bool block);
long channel_receive_fd(int fd, bool block); /* the descriptor; -ENOMSG, -EPIPE */

#endif
