#!/bin/sh
# The examples about what processes share, as a user runs them. Run from the repository's root.
# BUILD: the build directory. SAN: the sanitizers that it was built with, if any.
# shellcheck disable=SC2016
set -u
. tests/examples_lib.sh

# ---- counter ----

fresh
run counter 3
is "counter: it ends well" 0 $status
is "counter: with a semaphore none is lost" 300000 "$(awk '/semaphore/ { print $4 }' out)"
is "counter: with a counter none is lost" 300000 "$(awk '/with a counter/ { print $4 }' out)"
run counter 1
is "counter: one alone loses nothing either way" "100000 100000 100000" "$(awk 'NR > 1 { print $(NF - 2) }' out | xargs)"

# ---- semaphore ----

fresh
mkfifo go
for i in 1 2 3; do
    "$examples/semaphore" "$PWD" sh -c 'echo in >>log; read x <go' &
done
soon sh -c '[ "$(grep -c in log 2>/dev/null)" = 3 ]'
run semaphore -v "$PWD"
is "semaphore: three are in" "0 of 3 free" "$(cat out)"
run semaphore -w 0 "$PWD" true
is "semaphore: a fourth finds no place" 75 $status
exec 9<>go
echo >&9
run semaphore "$PWD" sh -c 'exit 7'
is "semaphore: one leaves, another comes in" 7 $status
echo >&9
echo >&9
wait
exec 9<&-
run semaphore "$PWD" sh -c 'kill -9 $$'
is "semaphore: it passes on how the command ended" 137 $status
run semaphore -v "$PWD"
is "semaphore: all places are free again" "3 of 3 free" "$(cat out)"
run semaphore -r "$PWD"
is "semaphore: it is removed" 0 $status
run semaphore -v "$PWD"
is_like "semaphore: and gone" "*No such file*" "$(cat err)"

# ---- barrier ----

fresh
run barrier -w 0 "$PWD" 3 true
is "barrier: one alone gives up in time" 75 $status
"$examples/barrier" "$PWD" 3 sh -c 'echo first >>log' &
"$examples/barrier" "$PWD" 3 sh -c 'echo second >>log' &
run barrier -w 0 "$PWD" 4 true
is_like "barrier: all have to mean the same number" "*meet here, not 4*" "$(cat err)"
holds "barrier: two wait" [ ! -e log ]
run barrier "$PWD" 3 echo third
wait
is "barrier: the third lets them go" "first second" "$(sort log | xargs)"
is "barrier: and goes itself" third "$(cat out)"
run barrier -r "$PWD"
is "barrier: it is removed" 0 $status

# ---- note ----

fresh
run note "$PWD"
is_like "note: there is none" "*No such file*" "$(cat err)"
run note "$PWD" 'back at ten'
run note "$PWD"
is "note: what was written is read" "back at ten" "$(cat out)"
run note "$PWD" 'back at eleven'
is_like "note: a longer one does not fit" "*Invalid argument*" "$(cat err)"
run note -r "$PWD"
run note "$PWD"
is_like "note: it is taken off" "*No such file*" "$(cat err)"

# ---- queue ----

# nothing_of ID: neither the queue of that number, nor a file of its messages.
nothing_of()
{
    ! awk -v id="$1" '$2 == id { found = 1 } END { exit !found }' /proc/sysvipc/msg && [ -z "$(files_of "$1")" ]
}

files_of()
{
    find /dev/shm -name "libproc-*-$1-*" ! -name '*-lock'
}

queue_id()
{
    sed -n 's/^queue \([0-9]*\): .*/\1/p' out
}

fresh
run queue
is "queue: it ends well" "0 0" "$status $(size_of err)"
is_like "queue: jobs wait, and a mebibyte takes little room" "queue *: 9 messages wait: 2??? bytes of *" "$(head -n 1 out)"
holds "queue: one that is full takes no more" grep -q '^with room for 2... bytes it is full$' out
is "queue: each job is done once" "2 urgent 3 normal 4 some day" \
    "$(grep -E '^[0-9]+: ' out | cut -d : -f 2 | sort | uniq -c | sort -n | xargs)"
is "queue: no job of a producer is missing" "1 1 2 2 3 3 4 4" "$(sed -n 's/.*: job \(.\) of .*/\1/p' out | sort | xargs)"
is "queue: one of them is large" 1 "$(grep -c ': normal: 1048576 bytes$' out)"
sed -n 's/^\([0-9]*\): urgent.*/\1 1/p; s/^\([0-9]*\): normal.*/\1 2/p; s/^\([0-9]*\): some day.*/\1 3/p' out >ranks
holds "queue: nobody does an urgent one after another" awk '$2 < last[$1] { exit 1 } { last[$1] = $2 }' ranks
is "queue: in the end there is none" "nothing is left" "$(tail -n 1 out)"
holds "queue: a private one is gone" nothing_of "$(queue_id)"

