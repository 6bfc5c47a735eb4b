#!/bin/sh
# The gallery of README.md: what its console blocks show is what their commands print. Run from the repository's root.
# BUILD: the build directory.
#
# Each block has an empty directory, where the examples of $BUILD come first in PATH. A line that begins with "$ " is a command
# for the shell; with "# ", one for root's, which is skipped for others. So is one that needs a program that is not there, or an
# example that is not built; with it the rest of its block is skipped, and it is said. Up to the next command follows what is to
# be printed, on both streams, where
#
#     a number of several digits, or with a point in it, stands for any number; one of one digit stands for itself;
#     blanks stand for any number of blanks, and none are looked at where a line begins and ends;
#     … stands for anything; a line of it alone, for any number of lines.
#
# After "```console any order" the lines may come in any order, for several processes write them. A command that ends in " &" goes
# on until the block's end, or until "kill %1" (the second: %2); what it prints meanwhile is printed with that of the others. The
# ports 8080 and 9000 stand for two that are free. A block is tried three times: some commands have a time limit, which a busy
# machine may not keep.
set -u
readme=$PWD/README.md
sources=$PWD/examples
if [ -n "${SAN:-}" ]; then
    echo "skipped: what the examples print is compared without sanitizers; their own tests run with them"
    echo "0 passed, 0 failed"
    exit 0
fi
. tests/examples_lib.sh

time_limit=$(command -v timeout) # the examples have one of that name
PATH_OF_EXAMPLES=$examples:$PATH

# ---- the blocks: a directory for each, with the number of its line; in it its commands, and what they print ----

mkdir "$tmp/blocks"
awk -v directory="$tmp/blocks" '
    function say(file, text) { print text >>(block "/" file) }
    /^```console/ {
        commands = 0
        block = directory "/" sprintf("%05d", NR)
        system("mkdir " block)
        say("order", / any order$/ ? "any" : "given")
        next
    }
    /^```/ { block = "" }
    block == "" { next }
    /^[$#] / {
        number = sprintf("%02d", ++commands)
        say(number ".prompt", substr($0, 1, 1))
        say(number ".command", substr($0, 3))
        printf "" >>(block "/" number ".expected")
        next
    }
    { say(number ".expected", $0) }
' "$readme"

# ---- what is printed, and what is to be ----

# is_shown ORDER EXPECTED ACTUAL
is_shown()
{
    awk -v order="$1" '
        function tidy(line) {
            gsub(/[ \t\r]+/, " ", line)
            sub(/^ /, "", line)
            sub(/ $/, "", line)
            sub(/^.*: line [0-9]+: [0-9]+ Killed.*$/, "Killed", line) # not every shell says it in one word,
            sub(/\(RT[0-9]+\)/, "(Real-time signal 1)", line)         # and not every C library has this one
            return line
        }
        function pattern(line, out, c) {
            out = ""
            while (line != "")
                if (match(line, /^[0-9]+([.][0-9]+)*/)) {
                    out = out (RLENGTH == 1 ? substr(line, 1, 1) : "[0-9]+([.][0-9]+)*")
                    line = substr(line, RLENGTH + 1)
                } else if (index(line, "…") == 1) {
                    out = out ".*"
                    line = substr(line, length("…") + 1)
                } else {
                    c = substr(line, 1, 1)
                    out = out (c ~ /[A-Za-z ]/ ? c : c == "^" || c == "\\" ? "\\" c : "[" c "]")
                    line = substr(line, 2)
                }
            return "^" out "$"
        }
        function in_order(i, j, k) {
            for (; i <= wanted; i++ && j++) {
                if (want[i] == "…") {
                    for (k = j; k <= had + 1; k++)
                        if (in_order(i + 1, k))
                            return 1
                    return 0
                }
                if (j > had || have[j] !~ pattern(want[i]))
                    return 0
            }
            return j == had + 1
        }
        function take(line, j) {
            for (j = 1; j <= had; j++)
                if (!(j in taken) && have[j] ~ pattern(line)) {
                    taken[j] = 1
                    return 1
                }
            return 0
        }
        # What stands for much takes what the others leave.
        function in_any_order(vague, i, rest) {
            for (vague = 0; vague <= 1; vague++)
                for (i = 1; i <= wanted; i++)
                    if (want[i] == "…")
                        rest = had
                    else if ((index(want[i], "…") > 0) == vague && !take(want[i]))
                        return 0
            return rest || wanted == had
        }
        FILENAME == ARGV[1] { want[++wanted] = tidy($0); next }
        { have[++had] = tidy($0) }
        END { exit !(order == "any" ? in_any_order() : in_order(1, 1)) }
    ' "$2" "$3"
}

