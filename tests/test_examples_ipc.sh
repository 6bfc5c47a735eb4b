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

sum_up
