#!/bin/sh
# The example that uploads pictures, as a user runs it, while its processes are killed. Run from the repository's root.
# BUILD: the build directory. SAN: the sanitizers that it was built with, if any.
set -u
. tests/examples_lib.sh

if [ ! -x "$examples/upload" ]; then
    echo "skipped: upload is not built: that takes libcurl and sqlite3"
    exit 0
elif ! command -v curl >/dev/null; then
    echo "skipped: curl is missing, which talks to upload"
    exit 0
fi
export no_proxy='*'

# ---- the two servers ----

listens()
{
    grep -qs '^upload: listening on port' "$1"
}

# start LOG ARGUMENTS...: in the background. Its process is $started, its port $port.
start()
{
    log=$1
    shift
    rm -f "$log" # what another one said there is not to be taken for its own
    "$examples/upload" "$@" >/dev/null 2>"$log" &
    started=$!
    soon listens "$log" || return 1
    port=$(sed -n 's/^upload: listening on port //p' "$log")
}

start_store()
{
    start store.err --store files "$@" 0
    store=$started store_port=$port url=http://127.0.0.1:$port
}

start_server()
{
    start server.err "$@" spool pictures.db "$url" 0
    server=$started
}

# start_both STORE-OPTIONS SERVER-OPTIONS
start_both()
{
    # shellcheck disable=SC2086
    start_store $1
    # shellcheck disable=SC2086
    start_server $2
}

# With so many seconds, nothing is handed in a second time during a test.
never='-r 100000'

# As soon, for what takes longer.
in_time()
{
    soon "$@" || soon "$@" || soon "$@" || soon "$@" || soon "$@" || soon "$@"
}

# finish PID: after its exit status is in $status
finish()
{
    in_time is_gone "$1" || kill -KILL "$1"
    wait "$1" 2>>waited
    status=$?
}

end_both()
{
    kill -TERM "$server"
    finish "$server"
    is "$1: the server ends in order" 0 "$status"
    kill -CONT "$store"
    kill -TERM "$store"
    finish "$store"
    is "$1: so does the store" 0 "$status"
    holds "$1: no process remains" soon nothing_runs
    holds "$1: nothing is left in the system" soon nothing_is_left
    ! cat ./*.err | grep -A 20 -e 'Sanitizer' -e 'runtime error' || not_ok "$1: the sanitizers are content"
}

# What the pool of this spool has in the system: its key is made as ftok(3) makes it, with the number 1.
is_in_the_system()
{
    key=$(stat -c '%d %i' spool | { read -r device inode; echo $((1 << 24 | (device & 255) << 16 | (inode & 65535))); })
    awk -v key="$key" '$1 == key { found = 1 } END { exit !found }' /proc/sysvipc/msg /proc/sysvipc/shm
}

nothing_is_left()
{
    ! is_in_the_system
}

children_of()
{
    grep -ls "^PPid:[[:space:]]*$1\$" /proc/[0-9]*/status | cut -d / -f 3
}

# titled PID PATTERN: the children of that process whose title is like that
titled()
{
    for pid in $(children_of "$1"); do
        title=$(tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline")
        # shellcheck disable=SC2254
        case $title in
        $2) echo "$pid" ;;
        esac
    done
}

has_child()
{
    [ -n "$(titled "$server" 'upload: child')" ]
}

no_zombies()
{
    for pid in $(children_of "$server"); do
        ! grep -qs '^State:[[:space:]]*Z' "/proc/$pid/status" || return 1
    done
}

# ---- what a client does ----

# ask URL-PATH CURL-OPTIONS...: prints the status; the answer is in the file answer
ask()
{
    path=$1
    shift
    curl -s -m 60 -D fields -o answer -w '%{http_code}' --path-as-is "$@" "http://127.0.0.1:$port$path"
}

# post FILE: the status, and the answer's first word
post()
{
    echo "$(ask /pictures --data-binary "@$1") $(cut -d ' ' -f 1 answer)"
}

