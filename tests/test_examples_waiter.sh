#!/bin/sh
# The examples of the waiter, as a user runs them. Run from the repository's root.
# BUILD: the build directory. SAN: the sanitizers that it was built with, if any. CC: the compiler.
#
# The commands in single quotes are for the shells that the examples start.
# shellcheck disable=SC2016
set -u
. tests/examples_lib.sh

orphans=200 signals=3000
[ -z "${SAN:-}" ] || signals=1000

# For the scripts that run under the reaper.
export TOOLS="$tmp/tools"
cat >"$TOOLS" <<'END'
soon() { tries=0; until "$@"; do tries=$((tries + 1)); [ $tries -lt 1000 ] || return 1; sleep 0.01; done; }
all_reaped() { for pid in $(cat pids); do [ ! -e /proc/$pid ] || return 1; done; }
for_ever() { while :; do sleep 0.01; done; }
END

# ---- loops ----

# Three need a library. CI has them all, but not for another C library than the system's.
is_built()
{
    [ ! -x "$examples/$1" ] || return 0
    case ${CI:+CI}-${CC:-cc} in
    CI-*musl*) echo "skipped: $1 is not built with this C library" ;;
    CI-*) not_ok "$1 is built" ;;
    *) echo "skipped: $1 is not built, its library is missing" ;;
    esac
    return 1
}

fresh
for loop in loop_poll loop_epoll loop_libuv loop_libev loop_glib; do
    is_built $loop || continue
    run $loop
    is "$loop: children, a signal, an alarm and a pipe" "0
SIGUSR1 from caller
caller exited with status 2
early exited with status 1
speaker killed by SIGTERM
speaker says: hello
tick 1
tick 2
tick 3" "$status
$(sort out)"
    is "$loop has nothing to complain of" "" "$(cat err)"
done

# ---- signals ----

next_line()
{
    line=
    read -r line <&3
}

fresh
mkfifo lines
timeout -s KILL 60 "$examples/signals" >lines 2>err &
running=$!
exec 3<lines
next_line
is_like "signals says whom to signal" '[0-9]* takes signals until SIGTERM or SIGINT' "$line"
pid=${line%% *}
for _ in 1 2 3 4 5; do
    next_line
    case $line in
    *exited*) echo "$line" >ended ;;
    *) echo "$line" ;;
    esac
done >seen
child=$(cut -d ' ' -f 1 ended)
is "signals: its child ends" "$child exited with status 0" "$(cat ended)"
is "signals: what the child sent, in order, and with the values" "from $child
from $child, value 1
from $child, value 2
from $child, value -3" "$(sed 's/.*) //' seen)"
for signal in 1 12 15; do
    kill -$signal "$pid"
    next_line
    is_like "signals: $signal, and who sent it" "signal $signal (*) from $$" "$line"
done
next_line
is "signals: in the end the program's handler is in force again" "the program's own handler has SIGUSR1 again" "$line"
wait $running
is "signals ends well" "0 0" "$? $(size_of err)"
exec 3<&-

# ---- alarm ----

# Of the monotonic clock, to a hundredth of a second.
milliseconds()
{
    read -r up _ </proc/uptime
    echo "${up%.*}${up#*.}0"
}

fresh
start=$(milliseconds)
run alarm
took=$(($(milliseconds) - start))
is "alarm: ten, and no more" "0 #1 #2 #3 #4 #5 #6 #7 #8 #9 #10 no more" "$status $(cut -f 1 out | one_line)"
holds "alarm: one each 100 ms" test $took -ge 1000

# ---- reaper: the program, and its status ----

fresh
run reaper sh -c 'echo "$# $1"; exit 7' sh "a  b"
is "reaper: the status is the program's" "7 1 a  b" "$status $(cat out)"
run reaper -- true
is "reaper: also when that is 0" "0 0 0" "$status $(size_of out) $(size_of err)"
for signal in 9 15; do
    run reaper sh -c 'kill -$1 $$' sh $signal
    is "reaper: 128 and the signal that killed it ($signal)" $((128 + signal)) $status
