# sendas - a DKIM-signing SMTP submission relay
#   make            build/sendas                make check    all tests
#   make demo       one message, shown whole    make asan     all tests under ASan and UBSan
#   make deps       install what is missing     make lint     clang-tidy, cppcheck
#   make install    PREFIX, DESTDIR             make fuzz     libFuzzer on every parser (FUZZ_SECONDS each)
#   make uninstall  what install put there      make deb      a Debian package
#   make check-kill, check-faults   the long proofs that nothing is lost
#   make check-install   the package in a bare Debian
#   make bench      speed and cost, as ratios   make measure-queue   20,000 messages for a domain that is down
#   make measure-growth   how cost grows with sessions, queue, domains, size   make profile   where the CPU goes, by room
#   make format     clang-format                (V=1 shows the commands)

VERSION := 0.1.0
PREFIX ?= /usr/local
SBINDIR ?= $(PREFIX)/sbin
MANDIR ?= $(PREFIX)/share/man
DOCDIR ?= $(PREFIX)/share/doc/sendas
UNITDIR ?= $(PREFIX)/lib/systemd/system
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
BASHDIR ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR ?= $(PREFIX)/share/zsh/site-functions
BUILD ?= build
CC ?= cc
ifeq ($(origin CC),default)
CC := gcc
endif
FUZZ_CC ?= clang
FUZZ_SECONDS ?= 60
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
ifeq ($(MAKELEVEL)$(filter -j%,$(MAKEFLAGS)),0)
MAKEFLAGS += -j$(JOBS)
endif

comma := ,
Q := $(if $(V),,@)
# $(call say,CC,file)
say = $(if $(V),,@printf '  %-5s %s\n' $(1) $(2))

WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wwrite-strings -Wvla \
	-Wformat=2 $(if $(findstring clang,$(CC)),,-Wno-format-truncation) -Werror
HARDENING := -fstack-protector-strong -fstack-clash-protection -fcf-protection -D_FORTIFY_SOURCE=2 -fPIE
OPTIMIZE ?= -O2 -g
SANITIZE ?=
CFLAGS_ALL = -std=gnu11 $(OPTIMIZE) $(WARNINGS) $(if $(SANITIZE),$(SANITIZE) -fPIE -fno-omit-frame-pointer,$(HARDENING)) \
	-D_GNU_SOURCE -DSENDAS_VERSION='"$(VERSION)"' -Iinclude -pthread $(CFLAGS)
LDFLAGS_ALL = -pie -Wl,-z,relro,-z,now -Wl,-z,noexecstack $(SANITIZE) -pthread $(LDFLAGS)
LDLIBS := -lunbound -levent_openssl -levent_pthreads -levent -lssl -lcrypto -lcyaml -lyaml -lsqlite3 -lcrypt -lidn2 -ljansson

SOURCES := $(filter-out src/main.c,$(wildcard src/*/*.c))
OBJECTS := $(SOURCES:src/%.c=$(BUILD)/obj/%.o)
UNIT_SOURCES := $(filter-out tests/fuzz/%,$(wildcard tests/*/test_*.c))
UNIT_TESTS := $(UNIT_SOURCES:tests/%.c=$(BUILD)/tests/%)
FUZZ_SOURCES := $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_REPLAYS := $(FUZZ_SOURCES:tests/fuzz/%.c=$(BUILD)/tests/fuzz/%)

.PHONY: all other-compiler demo check check-only check-thunderbird unit asan lint format fuzz fuzz-build deps clean
.PHONY: install install-files uninstall deb check-install
all: $(BUILD)/sendas

$(BUILD)/sendas: $(BUILD)/obj/main.o $(BUILD)/libsendas.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $^ $(LDLIBS)

$(BUILD)/libsendas.a: $(OBJECTS)
	$(call say,AR,$@)
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

$(BUILD)/obj/%.o: src/%.c
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

$(BUILD)/tests/fuzz/%: tests/fuzz/%.c tests/fuzz/replay.c $(BUILD)/libsendas.a
	$(call say,TEST,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) -Wno-missing-prototypes -Itests -MMD -MP $(LDFLAGS_ALL) -o $@ $(filter %.c %.a,$^) $(LDLIBS)