is_shown_now()
{
    tail -c "+$((printed + 1))" "$shown" >"$tmp/actual"
    is_shown "$order" "$1" "$tmp/actual"
}

# ---- commands ----

free_port()
{
    rm -f "$tmp/port"
    "$examples/httpd" --fork 0 >"$tmp/port" 2>&1 &
    soon grep -qs 'listens on port' "$tmp/port"
    kill $!
    wait $!
    sed -n 's/.*listens on port //p' "$tmp/port"
}

# with_free_ports COMMAND: the command as it is run
with_free_ports()
{
    case $1 in
    *8080* | *9000*)
        [ -s "$tmp/ports" ] || echo "s/8080/$(free_port)/g; s/9000/$(free_port)/g" >"$tmp/ports"
        printf '%s\n' "$1" | sed -f "$tmp/ports"
        ;;
    *) printf '%s\n' "$1" ;;
    esac
}

# why_not PROMPT COMMAND: prints why it cannot be run here
why_not()
{
    if [ "$1" = '#' ] && [ "$(id -u)" -ne 0 ]; then
        echo "needs root"
        return
    fi
    for word in $(printf '%s\n' "$2" | tr -cs 'A-Za-z0-9_-' '[\n*]'); do
        if [ -e "$sources/$word.c" ] && [ ! -e "$examples/$word" ]; then
            echo "$word is not built here"
            return
        fi
        case $word in
        curl | ps | sqlite3 | python3 | php | gzip) command -v "$word" >/dev/null || echo "$word is missing" ;;
        esac
    done
}

# end PROCESS: waits for it as well
end()
{
    kill "$1" 2>/dev/null
    soon is_gone "$1" || kill -KILL "$1"
    wait "$1" 2>/dev/null
}

end_background()
{
    for process in $background; do
        [ "$process" = - ] || end "$process"
    done
    background=
}

# run_command COMMAND
run_command()
{
    case $1 in
    'kill %'*)
        end "$(echo "$background" | cut -d ' ' -f "${1#kill %}")"
        background=$(echo "$background" | sed "s/[^ ][^ ]*/-/${1#kill %}")
        ;;
    *' &')
        PATH=$PATH_OF_EXAMPLES sh -c "exec ${1% &}" >>"$shown" 2>&1 </dev/null &
        background="$background${background:+ }$!"
        ;;
    *) PATH=$PATH_OF_EXAMPLES "$time_limit" -s KILL 60 sh -c "$1" >>"$shown" 2>&1 </dev/null ;;
    esac
}

# run_block DIRECTORY: runs its commands, up to one that prints something else. If some are skipped, the file `skipped` says so.
run_block()
{
    fresh
    order=$(cat "$1/order") shown=$tmp/shown printed=0 background=''
    : >"$shown"
    : >"$tmp/skipped"
    : >"$tmp/ports"
    for file in "$1"/*.command; do
        command=$(cat "$file")
        reason=$(why_not "$(cat "${file%command}prompt")" "$command" | head -n 1)
        if [ -n "$reason" ]; then
            echo "skipped: $command: $reason" >>"$tmp/skipped"
            break
        fi
        run_command "$(with_free_ports "$command")"
        if ! is_shown_now "${file%command}expected" &&
            ! { [ -n "$background" ] && soon is_shown_now "${file%command}expected"; }; then
            end_background
            printf '$ %s\n' "$command" | cat - "${file%command}expected" >"$tmp/wanted"
            return 1
        fi
        printed=$(size_of "$shown")
    done
    end_background
}

# ---- all of them ----

for block in "$tmp"/blocks/*; do
    line=$(basename "$block" | sed 's/^0*//')
    sentence="README.md, line $line: $(head -n 1 "$block/01.command")"
    is_so=no
    for try in 1 2 3; do
        run_block "$block" && is_so=yes && break
        [ "$try" -eq 3 ] || echo "# $sentence: tried again" >&2
    done
    cat "$tmp/skipped"
    if [ $is_so = no ]; then
        not_ok "$sentence" "$(cat "$tmp/wanted"; echo "got:"; cat "$tmp/actual")"
    elif [ -s "$tmp/shown" ] || [ ! -s "$tmp/skipped" ]; then
        ok "$sentence"
    fi
done

missing=
for source in "$sources"/*.c; do
    name=$(basename "$source" .c)
    grep -q "(examples/$name.c)" "$readme" && grep -qw -e "$name" "$tmp"/blocks/*/*.command || missing="$missing $name"
done
is "every example is in the gallery, with a command" "" "$missing"

sum_up
