#!/usr/bin/env bash
# Runs the tests of the safe Rust API under Miri, once for each model of what pointers may do.
#
#   scripts/miri.sh [TEST...]
#
# Called by `make check`. There memory comes from malloc, block by block, so that Miri sees each one end.
# Miri needs a nightly toolchain: rustup toolchain install nightly --component miri,rust-src
set -euo pipefail
cd "$(dirname "$0")/.."

if ! cargo +nightly miri --version >/dev/null 2>&1; then
    echo "skipped: the safe Rust API under Miri (rustup toolchain install nightly --component miri,rust-src)"
    exit 0
fi

tests=("$@")
[ "${#tests[@]}" -gt 0 ] || tests=(context advisories programs attacks)
target=${CARGO_TARGET_DIR:-target}/miri

# A backtrace for each panic that a test asks for would take longer than the test.
export RUST_BACKTRACE=0
for model in stacked tree; do
    flags="-Zmiri-disable-isolation -Zmiri-permissive-provenance"
    [ "$model" = stacked ] || flags+=" -Zmiri-tree-borrows"
    echo "Miri, $model borrows: ${tests[*]}"
    MIRIFLAGS="$flags" cargo +nightly miri test -q -p tmempool --target-dir "$target" "${tests[@]/#/--test=}"
done
