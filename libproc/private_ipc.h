/* System V objects without a key, which the kernel would keep for ever: removed when the process that made them exits. */
#ifndef LIBPROC_PRIVATE_IPC_H
#define LIBPROC_PRIVATE_IPC_H

struct private_ipc {
    struct private_ipc *previous, *next;
    long control; /* SYS_semctl, SYS_msgctl */
    int id;
    void (*and_then)(int id); /* removes what belongs to it; NULL: nothing does */
    unsigned generation; /* of the process that made it */
};

void private_ipc_add(struct private_ipc *ipc, long control, int id, void (*and_then)(int id));

/* Removes the object, if this is the process that made it. */
void private_ipc_remove(struct private_ipc *ipc);

/* Removes all that this process has made, as is done at its end. */
void private_ipc_remove_all(void);

/* A process that goes on as its own child's child hands its objects over: the child takes what that one had at the fork, so many
 * forks ago, and the process disowns them. If there is no child after all, it takes them over itself: 0 forks ago. */
void private_ipc_take_over(unsigned forks);
void private_ipc_disown(void);

#endif
