#!/bin/sh
# Style, vet, static checks, tidy modules, fresh generated files.
set -eu
cd "$(dirname "$0")/.."
export CGO_ENABLED=0
bin=$PWD/bin/tools
mkdir -p "$bin"
(cd tools && go build -o "$bin/" mvdan.cc/gofumpt honnef.co/go/tools/cmd/staticcheck)

fail=0
dirs=$(go list -f '{{.Dir}}' ./...)
# shellcheck disable=SC2086
unformatted=$("$bin/gofumpt" -l $(for d in $dirs; do echo "$d"/*.go; done))
if [ -n "$unformatted" ]; then
	echo "not formatted (make fmt):"
	echo "$unformatted"
	fail=1
fi
go vet ./... || fail=1
"$bin/staticcheck" ./... || fail=1
go mod tidy -diff || { echo "go.mod is not tidy (go mod tidy)"; fail=1; }
for s in scripts/*.sh .ci/run; do sh -n "$s" || fail=1; done
exit $fail
