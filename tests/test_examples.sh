#!/bin/sh
# Every example, as a user runs it, but for those of the waiter. Run from the repository's root.
# BUILD: the build directory. SAN: the sanitizers that it was built with, if any.
#
# The commands in single quotes are for the shells that the examples start; dash and busybox have ulimit -n.
# shellcheck disable=SC2016,SC3045
set -u
. tests/examples_lib.sh

lines=10000
[ -z "${SAN:-}" ] || lines=2000

# ---- hello, capture ----

fresh
run hello
child=$(sed -n 's/^child \([0-9]*\): .*/\1/p' out)
is "hello: the child greets, and its status arrives" "child $child: hello, world
parent: child $child exited with status 3" "$(cat out)"

run capture uname -s
is_like "capture shows the output of a program" '"uname" exited with status 0 after * ms
out: * bytes: '"$(uname -s)" "$(cat out)"
run capture sh -c 'echo oops >&2; exit 4'
is_like "capture shows its errors and its status" '*exited with status 4*err: 5 bytes: oops' "$(cat out)"
is "capture fails when the program does" 1 $status
run capture sh -c 'kill -KILL $$'
is_like "capture tells the signal that killed it" '*killed by SIGKILL*' "$(cat out)"
run capture "$tmp/missing"
is_like "capture tells why a program could not start" "1 capture: $tmp/missing: *No such file or directory" "$status $(cat err)"
run capture yes
is_like "capture gives up on a program that writes without end" "1 capture: yes*" "$status $(cat err)"

# ---- filter ----

fresh
run filter pear apple "fig  tree"
is "filter sorts its arguments" "apple
fig  tree
pear" "$(cat out)"
awk 'BEGIN { for (i = 0; i < 100000; i++) print (i * 7919) % 100003, "line" }' >input
sort input >expected
run filter <input
same "filter sorts a megabyte" expected out
run filter </dev/null
is "filter of nothing is nothing" "0 0" "$status $(size_of out)"

# ---- pipeline ----

fresh
awk 'BEGIN { for (i = 0; i < 50000; i++) print "to be, or not to be:", i % 100 }' >input
tr -cs '[:alnum:]' '\n' <input | sort | uniq -c >expected
run pipeline input
same "pipeline counts the words of a file" expected out
run pipeline <input
same "pipeline counts the words of its input" expected out
run pipeline missing
is "pipeline tells which program could not start, and why" "1 pipeline: tr: open: No such file or directory" \
    "$status $(cat err)"

# ---- pty ----

fresh
run pty sh -c 'test -t 0 && test -t 1 && test -t 2 && echo terminal'
is "pty: all three streams are a terminal" terminal "$(tr -d '\r' <out)"
run pty sh -c 'echo here >/dev/tty'
is "pty: it is the controlling terminal" "0 here" "$status $(tr -d '\r' <out)"
run pty stty size
is "pty: the terminal has a size from the start" "24 80" "$(tr -d '\r' <out)"
run pty cat
is "pty: the program reads end-of-file" "0 0" "$status $(size_of out)"
run pty sh -c 'head -c 1000000 /dev/zero | tr "\0" x'
is "pty relays a megabyte, and all of it" 1000000 "$(size_of out)"
run pty sh -c 'exit 7'
is "pty: the exit status is the program's" 7 $status
run pty sh -c 'kill -KILL $$'
is "pty: or that of its signal" 137 $status
run pty "$tmp/missing"
is_like "pty tells why a program could not start" '127 *No such file or directory*' "$status $(cat out)"
run pty sh -c 'trap "" HUP; sleep 1000 & echo $! >pid; echo shown'
is "pty ends with its program, not with what that left behind" "0 shown" "$status $(tr -d '\r' <out)"
kill "$(cat pid)"

# ---- passfd ----

fresh
seq 1000 >thousand
: >empty
run passfd thousand empty
is "passfd: the child reads what it was handed" "thousand: child N counts 1000 lines
empty: child N counts 0 lines" "$(sed 's/child [0-9]*/child N/' out)"
run passfd .
is_like "passfd: and answers when it cannot" '0 .: child * cannot read it: Is a directory' "$status $(cat out)"
run passfd missing
is "passfd fails on a missing file" "1 passfd: missing: No such file or directory" "$status $(cat err)"

# ---- timeout ----

# time_out OPTION...: runs the script, which makes the file `ready` when its time may run out. A busy machine gets more time.
time_out()
{
    for seconds in 0.2 1 5 20; do
        rm -f ready
        run timeout "$@" "$seconds" sh "$tmp/script"
        [ ! -e ready ] || return
    done
}

