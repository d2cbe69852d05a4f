#!/bin/sh
# Measures the cell beside its peers and writes docs/benchmarks.md: bench/run.sh [FLAGS of bench]. The peers are
# Debian's packages; as root they are installed, without starting their daemons. With -only NAMES the page goes to
# standard output and the file stays as it is.
set -eu
cd "$(dirname "$0")/.."
export CGO_ENABLED=0
PATH=$PATH:/usr/sbin:/sbin

# command package
need='
unbound unbound
dnsmasq dnsmasq-base
chronyd chrony
nginx nginx
caddy caddy
wireguard-go wireguard-go
wg wireguard-tools
radicale radicale
postfix postfix
dovecot dovecot-core
/usr/lib/dovecot/lmtp dovecot-lmtpd
'
missing=$(echo "$need" | while read -r cmd pkg; do
	[ -z "$cmd" ] || command -v "$cmd" >/dev/null 2>&1 || echo "$pkg"
done)
missing=$(echo $missing)
policy=
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"; [ -z "$policy" ] || rm -f "$policy"' EXIT
trap 'exit 130' INT TERM
if [ -n "$missing" ]; then
	if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
		# No daemon of these packages may start on the machine.
		if [ ! -e /usr/sbin/policy-rc.d ]; then
			policy=/usr/sbin/policy-rc.d
			printf '#!/bin/sh\nexit 101\n' >"$policy"
			chmod 755 "$policy"
		fi
		export DEBIAN_FRONTEND=noninteractive
		apt-get update -qq
		# shellcheck disable=SC2086
		apt-get install -y -qq --no-install-recommends $missing >/dev/null
		[ -z "$policy" ] || rm -f "$policy"
		policy=
	else
		echo "left out for want of: $missing" >&2
	fi
fi

[ -x bin/pic ] || make -s build
go build -trimpath -o "$tmp/bench" ./bench
# What the cell is built with, as a program of its own.
go build -trimpath -buildvcs=false -ldflags '-s -w' -o "$tmp/wireguard-go" golang.zx2c4.com/wireguard
go build -trimpath -buildvcs=false -ldflags '-s -w' -o "$tmp/rootless" ./bench/rootless
go build -trimpath -buildvcs=false -ldflags '-s -w' -o "$tmp/tunnel" ./bench/tunnel
# CoreDNS is no package of Debian and no part of this module; it is built once.
coredns=${XDG_CACHE_HOME:-$HOME/.cache}/pic-bench/coredns-v1.12.4
if [ ! -x "$coredns" ]; then
	if GOBIN=$tmp/coredns GOFLAGS= go install -ldflags '-s -w' github.com/coredns/coredns@v1.12.4; then
		mkdir -p "$(dirname "$coredns")"
		mv "$tmp/coredns/coredns" "$coredns"
	else
		echo "left out: CoreDNS cannot be built" >&2
		coredns=
	fi
fi
out='-out docs/benchmarks.md'
case " $* " in *' -only'* | *' --only'*) out= ;; esac
# shellcheck disable=SC2086
"$tmp/bench" -wireguard "$tmp/wireguard-go" -rootless "$tmp/rootless" -tunnel "$tmp/tunnel" -coredns "$coredns" $out "$@"
