# make                 build everything            make check        all tests
# make demo            real mail through a private Postfix, shown as a table
# make run             the same gateway in the foreground, to try by hand
# make conformance CASES=FILE.jsonl                one file of cases
# make SAN=1 check     ASan + UBSan                make SAN=thread check   TSan
# make fuzz            libFuzzer targets           make bench       docs/performance.md
# make deps            apt packages                make install DESTDIR=root
# make DEVELOPER=1     warnings are errors         make V=1         show commands

PREFIX     ?= /usr/local
BINDIR     ?= $(PREFIX)/bin
SBINDIR    ?= $(PREFIX)/sbin
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
LIB_LIBS    := -llmdb -lconfuse -lcrypto -lidn2 -lunistring
PROGS       := postern postern-milter postern-policy
postern_SRC        := $(wildcard cli/*.c)
postern_LIBS       := $(LIB_LIBS) -ljansson
postern-milter_SRC := $(wildcard milter/*.c)
postern-milter_LIBS := -lmilter $(LIB_LIBS)
postern-policy_SRC := $(wildcard policy/*.c)
postern-policy_LIBS := -levent_core $(LIB_LIBS)

TESTS       := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/unit/test_*.c))
FUZZERS     := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))

.PHONY: all check unit pure fuzz bench conformance demo run deps install clean format
.SECONDARY:
all: $(addprefix $(BUILD)/,$(PROGS))

$(BUILD)/%.o: %.c
	@echo "  CC   $<"
	@mkdir -p $(@D)
	$(Q)$(CC) -Iinclude -D_GNU_SOURCE $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/libpostern.a: $(LIB_SRC:%.c=$(BUILD)/%.o)
	@echo "  AR   $@"
	$(Q)rm -f $@ && $(AR) rcs $@ $^

define program
$(BUILD)/$1: $($1_SRC:%.c=$(BUILD)/%.o) $(BUILD)/libpostern.a
	@echo "  LD   $$@"
	$(Q)$$(CC) $$(ALL_LDFLAGS) -o $$@ $$^ $($1_LIBS)
endef
$(foreach p,$(PROGS),$(eval $(call program,$p)))

$(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $(BUILD)/libpostern.a
	@echo "  LD   $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ -lcmocka -ljansson $(LIB_LIBS)

$(BUILD)/tests/conformance/run: $(addprefix $(BUILD)/tests/conformance/,run.o tools.o world.o) $(BUILD)/libpostern.a
	@echo "  LD   $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ -ljansson $(LIB_LIBS)

# models.json and worlds.json are read from the folder of CASES
CASES ?= $(addprefix tests/conformance/,route.jsonl sanitize_alias.jsonl tools.jsonl)
conformance: $(BUILD)/tests/conformance/run
	$(Q)status=0; for cases in $(CASES); do $< $$cases || status=1; done; exit $$status

$(BUILD)/fuzz/%: tests/fuzz/%.c $(LIB_SRC)
	@echo "  FUZZ $@"
	@mkdir -p $(@D)
	$(Q)clang -Iinclude -D_GNU_SOURCE -std=c11 -g -O1 -DPN_SAN -pthread \
	    -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -o $@ $< $(LIB_SRC) $(LIB_LIBS)

unit: $(TESTS)
	$(Q)for t in $(TESTS); do echo "  TEST $$t"; $$t || exit 1; done

clean:
	rm -rf build

-include $(shell find build -name '*.d' 2>/dev/null)
