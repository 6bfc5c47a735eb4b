/* One message at a time is on its way: so none overtakes another. If it is to go to another process, the socket tells whether
 * it has been read. */
#include "mailbox.h"

#include "kernel.h"
#include "packet.h"

#include <stdlib.h>

#define OUR_END END_CHANNEL
#define HOLDERS_END END_PTY

void mailbox_init(struct mailbox *mailbox)
{
    *mailbox = (struct mailbox){.first = NULL};
    ends_enlist(&mailbox->ends);
}

static void drop_first(struct mailbox *mailbox)
{
    struct letter *letter = mailbox->first;

    mailbox->first = letter->next;
    if (!mailbox->first)
        mailbox->last = NULL;
    free(letter);
}

void mailbox_forget(struct mailbox *mailbox)
{
    mailbox->is_sent = false;
    mailbox_free(mailbox);
}

void mailbox_free(struct mailbox *mailbox)
{
    mailbox_disconnect(mailbox);
    ends_delist(&mailbox->ends);
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
    if (packet_drop(mailbox->ends.fd[HOLDERS_END]) < 0)
        mailbox_confirm(mailbox);
    mailbox->is_sent = false;
}

void mailbox_disconnect(struct mailbox *mailbox)
{
    if (mailbox->is_sent)
        take_back(mailbox);
    ends_close(&mailbox->ends, OUR_END);
    ends_close(&mailbox->ends, HOLDERS_END);
}

void mailbox_connect(struct mailbox *mailbox, int socket, int holders_end, uint64_t serial)
{
    mailbox_disconnect(mailbox);
    ends_set(&mailbox->ends, OUR_END, socket);
    ends_set(&mailbox->ends, HOLDERS_END, holders_end);
    mailbox->serial = serial;
}

bool mailbox_is_connected(const struct mailbox *mailbox)
{
    return mailbox->ends.fd[OUR_END] >= 0;
}

bool mailbox_deliver(struct mailbox *mailbox)
{
    struct letter *letter = mailbox->first;

    if (!letter || mailbox->is_sent || !mailbox_is_connected(mailbox))
        return false;
    struct packet packet = {&letter->head, sizeof letter->head, letter->data, letter->head.size, PACKET_NO_FDS};
    if (packet.size > LETTER_IN_PACKET) {
        packet.size = 0;
        packet.fds[0] = (int)letter_make_file(letter->data, letter->head.size);
        if (packet.fds[0] < 0)
            return true;
    }
    long result = packet_send(mailbox->ends.fd[OUR_END], &packet, false);
    mailbox->is_sent = result == 0;
    packet_close_fds(&packet);
    return result < 0 && result != -EPIPE;
}
