#!/bin/sh
# The examples that are a service and its command line, and two programs that meet at a named pipe, as a user runs them. Run from
# the repository's root. BUILD: the build directory. SAN: the sanitizers that it was built with, if any.
#
# The commands in single quotes are for shells that are started here; one_line reads a pipe.
# shellcheck disable=SC2016,SC2119
set -u
. tests/examples_lib.sh

lines=20000
[ -z "${SAN:-}" ] || lines=4000

# ---- daemons, and what they leave behind ----

# Besides those with the mark: a title may lie over the environment, and one test takes it away. But all are in our directories.
here=$(pwd -P)
what_runs()
(
    mark=$MARK program=$(readlink -f "$examples/daemon")
    unset MARK
    grep -las "$mark" /proc/[0-9]*/environ | cut -d / -f 3
    # shellcheck disable=SC2012
    for pid in $(ls -l /proc/[0-9]*/exe 2>/dev/null | sed -n "s|.* /proc/\([0-9]*\)/exe -> $program\$|\1|p"); do
        case $(readlink "/proc/$pid/cwd") in
        "$here"/*) echo "$pid" ;;
        esac
    done
)

holder()
{
    cat d/daemon.pid 2>/dev/null
}

# What is in the directory, but for the logs.
left()
{
    find d ! -name d ! -name '*.log' | one_line
}

# tell FIFO LINE: does not wait for ever for one who listens
tell()
{
    timeout -s KILL 60 sh -c 'printf "%s\n" "$2" >"$1"' sh "$1" "$2"
}

# says PATTERN [FILE]: a line is like that
says()
{
    grep -q -e "$1" "${2:-d/daemon.log}" 2>/dev/null
}

title()
{
    tr '\0' '\n' <"/proc/$1/cmdline" 2>/dev/null
}

has_threads()
{
    [ "${SAN:-}" = thread ]
}

# is_titled PID PATTERN
is_titled()
{
    title "$1" | grep -q -e "$2"
}

stream()
{
    readlink "/proc/$1/fd/$2"
}

# Starts a command in the background, whose status is in the file `ended` afterwards. To be waited for: $started.
begin()
{
    rm -f ended
    { # a shell gives /dev/null to what it starts in the background
        {
            timeout -s KILL 60 "$@" <&3 3<&- >began.out 2>began.err
            echo $? >ended
        } &
    } 3<&0
    started=$!
}

is_running()
{
    timeout -s KILL 60 "$examples/daemon" status -d d >/dev/null 2>&1
}

# stop_well SENTENCE: the end of each test. Nothing but the service's own lines is in its log, as a sanitizer's would be.
stop_well()
{
    running=$(holder)
    run daemon stop -d d
    gone=$(is_gone "${running:-0}" && echo gone)
    is "$1" "0 0 gone " "$status $(size_of err) $gone $(grep -hv '^[-0-9]* [:0-9]* [0-9]* ' d/*.log)"
}

# ---- start, status, stop ----

fresh
run daemon start -d d
is "start comes back with 0 and says nothing" "0 0 0" "$status $(size_of out) $(size_of err)"
pid=$(holder)
holds "by then the service is ready" says " $pid is ready\$"
run daemon status -d d
is "status says that it runs, and who it is" "0 $pid is running" "$status $(cat out)"
if has_threads; then
    echo "skipped: titles: the sanitizer's thread is there before the first one"
else
    holds "its title says what it does" soon is_titled "$pid" '^daemon: [0-9]* ticks$'
    is "its title is short for the command as well" "daemon: " "$(cut -c 1-8 "/proc/$pid/comm")"
fi
tell d/daemon.fifo hello
holds "what it is told is in its log" soon says " $pid heard: hello\$"
is "its streams are /dev/null and the log" "/dev/null $here/work/d/daemon.log $here/work/d/daemon.log" \
    "$(stream "$pid" 0) $(stream "$pid" 1) $(stream "$pid" 2)"
is "it is in its directory" "$here/work/d" "$(readlink "/proc/$pid/cwd")"
is "it leads neither a session nor a group, and has no terminal" "0" \
    "$(sed 's/.*) //' "/proc/$pid/stat" | awk -v pid="$pid" '{ print ($3 == pid) + ($4 == pid) + ($5 != 0) }')"
is "nobody else may read its log" "rw-r-----" "$(find d/daemon.log -printf '%M\n' | cut -c 2-)"

run daemon start -d d
is "a second start is refused, with the number of the first" "1 daemon: $pid is running already" "$status $(cat err)"
run daemon start -f -d d
is "in the foreground as well" "1 daemon: $pid is running already" "$status $(cat err)"
run daemon status -d d
is "the first goes on" "0 $pid is running" "$status $(cat out)"

run daemon stop -d d
is "stop comes back with 0 and says nothing" "0 0 0" "$status $(size_of out) $(size_of err)"
holds "by then it has gone" is_gone "$pid"
is "its pidfile and its pipe have gone too" "" "$(left)"
holds "it has ended in its own time" says " $pid ends after [0-9]* ticks\$"
run daemon status -d d
is "status of none is 3" "3 is not running" "$status $(cat out)"
run daemon stop -d d
is "to stop none is no failure" "0 daemon: is not running" "$status $(cat err)"
run daemon reload -d d
is "to reload none is 7" "7 daemon: is not running" "$status $(cat err)"

run daemon
is_like "no command is 2" "2 daemon: usage: *" "$status $(cat err)"
run daemon walk -d d
is_like "an unknown command is 2" "2 daemon: usage: *" "$status $(cat err)"
run daemon start -d d -t 0
is_like "no time is 2" "2 daemon: usage: *" "$status $(cat err)"
run daemon start -d missing/d
is "a directory that cannot be made is 1" "1 daemon: missing/d: No such file or directory" "$status $(cat err)"

# ---- what it hears ----

fresh
run daemon start -d d
seq $lines >expected
timeout -s KILL 60 sh -c 'cat expected >d/daemon.fifo'
tell d/daemon.fifo "$(head -c 20000 /dev/zero | tr '\0' x)"
stop_well "a service that has much to read stops well"
sed -n 's/.* heard: \([0-9]\)/\1/p' d/daemon.log >heard
same "each line is heard, once, in order, and what was written before the stop as well" expected heard
is "a line that is too long comes in pieces" 20000 "$(sed -n 's/.* heard: x/x/p' d/daemon.log | tr -d '\n' | wc -c | tr -d ' ')"

# ---- reload, restart ----

fresh
run daemon start -d d
pid=$(holder)
mv d/daemon.log d/old.log
tell d/daemon.fifo before
holds "a log that has been renamed is written on" soon says 'heard: before$' d/old.log
echo 'tick 50' >d/daemon.conf
run daemon reload -d d
is "reload comes back with 0 and says nothing" "0 0 0" "$status $(size_of out) $(size_of err)"
holds "then there is a new log, and the settings are read anew" soon says " $pid a tick each 50 ms\$"
tell d/daemon.fifo after
holds "new lines are in the new log" soon says 'heard: after$'
is "and not in the old one" 0 "$(grep -c after d/old.log)"
is "it is the same service" "$pid" "$(holder)"

echo 'tock 50' >d/daemon.conf
run daemon reload -d d
holds "settings that are wrong are complained of" soon says ' daemon.conf: Invalid argument$'
holds "and the old ones go on" soon says " $pid a tick each 50 ms\$"
rm d/daemon.conf
mv d/daemon.log d/older.log
mkdir d/daemon.log
run daemon reload -d d
holds "a log that cannot be opened is complained of in the old one, which goes on" \
    soon says 'the old log goes on: Is a directory' d/older.log
holds "and the rest is done" soon says " $pid a tick each 1000 ms\$" d/older.log
rmdir d/daemon.log

run daemon restart -d d
new=$(holder)
is "restart comes back with 0 and says nothing" "0 0 0" "$status $(size_of out) $(size_of err)"
holds "the old one has gone" is_gone "$pid"
holds "another one is there" test "$new" != "$pid"
run daemon status -d d
is "and runs" "0 $new is running" "$status $(cat out)"
stop_well "and stops"
run daemon restart -d d
is "restart needs none that runs" "0 daemon: is not running" "$status $(cat err)"
stop_well "what it has started stops"

# ---- ready, or not ----

# The settings are a pipe: it is ready when they have been written, and not before.
fresh
mkdir d
mkfifo d/daemon.conf
begin "$examples/daemon" start -d d
holds "a service that begins has its pidfile" soon is_running
pid=$(holder)
run daemon start -d d
is "a second start is refused meanwhile" "1 daemon: $pid is running already" "$status $(cat err)"
run daemon reload -d d
is "a reload that comes too early is no failure, …" 0 $status
holds "… start waits, …" test ! -e ended
tell d/daemon.conf 'tick 500'
wait $started
is "… and comes back with 0 when the service is ready" "0 0" "$(cat ended) $(size_of began.err)"
is "it is the one that began" "$pid" "$(holder)"
stop_well "it stops"

begin "$examples/daemon" start -d d
soon is_running
pid=$(holder)
run daemon stop -d d
is "a service that is not ready yet can be stopped" "0 gone" "$status $(soon is_gone "$pid" && echo gone)"
wait $started
is "start says so" 1 "$(cat ended)"
holds "with a message" test -s began.err

begin "$examples/daemon" start -d d
soon is_running
pid=$(holder)
what_runs | sort -u >running
while read -r process; do
    # The command; and what watches over the service for it, but not the service.
    [ "$process" = "$pid" ] || [ "$(readlink "/proc/$process/exe")" != "$(readlink "/proc/$pid/exe")" ] ||
        kill -TERM "$process" 2>/dev/null
done <running
wait $started
holds "start that is ended by SIGTERM while it waits takes the service with it" soon is_gone "$pid"
is "and fails" 143 "$(cat ended)"

run daemon start -d d -t 1
is "a service that is not ready in time makes start fail" 1 $status
holds "with a message" test -s err
holds "and is gone" soon nothing_runs
rm d/daemon.conf
run daemon start -d d
is "none of them is in the way of the next" 0 $status
stop_well "which stops"

fresh
mkdir d
echo 'tick never' >d/daemon.conf
for option in "" -f; do
    # shellcheck disable=SC2086
    run daemon start -d d $option
    is "start $option: wrong settings are said where it was started, with status 6" "6 0 daemon: daemon.conf: Invalid argument" \
        "$status $(size_of out) $(cat err)"
    is "start $option: and nothing is left" "d/daemon.conf " "$(left) $(what_runs)"
done
fresh
mkdir -p d/daemon.log
run daemon start -d d
is "a log that cannot be opened ends the start with 1" 1 $status
is_like "which says why" "*Is a directory*" "$(cat err)"
is "and nothing is left" " " "$(find d -type f) $(what_runs)"

# ---- several at once ----

fresh
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    for side in left right; do
        {
            timeout -s KILL 60 "$examples/daemon" start -d d >"$side.out" 2>"$side.err"
            echo $? >"$side.status"
        } &
    done
    wait
    # It may not have its number yet, on a busy machine.
    echo "$(sort left.status right.status | one_line) $(cat left.err right.err)" |
        sed "s/ $(holder) / N /; s/somebody else starts it in d/N is running already/"
    timeout -s KILL 60 "$examples/daemon" stop -d d
    nothing_runs || what_runs
done >starts 2>&1
is "of two starts at once one wins, and the other one says who, twenty times" "20 0 1 daemon: N is running already" \
    "$(sort starts | uniq -c | sed 's/^ *//')"

fresh
for _ in 1 2 3 4 5; do
    for side in 1 2 3; do
        timeout -s KILL 60 "$examples/daemon" restart -d d >>restarts 2>&1 &
    done
    wait
    timeout -s KILL 60 "$examples/daemon" status -d d >now
    echo "$? $(sed "s/^$(holder) /N /" now)"
done >rounds
is "of several restarts at once one service is left" "5 0 N is running" "$(sort rounds | uniq -c | sed 's/^ *//')"
what_runs >running # what reads it by a pipe has the mark itself
is "and no other" 1 "$(sort -u running | wc -l | tr -d ' ')"
stop_well "which stops"

# ---- one that is killed, and strangers ----

fresh
run daemon start -d d
pid=$(holder)
kill -KILL "$pid"
soon is_gone "$pid"
run daemon status -d d
is "status of one that was killed is 1" "1 is dead, and has left d/daemon.pid" "$status $(cat out)"
run daemon stop -d d
is "to stop it is no failure" "0 daemon: is not running" "$status $(cat err)"
run daemon reload -d d
is "to reload it is 7" "7 daemon: is not running" "$status $(cat err)"
run daemon start -d d
is "what it left is in nobody's way" "0 0" "$status $(size_of err)"
holds "the next one holds the pidfile" test "$(holder)" != "$pid"
stop_well "and stops"

fresh
mkdir d
sh -c 'trap ": >signalled" HUP TERM; : >ready; until [ -e over ]; do sleep 0.02; done' &
stranger=$!
soon test -e ready
for found in $stranger "" 0 -1 1 nonsense 99999999999999999999; do
    echo "$found" >d/daemon.pid
    for command in status stop reload; do
        timeout -s KILL 60 "$examples/daemon" $command -d d >>said 2>&1
        echo "$command $?"
    done
done >statuses
is "a number in a pidfile that nobody holds is not a service" "7 reload 7 7 status 1 7 stop 0" \
    "$(sort statuses | uniq -c | sed 's/^ *//' | one_line)"
echo $stranger >d/daemon.pid
run daemon restart -d d
is "it is in nobody's way" 0 $status
holds "the next one holds the pidfile" test "$(holder)" != $stranger
stop_well "and stops"
: >over
wait $stranger
holds "the stranger who has the number was not signalled" test ! -e signalled

# ---- one that does not leave at once ----

# A stopped process does not leave before it goes on: until then SIGTERM is pending.
has_been_asked()
{
    grep -q '^ShdPnd:[[:space:]]*[0-9a-f]*[4567cdef][0-9a-f][0-9a-f][0-9a-f]$' "/proc/$1/status"
}

fresh
run daemon start -d d
pid=$(holder)
kill -STOP "$pid"
begin "$examples/daemon" stop -d d
holds "stop asks with SIGTERM, …" soon has_been_asked "$pid"
holds "… waits, …" test ! -e ended
kill -CONT "$pid"
wait $started
is "… and comes back with 0 when the service has left" "0 0 gone" \
    "$(cat ended) $(size_of began.err) $(is_gone "$pid" && echo gone)"
is "which took its pidfile with it" "" "$(left)"

run daemon start -d d
pid=$(holder)
kill -STOP "$pid"
run daemon stop -d d -t 1
is "one that does not leave in time is killed, and stop says so" "0 daemon: $pid does not leave, and is killed gone" \
    "$status $(cat err) $(is_gone "$pid" && echo gone)"
run daemon status -d d
is "that is seen afterwards" "1 is dead, and has left d/daemon.pid" "$status $(cat out)"
run daemon start -d d
pid=$(holder)
kill -STOP "$pid"
run daemon restart -d d -t 4
is "restart goes on then" "0 daemon: $pid does not leave, and is killed" "$status $(cat err)"
stop_well "what it has started stops"

# ---- from wherever it is started ----

fresh
timeout -s KILL 60 sh -c '"$0" start -d d 2>&1 | cat' "$examples/daemon" >out
is "started from a pipe it does not keep it" "0 0" "$? $(size_of out)"
stop_well "and stops"
said=$(timeout -s KILL 60 "$examples/daemon" start -d d 2>&1)
is "nor one of a command substitution" "0" "$?$said"
stop_well "and stops"

timeout -s KILL 60 sh -c '"$0" start -d d <&- >&- 2>&-' "$examples/daemon"
status=$?
pid=$(holder)
is "started with closed standard streams it has them" "0 /dev/null $here/work/d/daemon.log $here/work/d/daemon.log" \
    "$status $(stream "$pid" 0) $(stream "$pid" 1) $(stream "$pid" 2)"
tell d/daemon.fifo hello
holds "and hears and logs" soon says " $pid heard: hello\$"
stop_well "and stops"
is "which takes its pidfile with it" "" "$(left)"
echo nonsense >d/daemon.conf
timeout -s KILL 60 sh -c '"$0" start -d d <&- >&- 2>&-' "$examples/daemon"
is "with closed standard streams wrong settings are 6 as well" 6 $?
rm d/daemon.conf

timeout -s KILL 60 env -i "$examples/daemon" start -d d >out 2>err
is "started with an empty environment" "0 0 0" "$? $(size_of out) $(size_of err)"
has_threads || holds "it has its title" soon is_titled "$(holder)" '^daemon: [0-9]* ticks$'
timeout -s KILL 60 env -i "$examples/daemon" stop -d d
is "it stops" 0 $?
if [ "$(id -u)" -ne 0 ]; then
    unset XDG_RUNTIME_DIR
    run daemon start
    is_like "where nobody says where, that is 2" "2 daemon: there is no XDG_RUNTIME_DIR*" "$status $(cat err)"
    export XDG_RUNTIME_DIR="$PWD"
    run daemon start
    is "XDG_RUNTIME_DIR says where" "0 running" "$status $(test -s daemon/daemon.pid && echo running)"
    run daemon stop
    is "and it stops" 0 $status
else
    echo "skipped: where a user's service is: this is root"
fi

mkdir gone
(cd gone && timeout -s KILL 60 "$examples/daemon" start -d ../d)
is "started with a relative path" 0 $?
rmdir gone
mv d/daemon.log d/old.log
run daemon reload -d d
holds "it finds its log again when the directory of its start is no more" soon says 'a tick each'
is "and holds no trace of that" "" "$(find "/proc/$(holder)/fd" -lname '*gone*')"
stop_well "and stops"
is "and finds its pidfile" "" "$(left)"
rm -f d/daemon.pid
(mkdir gone && cd gone && rmdir ../gone && timeout -s KILL 60 "$examples/daemon" start -d "$tmp/work/d") 2>err
is "started in a directory that is no more" "0 0" "$? $(size_of err)"
stop_well "and stops"

begin nohup "$examples/daemon" start -d d
wait $started
is "started by nohup" 0 "$(cat ended)"
run daemon reload -d d
holds "it reloads all the same" soon says 'a tick each'
stop_well "and stops"
run pty "$examples/daemon" start -d d
is "started on a terminal that is closed afterwards" "0 0" "$status $(size_of out)"
run daemon status -d d
is "it goes on" 0 $status
stop_well "and stops"

# ---- in the foreground, under a supervisor ----

cat >"$tmp/listen.py" <<'PYTHON'
import socket, sys
name = sys.argv[1]
listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
listener.bind("\0" + name[1:] if name[0] == "@" else name)
print("listens", flush=True)
while True:
    print(listener.recv(4096).decode().replace("\n", "|"), flush=True)
PYTHON

# supervise ADDRESS
supervise()
{
    fresh
    timeout -s KILL 60 python3 "$tmp/listen.py" "$1" >heard 2>>err &
    listener=$!
    soon says listens heard
    NOTIFY_SOCKET=$1 WATCHDOG_USEC=100000 "$examples/daemon" start -f -d d >out 2>err &
    pid=$!
    holds "($1) a supervisor hears when it is ready" soon says '^READY=1$' heard
    is "($1) in the foreground it is the process that was started" "$pid" "$(holder)"
    holds "($1) the supervisor hears its status" soon says '^STATUS=[1-9][0-9]* ticks$' heard
    holds "($1) and that it is alive" soon says '^WATCHDOG=1$' heard
    run_daemon_reload=$(timeout -s KILL 60 "$examples/daemon" reload -d d 2>&1)
    is "($1) reload in the foreground" "0" "$?$run_daemon_reload"
    holds "($1) the supervisor hears that it reloads, and when" soon says '^RELOADING=1|MONOTONIC_USEC=[0-9]\{4,\}$' heard
    is_ready_again() { [ "$(grep -c '^READY=1$' heard)" -eq 2 ]; }
    holds "($1) and that it is ready again" soon is_ready_again
    timeout -s KILL 60 "$examples/daemon" stop -d d 2>&1
    wait $pid
    is "($1) it ends with 0" 0 $?
    holds "($1) the supervisor hears that it stops" soon says '^STOPPING=1$' heard
    is "($1) its log is its standard output" "is ready
a tick each 1000 ms" "$(grep -e ' is ready$' -e 'a tick' out | sed 's/.* [0-9]* \(is\|a\)/\1/')"
    is "($1) and nothing is left" "" "$(left)$(cat err)"
    kill "$listener"
    wait "$listener" 2>>waited
}

if command -v python3 >/dev/null; then
    supervise "$here/notify"
    supervise "@$here/notify"
else
    echo "skipped: what a supervisor hears: there is no python3"
fi

fresh
NOTIFY_SOCKET=$PWD/nobody "$examples/daemon" start -f -d d >out 2>err &
pid=$!
holds "a supervisor that does not listen is no trouble" soon says ' is ready$' out
kill -TERM $pid
wait $pid
is "SIGTERM ends it in good order" "0 0 " "$? $(size_of err) $(left)"

# ---- fifo ----

# Starts one side; the pipe says that it is there.
fresh
begin "$examples/fifo" receive pipe
soon test -p pipe
run fifo send pipe hello,  'big  world '
wait $started
is "fifo: the sender comes to the receiver" "0 0 hello, big  world " "$status $(cat ended) $(cat began.out)"
rm pipe
begin "$examples/fifo" send pipe hello, world
soon test -p pipe
run fifo receive pipe
wait $started
is "fifo: the receiver comes to the sender" "0 0 hello, world" "$status $(cat ended) $(cat out)"
is "fifo: the pipe is its owner's alone" prw------- "$(find pipe -printf '%M\n')"

head -c 1000000 /dev/urandom >input
for first in send receive; do
    case $first in
    send) begin "$examples/fifo" send -t 50 pipe <input ;;
    receive) begin "$examples/fifo" receive -t 50 pipe ;;
    esac
    if [ $first = send ]; then run fifo receive pipe; else run fifo send pipe <input; fi
    wait $started
    cat out began.out >came
    is "fifo: $first first: both end well" "0 0 0 0" "$status $(cat ended) $(size_of err) $(size_of began.err)"
    same "fifo: $first first: a megabyte arrives byte for byte" input came
