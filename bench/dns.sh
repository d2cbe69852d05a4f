#!/bin/sh
# The cell's name server beside Unbound, in turn, on loopback. Arguments go to
# the program: bench/dns.sh -rounds 5 -time 2s
set -eu
cd "$(dirname "$0")/.."
export CGO_ENABLED=0
unbound=$(command -v unbound || command -v /usr/sbin/unbound) || {
	echo "bench/dns.sh: install unbound to compare with (apt-get install unbound)" >&2
	exit 1
}
go run ./bench/dns -unbound "$unbound" "$@"