$(BUILD)/tests/%: tests/%.c $(BUILD)/libsendas.a
	$(call say,TEST,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) -Itests -MMD -MP $(LDFLAGS_ALL) -o $@ $< $(BUILD)/libsendas.a -lcheck -lsubunit -lm -lrt $(LDLIBS)

# Faults that the linker puts in: the test's own functions stand before these, and call them as __real_NAME.
$(BUILD)/tests/intake/test_faults: LDFLAGS_ALL += $(addprefix -Wl$(comma)--wrap=,dkim_key_sign spool_read malloc calloc realloc \
	reallocarray strdup)

# Allocations of ours, and our own calls to the disk, fail when the test says so.
$(BUILD)/tests/crash/test_faults: LDFLAGS += $(addprefix -Wl$(comma)--wrap=,malloc calloc realloc strdup fsync open pwrite pread \
	preadv2 linkat unlink mkdir rmdir)

-include $(shell find $(BUILD)/obj $(BUILD)/tests -type f -name '*.d' 2>/dev/null)

# ---- running ---------------------------------------------------------------------------------------

deps:
	@tests/tools/deps

demo: deps
	@$(MAKE) --no-print-directory all
	@tests/demo/demo $(BUILD)/sendas

check: deps
	@$(MAKE) --no-print-directory check-only

check-only: all other-compiler $(UNIT_TESTS) $(FUZZ_REPLAYS)
	@tests/tools/run-tests $(BUILD)

# clang warns of other things than gcc, and the other way round: the daemon builds without a warning under both.
other-compiler:
	@$(MAKE) --no-print-directory $(BUILD)/other/libsendas.a BUILD=$(BUILD)/other CC=$(if $(findstring clang,$(CC)),gcc,clang) OPTIMIZE=-O1

# Thunderbird without a screen, over both ports; installs it.  Not part of check.
check-thunderbird: deps
	@$(MAKE) --no-print-directory all
	@SENDAS=$(abspath $(BUILD)/sendas) tests/e2e/thunderbird

# The fast part: unit tests and saved fuzz inputs, no servers.
unit: $(UNIT_TESTS) $(FUZZ_REPLAYS)
	@tests/tools/run-tests --unit $(BUILD)

asan: deps
	@$(MAKE) --no-print-directory check-only BUILD=build/asan SANITIZE='-fsanitize=address,undefined -fno-sanitize-recover=all' OPTIMIZE='-O1 -g'

lint: deps
	@tests/tools/lint

format:
	clang-format -i $(wildcard src/*.c src/*/*.[ch] include/sendas/*.h tests/*.h tests/*/*.[ch])

# ---- proofs that take long: every crash and failure below the store; 500 kills under load ----------------------

.PHONY: check-faults check-kill
check-faults: $(BUILD)/tests/crash/test_faults
	@FAULTS=$${FAULTS:-all} $<

check-kill: deps
	@$(MAKE) --no-print-directory all
	@KILL_ROUNDS=$${KILL_ROUNDS:-500} KILL_TERMS=$${KILL_TERMS:-20} SENDAS=$(abspath $(BUILD))/sendas tests/crash/kill

# ---- measuring -------------------------------------------------------------------------------------

