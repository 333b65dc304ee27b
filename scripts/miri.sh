#!/usr/bin/env bash
# Runs the tests of the safe Rust API under Miri, once for each model of what pointers may do.
#
#   scripts/miri.sh [TEST...]
#
# Called by `make check`. There memory comes from malloc, block by block, so that Miri sees each one end. The two models
# run side by side. What leaks is an error, but in the tests that leak on purpose (`attacks`, `programs`).
# Miri needs a nightly toolchain: rustup toolchain install nightly --component miri,rust-src
set -euo pipefail
cd "$(dirname "$0")/.."

has_miri() { cargo +nightly miri --version >/dev/null 2>&1; }

# Where there is a nightly toolchain, Miri is a part of it that is missing.
if ! has_miri && rustup run nightly rustc --version >/dev/null 2>&1; then
    echo "adding Miri to the nightly toolchain"
    timeout 300 rustup component add --toolchain nightly miri rust-src >/dev/null 2>&1 || true
fi
if ! has_miri; then
    echo "skipped: the safe Rust API under Miri (rustup toolchain install nightly --component miri,rust-src)"
    exit 0
fi

tests=("$@")
[ "${#tests[@]}" -gt 0 ] || tests=(context owners advisories programs attacks)
target=${CARGO_TARGET_DIR:-target}/miri
mkdir -p "$target"

# A backtrace for each panic that a test asks for would take longer than the test.
export RUST_BACKTRACE=0

# run_test TEST FLAGS
run_test() {
    local flags="-Zmiri-disable-isolation -Zmiri-permissive-provenance $2"
    case $1 in
    attacks | programs) flags+=" -Zmiri-ignore-leaks" ;;
    esac
    MIRIFLAGS="$flags" cargo +nightly miri test -q -p tmempool --target-dir "$target" --test "$1"
}

# run_model MODEL FLAGS
run_model() {
    for test in "${tests[@]}"; do
        echo "Miri, $1 borrows: $test"
        run_test "$test" "$2" || return 1
    done
}

failed=0
run_model tree -Zmiri-tree-borrows >"$target/tree.log" 2>&1 &
run_model stacked "" || failed=1
wait $! || failed=1
cat "$target/tree.log"
exit "$failed"
