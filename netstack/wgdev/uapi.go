package wgdev

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"pic/internal/order"
)

// diff writes the commands, in WireGuard's cross-platform configuration
// protocol, that lead from one state to the other and name only what differs.
// An endpoint is named only with a new peer, or if moved has the peer; for by
// itself it follows the peer.
func diff(have State, want Config, calls map[Key]netip.AddrPort) string {
	var b strings.Builder
	if have.Private != want.Private {
		fmt.Fprintf(&b, "private_key=%s\n", want.Private.Hex())
	}
	if have.Port != want.Port {
		fmt.Fprintf(&b, "listen_port=%d\n", want.Port)
	}
	if have.Mark != want.Mark {
		fmt.Fprintf(&b, "fwmark=%d\n", want.Mark)
	}
	for _, pub := range sorted(have.Peers) {
		if _, ok := want.Peers[pub]; !ok {
			fmt.Fprintf(&b, "public_key=%s\nremove=true\n", pub.Hex())
		}
	}
	for _, pub := range sorted(want.Peers) {
		old, known := have.Peers[pub]
		w := want.Peers[pub]
		call, moved := calls[pub]
		newKey := old.Preshared != w.Preshared
		newIPs := !sameSet(old.Allowed, w.Allowed)
		newPace := old.Keepalive != w.Keepalive
		if known && !newKey && !newIPs && !newPace && !moved {
			continue
		}
		fmt.Fprintf(&b, "public_key=%s\n", pub.Hex())
		if newKey {
			fmt.Fprintf(&b, "preshared_key=%s\n", w.Preshared.Hex())
		}
		if moved {
			fmt.Fprintf(&b, "endpoint=%s\n", call)
		}
		if newIPs {
			b.WriteString("replace_allowed_ips=true\n")
			for _, p := range w.Allowed {
				fmt.Fprintf(&b, "allowed_ip=%s\n", p)
			}
		}
		if newPace {
			fmt.Fprintf(&b, "persistent_keepalive_interval=%d\n", int(w.Keepalive/time.Second))
		}
	}
	return b.String()
}

func sorted[P any](m map[Key]P) []Key {
	keys := make([]Key, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	order.By(keys, func(a, b Key) int { return slices.Compare(a[:], b[:]) })
	return keys
}

func sameSet(a, b []netip.Prefix) bool {
	if len(a) != len(b) {
		return false
	}
	for _, p := range a {
		if !slices.Contains(b, p) {
			return false
		}
	}
	return true
}

// parseState reads what a device answers to the "get" operation. Keys that it
// does not know are skipped, as the protocol asks.
func parseState(text string) (State, error) {
	d := State{Peers: map[Key]PeerState{}}
	var pub *Key
	var p PeerState
	var sec, nsec int64
	end := func() {
		if sec != 0 || nsec != 0 {
			p.Handshake = time.Unix(sec, nsec)
		}
		if pub != nil {
			d.Peers[*pub] = p
		}
		p, sec, nsec = PeerState{}, 0, 0
	}
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if name == "" && !ok {
			continue
		}
		if !ok {
			return d, fmt.Errorf("answer of the device: a line without =")
		}
		var err error
		var n uint64
		switch name {
		case "private_key":
			d.Private, err = parseHex(value)
		case "listen_port":
			n, err = strconv.ParseUint(value, 10, 16)
			d.Port = uint16(n)
		case "fwmark":
			n, err = strconv.ParseUint(value, 10, 32)
			d.Mark = uint32(n)
		case "public_key":
			end()
			var k Key
			k, err = parseHex(value)
			pub = &k
		case "preshared_key":
			p.Preshared, err = parseHex(value)
		case "endpoint":
			p.Endpoint, err = netip.ParseAddrPort(value)
		case "last_handshake_time_sec":
			sec, err = strconv.ParseInt(value, 10, 64)
		case "last_handshake_time_nsec":
			nsec, err = strconv.ParseInt(value, 10, 64)
		case "rx_bytes":
			p.Rx, err = strconv.ParseUint(value, 10, 64)
		case "tx_bytes":
			p.Tx, err = strconv.ParseUint(value, 10, 64)
		case "persistent_keepalive_interval":
			n, err = strconv.ParseUint(value, 10, 16)
			p.Keepalive = time.Duration(n) * time.Second
		case "allowed_ip":
			var pre netip.Prefix
			pre, err = netip.ParsePrefix(value)
			p.Allowed = append(p.Allowed, pre)
		}
		if err != nil { // without the value, which may be a key
			return d, fmt.Errorf("answer of the device: bad %s", name)
		}
	}
	end()
	return d, nil
}