# For all that follows. A receiver that sleeps has found nothing yet.
sleeps()
{
    grep -q '^Name:[[:space:]]*queue' "/proc/$1/status" && grep -q '^State:[[:space:]]*S' "/proc/$1/status"
}

fresh
run queue stat "$PWD"
is_like "queue stat: there is none" "1 *No such file*" "$status $(cat err)"
for job in '3 water the flowers' '2 mend the fence' '1 the roof is leaking' '3 feed the cat' '1 the cellar is under water'; do
    run queue send "$PWD" "${job%% *}" "${job#* }"
done
is "queue send: it does not wait for anybody" 0 $status
run queue stat "$PWD"
id=$(queue_id)
is_like "queue stat: five wait" "queue $id: 5 messages wait: 87 bytes of *" "$(head -n 1 out)"
run queue receive "$PWD" 3
is "queue receive: the oldest of a type" "water the flowers" "$(cat out)"
for _ in 1 2 3; do
    timeout 60 "$examples/queue" receive "$PWD"
done >out
is "queue receive: the urgent ones first" "the roof is leaking the cellar is under water mend the fence" "$(xargs <out)"
run queue receive "$PWD" 2 0
is "queue receive: none of that type" "75 0" "$status $(size_of out)"
run queue receive "$PWD" -2 1
is "queue receive: none that is so urgent, after a while" "75 0" "$status $(size_of out)"
run queue receive "$PWD" 0 60
is "queue receive: the last" "0 feed the cat" "$status $(cat out)"

timeout -s KILL 60 "$examples/queue" receive "$PWD" 7 >later &
run queue send "$PWD" 8 'for somebody else'
run queue send "$PWD" 7 ''
wait $!
is "queue receive: it waits for its own, which may be empty" "0 1" "$? $(size_of later)"
run queue receive "$PWD" 8
is "queue receive: and leaves what is for others" "for somebody else" "$(cat out)"

head -c 3000000 /dev/urandom >large
run queue send "$PWD" 2 <large
is "queue send: a large one" 0 $status
run queue send "$PWD" 1 'a small one'
run queue stat "$PWD"
is_like "queue stat: it takes little room" "queue $id: 2 messages wait: 20?? bytes of *" "$(head -n 1 out)"
is "queue: the rest of it is in a file" 1 "$(files_of "$id" | wc -l)"
run queue receive "$PWD"
is "queue receive: the small one was more urgent" "a small one" "$(cat out)"
run queue receive "$PWD"
echo >>large
same "queue receive: the large one" large out
is "queue: its file is gone" "" "$(files_of "$id")"

"$examples/queue" receive "$PWD" 2>said &
waiting=$!
soon sleeps $waiting
run queue send "$PWD" 0 'no type'
is_like "queue send: types are above 0" "1 *Invalid argument*" "$status $(cat err)"
run queue remove "$PWD"
is "queue remove: it is removed" 0 $status
wait $waiting
is_like "queue remove: who waits is told" "1 *Identifier removed*" "$? $(cat said)"
run queue send "$PWD" 1 <large
run queue stat "$PWD"
id=$(queue_id)
run queue remove "$PWD"
holds "queue remove: with what is in it" nothing_of "$id"
run queue receive
is_like "queue: it says how it is used" "1 *usage*" "$status $(cat err)"

# ---- ledger ----

fresh
run ledger deposit "$PWD" alice 100
run ledger transfer "$PWD" alice bob 30
run ledger list "$PWD"
is "ledger: a transfer" "2 accounts, 100 in all alice 70 bob 30" "$(sort out | xargs)"
run ledger transfer "$PWD" alice bob 71
is "ledger: not more than there is" "1 ledger: alice has not that much" "$status $(cat err)"
run ledger transfer "$PWD" carol bob 1
is "ledger: not from nobody" "1 ledger: carol: No such file or directory" "$status $(cat err)"
run ledger deposit "$PWD" "(journal)" 1
is_like "ledger: no account is in the way of the journal" "1 *not a name*" "$status $(cat err)"
run ledger list "$PWD"
is "ledger: nothing has changed" "2 accounts, 100 in all alice 70 bob 30" "$(sort out | xargs)"
"$examples/ledger" die "$PWD" alice bob 5 2>err
is "ledger: one dies in the middle" 137 $?
run ledger list "$PWD"
is "ledger: the next does the rest" "ledger: somebody died over 5 from alice to bob: it is done now
2 accounts, 100 in all alice 65 bob 35" "$(cat err; sort out | xargs)"
run ledger list "$PWD"
is "ledger: once" "0 2 accounts, 100 in all alice 65 bob 35" "$(size_of err) $(sort out | xargs)"

