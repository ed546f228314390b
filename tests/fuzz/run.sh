#!/bin/sh
# Runs each fuzz target for a while: tests/fuzz/run.sh [seconds per target, 30 if not given] [targets]
# Without cargo-fuzz it says so and succeeds: fuzzing needs tools that a machine may not have.
set -eu
seconds=${1:-30}
targets=${2:-session chunks authentication data_scanner command hello proxy delay rule expectation report histogram}
cd "$(dirname "$0")/../.."

if ! cargo fuzz --version >/dev/null 2>&1; then
    echo "fuzzing SKIPPED: cargo-fuzz is not installed (cargo install cargo-fuzz)"
    exit 0
fi
if ! command -v python3 >/dev/null 2>&1; then
    echo "fuzzing SKIPPED: no python3 to seed the corpora with"
    exit 0
fi
python3 tests/fuzz/seed.py

# The sanitizers are flags that only a nightly compiler takes, or a stable one that is told to.
export RUSTC_BOOTSTRAP=1
# Nothing here is unsafe, so the address sanitizer would only slow it down.
for target in $targets; do
    cargo fuzz run --fuzz-dir tests/fuzz --sanitizer none "$target" -- \
        -max_total_time="$seconds" -max_len=20000 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1
done
echo "fuzzing: $targets ran $seconds s each and found nothing"
