#!/bin/sh
# The examples about pools, as a user runs them, while their processes are killed. Run from the repository's root.
# BUILD: the build directory. SAN: the sanitizers that it was built with, if any.
# shellcheck disable=SC2016
set -u
. tests/examples_lib.sh

# ---- processes, and what they leave behind ----

# The children of a process.
children_of()
{
    grep -ls "^PPid:[[:space:]]*$1\$" /proc/[0-9]*/status | cut -d / -f 3
}

# titled PATTERN: the children of $main whose title is like that.
titled()
{
    for pid in $(children_of "$main"); do
        title=$(tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline")
        # shellcheck disable=SC2254
        case $title in
        $1) echo "$pid" ;;
        esac
    done
}

has_main()
{
    main=$(children_of "$started")
    [ -n "$main" ]
}

# Starts an example in the background, as `run` does: its process is $main. To be waited for: $started.
start()
{
    example=$1
    shift
    timeout -s KILL 60 "$examples/$example" "$@" >out 2>err &
    started=$!
    soon has_main
}

# Waits for the end of what was started: its exit status is in $status.
finish()
{
    wait "$started" 2>>waited
    status=$?
}

# says FILE PATTERN [COUNT]: so many lines, or more, are like that
says()
{
    lines=$(grep -c -e "$2" "$1" 2>/dev/null)
    [ "${lines:-0}" -ge "${3:-1}" ]
}

# how_many COUNT PATTERN: children of $main whose title is like that
how_many()
{
    [ "$(titled "$2" | wc -l)" -eq "$1" ]
}

sleeps()
{
    grep -q '^State:[[:space:]]*S' "/proc/$1/status" 2>/dev/null
}

# What there is under keys, and of private things: it is to be the same in the end.
system_v()
{
    for kind in msg shm sem; do
        awk -v kind=$kind 'NR > 1 { print kind, $1, $2 }' /proc/sysvipc/$kind
    done
}

system_v >"$tmp/before"
nothing_is_left()
{
    system_v | cmp -s - "$tmp/before"
}

# ---- pool ----

fresh
mkdir files files/more
head -c 200000 /dev/urandom >files/some
for i in $(seq 150); do
    ln files/some "files/$i"
    seq "$i" >"files/more/$i"
done
: >files/empty
head -c 64 files/some >files/block
head -c 55 files/some >files/most
head -c 56 files/some >'files/with  spaces
and \a newline'
# A worker that is slow to start is not to be killed before it has done anything.
kills=${SAN:+10}
run pool -n 3 -k "${kills:-100}" files
is "pool: it ends well, although workers are killed" "0 0" "$status $(size_of err)"
is_like "pool: none is lost" "305 files, * kills, * restarts, * run twice, lost: 0" "$(tail -n 2 out | head -n 1)"
is "pool: sha256sum says the same" "sha256sum says the same of 305 files" "$(tail -n 1 out)"
holds "pool: some were killed" [ "$(awk '/lost/ { print $3 }' out)" -gt 0 ]
run pool -k 0 files/more files/1
is "pool: without kills nothing is done twice" "0 151 files, 0 kills, 0 restarts, 0 run twice, lost: 0" "$status $(head -n 2 out | tail -n 1)"
run pool -m 10 -k 0 files
is_like "pool: not more files than it is told to" "0 10 files, *" "$status $(head -n 2 out | tail -n 1)"
mkdir none
run pool none
is_like "pool: no files at all" "0 0 files, *lost: 0*" "$status $(one_line out | sed 's/^0 of 0 files, . kills //')"
run pool missing
is "pool: a missing file" "1 pool: missing: No such file or directory" "$status $(cat err)"

# A file that takes for ever is none, and a worker that is stopped neither works nor leaves: the others do.
start pool -n 2 -k 0 files files files
soon how_many 2 'pool: worker *'
kill -HUP "$main"
kill -TTIN "$main"
soon how_many 3 'pool: worker *'
kill -TERM "$main"
finish
is "pool: stopped in order, after it was told to reload and to grow" "1" "$status"
holds "pool: and says so" says err '^pool: it was stopped$'
run pty "$examples/pool" -n 2 -k "${kills:-30}" files
is "pool: on a terminal" "0 sha256sum says the same of 305 files" "$status $(tail -n 1 out | tr -d '\r')"
escape=$(printf '\033')
holds "pool: the table stays in its place" says out "^$escape\[4A"

# ---- mqserver, mqclient ----

ask()
{
    timeout -s KILL 60 "$examples/mqclient" "$@"
}