done
run reaper "$tmp/missing"
is "reaper: 127 for a missing program" "127 reaper: $tmp/missing: No such file or directory" "$status $(cat err)"
run reaper env PATH="$tmp" "$examples/reaper" no_such_program
is "reaper: 127 for one that is not in PATH" "127 reaper: no_such_program: No such file or directory" "$status $(cat err)"
run reaper /
is "reaper: 126 for one that cannot be run" "126 reaper: /: Permission denied" "$status $(cat err)"
run reaper
is_like "reaper: 1 for trouble of its own" "1 reaper: usage: *" "$status $(cat err)"
run reaper -e 143 sh -c 'kill -TERM $$'
is "reaper -e: this status is success" 0 $status
run reaper -e 4 -e 5 sh -c 'exit 4'
is "reaper -e may be repeated" 0 $status
run reaper -e 4 -e 5 sh -c 'exit 6'
is "reaper -e: another status is what it is" 6 $status
run reaper -e 256 true
is "reaper -e: there is no status above 255" 1 $status
run reaper -v sh -c 'exit 2'
is "reaper -v tells what happens" "reaper: sh started as N
reaper: N exited with status 2" "$(sed 's/as [0-9]*$/as N/; s/: [0-9]* /: N /' err)"

# ---- reaper: what the program finds ----

fresh
seq 100000 >input
run reaper cat <input
same "reaper: the program has the standard input" input out
run reaper sh -c 'echo here >&7' 7>seven
is "reaper: and the other descriptors" here "$(cat seven)"
# But for the eighth digit, in which are the C library's own two: make ignores them, and whoever has a thread does not.
timeout 60 grep '^Sig[BI]' /proc/self/status | sed 's/\t\(.\{7\}\)./ \1_/' >expected # as from run
run reaper grep '^Sig[BI]' /proc/self/status
sed -i 's/\t\(.\{7\}\)./ \1_/' out
same "reaper: no more signals are blocked or ignored there than without it" expected out
cat >"$tmp/place" <<'END'
read -r pid _ _ _ group _ _ front _ </proc/self/stat
[ "$group" = "$pid" ] && echo leads
[ "$front" = "$pid" ] && echo in front
END
run reaper sh "$tmp/place"
is "reaper: the program leads a group" leads "$(head -n 1 out)"
run pty "$examples/reaper" sh "$tmp/place"
is "reaper: which is the terminal's foreground" "leads in front" "$(tr -d '\r' <out | one_line)"
run pty "$examples/reaper" cat
is "reaper: so it may read there" "0 0" "$status $(size_of out)"

# ---- reaper: signals ----

# is_ignored SIGNAL: by what run starts
is_ignored()
{
    case $1-$(timeout 60 sed -n 's/^SigIgn:[[:space:]]*//p' /proc/self/status) in
    INT-*[2367abef] | QUIT-*[4567cdef]) true ;;
    *) false ;;
    esac
}

fresh
cat >"$tmp/traps" <<'END'
. "$TOOLS"
trap "echo $1; exit 3" $1
kill -$1 $PPID
for_ever
END
for signal in HUP INT QUIT USR1 PIPE ALRM TERM CONT TSTP WINCH; do
    if is_ignored $signal; then
        ok "(reaper: SIG$signal not tested: it is ignored here, as in the background of a shell)"
        continue
    fi
    run reaper sh "$tmp/traps" $signal
    is "reaper passes SIG$signal on" "3 $signal" "$status $(cat out)"
done
run reaper sh -c '. "$TOOLS"; kill -TERM $PPID; for_ever'
is "reaper: a program that does not handle it is killed by it" 143 $status

# A leader and its child, both of which handle SIGUSR1; then the leader sends it to the reaper.
cat >"$tmp/family" <<'END'
. "$TOOLS"
trap 'echo leader USR1 >>heard' USR1
sh -c '. "$TOOLS"; trap "echo child USR1 >>heard; exit" USR1; trap "echo child TERM >>heard; exit" TERM; : >ready; for_ever' &
soon test -e ready
kill -USR1 $PPID
soon grep -qs leader heard
[ "$1" = group ] || kill -TERM $!
soon grep -qs child heard
END
run reaper sh "$tmp/family" alone
is "reaper: a signal goes to the program" "child TERM leader USR1" "$(sort heard | one_line)"
fresh
run reaper -g sh "$tmp/family" group
is "reaper -g: or to its whole group" "child USR1 leader USR1" "$(sort heard | one_line)"

# The reaper's parent ends when all is there.
fresh
mkfifo ready told
cat >"$tmp/tell" <<'END'
. "$TOOLS"
trap 'echo told >told; exit' TERM
echo >ready
for_ever
END
timeout -s KILL 60 sh -c '"$0" -p TERM sh "$1" & read -r _ <ready' "$examples/reaper" "$tmp/tell" &
running=$!
is "reaper -p: the end of its parent is passed on" told "$(timeout 60 cat told)"
wait $running

# ---- reaper: orphans ----

