#!/bin/sh
# The example about the surprises of fork, as a user runs it. Run from the repository's root.
# BUILD: the build directory. SAN: the sanitizers that it was built with, if any.
# shellcheck disable=SC2016
set -u
. tests/examples_lib.sh

# ---- what is seen ----

fresh
cat >expected <<'TEXT'
memory: what the child changes, the parent does not see
  fork     the child has counted to 1, the parent still has 0: each has its own
  libproc  with a proc_counter (or proc_shm): the child has counted to 1, the parent has 1
loop: three forks in a loop
  fork     8 processes come out of it, since each child goes on with the loop
  libproc  4 come out of it: a child runs its main, and never gets back here
orphan: the parent ends before its child
  fork     it lives on, and its parent is another one: process 1 or, as here, a subreaper
  libproc  proc_free kills and reaps it: it is gone
  libproc  with a .death_signal, when its parent has ended, it is killed by SIGTERM
  libproc  with PROC_DETACH it lives on, for it is meant to
zombie: a child that has ended, and for which nobody has waited
  fork     it has ended, and is still there, in state Z; after waitpid it is gone
  libproc  after proc_free, or proc_wait, it is gone
signal: children that end at the same time send one SIGCHLD
  fork     3 children have ended, 1 signal has come, one waitpid has reaped 1: 2 are zombies
  libproc  3 children have ended, and a proc_waiter has reported and reaped 3
stdio: what is in the buffers of stdio is printed twice
  fork     a line that was printed before comes out 2 times: the child has a copy of the buffer
  libproc  it comes out 1 time; what the child itself prints is written when its main returns
TEXT
run fork-lessons
is "fork-lessons: it ends well" "0 0" "$status $(size_of err)"
same "fork-lessons: all lessons, as they are told" expected out
run pty "$examples/fork-lessons"
tr -d '\r' <out >shown
same "fork-lessons: the same on a terminal" expected shown
for turn in 1 2 3 4 5 6 7 8 9 10; do
    timeout -s KILL 60 "$examples/fork-lessons" >"out $turn" &
done
wait
holds "fork-lessons: the same when many run at once" sh -c 'for out in out\ *; do cmp expected "$out" || exit; done'

# ---- the choice ----

run fork-lessons zombie memory
sed -n '/^zombie/,/^signal/p' expected | sed '$d' >chosen
sed -n '/^memory/,/^loop/p' expected | sed '$d' >>chosen
same "fork-lessons NAME: those, in that order" chosen out
run fork-lessons -l
is "fork-lessons -l: their names" "memory loop orphan zombie signal stdio" "$(cut -d ' ' -f 1 out | one_line)"
run fork-lessons memory arithmetic
is "fork-lessons: what is none is told before any is played" \
    "1 0 fork-lessons: arithmetic: there is no such lesson; -l lists them" "$status $(size_of out) $(cat err)"
run fork-lessons -x
is_like "fork-lessons: it says how it is used" "1 *usage*" "$status $(cat err)"

# ---- where it is started ----

# By a program that ignores SIGCHLD, so that zombies do not come to be; and that has children, which are not to be reaped.
(
    trap '' CHLD
    exec timeout -s KILL 60 "$examples/fork-lessons"
) >out
same "fork-lessons: the same where SIGCHLD is ignored" expected out
sh -c 'sh -c "exit 7" & exec "$0"' "$examples/fork-lessons" >out
same "fork-lessons: the same where there are other children" expected out
timeout -s KILL 60 "$examples/fork-lessons" </dev/null >out 2>&- <&-
same "fork-lessons: the same without standard input and error" expected out

sum_up
