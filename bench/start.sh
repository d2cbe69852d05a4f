#!/bin/sh
# How large the cell is, how soon it answers and what it needs when idle: bench/start.sh [BINARY]
set -eu
cd "$(dirname "$0")/.."
bin=${1:-bin/pic}
dir=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null; wait 2>/dev/null; rm -rf "$dir"' EXIT
head -c 18 /dev/urandom | base64 >"$dir/pw"
"$bin" setup --data "$dir/cell" --name bench --admin alice --password-file "$dir/pw" --trial >/dev/null
size=$(wc -c <"$bin")
port=${API_PORT:-3000}
for round in 1 2 3; do
	began=$(date +%s%N)
	"$bin" serve --data "$dir/cell" >"$dir/log" 2>&1 &
	pid=$!
	until curl -sf -o /dev/null "http://127.0.0.1:$port/health"; do
		kill -0 "$pid" || { cat "$dir/log" >&2; exit 1; }
	done
	ready=$(($(date +%s%N) - began))
	sleep 5
	rss=$(awk '/VmRSS/{print $2}' "/proc/$pid/status")
	printf 'round %d: every port open after %d ms, %d KiB resident when idle\n' "$round" $((ready / 1000000)) "$rss"
	kill "$pid"
	wait "$pid" || true
	pid=
done
printf 'binary: %d bytes, stripped\n' "$size"
