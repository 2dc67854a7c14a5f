#!/usr/bin/env bash
# Fuzzes reading, compiling, evaluating and decoding, each for SECONDS (default 60).
# What is found stays in fuzz/artifacts/; what was learnt stays in fuzz/corpus/.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${SECONDS_EACH:-60}
tools=$PWD/target/tools
if [[ ! -x $tools/bin/cargo-fuzz ]]; then
  echo "installing cargo-fuzz into target/tools"
  cargo install --quiet --locked --root "$tools" cargo-fuzz@0.13.2
fi
export PATH=$tools/bin:$PATH

for target in parse compile evaluate decode; do
  echo "fuzzing $target for $seconds s"
  mkdir -p "fuzz/corpus/$target"
  # Without a sanitizer the stable compiler does, and the code has no unsafe.
  cargo fuzz run --sanitizer none "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
    -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=8192 -print_final_stats=1 -verbosity=0
done
echo "nothing found"
