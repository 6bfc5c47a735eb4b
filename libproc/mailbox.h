/* The messages to a worker's index, in its manager's memory: until the index's newest holder has read them. */
#ifndef LIBPROC_MAILBOX_H
#define LIBPROC_MAILBOX_H

#include "ends.h"
#include "letter.h"

#include <stdbool.h>

struct letter {
    struct letter *next;
    struct letter_head head;
    char data[];
};

struct mailbox {
    struct letter *first, *last;
    struct ends ends; /* once the holder has asked for its messages: to it; and as it has, to take back what it has not read */
    uint64_t serial; /* of that holder */
    bool is_sent;    /* the first one, which the holder has not said to have read */
};

void mailbox_init(struct mailbox *mailbox);
void mailbox_free(struct mailbox *mailbox);
void mailbox_forget(struct mailbox *mailbox); /* a forked copy of it */

/* An empty letter to fill and to put; NULL with errno. */
struct letter *letter_new(struct letter_head head);
void mailbox_put(struct mailbox *mailbox, struct letter *letter);

/* The holder asks for its messages. Takes the sockets over. */
void mailbox_connect(struct mailbox *mailbox, int socket, int holders_end, uint64_t serial);

/* What the holder has not read is for the next one that asks. */
void mailbox_disconnect(struct mailbox *mailbox);

/* The holder has read the first one. */
void mailbox_confirm(struct mailbox *mailbox);

bool mailbox_is_connected(const struct mailbox *mailbox);

/* Sends the next one, if there is one, and somebody to read it. true: that takes what there is not now; to be tried again. */
bool mailbox_deliver(struct mailbox *mailbox);

#endif
