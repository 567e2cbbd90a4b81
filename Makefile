# SPDX-License-Identifier: MIT
# Builds cqrsd, its modules, and everything that proves them.  `make help` lists the targets.

BUILD   ?= build
PREFIX  ?= /usr/local
DESTDIR ?=
ifeq ($(origin CC),default)
CC := gcc
endif
VERSION := 0.1.0

PACKAGES := libevent_core rdkafka libpq jansson yaml-0.1
PKG      := $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
LIBS     := $(shell pkg-config --libs $(PACKAGES) 2>/dev/null) -lpthread -lm -ldl

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wconversion
ifdef CI
WARN += -Werror
endif
OPT    ?= -O2 -g
HARDEN ?= -fstack-protector-strong -fstack-clash-protection -D_FORTIFY_SOURCE=2
CFLAGS ?= $(OPT) $(HARDEN)
ALL_CFLAGS  = -std=c11 -D_GNU_SOURCE $(WARN) $(CFLAGS) -fvisibility=hidden -fPIC \
	      -Iinclude -Isrc/core $(PKG) -MMD -MP
ALL_LDFLAGS = -pie -rdynamic -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--as-needed $(LDFLAGS)

COMMANDS := $(patsubst src/modules/command/%.c,%,$(wildcard src/modules/command/*.c))
QUERIES  := $(patsubst src/modules/query/%.c,%,$(wildcard src/modules/query/*.c))
SQL      := $(wildcard sql/*.sql)
CORE     := $(filter-out src/core/main.c,$(wildcard src/core/*.c))
CORE_OBJ := $(CORE:src/%.c=$(BUILD)/obj/%.o) $(BUILD)/obj/sql.o
MOD_OBJ  := $(COMMANDS:%=$(BUILD)/obj/modules/command/%.o) $(QUERIES:%=$(BUILD)/obj/modules/query/%.o)
MOD_SO   := $(COMMANDS:%=$(BUILD)/modules/command/%.so) $(QUERIES:%=$(BUILD)/modules/query/%.so)
UNIT     := $(patsubst t/unit/%.c,$(BUILD)/t/%,$(wildcard t/unit/check_*.c))

# The registry and --version are told what is linked in, and as what.
$(BUILD)/obj/core/%.o: ALL_CFLAGS += -DCQRSD_VERSION='"$(VERSION)"' \
	-DLINKED_COMMANDS='"$(COMMANDS)"' -DLINKED_QUERIES='"$(QUERIES)"'

.PHONY: all
all: $(BUILD)/cqrsd $(MOD_SO) ## the daemon and its modules (default)

$(BUILD)/cqrsd: $(BUILD)/obj/core/main.o $(CORE_OBJ) $(MOD_OBJ)
	$(CC) $(CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/obj/%.o: src/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -c -o $@ $<

$(BUILD)/modules/%.so: src/modules/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -shared -Wl,-z,relro,-z,now $(LDFLAGS) -o $@ $<

# Each migration becomes one row of schema_files[], see src/core/schema.h.
$(BUILD)/sql.c: $(SQL) t/support/embed-sql
	@mkdir -p $(@D)
	t/support/embed-sql $(SQL) > $@.new
	mv $@.new $@

$(BUILD)/obj/sql.o: $(BUILD)/sql.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -c -o $@ $<

$(BUILD)/t/%: t/unit/%.c $(CORE_OBJ) $(MOD_OBJ)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MF $@.d $(ALL_LDFLAGS) -o $@ $< $(CORE_OBJ) $(MOD_OBJ) $(LIBS) -lcheck -lsubunit -lrt

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z][a-zA-Z_-]*:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