# The link that was answered last is in $link, the picture's name in $name.
take_link()
{
    link=$(cut -d ' ' -f 2 answer)
    name=${link##*/}
}

state_is()
{
    [ "$(ask "/pictures/$name") $(cut -d ' ' -f 1 answer)" = "200 $1" ]
}

recorded()
{
    "$examples/upload" --list pictures.db
}

has_rows()
{
    [ "$(recorded | wc -l)" -ge "$1" ]
}

spool_is_empty()
{
    [ -z "$(ls spool)" ]
}

# What killed children were writing stays for two minutes. It is no picture.
spool_has_no_picture()
{
    [ -z "$(find spool -type f ! -name 'part-*')" ]
}

says()
{
    grep -q -e "$2" "$1"
}

# post_in_parallel FIRST LAST: each picture is sent by a client of its own; what it was answered is in answers/NUMBER.
post_in_parallel()
{
    mkdir -p pictures answers
    for i in $(seq "$1" "$2"); do
        { head -c $((i * 997)) /dev/urandom; echo "$i"; } >"pictures/$i"
    done
    seq "$1" "$2" | xargs -P 100 -I '{}' sh -c \
        "curl -s -f -m 60 -o answers/{} --data-binary @pictures/{} http://127.0.0.1:$port/pictures || rm -f answers/{}"
}

# How many of those that were accepted are in the store, as they were sent.
accepted_and_there()
{
    for answer in answers/*; do
        file=files/$(sed 's|.*/||' "$answer")
        cmp -s "$file" "pictures/${answer##*/}" && echo "$file"
    done | sort -u | wc -l
}

accepted()
{
    mkdir -p answers
    find answers -type f -size +0 2>>waited | wc -l
}

all_there()
{
    spool_has_no_picture && [ "$(accepted_and_there)" -eq "$(accepted)" ]
}

# With each accepted one there are those whose client heard nothing of it: they are stored and recorded once, too.
all_recorded_once()
{
    recorded | cut -d ' ' -f 1 | sort >rows
    find files -type f | sed 's|.*/||' | sort | cmp -s - rows && [ -z "$(uniq -d rows)" ]
}

# ---- one picture ----

fresh
head -c 3000000 /dev/urandom >picture
start_both '' ''
kill -STOP "$store"
is "the answer comes while the store cannot have it" "202 waiting" "$(post picture)"
take_link
is "it names where to ask" "/pictures/$name" "$(tr -d '\r' <fields | sed -n 's/^Location: //p')"
is_like "and the link" "$url/????????????????????????????????" "$link"
holds "it is waiting" state_is waiting
same "it is in the spool" picture "spool/$name"
kill -CONT "$store"
holds "then it is stored" in_time state_is stored
is "and the answer to that has the link" "stored $link" "$(cat answer)"
curl -s "$link" >back
same "the link gives the picture" picture back
is "the database has its row" "$name 3000000 $link" "$(recorded)"
holds "it is out of the spool" soon spool_is_empty
holds "no zombies" soon no_zombies

is "no page" 404 "$(ask /)"
is "no picture of that name" 404 "$(ask /pictures/00000000000000000000000000000000)"
is "no such name" "404 404" "$(ask /pictures/../pictures.db) $(ask /pictures/)"
is "no such method" "405 POST" "$(ask /pictures) $(tr -d '\r' <fields | sed -n 's/^Allow: //p')"
is "nor for a picture" "405 GET" "$(ask "/pictures/$name" -X DELETE) $(tr -d '\r' <fields | sed -n 's/^Allow: //p')"
is "an empty picture" 400 "$(ask /pictures -X POST -H 'Content-Length: 0')"
is "a length that is none" "400 400" \
    "$(ask /pictures -d hello -H 'Content-Length: 5x') $(ask /pictures -d hello -H 'Content-Length: -5')"
is "no length" "411 411" "$(ask /pictures -X POST) $(ask /pictures -d hello -H 'Transfer-Encoding: chunked')"
truncate -s 33554433 large
is "too large" 413 "$(ask /pictures -T large -X POST)"
is "too long a line" 431 "$(ask "/pictures" -H "X: $(head -c 5000 /dev/zero | tr '\0' x)")"
is "no HTTP" 400 "$(ask / --request-target '/a b')"
is "who leaves in the middle has no answer" 000 "$(ask /pictures -m 0.3 -d hello -H 'Content-Length: 1000')"
holds "and leaves nothing behind" soon spool_is_empty
is "nothing of that is recorded" 1 "$(recorded | wc -l)"
run upload spool pictures.db "$url" 0
holds "its pool is in the system" is_in_the_system
is "a spool has one server" "1 upload: spool: another server has it" "$status $(cat err)"
end_both "one picture"

# ---- many ----

fresh
start_both '' "$never"
post_in_parallel 1 100
is "a hundred at once: all are accepted" 100 "$(accepted)"
holds "a hundred at once: all are stored, byte for byte" in_time all_there
is "a hundred at once: and recorded" 100 "$(recorded | wc -l)"
holds "a hundred at once: each once" all_recorded_once
holds "a hundred at once: no zombies" soon no_zombies
end_both "a hundred at once"

# ---- a store that fails ----

fresh
echo hello >picture
start_both '--fail 3 --slow 50' "$never"
is "the store fails: it is accepted" "202 waiting" "$(post picture)"
take_link
holds "the store fails: it is tried again, and stored" in_time state_is stored
is "the store fails: so often" 3 "$(grep -c 'status 503' server.err)"
is "the store fails: it is recorded once" 1 "$(recorded | wc -l)"
end_both "the store fails"

fresh
echo hello >picture
start_store
kill -TERM "$store"
finish "$store"
start_server -r 1
is "no store: it is accepted" "202 waiting" "$(post picture)"
take_link
holds "no store: it stays in the spool for now" in_time says server.err "^upload: stays in the spool for now: $name"
holds "no store: it is waiting" state_is waiting
kill -TERM "$server"
finish "$server"
is "no store: the server ends in order" "0 upload: 1 pictures wait for the next start" "$status $(tail -n 1 server.err)"
holds "no store: nothing is left in the system" soon nothing_is_left
start_server -r 1
says_again()
{
    [ "$(grep -c 'stays in the spool for now' server.err)" -ge 2 ]
}
holds "no store: all begins anew" in_time says_again
begin_again()
{
    start store.err --store files "$store_port"
}
server_port=$port
holds "no store: one comes" soon begin_again
store=$started port=$server_port
holds "no store: then it is stored" in_time state_is stored
is "no store: and recorded once" 1 "$(recorded | wc -l)"
end_both "no store"

# ---- somebody is killed ----

fresh
echo hello >picture
start_both '' "$never"
kill -STOP "$store"
is "a child is killed: it has answered" "202 waiting" "$(post picture)"
take_link
holds "a child is killed: it is at work" soon has_child
child=$(titled "$server" 'upload: child' | head -n 1)
kill -KILL "$child"
holds "a child is killed: that is told" soon says server.err "child $child killed by SIGKILL"
kill -CONT "$store"
holds "a child is killed: the pool does its work" in_time state_is stored
is "a child is killed: the record is there once" 1 "$(recorded | wc -l)"
holds "a child is killed: no zombies" soon no_zombies
end_both "a child is killed"

fresh
start_both '' '-c 0 -r 1'
kill -STOP "$store"
post_in_parallel 1 10
is "workers are killed: all is accepted" 10 "$(accepted)"
has_worker()
{
    [ -n "$(titled "$server" 'upload: worker *')" ]
}
for round in 1 2 3 4 5 6; do
    soon has_worker
    # shellcheck disable=SC2046
    kill -KILL $(titled "$server" 'upload: worker *') 2>>waited
    [ $round -ne 4 ] || kill -CONT "$store"
done
holds "workers are killed: that is told" says server.err '^upload: worker .* killed by SIGKILL'
holds "workers are killed: all is stored" in_time all_there
holds "workers are killed: and recorded once" all_recorded_once
end_both "workers are killed"

fresh
start_both '' "-c 4 $never"
kill -STOP "$store"
post_in_parallel 1 20
is "the server is killed: all was accepted" 20 "$(accepted)"
kill -KILL "$server"
finish "$server"
start_server -c 4 -r 100000
kill -CONT "$store"
holds "the server is killed: the next one stores all" in_time all_there
holds "the server is killed: and records them once" all_recorded_once
is "the server is killed: all of them" 20 "$(recorded | wc -l)"
end_both "the server is killed"

# All of them, while clients send. A picture whose client was answered is stored; others may be.
fresh
start_store --slow 20
for round in 1 2 3 4; do
    start_server -c 4 -r 1
    before=$(accepted)
    post_in_parallel $((round * 30 + 1)) $((round * 30 + 30)) &
    clients=$!
    some_are_accepted()
    {
        [ "$(accepted)" -ge $((before + 8)) ]
    }
    in_time some_are_accepted
    # shellcheck disable=SC2046
    kill -KILL "$server" $(titled "$server" 'upload: *') 2>>waited
    finish "$server"
    wait $clients
done
start_server -c 4 -r 1
holds "all are killed: what was accepted is stored, byte for byte" in_time all_there
holds "all are killed: and recorded once" all_recorded_once
holds "all are killed: some were accepted" [ "$(accepted)" -gt 0 ]
end_both "all are killed"

# ---- the end ----

fresh
echo hello >picture
start_both '' ''
kill -STOP "$store"
is "SIGTERM: a picture is in hand" "202 waiting" "$(post picture)"
take_link
kill -TERM "$server"
refuses()
{
    [ "$(ask /)" = 000 ]
}
holds "SIGTERM: connections are refused" soon refuses
kill -CONT "$store"
finish "$server"
is "SIGTERM: it ends in order" "0 upload: 0 pictures wait for the next start" "$status $(tail -n 1 server.err)"
same "SIGTERM: and has stored what was in hand" picture "files/$name"
is "SIGTERM: and recorded it" 1 "$(recorded | wc -l)"
holds "SIGTERM: nothing is left in the system" soon nothing_is_left
start_server
end_both "at rest"

sum_up
