# Builds tmempool and lays it out under $(DIST) as it would lie under a prefix.
#
#   make                          libraries, headers, pkg-config file, the tmempool command
#   make run                      builds and runs examples/pool.c
#   make examples                 builds and runs all examples
#   make check                    all tests; installs what they need when it is root
#   make soak SECONDS=3600        threads and forks at work for long; with the full numbers of both
#   make bench                    the benchmarks
#   make install PREFIX=/usr/local DESTDIR=
#   make headers                  generates the committed headers anew
#   make clean

PREFIX  ?= /usr/local
DESTDIR ?=
CC      ?= cc
CFLAGS  ?= -O2 -g -Wall -Wextra

TARGET  := $(abspath $(or $(CARGO_TARGET_DIR),target))
DIST    := $(TARGET)/dist
# Where cargo works for this build, apart from what `cargo build` and `cargo test` do.
WORK    := $(TARGET)/make
CARGO   := cargo
DISTBUILD := --profile dist --target-dir $(WORK)
CARGOUT := $(WORK)/dist

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)

# The version scripts say which functions are public.
TALLOC_MAP   := capi/exports/talloc.map
TMEMPOOL_MAP := capi/exports/tmempool.map
LAYOUT_MAP   := capi/exports/layout.map
# And this what lies where.
ORDER        := capi/exports/order.ld

LIBRARIES := $(addprefix $(DIST)/lib/,libtmempool.so.0 libtmempool.so libtmempool.a \
	tmempool/libtalloc.so.2)
HEADERS := $(addprefix $(DIST)/include/tmempool/,talloc.h tmempool.h tmempool.hpp)
PC      := $(DIST)/lib/pkgconfig/tmempool.pc
COMMAND := $(DIST)/bin/tmempool
EXPORTER := $(DIST)/python/exporter.so

.PHONY: all run examples check oldest-rust nightly-rust soak bench install headers clean FORCE
.DELETE_ON_ERROR:

all: $(LIBRARIES) $(HEADERS) $(PC) $(COMMAND) $(EXPORTER)

# Cargo knows what is out of date, and leaves the file alone when nothing is.
# Functions begin with a line of the cache: the shortest ones take a tenth longer where they do not.
$(CARGOUT)/libtmempool_capi.a: FORCE
	$(CARGO) rustc $(DISTBUILD) -p tmempool-capi --lib --crate-type staticlib -- -C llvm-args=-align-all-functions=6

$(CARGOUT)/tmempool: FORCE
	$(CARGO) build $(DISTBUILD) -p tmempool-cli

# One object, from which all three libraries are made: of Rust's archive only what is needed, with
# only the public functions global, so that it meets no other Rust code in the user's program.
$(WORK)/tmempool.o: $(CARGOUT)/libtmempool_capi.a $(WORK)/public
	ld -r $$(sed 's/^/-u /' $(WORK)/public) -o $@ $<
	objcopy --keep-global-symbols=$(WORK)/public $@

$(WORK)/public: $(TALLOC_MAP) $(TMEMPOOL_MAP) $(LAYOUT_MAP)
	@mkdir -p $(@D)
	sed -nE 's/^\t(\w+);$$/\1/p' $^ > $@

$(DIST)/lib/libtmempool.a: $(WORK)/tmempool.o
	@mkdir -p $(@D)
	rm -f $@
	ar rcs $@ $<

# Calls inside a library are direct; nothing can be put between them. Symbols are bound when it is
# loaded, and their table is then read-only.
LINK_SHARED = $(CC) -shared -o $@ $(WORK)/tmempool.o -Wl,-soname,$(@F) -Wl,-Bsymbolic-functions \
	-Wl,--gc-sections -Wl,-z,relro,-z,now,-z,noexecstack,-z,defs -Wl,-T,$(ORDER) \
	-Wl,--version-script=$(LAYOUT_MAP)

$(DIST)/lib/libtmempool.so.0: $(WORK)/tmempool.o $(ORDER)
	@mkdir -p $(@D)
	$(LINK_SHARED) -Wl,--version-script=$(TALLOC_MAP) -Wl,--version-script=$(TMEMPOOL_MAP)

$(DIST)/lib/tmempool/libtalloc.so.2: $(WORK)/tmempool.o $(ORDER)
	@mkdir -p $(@D)
	$(LINK_SHARED) -Wl,--version-script=$(TALLOC_MAP) -Wl,--defsym=tmempool_drop_in=1

$(DIST)/lib/libtmempool.so: $(DIST)/lib/libtmempool.so.0
	ln -sf $(<F) $@

$(DIST)/include/tmempool/%: include/tmempool/%
	@mkdir -p $(@D)
	cp $< $@

# Found by its own place, so that it is right wherever the whole of $(DIST) is put.
$(PC): capi/tmempool.pc.in Cargo.toml
	@mkdir -p $(@D)
	sed -e 's|@PREFIX@|$${pcfiledir}/../..|' -e 's|@VERSION@|$(VERSION)|' $< > $@

