# What the scripts that test the examples have in common. To be sourced from the repository's root: it goes to an empty
# directory, which is gone in the end. BUILD: the build directory.
# shellcheck shell=sh

# In an IPC namespace of its own, where that is allowed: what others make meanwhile is none of ours.
if [ -z "${APART-}" ] && unshare --ipc true 2>/dev/null; then
    APART=1 exec unshare --ipc sh "$0" "$@"
fi

examples=$(cd "${BUILD:-build/cc}/examples" && pwd) || exit 1
tmp=$(mktemp -d) || exit 1
export LC_ALL=C MARK="mark of $tmp" # by the mark, what a test started is found, whoever its parent is by then
trap 'end_what_runs; rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM
cd "$tmp" || exit 1
passed=0 failed=0

ok()
{
    passed=$((passed + 1))
    echo "ok - $1"
}

not_ok()
{
    failed=$((failed + 1))
    echo "not ok - $1"
    [ $# -lt 2 ] || printf '%s\n' "$2" | cut -c 1-200 | head -n 20 | sed 's/^/# /' >&2
}

# is SENTENCE EXPECTED ACTUAL
is()
{
    if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "expected: $2
got: $3"; fi
}

# is_like SENTENCE PATTERN ACTUAL: a pattern of the shell's
is_like()
{
    # shellcheck disable=SC2254
    case $3 in
    $2) ok "$1" ;;
    *) not_ok "$1" "expected: $2
got: $3" ;;
    esac
}

# same SENTENCE FILE FILE
same()
{
    if cmp -s "$2" "$3"; then ok "$1"; else not_ok "$1" "$(cmp "$2" "$3" 2>&1)"; fi
}

# holds SENTENCE COMMAND...
holds()
{
    sentence=$1
    shift
    if "$@"; then ok "$sentence"; else not_ok "$sentence" "not so: $*"; fi
}

# Runs an example: stdout in out, stderr in err, exit status in $status. One that hangs is killed.
run()
{
    example=$1
    shift
    timeout -s KILL 60 "$examples/$example" "$@" >out 2>err
    # shellcheck disable=SC2034 # for the one who calls
    status=$?
}

size_of()
{
    wc -c <"$1" | tr -d ' '
}

one_line()
{
    cat -- "$@" | tr '\n' ' ' | sed 's/ $//'
}

# soon COMMAND...: within ten seconds
soon()
{
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        [ $tries -lt 500 ] || return 1
        sleep 0.02
    done
}

# A zombie is gone as well: its new parent is not ours to test.
is_gone()
{
    ! kill -0 "$1" 2>/dev/null || grep -q '^State:[[:space:]]*[ZX]' "/proc/$1/status" 2>/dev/null || [ ! -e "/proc/$1" ]
}

# all_gone COUNT FILE...: all processes that are named there, and so many are
all_gone()
{
    count=$1
    shift
    named=$(cat "$@" 2>/dev/null)
    # shellcheck disable=SC2086
    set -- $named
    [ $# -eq "$count" ] || return 1
    for pid; do
        soon is_gone "$pid" || return 1
    done
}

fresh()
{
    rm -rf "$tmp/work"
    mkdir "$tmp/work"
    cd "$tmp/work" || exit 1
}

# In a shell without the mark, so as not to find itself.
what_runs()
(
    mark=$MARK
    unset MARK
    grep -las "$mark" /proc/[0-9]*/environ | cut -d / -f 3
)

nothing_runs()
{
    [ -z "$(what_runs)" ]
}

end_what_runs()
{
    for pid in $(what_runs); do
        kill -KILL "$pid" 2>/dev/null
    done
}

# The end of a script.
sum_up()
{
    holds "nothing that a test started is left running" soon nothing_runs
    echo "$passed passed, $failed failed"
    [ $failed -eq 0 ]
}
