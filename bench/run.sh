#!/bin/sh
# Measures the cell beside its peers, in turn, and writes docs/benchmarks.md. Peers are Debian's
# packages; as root they are installed, without starting their daemons.
set -eu
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin
if ! command -v unbound >/dev/null && [ "$(id -u)" = 0 ]; then
	printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
	chmod 755 /usr/sbin/policy-rc.d
	trap 'rm -f /usr/sbin/policy-rc.d' EXIT
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends unbound >/dev/null
fi
out=docs/benchmarks.md
{
	echo '# How fast it is'
	echo
	echo 'Written by `make bench`, on one machine in one run; the cell and its peer take turns. Only ratios travel to'
	echo 'other machines. Contests are added as services get their fast paths; what is slower than its peer is shown, too.'
	echo
	echo "$(date +%F), $(nproc) cores, Linux $(uname -r) $(uname -m), $(go version | cut -d' ' -f3)."
	echo
	echo '## Start and size'
	echo
	echo 'A trial cell with all services, from the start of the process to the first `ok` of `/health`.'
	echo
	echo '```'
	bench/start.sh bin/pic
	echo '```'
	echo
	echo '## DNS: answers from the own zone and from the cache, beside Unbound'
	echo
	echo 'UDP on loopback, 256 queries under way. The load runs on the same cores, so that the processor time for one answer'
	echo 'is what can be relied on. Unbound has neither policy nor statistics switched on.'
	echo
	echo '```'
	bench/dns.sh -rounds 4 -time 2s 2>/dev/null
	echo '```'
} >"$out.new"
mv "$out.new" "$out"
cat "$out"
