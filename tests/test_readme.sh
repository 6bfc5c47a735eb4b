#!/bin/sh
# The README's first program, as it stands there, compiled against an installation and run; and what else the README says
# that a program can check. Run in the top directory with BUILD and CC set.
passed=0 failed=0
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

verdict() { # verdict STATUS SENTENCE
    if [ "$1" -eq 0 ]; then
        passed=$((passed + 1))
        echo "ok - $2"
    else
        failed=$((failed + 1))
        echo "not ok - $2"
    fi
}

if [ -n "$SAN" ]; then
    echo "skipped: a program without the sanitizers cannot be linked with a library that has them"
    echo "0 passed, 0 failed"
    exit 0
fi

sed -n '/^```c$/,/^```$/p' README.md | sed '/^```/d' >"$scratch/first.c"
lines=$(grep -c . "$scratch/first.c")
[ "$lines" -gt 5 ] && [ "$lines" -lt 20 ]
verdict $? "the first program has under 20 lines"

make -s install CC="$CC" prefix=/usr DESTDIR="$scratch/root" >/dev/null
verdict $? "the library installs below DESTDIR"

system=$(pkg-config --variable pc_path pkg-config)
export PKG_CONFIG_SYSROOT_DIR="$scratch/root" PKG_CONFIG_LIBDIR="$scratch/root/usr/lib/pkgconfig"
export PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1 PKG_CONFIG_ALLOW_SYSTEM_LIBS=1
flags=$(pkg-config --cflags --libs proc)
verdict $? "pkg-config knows it"
expected='two
three
one
sort exited with status 0'

# shellcheck disable=SC2086
(cd "$scratch" && $CC -Wall -Wextra -Werror first.c $flags -o first)
verdict $? "the first program compiles as the README says"
output=$(LD_LIBRARY_PATH="$scratch/root/usr/lib" "$scratch/first")
[ "$output" = "$expected" ]
verdict $? "the first program prints what the README says"

# A library has no argc and argv of its own: the title's place is found all the same.
cat >"$scratch/title.c" <<'END'
#include <proc.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    char shown[100] = "";

    if (proc_title("title %d", 7) < 0)
        return 1;
    FILE *file = fopen("/proc/self/cmdline", "r");
    if (!file || !fgets(shown, sizeof shown, file))
        return 1;
    printf("%s, %s, %s\n", shown, argv[argc - 1], getenv("MARK"));
    return fclose(file);
}
END
# shellcheck disable=SC2086
(cd "$scratch" && $CC -Wall -Wextra -Werror title.c $flags -o title) &&
    [ "$(MARK=kept LD_LIBRARY_PATH="$scratch/root/usr/lib" "$scratch/title" last)" = "title 7, last, kept" ]
verdict $? "a title is shown from the shared library, and argv and the environment stay"

# Those that use another library say in their comment how they are compiled; they are built only where there is that one.
failures=
for example in examples/*.c; do
    [ -e "$BUILD/examples/$(basename "$example" .c)" ] || continue
    case $example in
    *loop_libuv.c) more=$(PKG_CONFIG_SYSROOT_DIR='' PKG_CONFIG_LIBDIR="$system" pkg-config --cflags --libs libuv) ;;
    *loop_glib.c) more=$(PKG_CONFIG_SYSROOT_DIR='' PKG_CONFIG_LIBDIR="$system" pkg-config --cflags --libs glib-2.0) ;;
    *loop_libev.c) more=-lev ;;
    *upload.c) more=$(PKG_CONFIG_SYSROOT_DIR='' PKG_CONFIG_LIBDIR="$system" pkg-config --cflags --libs libcurl sqlite3) ;;
    *) more= ;;
    esac
    # shellcheck disable=SC2086
    $CC -D_GNU_SOURCE "$example" $flags $more -o "$scratch/example" || failures="$failures $example"
done
[ -z "$failures" ]
verdict $? "every example compiles against the installation alone $failures"

# shellcheck disable=SC2046
(cd "$scratch" && $CC -static first.c $(pkg-config --cflags --static --libs proc) -o first-static)
verdict $? "the first program links statically"
output=$("$scratch/first-static")
[ "$output" = "$expected" ]
verdict $? "and prints the same"

if command -v man >/dev/null; then
    man -M "$scratch/root/usr/share/man" proc_stop 2>/dev/null | grep -q 'proc_stop'
    verdict $? "man proc_stop works"
else
    echo "skipped: man is missing"
fi

missing=$(sed -n 's/.*](\([^)]*\)).*/\1/p' README.md | grep -v '^http' | while read -r link; do [ -e "$link" ] || echo "$link"; done)
[ -z "$missing" ]
verdict $? "every link of the README leads somewhere $missing"

make -s uninstall CC="$CC" prefix=/usr DESTDIR="$scratch/root" >/dev/null
left=$(find "$scratch/root" -type f -o -type l)
[ -z "$left" ]
verdict $? "uninstall leaves nothing $left"

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