fresh
cat >"$tmp/one_orphan" <<'END'
. "$TOOLS"
(sh -c 'sleep 0.2; exit 5' & echo $! >pids)
soon all_reaped && echo reaped
END
run reaper -w sh "$tmp/one_orphan"
is "reaper: an orphan is reaped while the program lives" "0 reaped" "$status $(cat out)"
is "reaper -w tells of it" "reaper: orphan $(cat pids) exited with status 5" "$(cat err)"

# All wait at a gate, until as many lines come through it as there are of them.
fresh
cat >"$tmp/many_orphans" <<'END'
. "$TOOLS"
mkfifo gate
for number in $(seq $1); do
    (read -r _ <gate & echo $! >>pids)
done
exec 9<>gate
for number in $(seq $1); do echo; done >&9
soon all_reaped && echo reaped
END
run reaper -w sh "$tmp/many_orphans" $orphans
is "reaper: $orphans orphans at once are reaped" "0 reaped" "$status $(cat out)"
sed -n 's/^reaper: orphan \([0-9]*\) exited with status 0$/\1/p' err | sort >told
sort pids >expected
same "reaper: each of them once" expected told

# The program becomes one that does not know its children: when they have ended, they are there as long as it lives.
fresh
mkfifo gate door
cat >"$tmp/end_them" <<'END'
. "$TOOLS"
is_dead() { read -r _ _ state _ </proc/$1/stat && [ $state = Z ]; }
all_dead() { for pid in $(cat pids); do is_dead $pid || return 1; done; }
exec 8>door 9<>gate
for pid in $(cat pids); do echo; done >&9
soon all_dead
END
timeout -s KILL 60 sh "$tmp/end_them" &
run reaper -w sh -c 'for n in 1 2 3; do (read -r _ <gate; exit $n) & echo $! >>pids; done; exec cat door'
is "reaper: what the program leaves behind dead is reaped in the end" "0 1 2 3" \
    "$status $(sed -n 's/^reaper: orphan [0-9]* exited with status //p' err | sort | one_line)"
wait $!

# ---- reaper: a storm ----

fresh
cat >"$tmp/storm" <<'END'
trap 'heard=yes' USR1
(n=0; while [ $n -lt $1 ]; do n=$((n + 1)); kill -USR1 $PPID; done) &
set -- $2 $3
. "$2"
while kill -0 $! 2>/dev/null; do wait $!; done
echo $heard
exit 5
END
run reaper -w sh "$tmp/storm" $signals $orphans "$tmp/many_orphans"
is "reaper: orphans that end amid signals are all reaped" "5 reaped yes $orphans" \
    "$status $(one_line out) $(grep -c 'orphan [0-9]* exited with status 0' err)"
cat >"$tmp/last_storm" <<'END'
trap 'exit 6' USR1
(while kill -USR1 $PPID; do :; done) 2>/dev/null &
while :; do :; done
END
for _ in 1 2 3 4 5 6 7 8 9 10; do
    run reaper sh "$tmp/last_storm"
    echo $status
done >statuses
is "reaper: signals that do not end with the program do not change its status" "6 6 6 6 6 6 6 6 6 6" "$(one_line statuses)"

# ---- reaper: as process 1 ----

fresh
if unshare --pid --fork --mount-proc true 2>/dev/null; then
    namespace="unshare --pid --fork --mount-proc"
elif unshare --user --map-root-user --pid --fork --mount-proc true 2>/dev/null; then
    namespace="unshare --user --map-root-user --pid --fork --mount-proc"
else
    namespace=
    echo "skipped: reaper as process 1: this user may not make a pid namespace"
fi

# as_init ARGUMENT...: runs the reaper as process 1
as_init()
{
    # shellcheck disable=SC2086
    timeout -s KILL 60 $namespace "$examples/reaper" "$@" >out 2>err
    status=$?
}

if [ -n "$namespace" ]; then
    as_init sh -c 'echo $PPID; exit 7'
    is "reaper as process 1: the status is the program's" "7 1" "$status $(cat out)"
    as_init sh "$tmp/traps" TERM
    is "reaper as process 1 passes signals on" "3 TERM" "$status $(cat out)"
    as_init sh -c '. "$TOOLS"; kill -TERM 1; for_ever'
    is "reaper as process 1: 128 and the signal" 143 $status
    as_init -w sh "$tmp/many_orphans" $orphans
    is "reaper as process 1 reaps $orphans orphans" "0 reaped $orphans" "$status $(cat out) $(grep -c orphan err)"
    as_init sh -c 'setsid sleep 1000 & setsid sleep 1000 & exit 4'
    is "reaper as process 1: its end is that of all others" 4 $status
    holds "reaper as process 1: they are gone" soon nothing_runs
fi

sum_up
