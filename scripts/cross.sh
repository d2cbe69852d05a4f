#!/bin/sh
# Builds for every platform that a cell runs on.
set -eu
cd "$(dirname "$0")/.."
export CGO_ENABLED=0 GOOS=linux
for target in amd64 arm64 arm riscv64; do
	GOARCH=$target GOARM=7 scripts/build.sh "bin/pic-linux-$target"
	ls -l "bin/pic-linux-$target" | awk '{print $9 ": " $5 " bytes"}'
	rm "bin/pic-linux-$target"
done