# worker_of NUMBER: its process id, as the server says
worker_of()
{
    ask -s sock | sed -n "s/^worker $1: \([0-9]*\),.*/\1/p"
}

serves()
{
    soon says err 'mqserver: listens on'
}

is_busy()
{
    ask -s sock | grep -q "^worker $1: [0-9]*, busy"
}

jobs_done()
{
    ask -s sock | head -n 1 | grep -q " accepted, $1 done,"
}

fresh
start mqserver -n 2 sock
serves
is "mqclient: what is accepted is told" "ok ok" "$(ask sock one two | xargs)"
is "mqclient: a hundred lines" "0 100" "$(seq 100 | ask sock >answers; echo "$? $(grep -c '^ok$' answers)")"
soon jobs_done 102
is "mqserver: all are done, once" "102 102" "$(grep -c . out) $(cut -d : -f 2 out | sort -u | wc -l)"
is "mqserver: an empty line is a line" "ok" "$(echo | ask sock)"
is_like "mqserver: a line that is too long is not accepted" "*closed the connection
1" \
    "$(head -c 20000 /dev/zero | tr '\0' x | ask sock 2>&1; echo $?)"
mkfifo idle
ask sock <idle >"answer for the idle" &
exec 9>idle
for client in 1 2 3 4 5; do
    seq $((client * 1000)) $((client * 1000 + 199)) | ask sock >"answers $client" &
    clients="${clients-} $!"
done
# shellcheck disable=SC2086
wait $clients
is "mqclient: several at once, while one says nothing" 1000 "$(cat 'answers '? | grep -c '^ok$\|^full$')"
echo late >&9
exec 9>&-
soon says "answer for the idle" '^ok$'
is "mqclient: and that one is served when it does" "ok" "$(cat "answer for the idle")"
accepted=$(cat 'answers '? | grep -c '^ok$')
soon jobs_done $((104 + accepted))
is "mqserver: what was accepted is done" $((104 + accepted)) "$(grep -c . out)"

run mqserver sock
is_like "mqserver: a live socket is left alone" "1 *Address * use" "$status $(one_line err)"
holds "mqserver: and works" [ "$(ask sock more)" = ok ]
kill -TERM "$main"
finish
is "mqserver: it ends in order" 0 "$status"
holds "mqserver: its socket is gone" [ ! -e sock ]
holds "mqserver: nothing is left in the system" soon nothing_is_left

# A worker that is stopped holds up what it has in hand. So it is known which job it has.
fresh
start mqserver -n 1 -d 200 sock
serves
ask sock first >answers
soon is_busy 0
worker=$(worker_of 0)
kill -STOP "$worker"
line=$(head -c 5000 /dev/zero | tr '\0' x)
count=0
while [ "$(ask sock "$count $line")" = ok ]; do
    count=$((count + 1))
done
holds "mqserver: it says when it is full" [ $count -gt 1 ]
is "mqclient: so does its exit status" "75 full" "$(ask sock "$line" >answers; echo "$? $(cat answers)")"
kill -KILL "$worker"
soon says err 'tried again: first'
is_like "mqserver: a worker that is killed is told" "*process $worker killed by SIGKILL*" "$(one_line err)"
kill -INT "$main"
finish
is "mqserver: it ends when all is done that was accepted" 0 "$status"
is "mqserver: also what the killed one had in hand" "$((count + 1)) first" "$(grep -c . out) $(grep -o first out)"
is "mqserver: and says so" "mqserver: $((count + 1)) lines: $((count + 1)) done, 0 given up, 0 left" "$(tail -n 1 err)"
holds "mqserver: no process remains" nothing_runs
holds "mqserver: nothing is left in the system" soon nothing_is_left

fresh
start mqserver tcp:127.0.0.1:0
serves
port=$(sed -n 's/.*listens on port //p' err)
is "mqserver: over TCP" ok "$(ask "tcp:127.0.0.1:$port" one)"
kill -TERM "$main"
finish
is "mqserver: it ends in order" "0 1" "$status $(grep -c ': one$' out)"

