/* channel: a child that answers questions, over a channel that keeps the boundaries of messages. The third question makes
 * it think for ever; the parent has a timeout, and ends it.
 *
 *     $ channel
 *     (libproc 0.1.0; descriptor 3 is the channel, for those who poll)
 *     6 x 7 = 42
 *     12 x 12 = 144
 *     0 x 0: no answer in 200 ms; the child is still running: killed by SIGKILL */
#include <proc.h>

#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

struct question {
    int a, b;
};

static int multiply(struct proc *self, void *unused)
{
    struct question question;

    (void)unused;
    while (proc_read(self, &question, sizeof question) == sizeof question) {
        int answer = question.a * question.b;

        if (answer == 0)
            pause();
        if (proc_write(self, &answer, sizeof answer) < 0)
            return 1;
    }
    return 0; /* end-of-file: the parent has no more questions */
}

static int ask(struct proc *child, struct question question)
{
    int answer;

    if (proc_write(child, &question, sizeof question) < 0)
        err(1, "proc_write");
    ssize_t size = proc_read(child, &answer, sizeof answer);
    if (size < 0 && errno == ETIMEDOUT)
        return -1;
    if (size != sizeof answer)
        err(1, "proc_read");
    printf("%d x %d = %d\n", question.a, question.b, answer);
    return 0;
}

int main(void)
{
    struct proc_options options = {.main = multiply, .channel = PROC_SEQPACKET};
    const struct question questions[] = {{6, 7}, {12, 12}, {0, 0}};
    struct proc_exit exit;
    char how[64];

    struct proc *child = proc_spawn(&options);
    if (!child)
        err(1, "proc_spawn: %s", proc_spawn_step());
    printf("(libproc %s; descriptor %d is the channel, for those who poll)\n", proc_version(), proc_fd(child));
    proc_set_timeout(child, 200);
    for (int i = 0; i < 3; i++)
        if (ask(child, questions[i]) < 0)
            printf("%d x %d: no answer in 200 ms; ", questions[i].a, questions[i].b);
    printf("the child is %s: ", proc_running(child) ? "still running" : "gone");
    if (proc_kill(child, SIGKILL) < 0 || proc_wait(child, &exit, -1) < 0)
        err(1, "proc_kill");
    puts(proc_exit_string(&exit, how, sizeof how));
    proc_free(child);
    return 0;
}
