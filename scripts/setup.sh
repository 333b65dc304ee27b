#!/usr/bin/env bash
# Installs the Debian packages that the tests use, when it can; else says what will be skipped.
#
#   scripts/setup.sh [check|bench]
#
# Called by `make check` and `make bench`. It is quick and silent when nothing is missing, and never
# fails for want of a package: each test that lacks its program says so itself. Packages are
# installed only for root, without recommended ones. Those that bring a daemon are installed only where
# no services are run (a container, a build machine), and the daemon is not started there either.
set -euo pipefail

# package | what is skipped without it; `daemon` in front where it brings one
check_packages='
libtalloc2|all comparisons with Debian'"'"'s libtalloc
libtalloc-dev|C tests compiled against talloc'"'"'s own header
libtevent-dev|one allocator for libtmempool and libtevent
libldb-dev|one allocator for libtmempool and libldb
pkg-config|the test of tmempool.pc
g++|the header in C++
clang|the header with clang
valgrind|runs under Valgrind
gdb|core dumps as a debugger writes them
samba-testsuite|Samba'"'"'s own tests: local.talloc and the other local.* suites
samba-dsdb-modules|smbtorture local.torture, samba-tool
samba-ad-provision|smbtorture local.torture and local.dsdb.syntax, samba-tool
samba-vfs-modules|samba-tool
samba|daemon smbd
smbclient|smbclient, smbd
ldb-tools|ldbadd, ldbsearch, ldbmodify, ldbdel
notmuch|notmuch
python3-notmuch2|notmuch from Python
python3-venv|the tests of the Python package
python3-talloc|talloc from Python
python3-ldb|ldb from Python
proot|proot
freeradius|daemon freeradius
freeradius-utils|freeradius'"'"'s radclient
osmo-hlr|daemon osmo-hlr
'
bench_packages='
libtalloc2|all comparisons with Debian'"'"'s libtalloc
libtalloc-dev|the benchmark program linked as others link it
libmimalloc2.0|libtalloc over mimalloc
libjemalloc2|libtalloc over jemalloc
valgrind|instruction counts
libboost-dev|the pools against Boost.Pool
libapr1-dev|the pools against APR'"'"'s
g++|the pools against what one would take instead
'

case "${1:-check}" in
check) packages=$check_packages ;;
bench) packages=$bench_packages ;;
*)
    echo "usage: $0 [check|bench]" >&2
    exit 2
    ;;
esac

say() { echo "setup: $*" >&2; }

names() { sed -n 's/|.*//p' <<<"$packages"; }

# The packages of the list that are not installed, one a line.
missing() {
    local all
    mapfile -t all < <(names)
    comm -23 <(names | sort) <(
        dpkg-query -W -f '${Package} ${db:Status-Status}\n' "${all[@]}" 2>/dev/null |
            sed -n 's/ installed$//p' | sort -u
    )
}

apt() {
    DEBIAN_FRONTEND=noninteractive apt-get -qq -y \
        -o DPkg::Lock::Timeout=120 -o Acquire::Retries=1 -o Acquire::http::Timeout=20 "$@"
}

# Those of the packages given that the package lists know.
known() {
    local name
    for name in "$@"; do
        if apt-cache show "$name" >/dev/null 2>&1; then echo "$name"; fi
    done
}

# Those of the packages given that bring no daemon.
without_daemons() {
    local name
    for name in "$@"; do
        if ! grep -q "^$name|daemon " <<<"$packages"; then echo "$name"; fi
    done
}

# Debian's way to install a daemon without starting it. A policy that is there already stands.
forbid_services() {
    local policy=/usr/sbin/policy-rc.d
    [ -e "$policy" ] && return
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
}

install() {
    local log wanted=("$@") found
    mapfile -t found < <(known "${wanted[@]}")
    if [ "${#found[@]}" -lt "${#wanted[@]}" ]; then
        say "updating the package lists"
        apt update >/dev/null 2>&1 || say "the package lists could not be updated"
        mapfile -t found < <(known "${wanted[@]}")
    fi
    [ "${#found[@]}" -gt 0 ] || return 0
    say "installing ${found[*]}"
    forbid_services
    log=$(mktemp)
    # Old lists name files that are gone; new ones are got once. What then fails fails alone.
    apt install --no-install-recommends "${found[@]}" >"$log" 2>&1 ||
        { apt update && apt install --no-install-recommends "${found[@]}"; } >"$log" 2>&1 ||
        for name in "${found[@]}"; do
            apt install --no-install-recommends "$name" >>"$log" 2>&1 || true
        done
    if [ -n "$(missing)" ]; then grep -E '^[EW]:' "$log" | sort -u >&2 || true; fi
    rm -f "$log"
}

command -v dpkg-query >/dev/null 2>&1 || {
    say "this is not a Debian system: tests whose programs are not there will be skipped"
    exit 0
}

mapfile -t absent < <(missing)
[ "${#absent[@]}" -gt 0 ] || exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    why="only root can install them: apt-get install --no-install-recommends ${absent[*]}"
elif [ -d /run/systemd/system ]; then
    mapfile -t harmless < <(without_daemons "${absent[@]}")
    [ "${#harmless[@]}" -eq 0 ] || install "${harmless[@]}"
    why="not available, or with a daemon, which is not installed unasked where services run"
else
    install "${absent[@]}"
    why="could not be installed"
fi

mapfile -t absent < <(missing)
[ "${#absent[@]}" -gt 0 ] || exit 0
say "these packages are missing ($why); without them is skipped:"
for name in "${absent[@]}"; do
    sed -nE "s/^($name)\|(daemon )?/setup:   \1: /p" <<<"$packages" >&2
done
