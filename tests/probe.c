/* What a program finds when it starts, told to a file: one line for each fact.
 *
 *     probe FILE        fd NUMBER INODE FLAGS …, and some lines of /proc/self/status */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define MOST 1024

int main(int argc, char **argv)
{
    struct stat found[MOST];
    int open_one[MOST];
    char line[512];

    for (int fd = 0; fd < MOST; fd++)
        open_one[fd] = fstat(fd, &found[fd]) == 0;
    FILE *out = argc > 1 ? fopen(argv[1], "we") : NULL;
    if (!out)
        return 1;
    for (int fd = 0; fd < MOST; fd++)
        if (open_one[fd])
            fprintf(out, "fd %d %llu %d\n", fd, (unsigned long long)found[fd].st_ino, fcntl(fd, F_GETFD));
    FILE *status = fopen("/proc/self/status", "re");
    while (status && fgets(line, sizeof line, status))
        if (strncmp(line, "Sig", 3) == 0)
            fputs(line, out);
    if (status)
        fclose(status);
    return fclose(out) == 0 ? 0 : 1;
}
