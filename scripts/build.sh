#!/bin/sh
# Builds the one binary: scripts/build.sh OUT [VERSION]. GOOS and GOARCH are obeyed.
#
# What runs once in a while, and is much code, is compiled without inlining: it
# takes less room that way (1.4 MB in all), and the binary has to fit small boards.
set -eu
cold='
pic/api/... pic/ca/... pic/cell/... pic/cmd/... pic/core/config/... pic/core/users/... pic/core/vault/... pic/dhcpsrv/...
pic/netstack/ddns/... pic/netstack/edge/... pic/netstack/exit/... pic/netstack/handout/... pic/netstack/igd/...
pic/netstack/peerbook/... pic/netstack/router/...
github.com/danielgtaylor/huma/v2/... github.com/caddyserver/... github.com/mholt/... go.uber.org/...
github.com/vishvananda/... github.com/google/nftables/... github.com/huin/... github.com/insomniacslk/...
golang.zx2c4.com/wireguard/wgctrl/... encoding/asn1 encoding/xml github.com/beevik/... github.com/teambition/... regexp/...
'
set -- "$1" "${2:-}"
out=$1 version=$2
set --
for p in $cold; do
	set -- "$@" "-gcflags=$p=-l"
done
CGO_ENABLED=0 exec go build -trimpath -buildvcs=false -ldflags "-s -w${version:+ -X main.version=$version}" "$@" -o "$out" ./cmd/pic