fresh
start mqserver -k . -n 1 sock
serves
soon how_many 1 'mqserver: worker 0'
worker=$(worker_of 0)
kill -STOP "$worker"
ask sock 1 2 3 >answers
is_like "mqserver -s: others see it by its key" "1 workers, *; 3 accepted, 0 done, 0 given up, *" "$("$examples/mqserver" -s . | head -n 1)"
run mqserver -k . other
is_like "mqserver: a key has one server" "1 *esource busy" "$status $(one_line err)"
kill -KILL "$main"
wait "$started" 2>>waited
kill -KILL "$worker" 2>>waited
soon nothing_runs
holds "mqserver: killed, its socket is still there" [ -S sock ]
start mqserver -k . -n 2 sock
serves
soon jobs_done 3
is "mqserver: the next goes on with what it finds" "1 2 3" "$(cut -d ' ' -f 2 out | sort -u | xargs)"
worker=$(worker_of 1)
kill -HUP "$main"
holds "mqserver: SIGHUP replaces the workers" soon is_gone "$worker"
is "mqserver: and clients go on" ok "$(ask sock 4)"
kill -INT "$main"
finish
is "mqserver: it ends in order" 0 "$status"
run mqserver -s .
is_like "mqserver -s: also when it does not run" "0 2 workers, 0 idle, 0 busy; *" "$status $(head -n 1 out)"
run mqserver -r .
is "mqserver -r: it is removed" 0 $status
run mqserver -s .
is_like "mqserver -s: there is none" "1 *No such file*" "$status $(cat err)"
holds "mqserver: nothing is left in the system" soon nothing_is_left

# ---- httpd ----

# talk REQUEST: sends it, as printf makes it, and prints what comes.
talk()
{
    timeout 30 bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$1" && printf "$2" >&3 && cat <&3' bash "$port" "$1" 2>>talked | tr -d '\r'
}

get()
{
    talk "GET $1 HTTP/1.1\r\nHost: here\r\n\r\n"
}

status_of()
{
    talk "$1" | head -n 1
}

body()
{
    get "$1" | sed '1,/^$/d'
}

listens()
{
    soon says err 'httpd: listens on port'
    port=$(sed -n 's/.*listens on port //p' err)
}

# get_many COUNT: how many of these are answered
get_many()
{
    for _ in $(seq "$1"); do
        get /
    done | grep -c '^HTTP/1.1 200 OK'
}

zombies()
{
    for pid in $(children_of "$main"); do
        grep -s '^State:[[:space:]]*Z' "/proc/$pid/status"
    done
}

no_zombies()
{
    [ -z "$(zombies)" ]
}

what_http_asks_for()
{
    get / >page
    is_like "httpd $1: a page" "HTTP/1.1 200 OK Date: *, * GMT Content-Type: text/plain Content-Length: * Connection: close *process *" \
        "$(one_line page)"
    is "httpd $1: its length is right" "$(sed -n 's/Content-Length: //p' page)" "$(sed '1,/^$/d' page | wc -c)"
    is "httpd $1: HEAD has no body" "HTTP/1.1 200 OK 0" \
        "$(talk 'HEAD / HTTP/1.0\r\n\r\n' >page; head -n 1 page) $(sed '1,/^$/d' page | wc -c)"
    is "httpd $1: no such page" "HTTP/1.1 404 Not Found" "$(get /missing | head -n 1)"
    is "httpd $1: no such method" "HTTP/1.1 405 Method Not Allowed Allow: GET, HEAD" \
        "$(talk 'POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\n\r\nhi' | head -n 2 | one_line)"
    number=0
    for bad in 'hello\r\n\r\n' 'GET /\r\n\r\n' 'GET / HTTP/2.0\r\n\r\n' 'GET / HTTP/1.1\r\nhost here\r\n\r\n' '\r\n\r\n' \
        'GET / more HTTP/1.1\r\nHost: here\r\n\r\n' 'G\0T / HTTP/1.0\r\n\r\n'; do
        number=$((number + 1))
        is "httpd $1: what is no request: $number" "HTTP/1.1 400 Bad Request" "$(status_of "$bad")"
    done
    is "httpd $1: too long a head" "HTTP/1.1 431 Request Header Fields Too Large" \
        "$(status_of "GET / HTTP/1.1\r\nHost: $(head -c 9000 /dev/zero | tr '\0' x)\r\n\r\n")"
    is "httpd $1: who leaves at once does no harm" "" "$(timeout 30 bash -c ': <"/dev/tcp/127.0.0.1/$1"' bash "$port" 2>&1)"
    is "httpd $1: one request in pieces, while another is served" "2" \
        "$(timeout 30 bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$1" && printf "GET / HT" >&3
            exec 4<>"/dev/tcp/127.0.0.1/$1" && printf "GET / HTTP/1.0\r\n\r\n" >&4 && cat <&4
            printf "TP/1.0\r\n\r\n" >&3 && cat <&3' bash "$port" 2>>talked | grep -c '^HTTP/1.1 200 OK')"
}

