#!/bin/sh
# Installs what the tests need from Debian, when run as root; otherwise says what is missing.
set -eu

# command package
need='
dig bind9-dnsutils
named bind9
nsd nsd
knotd knot
dnssec-verify bind9-utils
ldns-verify-zone ldnsutils
kdig knot-dnsutils
kzonesign knot-dnssecutils
unbound unbound
dnsdist dnsdist
kresd knot-resolver
tc iproute2
tcpdump tcpdump
chronyd chrony
swaks swaks
mbsync isync
neomutt neomutt
offlineimap offlineimap3
rclone rclone
litmus litmus
vdirsyncer vdirsyncer
chromium chromium
certutil libnss3-tools
wg wireguard-tools
wireguard-go wireguard-go
dhclient isc-dhcp-client
udhcpc udhcpc
kea-dhcp4 kea-dhcp4-server
kea-dhcp6 kea-dhcp6-server
radvd radvd
rdisc6 ndisc6
iperf3 iperf3
nft nftables
iptables-nft iptables
ip iproute2
ping iputils-ping
conntrack conntrack
natpmpc natpmpc
miniupnpd miniupnpd
curl curl
nghttp nghttp2-client
openssl openssl
file file
python3 python3
gcc gcc
'
PATH=$PATH:/usr/sbin:/sbin
missing=$(echo "$need" | while read -r cmd pkg; do
	[ -z "$cmd" ] || command -v "$cmd" >/dev/null 2>&1 || echo "$pkg"
done)
# Perl modules that swaks needs for TLS and authentication.
perl -MNet::SSLeay -MAuthen::SASL -e1 2>/dev/null || missing="$missing libnet-ssleay-perl libauthen-sasl-perl libio-socket-ssl-perl"
/usr/bin/python3 -c 'import dkim, authres' 2>/dev/null || missing="$missing python3-dkim python3-authres"
/usr/bin/python3 -c 'import zeroconf' 2>/dev/null || missing="$missing python3-zeroconf"
missing=$(echo $missing)
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	echo "missing for a full test: $missing" >&2
	echo "install them with: sudo apt-get install $missing" >&2
	[ "${PIC_NO_SKIP:-}" = 1 ] && exit 1
	exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# policy-rc.d: no daemon of these packages may start on the machine.
if [ ! -e /usr/sbin/policy-rc.d ]; then
	printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
	chmod 755 /usr/sbin/policy-rc.d
	trap 'rm -f /usr/sbin/policy-rc.d' EXIT
fi
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $missing >/dev/null
