/* hello: a C function as a child, and how it ended.
 *
 *     $ hello
 *     child 4711: hello, world
 *     parent: child 4711 exited with status 3 */
#include <proc.h>

#include <err.h>
#include <stdio.h>

static int greet(struct proc *self, void *whom)
{
    printf("child %d: hello, %s\n", (int)proc_pid(self), (const char *)whom);
    return 3; /* the child's exit status */
}

int main(void)
{
    struct proc_options options = {.main = greet, .arg = (char[]){"world"}};
    struct proc_exit exit;
    char how[64];

    struct proc *child = proc_spawn(&options);
    if (!child)
        err(1, "proc_spawn: %s", proc_spawn_step());
    if (proc_wait(child, &exit, -1) < 0)
        err(1, "proc_wait");
    printf("parent: child %d %s\n", (int)exit.pid, proc_exit_string(&exit, how, sizeof how));
    proc_free(child);
    return 0;
}
