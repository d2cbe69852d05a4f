#!/bin/sh
# Runs every fuzz target for a while: scripts/fuzz.sh 30s
set -eu
cd "$(dirname "$0")/.."
export CGO_ENABLED=0
grep -rl --include='*_test.go' '^func Fuzz' . | grep -v node_modules | while read -r file; do
	sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file" | while read -r target; do
		echo "== $(dirname "$file") $target"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "${1:-30s}" "$(dirname "$file")" || exit 1
	done
done
