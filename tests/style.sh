#!/usr/bin/env bash
# The rules of the house that a compiler does not see. Needs bash, find and grep only.
#   tests/style.sh [ROOT]       checks a tree, by default the one it lies in
#   tests/style.sh --self-test  breaks each rule in a scratch tree and sees it caught
set -euo pipefail

readonly max_lines=600
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
failures=0

fail() { printf 'style: %s\n' "$*"; failures=$((failures + 1)); }

# sources FOLDER...: the hand-written files of these folders that exist, NUL-separated.
sources() {
  local folder present=()
  for folder in "$@"; do if [[ -e $folder ]]; then present+=("$folder"); fi; done
  if (( ${#present[@]} == 0 )); then return 0; fi
  find "${present[@]}" -type f \( -name '*.h' -o -name '*.cpp' -o -name '*.def' -o -name '*.cu' -o -name '*.cuh' \
    -o -name '*.lua' -o -name '*.py' -o -name '*.sh' -o -name '*.cmake' -o -name run -o -name bootstrap \
    -o -name CMakeLists.txt \) -print0
}

# forbid PATTERN WHY FOLDER...: no source there has a line that matches the extended regular expression.
forbid() {
  local pattern=$1 why=$2 hits
  shift 2
  hits=$(sources "$@" | xargs -0r grep -HnE -- "$pattern" || true)
  if [[ -n $hits ]]; then fail "$why"$'\n'"$hits"; fi
}

check_length() {
  local file lines
  while IFS= read -r -d '' file; do
    lines=$(wc -l <"$file")
    if (( lines > max_lines )); then fail "$file: $lines lines, at most $max_lines"; fi
  done < <(sources bootstrap CMakeLists.txt .ci cmake runtime kernels bindings stdlib scripts tests)
}

check_arrows() {
  local quote='["<]'
  forbid "#include ${quote}(lua|lauxlib|lualib|bindings/|stdlib/|scripts/|tests/)" \
    "runtime/ knows nothing of Lua or of what is built on it" runtime
  forbid "#include ${quote}(lua|lauxlib|lualib|runtime/|bindings/|stdlib/|scripts/|tests/)" \
    "kernels/ include nothing above them" kernels
  forbid "#include ${quote}(stdlib/|scripts/|tests/)" "bindings/ include the runtime only" bindings
  forbid "#include ${quote}\.\.?/" "includes are relative to the root" runtime kernels bindings tests
  forbid "require *\(? *['\"](scripts|tests)[./]" "stdlib/ requires nothing above it" stdlib
}

check_tests() {
  local file
  for file in tests/test_*.cpp; do
    if [[ -e $file ]] && ! grep -qE '\b(CHECK|REQUIRE)[A-Z_]*\(' "$file"; then fail "$file: no check"; fi
  done
  for file in tests/lua/*.lua; do
    if [[ -e $file ]] && ! grep -qE '(check|assert|expect|equal|raises|fails|same|near)[a-z_]*[ ({"]' "$file"; then
      fail "$file: no check"
    fi
  done
}

check_tree() {
  cd -- "$1"
  failures=0
  check_length
  check_arrows
  check_tests
  # Spelt in two halves so that this file does not match itself.
  forbid '\b(TO''DO|FIX''ME|X''XX)\b' "unfinished business is finished or dropped, not marked" \
    runtime kernels bindings stdlib scripts tests cmake
  forbid '[[:space:]]+$' "spaces at the end of a line" runtime kernels bindings stdlib scripts tests cmake
}

# expect_caught RULE FILE TEXT: a tree with just this file must fail, and for this reason.
expect_caught() {
  local rule=$1 file=$2 text=$3 scratch output
  scratch=$(mktemp -d)
  mkdir -p "$scratch/$(dirname "$file")"
  printf '%s\n' "$text" >"$scratch/$file"
  output=$(bash "$here/tests/style.sh" "$scratch" || true)
  rm -r -- "$scratch"
  if ! grep -qF -- "$rule" <<<"$output"; then
    echo "style self-test: $file was not caught by: $rule"
    failures=$((failures + 1))
  fi
}

self_test() {
  expect_caught "lines, at most" runtime/long.cpp "$(seq 601)"
  expect_caught "knows nothing of Lua" runtime/a.cpp '#include <lua.hpp>'
  expect_caught "knows nothing of Lua" runtime/cpu/a.h '#include "bindings/wrap_tensor.h"'
  expect_caught "nothing above them" kernels/row.cuh '#include "runtime/dtype.h"'
  expect_caught "the runtime only" bindings/a.cpp '#include "tests/shared_data.h"'
  expect_caught "relative to the root" runtime/a.cpp "#include \"..""/dtype.h\""
  expect_caught "requires nothing above" stdlib/a.lua 'require "scripts.demo"'
  expect_caught "no check" tests/test_a.cpp 'TEST_CASE("a") {}'
  expect_caught "no check" tests/lua/a.lua 'local a = 1'
  expect_caught "finished or dropped" stdlib/a.lua "-- TO""DO"
  expect_caught "spaces at the end" stdlib/a.lua 'local a = 1 '
}

if [[ ${1:-} == --self-test ]]; then
  self_test
  if (( failures )); then exit 1; fi
  echo "style self-test: 11 broken trees caught"
else
  check_tree "${1:-$here}"
  if (( failures )); then exit 1; fi
  echo "style: passed"
fi