$(COMMAND): $(CARGOUT)/tmempool
	@mkdir -p $(@D)
	cp $< $@

# For the Python package. The interpreter that loads it brings what it calls.
$(EXPORTER): python/native/exporter.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -shared -fPIC -Wl,-z,relro,-z,now,-z,noexecstack -o $@ $<

headers:
	$(CARGO) run -p tmempool-headers

# The programs of examples/, in C and C++.
CXX_FOUND := $(shell command -v $(firstword $(CXX)))
EXAMPLES := $(patsubst examples/%,$(WORK)/examples/%,$(basename $(wildcard examples/*.c \
	$(if $(CXX_FOUND),examples/*.cpp))))
LINK_EXAMPLE = -I$(DIST)/include/tmempool -o $@ $< \
	-L$(DIST)/lib -ltmempool -Wl,-rpath,$(DIST)/lib -pthread

$(WORK)/examples/%: examples/%.c $(LIBRARIES) $(HEADERS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LINK_EXAMPLE)

$(WORK)/examples/%: examples/%.cpp $(LIBRARIES) $(HEADERS)
	@mkdir -p $(@D)
	$(CXX) -std=c++17 $(CFLAGS) $(LINK_EXAMPLE)

run: $(WORK)/examples/pool
	@echo
	@$<

# Each has to end well, and in time.
examples: $(EXAMPLES)
	@for example in $(EXAMPLES); do \
		timeout 60 $$example > $$example.out 2>&1 || \
			{ cat $$example.out; echo "examples: $${example##*/} failed"; exit 1; }; \
		echo "examples: $${example##*/} ran"; \
	done
	@$(if $(CXX_FOUND),:,echo "skipped: the examples in C++ (no $(CXX))")

check: all
	scripts/setup.sh check
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(MAKE) --no-print-directory oldest-rust nightly-rust
	$(MAKE) --no-print-directory examples
	python/check.sh
	$(CARGO) test --workspace --no-fail-fast
	$(CARGO) test -p tmempool --features serde,global-alloc --test global --test serde
	$(CARGO) test -p tmempool --features serde,global-alloc --doc
	$(CARGO) package -q -p tmempool --allow-dirty --offline
	timeout 60 $(CARGO) run -q -p tmempool --example http_server > /dev/null
	timeout 120 $(CARGO) run -q -p tmempool --example ast_compiler > /dev/null
	scripts/miri.sh

# What the library promises to build with.
OLDEST_RUST := $(shell sed -n 's/^rust-version = "\(.*\)"/\1.0/p' Cargo.toml)

oldest-rust:
	@if rustup run $(OLDEST_RUST) rustc --version 2> /dev/null; then \
		rustup run $(OLDEST_RUST) cargo check --workspace --target-dir $(TARGET)/oldest-rust; \
	else \
		echo "skipped: Rust $(OLDEST_RUST), the oldest that will do, is not installed"; \
	fi

# The standard library's allocator trait, which only a nightly toolchain has.
nightly-rust:
	@if cargo +nightly --version > /dev/null 2>&1; then \
		$(CARGO) +nightly test -q -p tmempool --features nightly --test nightly --target-dir $(TARGET)/nightly; \
	else \
		echo "skipped: the standard library's allocator trait for contexts: there is no nightly toolchain"; \
	fi

SECONDS ?= 3600

soak: all
	SOAK_SECONDS=$(SECONDS) SOAK_THREADS=1000000 SOAK_FORKS=10000 \
		$(CARGO) test -p tmempool-proofs --test soak

bench: all
	scripts/setup.sh bench
	$(CARGO) run --release -p tmempool-bench
	$(CARGO) run --release -p tmempool-bench -- arenas
	@if command -v python3 > /dev/null; then \
		python3 -B python/benchmarks/call_cost.py; \
	else \
		echo "skipped: what a call costs from Python: there is no python3"; \
	fi

install: all
	install -d $(addprefix $(DESTDIR)$(PREFIX)/,bin lib/pkgconfig lib/tmempool include/tmempool)
	install $(COMMAND) $(DESTDIR)$(PREFIX)/bin
	install -m 644 $(DIST)/lib/libtmempool.so.0 $(DIST)/lib/libtmempool.a $(DESTDIR)$(PREFIX)/lib
	ln -sf libtmempool.so.0 $(DESTDIR)$(PREFIX)/lib/libtmempool.so
	install -m 644 $(DIST)/lib/tmempool/libtalloc.so.2 $(DESTDIR)$(PREFIX)/lib/tmempool
	install -m 644 $(HEADERS) $(DESTDIR)$(PREFIX)/include/tmempool
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' capi/tmempool.pc.in \
		> $(DESTDIR)$(PREFIX)/lib/pkgconfig/tmempool.pc

clean:
	$(CARGO) clean
