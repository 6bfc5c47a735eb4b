# libproc. Targets: all (library and examples), check, soak, demo, bench, memcheck, lint, install, uninstall, clean.
# Variables: CC, CFLAGS, LDFLAGS, SAN (a -fsanitize list), OFF (a kernel feature that the tests do without), JOBS (so many tests
# at a time), DESTDIR, prefix, bindir, libdir, includedir, mandir.

prefix ?= /usr/local
libdir ?= $(prefix)/lib
includedir ?= $(prefix)/include
mandir ?= $(prefix)/share/man
pkgconfigdir ?= $(libdir)/pkgconfig

VERSION := $(shell awk '/define PROC_VERSION_/ { v = v "." $$3 } END { print substr(v, 2) }' include/proc.h)
SOVERSION := $(firstword $(subst ., ,$(VERSION)))

CFLAGS ?= -O2 -g
OBJCOPY ?= objcopy
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wwrite-strings -Wvla -Wundef
SAN_FLAGS := $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer)
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE -Iinclude $(WARNINGS) $(CPPFLAGS) $(CFLAGS)

# Each compiler and sanitizer has a directory of its own, so that they do not disturb each other.
comma := ,
BUILD := build/$(notdir $(firstword $(CC)))$(if $(SAN),-$(subst $(comma),-,$(SAN)))

