# make                 build everything            make check        all tests
# make demo            real mail through a private Postfix, shown as a table
# make run             the same gateway in the foreground, to try by hand
# make conformance CASES=FILE.jsonl                one file of cases
# make suite-spf SUITE=FILE.yml                    SPF by the openspf suite
# make suite-dmarc SUITE=FILE.cases                DMARC by a file of cases (tests/data/dmarc)
# make SAN=1 check     ASan + UBSan                make SAN=thread check   TSan
# make fuzz            libFuzzer targets           make bench       docs/performance.md
# make deps            apt packages                make install DESTDIR=root
# make DEVELOPER=1     warnings are errors         make V=1         show commands

PREFIX     ?= /usr/local
BINDIR     ?= $(PREFIX)/bin
SBINDIR    ?= $(PREFIX)/sbin
LIBDIR     ?= $(PREFIX)/lib
MANDIR     ?= $(PREFIX)/share/man
DOCDIR     ?= $(PREFIX)/share/doc/postern
SYSCONFDIR ?= /etc
FUZZTIME   ?= 30
comma      := ,
BUILD      ?= build$(if $(SAN),/san-$(SAN))
Q          := $(if $(V),,@)
PYTHON     ?= /usr/bin/python3

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition \
        -Wpointer-arith -Wwrite-strings -Wvla -Wcast-qual -Wformat=2 -Wswitch-enum -Wundef
ifeq ($(SAN),)
OPT     := -O2 -g
HARDEN  := -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fstack-clash-protection -fPIE \
           $(if $(findstring x86_64,$(shell $(CC) -dumpmachine)),-fcf-protection)
LHARDEN := -pie -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--as-needed
else
OPT      := -O1 -g -fno-omit-frame-pointer
HARDEN   := -fPIE
LHARDEN  := -pie
SANFLAGS := -fsanitize=$(if $(filter 1,$(SAN)),address$(comma)undefined,$(SAN)) \
            -fno-sanitize-recover=all -DPN_SAN
endif
CFLAGS      ?= $(OPT)
ALL_CFLAGS   = -std=c11 -pthread $(WARN) $(if $(DEVELOPER),-Werror) $(HARDEN) $(SANFLAGS) $(CFLAGS)
ALL_LDFLAGS  = $(LHARDEN) $(SANFLAGS) -pthread $(LDFLAGS)