done
for _ in 1 2 3 4 5 6 7 8 9 10; do
    begin "$examples/fifo" receive -t 50 pipe
    run fifo send -t 50 pipe </dev/null
    wait $started
    echo "$status $(cat ended) $(size_of began.out)"
done >empty
is "fifo: nothing arrives as nothing" "10 0 0 0" "$(uniq -c empty | sed 's/^ *//')"

for side in send receive; do
    for seconds in 0 1; do
        run fifo $side -t $seconds pipe
        is "fifo: $side does not wait more than $seconds s for nobody" "75 0 fifo: pipe: nobody came" \
            "$status $(size_of out) $(cat err)"
    done
    echo text >file
    run fifo $side file
    is "fifo: $side: a file is not a pipe" "1 fifo: file: is not a pipe text" "$status $(cat err) $(cat file)"
    run fifo $side /
    is "fifo: $side: nor is a directory" "1 fifo: /: is not a pipe" "$status $(cat err)"
    run fifo $side missing/pipe
    is "fifo: $side: where no pipe can be made" "1 fifo: missing/pipe: No such file or directory" "$status $(cat err)"
    run fifo $side
    is_like "fifo: $side: no pipe is named" "1 fifo: usage: *" "$status $(cat err)"
done
run fifo receive pipe text
is_like "fifo: a text to receive" "1 fifo: usage: *" "$status $(cat err)"

# A sender whose receiver is killed, or leaves because nobody reads what it says.
begin "$examples/fifo" send pipe </dev/zero
timeout -s KILL 60 sh -c '"$0" receive pipe | head -c 10' "$examples/fifo" >out 2>err
wait $started
is "fifo: a receiver that has nobody to say it to leaves" "10 fifo: standard output: the reader has left" \
    "$(size_of out) $(cat err)"
is "fifo: a sender sees that the receiver has left" "1 fifo: pipe: the reader has left" "$(cat ended) $(cat began.err)"
rm out
begin "$examples/fifo" send pipe </dev/zero
"$examples/fifo" receive pipe >out &
receiver=$!
soon test -s out
kill -KILL $receiver
wait $receiver 2>>waited
wait $started
is "fifo: or was killed" "1 fifo: pipe: the reader has left" "$(cat ended) $(cat began.err)"
: >out

# With a service that reads one.
run daemon start -d d
run fifo send -t 10 d/daemon.fifo hello from afar
holds "fifo: a service hears what is sent" soon says ' heard: hello from afar$'
stop_well "the service stops"
run fifo send -t 1 d/daemon.fifo hello
is "fifo: and nobody hears it after its end" 75 $status

sum_up