# The slow one is answered after the others, and after SIGTERM.
who_sleeps_holds_up_nobody()
{
    get "/?sleep=1.5" >slow &
    slow=$!
    soon "$2"
    is "httpd $1: a slow request holds up nobody" "5 0" "$(get_many 5) $(size_of slow)"
    kill -TERM "$main"
    wait $slow
    is "httpd $1: what is in hand is answered after SIGTERM" "HTTP/1.1 200 OK" "$(head -n 1 slow)"
    finish
    is "httpd $1: it ends in order" 0 "$status"
    is "httpd $1: and connections are refused" "" "$(get /)"
    holds "httpd $1: no process remains" soon nothing_runs
}

if command -v bash >/dev/null; then
    fresh
    start httpd --pool -n 2 0
    listens
    what_http_asks_for --pool
    is_like "httpd --pool: the page tells who made it" "process * (worker [01], generation 1): request * of all, * of mine" "$(body /)"
    worker=$(titled 'httpd: worker 0')
    kill -KILL "$worker"
    is "httpd --pool: a worker is killed, and nobody is refused" 20 "$(get_many 20)"
    soon how_many 2 'httpd: worker *'
    get_many 60 >answered &
    many=$!
    for i in 1 2 3; do
        kill -HUP "$main"
        soon says err 'httpd: reloaded' $i
    done
    wait $many
    is "httpd --pool: three reloads, and nobody is refused" 60 "$(cat answered)"
    is_like "httpd --pool: others answer now" "process * (worker [01], generation [456789]*): *" "$(body /)"
    one_is_on_its_own()
    {
        [ "$(children_of "$main" | wc -l)" -eq 3 ]
    }
    who_sleeps_holds_up_nobody --pool one_is_on_its_own

    fresh
    start httpd --fork 0
    listens
    what_http_asks_for --fork
    is_like "httpd --fork: the page tells who made it" "process *: request * of all" "$(body /)"
    is "httpd --fork: it does not mind SIGHUP" 20 "$(kill -HUP "$main"; get_many 20)"
    holds "httpd --fork: no zombies" soon no_zombies
    one_is_there()
    {
        [ -n "$(children_of "$main")" ]
    }
    who_sleeps_holds_up_nobody --fork one_is_there

    fresh
    start httpd --fork -n 2 0
    listens
    for i in 1 2 3 4 5 6; do
        get "/?sleep=0.2" >"answer $i" &
        waiting="${waiting-} $!"
    done
    most=0
    while [ "$(cat answer* | grep -c '^HTTP/1.1 200 OK')" -lt 6 ]; do
        now=$(children_of "$main" | wc -l)
        [ "$now" -le "$most" ] || most=$now
    done
    # shellcheck disable=SC2086
    wait $waiting
    is "httpd --fork: not more children than it may have" 2 "$most"
    if command -v curl >/dev/null; then
        is_like "httpd: curl understands it" "process *" "$(curl -s "http://127.0.0.1:$port/")"
    else
        echo "skipped: curl is missing"
    fi
    kill -INT "$main"
    finish
    is "httpd --fork: it ends in order" 0 "$status"
else
    echo "skipped: bash is missing, which talks to httpd"
fi

# ---- batch ----

fresh
seq 20 | sed 's/.*/echo & >>finished/' >list
run batch list
is "batch: all succeed" "0 batch: 20 commands: 20 done, 0 failed, 0 left" "$status $(cat err)"
is "batch: each was run" "$(seq 20 | xargs)" "$(sort -n finished | xargs)"
printf 'echo fine >>finished\necho "$0 is $1" >/dev/null; exit 3\n\ncat\n' >list
run batch list
is_like "batch: one fails for good" "1 *batch: failed for good: echo \"\$0 is \$1\" >/dev/null; exit 3 *batch: 4 commands: 3 done, 1 failed, 0 left" \
    "$status $(one_line err)"
is "batch: after three attempts" 3 "$(grep -c '^batch: worker [0-4]: echo.*: exited with status 3$' err)"
run batch missing
is "batch: a missing list" "1 batch: missing: No such file or directory" "$status $(cat err)"

fresh
mkfifo fifo
exec 9<>fifo
printf '%s\n' 'echo $PPID >>worker; read x <fifo; echo $x >>finished' 'echo other >>finished' >list
start batch -n 2 list
soon says worker .
soon how_many 2 'batch: worker [0-4]'
is "batch: workers have their titles" 2 "$(titled 'batch: worker [0-4]' | wc -l)"
kill -KILL "$(cat worker)"
soon says worker . 2
echo go >&9
finish
is "batch: a worker is killed, and its command is run again" 0 "$status"
is "batch: by another" "go other 2" "$(sort finished | xargs) $(sort -u worker | wc -l)"

