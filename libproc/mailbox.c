/* One message at a time is on its way: so none overtakes another. If it is to go to another process, the socket tells whether it has
 * been read. */
#include "mailbox.h"

#include "kernel.h"
#include "packet.h"

#include <stdlib.h>

void mailbox_init(struct mailbox *mailbox)
{
    *mailbox = (struct mailbox){.socket = -1, .holders_end = -1};
}

static void drop_first(struct mailbox *mailbox)
{
    struct letter *letter = mailbox->first;

    mailbox->first = letter->next;
    if (!mailbox->first)
        mailbox->last = NULL;
    free(letter);
}

void mailbox_free(struct mailbox *mailbox)
{
    mailbox_disconnect(mailbox);
    while (mailbox->first)
        drop_first(mailbox);
}

struct letter *letter_new(struct letter_head head)
{
    if (head.size > SIZE_MAX - sizeof(struct letter)) {
        errno = ENOMEM;
        return NULL;
    }
    struct letter *letter = malloc(sizeof *letter + head.size);
    if (letter) {
        letter->next = NULL;
        letter->head = head;
    }
    return letter;
}

void mailbox_put(struct mailbox *mailbox, struct letter *letter)
{
    if (mailbox->last)
        mailbox->last->next = letter;
    else
        mailbox->first = letter;
    mailbox->last = letter;
}

void mailbox_confirm(struct mailbox *mailbox)
{
    if (mailbox->is_sent)
        drop_first(mailbox);
    mailbox->is_sent = false;
}

/* Either its reader has got it, or we have it back. */
static void take_back(struct mailbox *mailbox)
{
    struct letter_head head;
    struct packet packet = {&head, sizeof head, NULL, 0, PACKET_NO_FDS};

    if (packet_receive(mailbox->holders_end, &packet, false) < 0)
        mailbox_confirm(mailbox);
    packet_close_fds(&packet);
    mailbox->is_sent = false;
}

void mailbox_disconnect(struct mailbox *mailbox)
{
    if (mailbox->socket < 0)
        return;
    if (mailbox->is_sent)
        take_back(mailbox);
    raw(SYS_close, mailbox->socket);
    raw(SYS_close, mailbox->holders_end);
    mailbox->socket = mailbox->holders_end = -1;
}

void mailbox_connect(struct mailbox *mailbox, int socket, int holders_end, uint64_t serial)
{
    mailbox_disconnect(mailbox);
    mailbox->socket = socket;
    mailbox->holders_end = holders_end;
    mailbox->serial = serial;
}

bool mailbox_deliver(struct mailbox *mailbox)
{
    struct letter *letter = mailbox->first;

    if (!letter || mailbox->is_sent || mailbox->socket < 0)
        return false;
    struct packet packet = {&letter->head, sizeof letter->head, letter->data, letter->head.size, PACKET_NO_FDS};
    if (packet.size > LETTER_IN_PACKET) {
        packet.size = 0;
        packet.fds[0] = (int)letter_make_file(letter->data, letter->head.size);
        if (packet.fds[0] < 0)
            return true;
    }
    long result = packet_send(mailbox->socket, &packet, false);
    mailbox->is_sent = result == 0;
    packet_close_fds(&packet);
    return result < 0 && result != -EPIPE;
}