run ledger deposit "$PWD" bob 65
for from in alice bob; do
    [ $from = alice ] && to=bob || to=alice
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        "$examples/ledger" transfer "$PWD" $from $to 2
        "$examples/ledger" die "$PWD" $from $to 1
        echo $? >>deaths
    done 2>>"said by $from" &
done
wait
run ledger list "$PWD"
is "ledger: twenty die in the middle" 20 "$(grep -c '^137$' deaths)"
is "ledger: for each, somebody does the rest" 20 "$(cat said* err | grep -c 'somebody died over')"
is "ledger: nothing is lost" "2 accounts, 165 in all alice 65 bob 100" "$(sort out | xargs)"
run ledger remove "$PWD"
is "ledger: it is removed" 0 $status
run ledger list "$PWD"
is "ledger: and begins anew" "0 accounts, 0 in all" "$(cat out)"
run ledger remove "$PWD"

# ---- scoreboard ----

# The children of a process.
children_of()
{
    grep -ls "^PPid:[[:space:]]*$1\$" /proc/[0-9]*/status | cut -d / -f 3
}

fresh
mkdir files files/more
for i in $(seq 41); do
    seq "$i" >"files/$i"
    seq "$i" | xargs >"files/more/$i"
done
printf ' \n\t one  two\n\vthree' >files/last
run scoreboard -n 3 files
is "scoreboard: it ends well" "0 0" "$status $(size_of err)"
is "scoreboard: all words of all files, although one has died with the lock" \
    "83 of 83 files, 1725 words; the lock was handed on: 1" "$(tail -n 1 out)"
is "scoreboard: which is seen" 1 "$(grep -c ' dead ' out)"
is "scoreboard: the rows amount to the same" "3 workers, 83 files, 1725 words, 1 killed" \
    "$(tail -n 4 out | awk '/^worker/ { n++; files += $6; words += $7; killed += $5 }
                            END { print n " workers, " files " files, " words " words, " killed " killed" }')"
run scoreboard -n 1 files/1 files/more/3
is "scoreboard: a worker alone, which dies as well" "2 of 2 files, 4 words; the lock was handed on: 1" "$(tail -n 1 out)"
run scoreboard -n 100 files/7
is "scoreboard: more workers than files" "1 of 1 files, 7 words; the lock was handed on: 1" "$(tail -n 1 out)"
run scoreboard missing
is "scoreboard: a missing file" "1 scoreboard: missing: No such file or directory" "$status $(cat err)"

# A worker that has the fifo open waits there, without the lock.
reader=none
another_reads()
{
    last=$reader
    for pid in $(children_of "$board"); do
        [ "$pid" != "$last" ] && find "/proc/$pid/fd" -exec readlink {} \; 2>/dev/null | grep -q '/fifo$' &&
            reader=$pid && return
    done
    false
}

mkfifo fifo
timeout -s KILL 60 "$examples/scoreboard" -n 3 files fifo >out 2>err &
started=$!
soon sh -c '[ -s out ]'
board=$(children_of $started)
exec 9<>fifo
for _ in 1 2 3; do
    soon another_reads
    kill -KILL "$reader"
done
soon another_reads
echo one two three four >&9
exec 9<&-
wait $started
is "scoreboard: it ends well, whoever kills workers" "0 0" "$? $(size_of err)"
is "scoreboard: and nothing is lost" "84 of 84 files, 1729 words; the lock was handed on: 1" "$(tail -n 1 out)"
is "scoreboard: all deaths are on the board" 4 "$(tail -n 4 out | awk '/^worker/ { killed += $5 } END { print killed }')"

"$examples/scoreboard" -n 3 fifo >out 2>err &
board=$!
exec 9<>fifo
soon another_reads
kill -KILL $board
wait $board 2>>err
exec 9<&-
echo "$reader" >workers
holds "scoreboard: when it is killed, no worker stays" all_gone 1 workers

run pty "$examples/scoreboard" -n 3 files
is_like "scoreboard: on a terminal" "0 83 of 83 files, 1725 words; *" "$status $(tail -n 1 out)"
escape=$(printf '\033')
holds "scoreboard: the board stays in its place" grep -q "^$escape\[5A" out

sum_up