BENCH_TOOLS := $(patsubst tests/bench/%.c,$(BUILD)/bench/%,$(wildcard tests/bench/*.c))
.PHONY: bench measure-queue measure-growth profile
bench: all $(BENCH_TOOLS)
	@tests/bench/run $(BUILD) bench

measure-queue: all $(BENCH_TOOLS)
	@tests/bench/run $(BUILD) backlog

measure-growth: all $(BENCH_TOOLS)
	@tests/bench/growth $(BUILD) $(or $(GROWTH_OUT),$(BUILD)/bench/growth)

profile: all $(BENCH_TOOLS)
	@tests/bench/profile $(BUILD) $(or $(LOAD),10k-20x)

$(BUILD)/bench/%: tests/bench/%.c $(BUILD)/libsendas.a
	$(call say,BENCH,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $< $(BUILD)/libsendas.a $(LDLIBS)

# ---- fuzzing: FUZZ_SECONDS for each target, findings under build/fuzz/findings ----------------------------

FUZZ_SANITIZE := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
FUZZ_BINARIES := $(FUZZ_SOURCES:tests/fuzz/%.c=build/fuzz/%)
fuzz: deps
	@$(MAKE) --no-print-directory fuzz-build
	@tests/tools/run-fuzz build/fuzz $(FUZZ_SECONDS)

fuzz-build:
	@$(MAKE) --no-print-directory $(FUZZ_BINARIES) BUILD=build/fuzz CC=$(FUZZ_CC) SANITIZE='$(FUZZ_SANITIZE)' OPTIMIZE='-O1 -g'

build/fuzz/fuzz_%: tests/fuzz/fuzz_%.c build/fuzz/libsendas.a
	$(call say,FUZZ,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) -Wno-missing-prototypes -Itests $(LDFLAGS_ALL) -fsanitize=fuzzer -o $@ $^ $(LDLIBS)

# ---- installing ------------------------------------------------------------------------------------------

# Starts and enables nothing.  Where systemd runs it makes the account and rereads the units.
install: all
	@$(MAKE) --no-print-directory install-files
	@if [ -z '$(DESTDIR)' ] && [ "$$(id -u)" = 0 ] && [ -d /run/systemd/system ]; then \
		systemd-sysusers $(SYSUSERSDIR)/sendas.conf && systemctl daemon-reload; fi
	@if [ -n '$(DESTDIR)' ]; then :; elif [ -e /etc/sendas/sendas.yaml ]; then echo 'Next: sudo systemctl restart sendas'; \
		else echo 'Next, for your own domain: sudo sendas setup example.com'; fi

INSTALLED := $(SBINDIR)/sendas $(MANDIR)/man8/sendas.8 $(MANDIR)/man5/sendas.yaml.5 $(DOCDIR)/sendas.yaml $(DOCDIR)/README.md \
	$(UNITDIR)/sendas.service $(SYSUSERSDIR)/sendas.conf $(BASHDIR)/sendas $(ZSHDIR)/_sendas
install-files: $(BUILD)/sendas
	install -d $(addprefix $(DESTDIR),$(sort $(dir $(INSTALLED))))
	install -m 755 $(BUILD)/sendas $(DESTDIR)$(SBINDIR)/sendas
	install -m 644 docs/sendas.8 $(DESTDIR)$(MANDIR)/man8/sendas.8
	install -m 644 docs/sendas.yaml.5 $(DESTDIR)$(MANDIR)/man5/sendas.yaml.5
	install -m 644 conf/sendas.yaml README.md $(DESTDIR)$(DOCDIR)
	sed 's|@SBINDIR@|$(SBINDIR)|g' contrib/systemd/sendas.service > $(DESTDIR)$(UNITDIR)/sendas.service
	chmod 644 $(DESTDIR)$(UNITDIR)/sendas.service
	install -m 644 contrib/systemd/sendas.sysusers $(DESTDIR)$(SYSUSERSDIR)/sendas.conf
	cat conf/completion/next.sh conf/completion/bash.sh > $(DESTDIR)$(BASHDIR)/sendas
	(echo '#compdef sendas'; cat conf/completion/next.sh conf/completion/zsh.sh) > $(DESTDIR)$(ZSHDIR)/_sendas
	chmod 644 $(DESTDIR)$(BASHDIR)/sendas $(DESTDIR)$(ZSHDIR)/_sendas

# Leaves configuration, keys, queue and account where they are.
uninstall:
	@if [ -z '$(DESTDIR)' ] && [ -d /run/systemd/system ]; then systemctl disable --now sendas || true; fi
	rm -f $(addprefix $(DESTDIR),$(INSTALLED))
	rmdir $(DESTDIR)$(DOCDIR) 2>/dev/null || true
	@if [ -z '$(DESTDIR)' ] && [ -d /run/systemd/system ]; then systemctl daemon-reload; fi

# The package in a bare Debian, fetched by debootstrap.  Not part of check; its fast part is tests/e2e/t-install.
check-install: deb
	@tests/tools/check-install $(BUILD) $(BUILD)/sendas_$(VERSION)_*.deb

# build/sendas_VERSION_ARCHITECTURE.deb
deb: deps
	@$(MAKE) --no-print-directory all
	+@conf/debian/build $(BUILD) $(VERSION)

clean:
	rm -rf build