fresh
seq 2000 | sed 's/.*/echo & >>finished/' >list
start batch -n 2 list
for round in 1 2 3 4 5; do
    soon says finished . $((round * 200))
    kill -HUP "$main"
    [ $round -ne 3 ] || kill -TTIN "$main"
done
finish
is_like "batch: it ends well, when all are replaced" "0 batch: 2000 commands: * done, 0 failed, 0 left" "$status $(tail -n 1 err)"
is "batch: and none is left out" 2000 "$(sort -u finished | wc -l)"

fresh
mkfifo fifo
exec 9<>fifo
{
    printf '%s\n' 'echo a >>begun; read x <fifo; echo a >>finished' 'echo b >>begun; read x <fifo; echo b >>finished'
    seq 500 | sed 's/.*/echo & >>finished/'
} >list
start batch -n 2 --key . list
soon says begun . 2
run batch --key . list
is "batch: a key has one master" "1 batch: .: another batch is at work there" "$status $(cat err)"
kill -TERM "$main"
# It waits for those two.
echo >&9
echo >&9
finish
is "batch --key: it is stopped before the end" 75 "$status"
start batch -n 2 --key . list
soon says finished '^100$'
kill -KILL "$main"
wait "$started" 2>>waited
soon nothing_runs
run batch --key . list
is_like "batch --key: it goes on until all is done" "0 batch: 502 commands: * done, 0 failed, 0 left" "$status $(tail -n 1 err)"
is "batch --key: none is left out" "a b $(seq 500 | xargs)" "$(sort -u finished | sort -n | xargs)"
holds "batch --key: nothing is left in the system" soon nothing_is_left
exec 9>&-

# ---- mixed ----

lines_of()
{
    for file; do
        echo "$(wc -l <"$file") $file"
    done
}

fresh
mkdir files
for i in $(seq 200); do
    seq "$i" >"files/$i"
done
lines_of files/* >expected
run mixed rows files/*
is "mixed: it ends well" "0 mixed: 200 rows, 0 that it had already, 0 given up" "$status $(cat err)"
same "mixed: all rows, in order" expected rows

start mixed -n 3 -p 5 killed files/*
round=0
while kill -0 "$main" 2>/dev/null && [ $round -lt 12 ]; do
    round=$((round + 1))
    soon says killed . $((round * 10))
    # shellcheck disable=SC2046
    kill -KILL $(titled 'mixed write: worker 0') $(titled "mixed fetch: worker $((round % 3))") 2>>waited
done
finish
is "mixed: it ends well, whoever is killed" 0 "$status"
same "mixed: and has all rows, in order, once" expected killed

start mixed -n 2 -p 5 replaced files/*
for round in 1 2 3 4 5; do
    soon says replaced . $((round * 20))
    kill -HUP "$main"
    [ $round -ne 3 ] || kill -TTIN "$main"
done
finish
is "mixed: it ends well, when all are replaced" 0 "$status"
same "mixed: and has all rows, in order, once" expected replaced

start mixed -n 2 -p 5 stopped files/*
soon says stopped . 20
kill -TERM "$main"
finish
is "mixed: stopped before the end" 1 "$status"
printf 'half a li' >>stopped
run mixed -n 2 stopped files/*
is "mixed: and started again" 0 $status
same "mixed: it goes on where it was" expected stopped

# A fetcher that has the fifo open waits there.
reader=none
another_reads()
{
    last=$reader
    for pid in $(titled 'mixed fetch: worker *'); do
        [ "$pid" != "$last" ] && find "/proc/$pid/fd" -exec readlink {} \; 2>/dev/null | grep -q '/fifo$' &&
            reader=$pid && return
    done
    false
}

mkfifo fifo
start mixed -n 2 given-up files/1 fifo files/2
exec 9<>fifo
for _ in 1 2 3; do
    soon another_reads
    kill -KILL "$reader"
done
exec 9<&-
finish
is "mixed: what kills its fetcher each time is given up" "0 1 files/1 ? fifo 2 files/2" "$status $(xargs <given-up)"
is_like "mixed: and counted" "*mixed: 3 rows, 0 that it had already, 1 given up" "$(one_line err)"

holds "nothing is left in the system" soon nothing_is_left
sum_up