fresh
run timeout 30 sh -c 'echo in time; exit 5'
is "timeout: the status is the command's" "5 in time" "$status $(cat out)"
echo 'sleep 1000 & echo $$ $! >pids; touch ready; wait' >"$tmp/script"
time_out
is "timeout: 124 when the time ran out" 124 $status
holds "timeout stops the whole group" all_gone 2 pids
echo 'trap "" TERM; sleep 1000 & echo $$ $! >pids; touch ready; while :; do wait; done' >"$tmp/script"
time_out -k 0.2
is "timeout -k: 124 for a command that ignores SIGTERM" 124 $status
holds "timeout -k kills the whole group" all_gone 2 pids
echo 'trap "echo usr1; exit" USR1; sleep 1000 & touch ready; while :; do wait; done' >"$tmp/script"
time_out -s USR1
is "timeout -s sends another signal" "124 usr1" "$status $(cat out)"
echo 'touch ready; kill -STOP $$' >"$tmp/script"
time_out
is "timeout stops a stopped command" 124 $status
run timeout 30 sh -c 'sleep 1000 & echo $$ $! >pids; kill -TERM $PPID; wait'
is "timeout passes on a signal that it gets" 143 $status
holds "timeout passes it on to the whole group" all_gone 2 pids
run timeout 30 sh -c 'kill -KILL $$'
is "timeout: 128 and the signal" 137 $status
run timeout 30 "$tmp/missing"
is "timeout: 127 for a missing command" 127 $status
run timeout 30 /
is "timeout: 126 for one that cannot be run" 126 $status
run timeout soon true
is "timeout: 125 for trouble of its own" 125 $status

# ---- parallel: lines and words ----

fresh
seq $lines >numbers
run parallel true <numbers
is "parallel true on $lines lines" "0 0 0" "$status $(size_of out) $(size_of err)"
run parallel echo {} <numbers
same "parallel echo on $lines lines: all of them, in order" numbers out
printf '%s\n' ' a  b ' "it's \"quoted\"" 'back\slash\n' '' '$HOME `x` *' '{}' '-n' >odd
run parallel printf '%s\n' {} <odd
same "parallel: spaces, quotes, backslashes and empty lines are left alone" odd out
printf 'one\ntwo' >input
run parallel echo "<{}|{}>" {} x <input
is "parallel: {} anywhere in a word; the last line needs no newline" "<one|one> one x
<two|two> two x" "$(cat out)"
run parallel echo x <input
is "parallel: without {} the line comes last" "x one
x two" "$(cat out)"
printf '%s\n' true false >input
run parallel {} <input
is_like "parallel: the line may be the command" '1 parallel: line 2 (false): *' "$status $(cat err)"
run parallel echo </dev/null
is "parallel of nothing is nothing" "0 0 0" "$status $(size_of out) $(size_of err)"
run parallel sh -c 'cat; echo $1' sh <input
same "parallel: a job does not read the lines of the others" input out
{
    head -c 200000 /dev/zero | tr '\0' x
    printf '\nshort\n'
} >input
run parallel echo <input
is_like "parallel: a line too long for an argument fails alone" '1 short parallel: line 1 *: execve: Argument list too long
*' "$status $(cat out) $(cat err)"
run parallel -j 0 true </dev/null
is "parallel: 255 for trouble of its own" 255 $status
run parallel echo <&-
is_like "parallel: a closed input is trouble" '255 *Bad file descriptor' "$status $(cat err)"
timeout -s KILL 60 "$examples/parallel" echo <odd >&- 2>/dev/null
is "parallel: so is a closed output" 255 $?

# ---- parallel: order ----

fresh
seq 200 >input
run parallel -j 8 sh -c 'sleep 0.0$(($1 * 7919 % 5)); echo $1' sh <input
same "parallel: the order is that of the lines, however long each takes" input out
cat >in_turns <<'END'
wait_for() { until [ -e $1 ]; do sleep 0.01; done; }
case $1 in
a) echo a1; touch 1; wait_for 2; echo a2 >&2; touch 3 ;;
b) wait_for 1; echo b1; touch 2; wait_for 3; echo b2 >&2 ;;
esac
END
printf 'a\nb\n' >input
run parallel -j 2 sh in_turns <input
is "parallel: two that take turns in writing are both kept whole" "a1
a2
b1
b2" "$(cat out)"
seq 3 >input
run parallel -j 3 sh -c 'touch here.$1; until [ -e here.1 ] && [ -e here.2 ] && [ -e here.3 ]; do sleep 0.01; done' sh <input
is "parallel -j 3: three at a time" 0 $status
{
    echo 1
    soon test -e started.1 && echo 2
} | run parallel sh -c 'touch started.$1; echo $1' sh
is "parallel starts before its input ends" "1 2" "$(one_line out)"
seq 100 >input
(
    ulimit -n 64
    run parallel -j 1000 sh -c 'sleep 0.02' <input
    [ "$status $(size_of err)" = "0 0" ]
)
is "parallel starts no more jobs at once than there are descriptors for" 0 $?

# ---- parallel: failures ----

