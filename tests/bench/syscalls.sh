#!/bin/sh
# How many system calls parent and child together make for one plain spawn + wait + free: what eleven take beyond what one
# takes, divided by ten, since the first also finds out about the kernel.
#
#     syscalls.sh DIRECTORY TINY     spawn_some is in PATH, the directory is for notes

goal=15

printf '\n== system calls of one spawn + wait + free, parent and child together ==\n'
for times in 1 11; do
    if ! strace -f -qq -c -o "$1/strace.$times" spawn_some "$2" $times 2>/dev/null; then
        echo '   left out: strace'
        exit 0
    fi
done

# The fourth column counts the calls; a column of errors may stand between it and the name.
awk -v goal=$goal '
    $4 !~ /^[0-9]+$/ || $NF == "total" { next }
    FILENAME ~ /\.1$/ { once[$NF] = $4; next }
    $4 > once[$NF] { calls[$NF] = ($4 - once[$NF]) / 10; sum += calls[$NF] }
    END {
        for (name in calls)
            printf "   %-20s %5.1f\n", name, calls[name] | "sort -k2,2nr -k1,1"
        close("sort -k2,2nr -k1,1")
        printf "   %-20s %5.1f   goal <= %d: %s\n", "all", sum, goal, sum <= goal ? "met" : "MISSED"
    }' "$1/strace.1" "$1/strace.11"
