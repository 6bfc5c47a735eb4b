/* Nobody waits for them; so they are looked at whenever the library is about to start or stop something of that kind. A forked
 * child has copies that are none of its children. */
#include "left_behind.h"

#include "process_state.h"

#include <pthread.h>
#include <stdlib.h>

struct child {
    struct child *next;
    struct proc *proc;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct child *first;

/* Without memory for it, it becomes a zombie when it ends, until this process does. */
void left_behind_add(struct proc *proc)
{
    struct child *child = malloc(sizeof *child);

    if (!child) {
        process_discard(proc);
        return;
    }
    ends_close(&proc->ends, END_PIDFD); /* which might be one too many for the program */
    child->proc = proc;
    pthread_mutex_lock(&lock);
    child->next = first;
    first = child;
    pthread_mutex_unlock(&lock);
    left_behind_reap();
}

void left_behind_reap(void)
{
    pthread_mutex_lock(&lock);
    for (struct child **place = &first; *place;) {
        struct child *child = *place;

        if (proc_running(child->proc)) {
            place = &child->next;
            continue;
        }
        *place = child->next;
        proc_free(child->proc);
        free(child);
    }
    pthread_mutex_unlock(&lock);
}

static void take_lock(void)
{
    pthread_mutex_lock(&lock);
}

static void release_lock(void)
{
    pthread_mutex_unlock(&lock);
}

static void forget(void)
{
    first = NULL;
    release_lock();
}

__attribute__((constructor)) static void stand_by_at_forks(void)
{
    pthread_atfork(take_lock, release_lock, forget);
}
