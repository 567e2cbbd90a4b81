# SPDX-License-Identifier: MIT
# Builds cqrsd, its modules, and everything that proves them.  `make help` lists the targets.

ifeq ($(origin CC),default)
CC := gcc
endif
BUILD   ?= build
PREFIX  ?= /usr/local
DESTDIR ?=
SYSCONFDIR ?= /etc
TIME    ?= 120
SEEDS   ?= 20000
JOBS    ?= $(shell nproc)
NEED    := t/support/need
VERSION := 0.1.0

# What this Makefile installs by itself must be there before pkg-config is asked.
INSTALLS := all sim check check-sim check-asan check-valgrind check-unit check-e2e check-faults check-openapi kill-loop \
	    demo run bench bench-% coverage install debug
ifneq ($(filter $(INSTALLS),$(or $(MAKECMDGOALS),all)),)
ifeq ($(MAKELEVEL),0)
NEEDED := $(shell $(NEED) build >&2 || echo failed)
$(if $(NEEDED),$(error what is named above is needed to build))
endif
endif

PACKAGES := libevent_core rdkafka libpq jansson yaml-0.1 libprotobuf-c libcrypto
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
# What the two command modules of products share.
PRODUCT_OBJ := $(patsubst src/%.c,$(BUILD)/obj/%.o,$(wildcard src/modules/product/*.c)) $(BUILD)/obj/product.pb-c.o
# What the command module of sensors has in files of its own.
SENSOR_OBJ := $(patsubst src/%.c,$(BUILD)/obj/%.o,$(wildcard src/modules/sensor/*.c))
MOD_OBJ  := $(PRODUCT_OBJ) $(SENSOR_OBJ) $(COMMANDS:%=$(BUILD)/obj/modules/command/%.o) $(QUERIES:%=$(BUILD)/obj/modules/query/%.o)
MOD_SO   := $(COMMANDS:%=$(BUILD)/modules/command/%.so) $(QUERIES:%=$(BUILD)/modules/query/%.so)
SIM_OBJ  := $(patsubst t/sim/%.c,$(BUILD)/obj/sim/%.o,$(wildcard t/sim/*.c))
BENCH_OBJ := $(patsubst bench/%.c,$(BUILD)/obj/bench/%.o,$(wildcard bench/instructions*.c))
UNIT     := $(patsubst t/unit/%.c,$(BUILD)/t/%,$(wildcard t/unit/check_*.c))
INJECT   := $(patsubst t/injection/inject_%.c,$(BUILD)/injection/%,$(wildcard t/injection/inject_*.c))
FUZZ     := $(patsubst t/fuzz/fuzz_%.c,%,$(wildcard t/fuzz/fuzz_*.c))
C_FILES   = $(wildcard include/cqrs/*.h src/core/*.[ch] src/modules/*/*.[ch] t/unit/*.[ch] t/sim/*.[ch] t/injection/*.[ch] t/fuzz/*.[ch] t/support/*.c bench/*.[ch])

# The registry and --version are told what is linked in, and as what.
$(BUILD)/obj/core/%.o: ALL_CFLAGS += -DCQRSD_VERSION='"$(VERSION)"' -DSYSCONFDIR='"$(SYSCONFDIR)"' \
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
	$(CC) $(ALL_CFLAGS) -shared -Wl,-z,relro,-z,now,--as-needed $(LDFLAGS) -o $@ $(filter %.c %.o,$^) $(MODULE_LIBS)

$(BUILD)/modules/command/sensor.so: $(filter-out %/sensor_where.o,$(SENSOR_OBJ))
$(BUILD)/modules/query/sensor.so: $(BUILD)/obj/modules/sensor/sensor_where.o
$(BUILD)/modules/command/product.so $(BUILD)/modules/command/product_view.so: $(PRODUCT_OBJ)
$(BUILD)/modules/command/product.so $(BUILD)/modules/command/product_view.so: MODULE_LIBS := $(shell pkg-config --libs libprotobuf-c 2>/dev/null)

# The messages of the original products system.
$(BUILD)/product.pb-c.c: src/modules/product/product.proto
	@mkdir -p $(@D)
	protoc-c --c_out=$(@D) --proto_path=$(<D) $<

$(BUILD)/obj/product.pb-c.o: $(BUILD)/product.pb-c.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -c -o $@ $<

$(BUILD)/obj/modules/product/%.o: ALL_CFLAGS += -I$(BUILD)
$(BUILD)/obj/modules/product/product_protobuf.o: $(BUILD)/product.pb-c.c

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

.PHONY: debug
debug: ## without optimisation, in build/debug
	$(MAKE) BUILD=build/debug OPT="-O0 -g3" HARDEN=

# The simulation has a loop, a Kafka and a PostgreSQL of its own: of the core the linker takes what
# these leave to be found, which is the write path as it is.
$(BUILD)/core.a: $(CORE_OBJ)
	@rm -f $@
	@ar rcs $@ $^

$(BUILD)/obj/sim/%.o: t/sim/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -c -o $@ $<

$(BUILD)/sim: $(SIM_OBJ) $(BUILD)/core.a
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

ASAN := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
.PHONY: asan
asan: ## with ASan and UBSan, in build/asan
	$(MAKE) BUILD=build/asan OPT="-O1 -g" HARDEN="$(ASAN)"

.PHONY: run
run: all ## the daemon with etc/cqrs.yaml
	$(BUILD)/cqrsd -c etc/cqrs.yaml

.PHONY: demo
demo: need-demo all ## telemetry in through Kafka and out as JSON, in front of your eyes
	t/support/demo

.PHONY: check
check: need-check all check-unit bench-instructions model check-sim check-injection check-faults check-e2e ## all tests: what .ci/run runs

# Several at a time, since they wait more than they work; one that fails stops the rest and
# shows what it wrote.  The timeout is for a machine that is busy.
.PHONY: check-unit
check-unit: need-check $(UNIT) ## the unit tests
	@echo $(UNIT) | CK_VERBOSITY=minimal CK_DEFAULT_TIMEOUT=60 xargs -n 1 -P 4 sh -c \
		'"$$0" >"$$0.log" 2>&1 && grep -E "^(Running|100%)" "$$0.log" || { cat "$$0.log"; exit 255; }'

# What was freed is filled, so that who still uses it is seen to (mallopt(3)).
PERTURB := MALLOC_PERTURB_=165

.PHONY: sim
sim: need-build $(BUILD)/sim ## SEEDS=20000 schedules of the simulated write path, or SEED=4711 with its timeline
	$(PERTURB) $(BUILD)/sim $(if $(SEED),--seed $(SEED),--seeds $(SEEDS) --jobs $(JOBS))

.PHONY: sim-mutants
sim-mutants: need-check $(BUILD)/sim ## breaks the write path in many ways: the simulation must find each
	@$(PERTURB) BUILD="$(BUILD)" SIM_OBJ="$(SIM_OBJ)" LIBS="$(LIBS)" COMPILE="$(CC) $(ALL_CFLAGS) $(LDFLAGS)" t/sim/mutants $(MUTANTS)

.PHONY: check-sim
check-sim: need-check $(BUILD)/sim ## two minutes of them, from seed 1 on
	$(PERTURB) $(BUILD)/sim --seconds 120 --jobs $(JOBS)

.PHONY: check-e2e
check-e2e: need-check all $(BUILD)/bench/select ## the end-to-end tests
	/usr/bin/python3 -m pytest -q -rs -n 4 --dist loadgroup -p no:cacheprovider t/e2e

.PHONY: check-openapi
check-openapi: need-check all ## schemathesis (of PyPI) asks a daemon all that its OpenAPI document allows: SECONDS=60 SEED=
	SCHEMATHESIS="--max-time $(SECONDS) $(if $(SEED),--seed $(SEED))" \
		/usr/bin/python3 -m pytest -q -s -p no:cacheprovider t/e2e/test_openapi.py

# A failing seed is run again by its number; SECONDS=3600 for a night.
SECONDS ?= 60
.PHONY: check-faults
check-faults: need-check all ## random faults, all together: SEED="1 2 3" SECONDS=60
	/usr/bin/python3 t/faults/campaign --seconds $(SECONDS) $(or $(SEED),1 2 3)

KILLS ?= 1000
.PHONY: kill-loop
kill-loop: need-check all ## nothing but kill -9 under load: KILLS=1000
	/usr/bin/python3 t/faults/kill-loop $(KILLS)

.PHONY: check-asan
check-asan: need-check ## all tests again, under ASan and UBSan
	$(MAKE) BUILD=build/asan OPT="-O1 -g" HARDEN="$(ASAN)" all check-unit build/asan/sim build/asan/bench/select
	build/asan/sim --seeds 5000 --jobs $(JOBS)
	CQRSD_BUILD=build/asan /usr/bin/python3 -m pytest -q -n 4 --dist loadgroup -p no:cacheprovider t/e2e

# The core with injected_malloc() for malloc(), and so on: what t/injection/injected_*.c define.
INJECTED := $(patsubst t/injection/%.c,$(BUILD)/obj/injection/%.o,$(wildcard t/injection/injected_*.c))
$(BUILD)/obj/injection/%.o: t/injection/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -c -o $@ $<

$(BUILD)/injection/core.a: $(CORE_OBJ) $(MOD_OBJ) $(INJECTED) $(BUILD)/obj/injection/injection.o t/injection/uncovered
	@mkdir -p $(@D)
	@rm -f $@
	ar rcs $@.new $(CORE_OBJ) $(MOD_OBJ)
	nm --defined-only $(INJECTED) $(BUILD)/obj/injection/injection.o | \
		sed -n 's/.* T injected_\(.*\)/\1 injected_\1/p' > $(@D)/calls
	objcopy --redefine-syms=$(@D)/calls $@.new
	t/injection/uncovered $@.new
	mv $@.new $@

$(BUILD)/injection/%: $(BUILD)/obj/injection/inject_%.o $(BUILD)/obj/injection/injection.o $(INJECTED) $(BUILD)/injection/core.a
	$(CC) $(CFLAGS) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) -Wl,--whole-archive $(filter %.a,$^) -Wl,--no-whole-archive $(LIBS)

.PHONY: injection
injection: $(INJECT) # they wait more than they work
	@echo $(INJECT) | xargs -n 1 -P 6 sh -c '"$$0" || exit 255'
	@t/injection/sites $(INJECT)

.PHONY: check-injection
check-injection: need-check ## the n-th call that can fail does, under ASan and UBSan; ALL=1: for really all n
	$(MAKE) BUILD=build/asan OPT="-O1 -g" HARDEN="$(ASAN)" injection

.PHONY: model
model: need-model ## Spin searches the model of the write path, and refutes its mutants
	@CC="$(CC)" BUILD="$(BUILD)" t/model/run

.PHONY: check-valgrind
check-valgrind: need-check all ## leaks over a start, requests, messages and a stop
	/usr/bin/python3 -m pytest -q -p no:cacheprovider t/e2e/test_valgrind.py

.PHONY: coverage
coverage: need-check ## which lines the tests reach, in build/coverage/report.txt
	$(MAKE) BUILD=build/coverage OPT="-O0 -g --coverage" HARDEN= LDFLAGS=--coverage all check-unit
	CQRSD_BUILD=build/coverage /usr/bin/python3 -m pytest -q -n 4 --dist loadgroup -p no:cacheprovider t/e2e
	gcov -r -n $(CORE_OBJ:$(BUILD)/%=build/coverage/%) 2>/dev/null | \
		awk '/^File .src/ {file=$$2} /^Lines/ && file {print $$0, file; file=""}' > build/coverage/report.txt
	@tail -5 build/coverage/report.txt

.PHONY: lint
lint: need-lint ## clang's warnings, its analyzer, the layout of the sources, and the manual page
	mandoc -Tlint -Wwarning man/cqrsd.1
	$(MAKE) BUILD=build/clang CC=clang CI=1 all
	clang-format --dry-run -Werror $(C_FILES)
	@# unix.Malloc takes what has left a TAILQ for what is still in it; ASan and valgrind see to that.
	scan-build -disable-checker unix.Malloc --status-bugs -o build/scan $(MAKE) BUILD=build/scan-obj CC=clang all

.PHONY: format
format: need-lint ## lays the sources out
	clang-format -i $(C_FILES)

# The parsers of foreign bytes under libFuzzer; what it finds stays out of the tree.
FUZZ_FLAGS := -O1 -g -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=undefined
.PHONY: fuzz
fuzz: need-fuzz $(FUZZ:%=fuzz-%) ## each fuzz target for TIME=120 seconds

.PHONY: $(FUZZ:%=fuzz-%)
$(FUZZ:%=fuzz-%): fuzz-%:
	$(MAKE) BUILD=build/fuzz CC=clang OPT="$(FUZZ_FLAGS)" HARDEN= build/fuzz/fuzz_$*
	@mkdir -p build/fuzz/found/$*
	build/fuzz/fuzz_$* -max_total_time=$(TIME) -rss_limit_mb=4096 -timeout=10 -print_final_stats=1 \
		$(if $(wildcard t/fuzz/$*.dict),-dict=t/fuzz/$*.dict) \
		-artifact_prefix=build/fuzz/found/$*- build/fuzz/found/$* t/fuzz/corpus/$*

$(BUILD)/fuzz_%: t/fuzz/fuzz_%.c $(CORE_OBJ) $(MOD_OBJ)
	$(CC) $(ALL_CFLAGS) -MF $@.d -fsanitize=fuzzer $(ALL_LDFLAGS) -o $@ $< $(CORE_OBJ) $(MOD_OBJ) $(LIBS)

$(BUILD)/bench/select: bench/select.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MF $@.d $(ALL_LDFLAGS) -o $@ $< $(LIBS)

# BENCH="--rounds 5 --note", for instance; bench/bench --help lists what there is.
.PHONY: bench
bench: need-bench all $(BUILD)/bench/select ## how fast, against what, in 15 minutes; bench-NAME: one of them; BENCH=--note
	/usr/bin/python3 bench/bench $(BENCH)

bench-%: need-bench all $(BUILD)/bench/select
	/usr/bin/python3 bench/bench $* $(BENCH)

# The linker shows it our own allocations.
$(BUILD)/obj/bench/%.o: bench/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -c -o $@ $<

$(BUILD)/instructions: $(BENCH_OBJ) $(CORE_OBJ) $(MOD_OBJ)
	$(CC) $(CFLAGS) $(ALL_LDFLAGS) $(foreach f,malloc calloc realloc strdup,-Wl,--wrap=$(f)) -o $@ $^ $(LIBS)

.PHONY: bench-instructions
bench-instructions: need-check $(BUILD)/instructions ## what the hot parts cost in instructions; ACCEPT=1: this is right
	bench/instructions $(BUILD)/instructions $(if $(ACCEPT),--accept)

.PHONY: install
install: all ## respects PREFIX and DESTDIR
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/include/cqrs \
		$(DESTDIR)$(PREFIX)/lib/cqrsd/command $(DESTDIR)$(PREFIX)/lib/cqrsd/query \
		$(DESTDIR)$(PREFIX)/share/doc/cqrsd $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 755 $(BUILD)/cqrsd $(DESTDIR)$(PREFIX)/bin
	install -m 644 include/cqrs/*.h $(DESTDIR)$(PREFIX)/include/cqrs
	install -m 644 etc/cqrs.yaml README.md $(DESTDIR)$(PREFIX)/share/doc/cqrsd
	install -m 644 man/cqrsd.1 $(DESTDIR)$(PREFIX)/share/man/man1
	@for so in $(MOD_SO:$(BUILD)/modules/%=%); do \
		install -m 644 $(BUILD)/modules/$$so $(DESTDIR)$(PREFIX)/lib/cqrsd/$$so; done

.PHONY: compile_commands.json
compile_commands.json: ## for editors (needs bear)
	bear -- $(MAKE) -B all

.PHONY: clean
clean: ## forgets what was built
	rm -rf build

need-%:
	@$(NEED) $*

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z][a-zA-Z0-9_.-]*:.*## / {printf "  %-22s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