fresh
seq $lines >numbers
seq 5 >input
run parallel sh -c '[ $1 -ne 3 ] || exit 9; [ $1 -ne 4 ] || kill -KILL $$; echo $1' sh <input
is "parallel: the others run when some fail" "1 2 5" "$(one_line out)"
is "parallel tells which lines failed, and how" "2 parallel: line 3 (3): exited with status 9
parallel: line 4 (4): killed by SIGKILL
parallel: 2 of 5 failed" "$status $(cat err)"
seq 150 >input
run parallel false <input
is "parallel: the number of failures stops at 100" "100 parallel: 150 of 150 failed" "$status $(tail -n 1 err)"
run parallel "$tmp/missing" {} <numbers
is "parallel: a missing command fails each line" \
    "100 0 $((lines + 1)) parallel: line 1 (1): execve: No such file or directory" \
    "$status $(size_of out) $(wc -l <err | tr -d ' ') $(head -n 1 err)"
seq 20 >input
run pty sh -c "'$examples/parallel' sh -c 'echo o\$1' sh <input"
is_like "parallel shows on a terminal how far it is" '* done, 0 failed, * running*' "$(cat out)"
is "parallel: the output is whole on a terminal" 20 "$(grep -c "o[0-9]*.\$" out)"

# ---- parallel: much output, and memory ----

fresh
echo 104857600 >input
run parallel head -c {} /dev/zero <input
is "parallel: 100 MiB of one job" "0 104857600" "$status $(size_of out)"
yes | timeout -s KILL 60 "$examples/parallel" -j 2 echo 2>/dev/null | head -n 3 >out
is "parallel ends when nobody reads on" "y y y" "$(one_line out)"
cat >second_is_large <<'END'
memory() { sed -n "s/^$1:[^0-9]*\([0-9]*\).*/\1/p" /proc/$PPID/status; }
case $1 in
1) until [ $(memory VmRSS) -gt 60000 ]; do sleep 0.01; done; echo first ;;
2) head -c 314572800 /dev/zero ;;
3) memory VmHWM >peak ;;
esac
END
if [ -z "${SAN:-}" ]; then
    seq 3 | timeout -s KILL 60 "$examples/parallel" -j 2 sh second_is_large | wc -c | tr -d ' ' >out
    is "parallel: 300 MiB that have to wait for their turn" 314572806 "$(cat out)"
    holds "parallel holds no more than some of it in memory" test "$(cat peak)" -lt 200000
fi

# ---- parallel: signals, and what is left behind ----

fresh
echo x >input
run parallel sh -c 'sleep 1000 & echo $! >pid; echo done' <input
is "parallel does not wait for what a job left behind" "0 done" "$status $(cat out)"
holds "parallel lets it live" kill -0 "$(cat pid)"
kill "$(cat pid)"

# Four jobs with a child each, of which both, none, or only the child ignores SIGTERM. When all are there, the last sends
# parallel a signal.
cat >"$tmp/four_jobs" <<'END'
[ $1 = kind ] || trap "" TERM
sleep 1000 &
[ $1 = stubborn ] || trap - TERM
echo $$ $! >new.$3
mv new.$3 pids.$3
if [ $3 = 4 ]; then
    until [ -e pids.1 ] && [ -e pids.2 ] && [ -e pids.3 ]; do sleep 0.01; done
    kill -$2 $PPID
fi
while :; do wait; sleep 1; done
END
seq 100 >"$tmp/hundred"

# stopped_by SIGNAL STATUS KIND
stopped_by()
{
    fresh
    run parallel -j 4 sh "$tmp/four_jobs" "$3" "$1" <"$tmp/hundred"
    is "parallel: $2 after SIG$1, with $3 jobs" "$2" $status
    holds "parallel leaves none of them behind" all_gone 8 pids.*
}

stopped_by TERM 143 kind
stopped_by TERM 143 stubborn
stopped_by TERM 143 mixed
stopped_by HUP 129 kind
case $(sed -n 's/^SigIgn:[[:space:]]*//p' /proc/self/status) in
*[2367abef]) ok "(SIGINT not tested: it is ignored here, as in the background of a shell)" ;;
*) stopped_by INT 130 kind ;;
esac
fresh
echo x >input
(
    trap '' HUP
    "$examples/parallel" sh -c 'kill -HUP $PPID; echo alive' <input >out # not by timeout(1), which catches SIGHUP
)
is "parallel ignores what it was started to ignore" alive "$(cat out)"
cat >chatter <<'END'
echo $$ >pid
(until [ $(wc -c <out) -gt 1000000 ]; do sleep 0.01; done; kill -TERM $PPID) >/dev/null &
exec yes
END
run parallel sh -c '. ./chatter' <input
is "parallel hears a signal amid much output" 143 $status
holds "parallel stops what wrote it" all_gone 1 pid
seq 2 >input
cat >two_jobs <<'END'
echo $$ >pid.$1
until [ -s pid.1 ] && [ -s pid.2 ]; do sleep 0.01; done
kill -KILL $PPID
exec sleep 1000
END
run parallel -j 2 sh two_jobs <input 2>killed
is "parallel: killed outright" 137 $status
holds "parallel: its jobs do not outlive it" all_gone 2 pid.1 pid.2

sum_up
