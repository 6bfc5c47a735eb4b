/* note: a line of text in shared memory, for whoever comes by.
 *
 *     $ note /tmp 'back at ten'
 *     $ note /tmp
 *     back at ten
 *     $ ipcs -m                  shows it: it stays until somebody takes it off
 *     $ note -r /tmp
 *
 * The memory is a plain System V segment, whose key is made of the file: nothing but the text is in it, and any program can read
 * it. It is as large as the first text; a longer one does not fit. */
#include <proc.h>

#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    bool removes = argc == 3 && strcmp(argv[1], "-r") == 0;
    const char *file = argv[removes ? 2 : 1], *text = argc == 3 && !removes ? argv[2] : NULL;

    if (argc < 2 || argc > 3)
        errx(1, "usage: note FILE [TEXT], or note -r FILE");
    key_t key = proc_key(file, 'N');
    if (key == -1)
        err(1, "%s", file);
    struct proc_shm *shm = proc_shm_open(key, text ? strlen(text) + 1 : 0, text ? O_CREAT : 0, 0);
    if (!shm)
        err(1, "proc_shm_open");
    if (removes && proc_shm_remove(shm) < 0)
        err(1, "proc_shm_remove");
    else if (text)
        memcpy(proc_shm_data(shm), text, strlen(text) + 1);
    else if (!removes)
        printf("%.*s\n", (int)proc_shm_size(shm), (char *)proc_shm_data(shm));
    proc_shm_close(shm);
    return 0;
}