# What each program is made of.  lib/ is one archive: the linker takes what is used.
LIB_SRC     := $(wildcard lib/*/*.c)
LIB_LIBS    := -llmdb -lssl -lcrypto -lidn2 -lunistring -lunbound -lopendkim -lpsl
PROGS       := postern postern-milter postern-policy postern-broker postern-health postern-signer
postern_SRC        := $(wildcard cli/*.c)
postern_LIBS       := $(LIB_LIBS) -ljansson
postern-milter_SRC := $(wildcard milter/*.c)
postern-milter_LIBS := -lmilter $(LIB_LIBS)
postern-policy_SRC := $(wildcard policy/*.c)
postern-policy_LIBS := -levent_core $(LIB_LIBS)
postern-broker_SRC := $(wildcard broker/*.c)
postern-broker_LIBS := -lcurl -ljansson $(LIB_LIBS)

# loaded by Postfix, which knows no sanitizer
PLUGIN      := $(BUILD)/libpostern_oauth.so
SASLDIR     ?= /usr/lib/$(shell $(CC) -print-multiarch)/sasl2
postern-health_SRC := $(wildcard health/*.c)
postern-health_LIBS := $(LIB_LIBS)
postern-signer_SRC := $(wildcard signer/*.c)
postern-signer_LIBS := -lseccomp $(LIB_LIBS)

TESTS       := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/unit/test_*.c))
TARGETS     := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
REPLAYS     := $(TARGETS:%=$(BUILD)/tests/fuzz/replay_%)
TOOLS       := $(addprefix $(BUILD)/tests/conformance/,run address_tool header_tool mime_tool from_tool) \
               $(patsubst %.c,$(BUILD)/%,$(wildcard tests/wire/*.c tests/cli/*.c tests/suites/*.c))

.PHONY: all check check-built pure fuzz bench conformance conformance-built suite-spf suite-dmarc demo run deps install texts clean format
.SECONDARY:
all: $(addprefix $(BUILD)/,$(PROGS)) $(PLUGIN)

$(BUILD)/%.o: %.c
	@echo "  CC   $<"
	@mkdir -p $(@D)
	$(Q)$(CC) -Iinclude -D_GNU_SOURCE $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# the fragments are in the command, as they are
$(BUILD)/cli/fragments.o: $(wildcard postfix-conf/*)

$(BUILD)/libpostern.a: $(LIB_SRC:%.c=$(BUILD)/%.o)
	@echo "  AR   $@"
	$(Q)rm -f $@ && $(AR) rcs $@ $^

define program
$(BUILD)/$1: $($1_SRC:%.c=$(BUILD)/%.o) $(BUILD)/libpostern.a
	@echo "  LD   $$@"
	$(Q)$$(CC) $$(ALL_LDFLAGS) -o $$@ $$^ $($1_LIBS)
endef
$(foreach p,$(PROGS),$(eval $(call program,$p)))

$(PLUGIN): sasl/oauth.c
	@echo "  LD   $@"
	@mkdir -p $(@D)
	$(Q)$(CC) -std=c11 -D_GNU_SOURCE $(CPPFLAGS) $(WARN) $(if $(DEVELOPER),-Werror) -O2 -g -fPIC \
	    -fstack-protector-strong -shared -Wl,-z,relro,-z,now,-z,defs -o $@ $<

# One source and the library make a test program.
define test_program
	@echo "  LD   $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $1 $(LIB_LIBS)
endef
$(BUILD)/tests/unit/test_broker: $(addprefix $(BUILD)/,tests/unit/test_broker.o broker/account.o broker/answer.o \
    broker/keep.o libpostern.a)
	$(call test_program,-lcmocka -ljansson)
$(BUILD)/tests/unit/test_key_service: $(addprefix $(BUILD)/,tests/unit/test_key_service.o signer/answer.o libpostern.a)
	$(call test_program,-lcmocka)
$(BUILD)/tests/unit/test_confine: $(addprefix $(BUILD)/,tests/unit/test_confine.o signer/confine.o libpostern.a)
	$(call test_program,-lcmocka -lseccomp)
$(BUILD)/tests/unit/test_sasl_plugin: $(BUILD)/tests/unit/test_sasl_plugin.o $(BUILD)/sasl/oauth.o
	$(call test_program,-lcmocka -lsasl2)
$(BUILD)/tests/fuzz/replay_token_answer: $(addprefix $(BUILD)/,tests/fuzz/fuzz_token_answer.o tests/fuzz/replay.o \
    broker/answer.o libpostern.a)
	$(call test_program,-ljansson)
DOCTOR_SRC := $(wildcard cli/doctor_*.c)
$(BUILD)/tests/unit/test_doctor: $(BUILD)/tests/unit/test_doctor.o $(DOCTOR_SRC:%.c=$(BUILD)/%.o) $(BUILD)/libpostern.a
	$(call test_program,-lcmocka -ljansson)
$(BUILD)/tests/fuzz/replay_doctor: $(addprefix $(BUILD)/,tests/fuzz/fuzz_doctor.o tests/fuzz/replay.o) $(DOCTOR_SRC:%.c=$(BUILD)/%.o) $(BUILD)/libpostern.a
	$(call test_program)
$(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $(BUILD)/libpostern.a
	$(call test_program,-lcmocka -ljansson -lconfuse)
$(BUILD)/tests/conformance/run: $(addprefix $(BUILD)/tests/conformance/,run.o mail_server.o tools.o world.o) $(BUILD)/libpostern.a
	$(call test_program,-ljansson)
$(BUILD)/tests/conformance/address_tool: $(addprefix $(BUILD)/tests/conformance/,address_tool.o tools.o) $(BUILD)/libpostern.a
	$(call test_program,-ljansson)
$(BUILD)/tests/conformance/%: $(BUILD)/tests/conformance/%.o $(BUILD)/libpostern.a
	$(call test_program,-ljansson)
$(BUILD)/tests/fuzz/replay_%: $(BUILD)/tests/fuzz/fuzz_%.o $(BUILD)/tests/fuzz/replay.o $(BUILD)/libpostern.a
	$(call test_program)
$(BUILD)/tests/wire/%: $(BUILD)/tests/wire/%.o $(BUILD)/libpostern.a
	$(call test_program)
$(BUILD)/tests/suites/%: $(BUILD)/tests/suites/%.o $(BUILD)/libpostern.a
	$(call test_program)
$(BUILD)/tests/cli/%: $(BUILD)/tests/cli/%.o $(BUILD)/libpostern.a
	$(call test_program)
$(BUILD)/tests/bench/%: $(BUILD)/tests/bench/%.o $(BUILD)/libpostern.a
	$(call test_program,-lmilter -levent_core)

# PARTS="unit wire": only those
check: deps
	$(Q)$(MAKE) --no-print-directory check-built
check-built: all $(TESTS) $(TOOLS) $(REPLAYS)
	$(Q)$(PYTHON) tests/check.py $(BUILD) $(PARTS)

# models.json and worlds.json are read from the folder of CASES
CASES ?= $(addprefix tests/conformance/,route.jsonl sanitize_alias.jsonl tools.jsonl mail_server.jsonl)
conformance: deps
	$(Q)$(MAKE) --no-print-directory conformance-built CASES="$(CASES)"
conformance-built: $(BUILD)/tests/conformance/run
	$(Q)status=0; for cases in $(CASES); do $< $$cases || status=1; done; exit $$status

# SUITE: a file in the openspf format; without it the one in Debian's package of pyspf
suite-spf: deps
	$(Q)$(MAKE) --no-print-directory $(BUILD)/tests/suites/spf
	$(Q)$(PYTHON) tests/suites/spf.py $(BUILD)/tests/suites/spf $(SUITE)

suite-dmarc: deps
	$(Q)$(MAKE) --no-print-directory $(BUILD)/tests/suites/dmarc
	$(Q)$(BUILD)/tests/suites/dmarc $(or $(SUITE),$(wildcard tests/data/dmarc/*.cases))

pure: $(BUILD)/libpostern.a
	$(Q)scripts/check-pure $(BUILD)

fuzz: deps
	$(Q)command -v clang > /dev/null || (apt-get update -qq && apt-get install -y -qq clang libclang-rt-14-dev > /dev/null)
	$(Q)$(MAKE) --no-print-directory $(TARGETS:%=$(BUILD)/fuzz/fuzz_%)
	$(Q)for t in $(TARGETS); do echo "  FUZZ $$t, $(FUZZTIME) s"; mkdir -p $(BUILD)/fuzz/corpus/$$t; \
	    $(BUILD)/fuzz/fuzz_$$t -max_total_time=$(FUZZTIME) -timeout=10 -verbosity=0 -print_final_stats=0 \
	    -artifact_prefix=$(BUILD)/fuzz/ $(BUILD)/fuzz/corpus/$$t tests/fuzz/corpus/$$t || exit 1; done
FUZZ_CC := clang -Iinclude -D_GNU_SOURCE -std=c11 -g -O1 -DPN_SAN -pthread -fno-sanitize-recover=all
$(BUILD)/fuzz/obj/%.o: %.c
	@echo "  CLANG $<"
	@mkdir -p $(@D)
	$(Q)$(FUZZ_CC) -fsanitize=fuzzer-no-link,address,undefined -MMD -MP -c -o $@ $<
$(BUILD)/fuzz/libpostern.a: $(LIB_SRC:%.c=$(BUILD)/fuzz/obj/%.o)
	$(Q)rm -f $@ && $(AR) rcs $@ $^
$(BUILD)/fuzz/fuzz_token_answer: $(BUILD)/fuzz/obj/broker/answer.o
$(BUILD)/fuzz/fuzz_doctor: $(DOCTOR_SRC:%.c=$(BUILD)/fuzz/obj/%.o)
$(BUILD)/fuzz/fuzz_%: $(BUILD)/fuzz/obj/tests/fuzz/fuzz_%.o $(BUILD)/fuzz/libpostern.a
	@echo "  LD   $@"
	$(Q)$(FUZZ_CC) -fsanitize=fuzzer,address,undefined -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LIB_LIBS) -ljansson

demo run: deps
	$(Q)$(MAKE) --no-print-directory all
	$(Q)$(PYTHON) tests/demo/$@.py $(BUILD)

bench: deps
	$(Q)scripts/deps postfwd opendkim opendmarc postfix-policyd-spf-python rspamd iproute2
	$(Q)$(MAKE) --no-print-directory all $(patsubst %.c,$(BUILD)/%,$(wildcard tests/bench/*.c))
	$(Q)$(PYTHON) tests/bench/bench.py $(BUILD) docs/performance.md $(BENCHFLAGS)

deps:
	$(Q)scripts/deps

MAN     := $(wildcard docs/man/*.[158])
DAEMONS := $(filter-out postern,$(PROGS))
install: all
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(SBINDIR) $(DESTDIR)$(DOCDIR)/postfix-conf \
	    $(addprefix $(DESTDIR)$(MANDIR)/man,1 5 8) \
	    $(addprefix $(DESTDIR)$(SYSCONFDIR)/postern/,conf.d aliases.d)
	install -m 755 $(BUILD)/postern $(DESTDIR)$(BINDIR)
	install -m 755 $(DAEMONS:%=$(BUILD)/%) $(DESTDIR)$(SBINDIR)
	install -D -m 644 -t $(DESTDIR)$(LIBDIR)/systemd/system $(DAEMONS:%=systemd/%.service)
	sed -i 's,/usr/local/sbin/,$(SBINDIR)/,' $(DAEMONS:%=$(DESTDIR)$(LIBDIR)/systemd/system/%.service)
	install -D -m 644 -t $(DESTDIR)$(LIBDIR)/systemd/system/postern-.service.d systemd/postern-.service.d/*
	install -D -m 644 -t $(DESTDIR)$(LIBDIR)/sysusers.d systemd/sysusers.d/*
	install -D -m 644 -t $(DESTDIR)$(LIBDIR)/tmpfiles.d systemd/tmpfiles.d/*
	install -d $(DESTDIR)$(SASLDIR)
	install -m 644 $(PLUGIN) $(DESTDIR)$(SASLDIR)
	for page in $(MAN); do install -m 644 $$page $(DESTDIR)$(MANDIR)/man$${page##*.}; done
	install -m 644 postfix-conf/* $(DESTDIR)$(DOCDIR)/postfix-conf
	install -m 644 README.md LICENSE docs/*.md $(DESTDIR)$(DOCDIR)
	[ -e $(DESTDIR)$(SYSCONFDIR)/postern/postern.conf ] || \
	    install -m 640 postfix-conf/postern.conf.sample $(DESTDIR)$(SYSCONFDIR)/postern/postern.conf
	-chgrp postern $(DESTDIR)$(SYSCONFDIR)/postern/postern.conf 2>/dev/null
	install -d -m 2770 $(DESTDIR)/var/lib/postern

# after a change of the key table
texts: $(BUILD)/postern
	$(Q)scripts/renew-texts $(BUILD)

format:
	clang-format -i $(wildcard */*.[ch] */*/*.[ch])

clean:
	rm -rf build

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
