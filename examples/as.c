/* as: run a command as another user, with that user's groups and nothing of ours: no descriptors, a short environment, a
 * umask, a directory. Needs to be run by root, but for one's own name.
 *
 *     # as nobody id
 *     uid=65534(nobody) gid=65534(nogroup) groups=65534(nogroup)
 *     # as nobody touch /root/x
 *     touch: cannot touch '/root/x': Permission denied
 *     as: touch exited with status 1 */
#include <proc.h>

#include <err.h>
#include <errno.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    if (argc < 3)
        errx(2, "usage: as USER COMMAND [ARGUMENT ...]");
    struct proc_ids ids;
    const char *const environment[] = {"PATH=/usr/bin:/bin", "LANG=C.UTF-8", NULL};
    struct proc_options options = {
        .argv = (const char *const *)argv + 2,
        .ids = &ids,
        .env = environment,
        .cwd = "/",
        .umask = 027,
        .flags = PROC_CLEAR_ENV | PROC_UMASK,
    };
    struct proc_exit exit;
    char how[64];

    if (proc_ids_of(argv[1], &ids) < 0)
        errx(2, "%s: %s", argv[1], errno == ENOENT ? "no such user" : "the user database cannot be read");
    struct proc *child = proc_spawn(&options);
    proc_ids_free(&ids); /* it was needed for the spawn only */
    if (!child)
        err(1, "%s: %s", argv[2], proc_spawn_step());
    if (proc_wait(child, &exit, -1) < 0)
        err(1, "proc_wait");
    proc_free(child);
    if (proc_exit_ok(&exit))
        return 0;
    warnx("%s %s", argv[2], proc_exit_string(&exit, how, sizeof how));
    return exit.signal ? 128 + exit.signal : exit.code;
}
