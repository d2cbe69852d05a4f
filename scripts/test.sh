#!/bin/sh
# All tests, in the order in which a failure is cheapest to find. Under CI nothing may be skipped.
set -eu
cd "$(dirname "$0")/.."
export CGO_ENABLED=0
step() { printf '\n== %s (%s s)\n' "$1" "$(($(date +%s) - start))"; }
start=$(date +%s)
if [ "$(id -u)" = 0 ]; then export PIC_NO_SKIP="${PIC_NO_SKIP:-1}"; fi

step 'tools'
scripts/deps.sh
PATH=$PATH:/usr/sbin:/sbin
export PATH
step 'lint'
scripts/lint.sh
step 'web UI: types, unit tests, budget'
scripts/ui.sh build
scripts/ui.sh check
step 'build'
make -s build
ls -l bin/pic | awk '{print "bin/pic: " $5 " bytes"}'
step 'Go tests'
go test -shuffle=on ./...
step 'race detector'
make -s race
step 'browser'
scripts/ui.sh e2e
step 'cross builds'
scripts/cross.sh
step 'done'