SOURCES := $(wildcard libproc/*.c)
OBJECTS := $(SOURCES:libproc/%.c=$(BUILD)/lib/%.o)
TEST_OBJECTS := $(SOURCES:libproc/%.c=$(BUILD)/test-lib/%.o)
TESTS := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/test_*.c))
TEST_SCRIPTS := $(wildcard tests/test_*.sh)

STATIC := $(BUILD)/libproc.a
SHARED := $(BUILD)/libproc.so.$(VERSION)

.PHONY: all lib examples check soak demo bench memcheck lint install uninstall clean
.DELETE_ON_ERROR:
.SECONDARY:

all: lib examples
lib: $(STATIC) $(SHARED)

# ---- what is built anew when a flag changes ----

FLAGS := $(BUILD)/flags
FLAGS_NOW := $(CC) $(ALL_CFLAGS) $(SAN_FLAGS) $(LDFLAGS) $(VERSION)
ifneq ($(shell cat $(FLAGS) 2>/dev/null),$(strip $(FLAGS_NOW)))
$(shell mkdir -p $(BUILD) && printf '%s\n' '$(strip $(FLAGS_NOW))' > $(FLAGS))
endif

# ---- the library ----

# These run in a child on borrowed memory, where a sanitizer's bookkeeping would be the parent's, or in a signal's handler.
UNINSTRUMENTED := beside child clone entries_in fd_map leaving message program search signals
san_flags = $(if $(filter $(UNINSTRUMENTED),$(basename $(notdir $(1)))),,$(SAN_FLAGS))

$(BUILD)/lib/%.o: libproc/%.c $(FLAGS)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(call san_flags,$@) -fPIC -fno-plt -fvisibility=hidden -MMD -MP -c -o $@ $<

# One object whose inner names are local: they cannot clash with those of the program that links it. What needs the user
# database, which a static program cannot well have, stays apart from it.
APART := $(BUILD)/lib/ids.o
$(STATIC): $(OBJECTS)
	$(CC) -r -nostdlib -o $(BUILD)/libproc.o $(filter-out $(APART),$(OBJECTS))
	$(OBJCOPY) --localize-hidden $(BUILD)/libproc.o
	rm -f $@
	$(AR) rcs $@ $(BUILD)/libproc.o $(APART)

$(SHARED): $(OBJECTS) libproc/libproc.map
	$(CC) -shared $(SAN_FLAGS) $(LDFLAGS) -Wl,-soname,libproc.so.$(SOVERSION) -Wl,--version-script=libproc/libproc.map \
	    -Wl,-z,now,-z,relro$(if $(SAN),,$(comma)-z$(comma)defs) -o $@ $(OBJECTS) -pthread
	ln -sf $(@F) $(BUILD)/libproc.so.$(SOVERSION)
	ln -sf $(@F) $(BUILD)/libproc.so

# ---- the examples ----

# Some are about the loop of another library, or do their work by others. They are built where these are, and such as this
# compiler can use: another C library's cannot.
BORROWING := loop_libuv loop_libev loop_glib upload
uses_loop_libuv = uv.h uv_run $(shell pkg-config --cflags --libs libuv 2>/dev/null)
uses_loop_libev = ev.h ev_run -lev
uses_loop_glib = glib-unix.h g_unix_fd_add_full $(shell pkg-config --cflags --libs glib-2.0 2>/dev/null)
uses_upload = curl/curl.h curl_easy_init $(shell pkg-config --cflags --libs libcurl sqlite3 2>/dev/null)
flags_for = $(wordlist 3,99,$(uses_$(1)))
probe = static void *volatile used = (void *)$(word 2,$(uses_$(1))); int main(void) { return !used; }
can_build = $(shell mkdir -p $(BUILD) && echo '$(probe)' | $(CC) $(ALL_CFLAGS) $(SAN_FLAGS) $(LDFLAGS) -x c \
    -include $(word 1,$(uses_$(1))) -o $(BUILD)/probe-$(1) - $(flags_for) 2>/dev/null && echo $(1); rm -f $(BUILD)/probe-$(1))

EXAMPLES := $(filter-out $(BORROWING),$(patsubst examples/%.c,%,$(wildcard examples/*.c)))
ifneq ($(filter all examples check memcheck demo,$(or $(MAKECMDGOALS),all)),)
EXAMPLES += $(foreach example,$(BORROWING),$(call can_build,$(example)))
endif

examples: $(EXAMPLES:%=$(BUILD)/examples/%)

$(BUILD)/examples/%: examples/%.c $(STATIC) $(FLAGS)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(SAN_FLAGS) -MMD -MP -MF $@.d $(LDFLAGS) -o $@ $< $(STATIC) $(call flags_for,$*) -pthread

# ---- tests ----

# The same sources with a seam at the system calls, where the tests make them fail.
$(BUILD)/test-lib/%.o: libproc/%.c $(FLAGS)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(call san_flags,$@) -fPIC -DPROC_TEST_SEAM -MMD -MP -c -o $@ $<

$(BUILD)/tests/seam.o: tests/seam.c $(FLAGS)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -DPROC_TEST_SEAM -Ilibproc -MMD -MP -c -o $@ $<

$(BUILD)/tests/harness.o: tests/harness.c $(FLAGS)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(SAN_FLAGS) -MMD -MP -c -o $@ $<

ifneq ($(filter check soak memcheck $(BUILD)/tests/%,$(MAKECMDGOALS)),)
CHECK_CFLAGS := $(shell pkg-config --cflags check)
CHECK_LIBS := $(shell pkg-config --libs check)
endif
WRAPPED := -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=free,--wrap=strdup

$(BUILD)/tests/test_%: tests/test_%.c $(TEST_OBJECTS) $(BUILD)/tests/seam.o $(BUILD)/tests/harness.o $(FLAGS)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(CHECK_CFLAGS) $(SAN_FLAGS) -Ilibproc -MMD -MP -MF $@.d $(LDFLAGS) $(WRAPPED) -o $@ $< \
	    $(BUILD)/tests/seam.o $(BUILD)/tests/harness.o $(TEST_OBJECTS) $(CHECK_LIBS) -pthread

$(BUILD)/tests/probe: tests/probe.c $(FLAGS)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -o $@ $<

check: all $(TESTS) $(BUILD)/tests/probe
	BUILD='$(BUILD)' CC='$(CC)' SAN='$(SAN)' OFF='$(OFF)' JOBS='$(JOBS)' tests/run $(TESTS) $(TEST_SCRIPTS)

# The pool under chaos, for ten minutes.
soak: $(BUILD)/tests/test_pool_chaos $(BUILD)/tests/probe
	SOAK_SECONDS=$${SOAK_SECONDS:-600} BUILD='$(BUILD)' CC='$(CC)' SAN='$(SAN)' OFF='$(OFF)' tests/run $(BUILD)/tests/test_pool_chaos

# Not those that look at descriptors, limits and signals through the kernel's eyes: there they would see valgrind's own.
MEMCHECK := $(patsubst %,$(BUILD)/tests/test_%,callback talk communicate faults)

memcheck: all $(MEMCHECK) $(BUILD)/tests/probe
	BUILD='$(BUILD)' CC='$(CC)' VALGRIND=1 tests/run $(MEMCHECK)

demo: examples
	BUILD='$(BUILD)' tests/demo

bench: lib $(BUILD)/examples/httpd
	$(MAKE) -C tests/bench BUILD='$(abspath $(BUILD))' CC='$(CC)'

lint: lib
	BUILD='$(BUILD)' tests/lint

# ---- installation ----

HEADERS := proc.h $(patsubst include/%,%,$(wildcard include/proc/*.h))
PAGES := $(wildcard man/*.3) $(wildcard man/*.7)

install: lib
	install -d $(DESTDIR)$(libdir) $(DESTDIR)$(includedir)/proc $(DESTDIR)$(pkgconfigdir) \
	    $(DESTDIR)$(mandir)/man3 $(DESTDIR)$(mandir)/man7
	install -m 644 $(STATIC) $(DESTDIR)$(libdir)/libproc.a
	install -m 755 $(SHARED) $(DESTDIR)$(libdir)/
	ln -sf $(notdir $(SHARED)) $(DESTDIR)$(libdir)/libproc.so.$(SOVERSION)
	ln -sf libproc.so.$(SOVERSION) $(DESTDIR)$(libdir)/libproc.so
	for header in $(HEADERS); do install -m 644 include/$$header $(DESTDIR)$(includedir)/$$header || exit; done
	sed -e 's|@prefix@|$(prefix)|; s|@libdir@|$(libdir)|; s|@includedir@|$(includedir)|; s|@version@|$(VERSION)|' \
	    proc.pc.in > $(DESTDIR)$(pkgconfigdir)/proc.pc
	for page in $(PAGES); do \
	    install -m 644 $$page $(DESTDIR)$(mandir)/man$${page##*.}/ || exit; done

uninstall:
	rm -f $(DESTDIR)$(libdir)/libproc.a $(DESTDIR)$(libdir)/libproc.so $(DESTDIR)$(libdir)/libproc.so.$(SOVERSION) \
	    $(DESTDIR)$(libdir)/$(notdir $(SHARED)) $(DESTDIR)$(pkgconfigdir)/proc.pc
	for header in $(HEADERS); do rm -f $(DESTDIR)$(includedir)/$$header; done
	-rmdir $(DESTDIR)$(includedir)/proc
	for page in $(PAGES); do rm -f $(DESTDIR)$(mandir)/man$${page##*.}/$${page##*/}; done

clean:
	rm -rf build

-include $(wildcard $(BUILD)/lib/*.d $(BUILD)/test-lib/*.d $(BUILD)/examples/*.d $(BUILD)/tests/*.d)
