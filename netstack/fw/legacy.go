package fw

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strings"
	"unsafe"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"
)

// The legacy iptables keeps its rules beside nftables, in tables of the kernel's
// modules ip_tables and ip6_tables that are asked for by socket options
// (linux/netfilter/x_tables.h, netfilter_ipv4/ip_tables.h). To ask for one that is
// not there makes it, so the list of those that are is read first.
type legacyKind struct {
	list, family, tool string
	domain, level      int
	// Where things are in an entry.
	inCard, inverted, targetAt, size int
}

func legacyKinds() []legacyKind {
	return []legacyKind{
		{"ip_tables_names", "ip", "iptables-legacy", unix.AF_INET, unix.IPPROTO_IP, 16, 83, 88, 112},
		{"ip6_tables_names", "ip6", "ip6tables-legacy", unix.AF_INET6, unix.IPPROTO_IPV6, 64, 132, 140, 168},
	}
}

const (
	legacyGetInfo, legacyGetEntries = 64, 65

	legacyInfoSize   = 84 // name, hooks, first and last entry of each of five hooks, number, size
	legacyHeaderSize = 40 // name, size and padding before the entries
	legacyTarget     = 32 // its header
	legacyLargest    = 16 << 20

	// Verdicts, as they are written there.
	legacyDrop, legacyAccept, legacyReturn = -1, -2, -5
)

// legacy finds the chains of the legacy iptables that drop what the tunnel needs,
// and names those with rules that cannot be followed.
func legacy(tunnel string) (drops []Drop, unread []string) {
	for _, k := range legacyKinds() {
		names, err := os.ReadFile("/proc/thread-self/net/" + k.list)
		if err != nil || !slices.Contains(strings.Fields(string(names)), "filter") {
			continue
		}
		t, err := k.read("filter")
		if err != nil {
			unread = append(unread, fmt.Sprintf("the table %s filter (%v)", k.family, err))
			continue
		}
		for _, h := range []struct {
			name string
			at   *nftables.ChainHook
		}{{"INPUT", nftables.ChainHookInput}, {"FORWARD", nftables.ChainHookForward}} {
			chain := k.family + " filter " + h.name + " of " + k.tool
			puzzled := false
			for _, p := range trials(*h.at, tunnel) {
				end, sure := t.walk(t.first[*h.at], p, 0)
				if end == dropped {
					way, card := "-i", p.in
					if p.out != "" {
						way, card = "-o", p.out
					}
					drops = append(drops, Drop{Chain: chain, What: p.what, Fix: fmt.Sprintf("%s -I %s %s %s -j ACCEPT", k.tool, h.name, way, card)})
				} else {
					puzzled = puzzled || !sure
				}
			}
			if puzzled {
				unread = append(unread, "the chain "+chain)
			}
		}
	}
	return drops, unread
}

// A legacyTable is one as the kernel gives it out.
type legacyTable struct {
	kind    legacyKind
	first   [5]uint32 // entry of each hook
	entries []byte
}

func (k legacyKind) read(name string) (*legacyTable, error) {
	fd, err := unix.Socket(k.domain, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return nil, fmt.Errorf("opening a socket: %w", err)
	}
	defer unix.Close(fd)
	info := make([]byte, legacyInfoSize)
	copy(info, name)
	if err := k.ask(fd, legacyGetInfo, info); err != nil {
		return nil, err
	}
	t := &legacyTable{kind: k}
	for i := range t.first {
		t.first[i] = binary.NativeEndian.Uint32(info[36+4*i:])
	}
	size := binary.NativeEndian.Uint32(info[80:])
	if size > legacyLargest {
		return nil, fmt.Errorf("its rules take %d bytes", size)
	}
	all := make([]byte, legacyHeaderSize+size)
	copy(all, name)
	binary.NativeEndian.PutUint32(all[32:], size)
	if err := k.ask(fd, legacyGetEntries, all); err != nil {
		return nil, err
	}
	t.entries = all[legacyHeaderSize:]
	return t, nil
}

// ask is getsockopt, which golang.org/x/sys has for no buffer of one's own.
func (k legacyKind) ask(fd, option int, b []byte) error {
	size := uint32(len(b))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(k.level), uintptr(option),
		uintptr(unsafe.Pointer(&b[0])), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return fmt.Errorf("reading its rules: %w", errno)
	}
	return nil
}

// walk follows a packet from an entry on. It is not sure of the end where rules
// were left out that might apply.
func (t *legacyTable) walk(at uint32, p trial, depth int) (e end, sure bool) {
	sure = true
	for range len(t.entries) / t.kind.size { // no chain has more
		if depth > deepest || uint64(at)+uint64(t.kind.size+legacyTarget+4) > uint64(len(t.entries)) {
			return goesOn, false
		}
		entry := t.entries[at:]
		target, next := binary.NativeEndian.Uint16(entry[t.kind.targetAt:]), binary.NativeEndian.Uint16(entry[t.kind.targetAt+2:])
		if int(next) < t.kind.size+legacyTarget || int(next) > len(entry) || int(target) < t.kind.size || int(target)+legacyTarget+4 > int(next) {
			return goesOn, false
		}
		end, jump, known := legacyVerdict(entry[target:next])
		meets, plain := t.meets(entry[:target], p)
		switch {
		case !meets:
			sure = sure && plain // a match that is not known may have held
		case jump != nil:
			e, s := t.walk(*jump, p, depth+1)
			sure = sure && s
			if e != goesOn {
				return e, sure
			}
		case end == passes || end == dropped:
			return end, sure
		case known && end == goesOn:
			return goesOn, sure
		default:
			sure = sure && known
		}
		at += uint32(next)
	}
	return goesOn, false
}

// legacyVerdict is what a target does: it ends, or leads to another chain. One
// that is known and neither goes back to where the chain was jumped to.
func legacyVerdict(b []byte) (e end, jump *uint32, known bool) {
	name, _, _ := bytes.Cut(b[2:31], []byte{0})
	switch string(name) {
	case "REJECT":
		return dropped, nil, true
	case "LOG", "NFLOG":
		return -1, nil, true
	case "":
	default:
		return -1, nil, false
	}
	v := int32(binary.NativeEndian.Uint32(b[legacyTarget:]))
	switch {
	case v == legacyDrop:
		return dropped, nil, true
	case v == legacyAccept:
		return passes, nil, true
	case v == legacyReturn:
		return goesOn, nil, true
	case v >= 0:
		to := uint32(v)
		return -1, &to, true
	}
	return -1, nil, false
}

// meets reports whether an entry is for the packet, as far as interfaces and the
// state say; plain reports that they say enough.
func (t *legacyTable) meets(b []byte, p trial) (meets, plain bool) {
	k := t.kind
	in, out := b[k.inCard:k.inCard+16], b[k.inCard+16:k.inCard+32]
	inMask, outMask := b[k.inCard+32:k.inCard+48], b[k.inCard+48:k.inCard+64]
	switch {
	case b[k.inverted] != 0:
		return false, false
	case !legacyCard(in, inMask, p.in) || !legacyCard(out, outMask, p.out):
		return false, true // it is of another interface
	case !zero(b[:k.inCard]) || !zero(b[k.inCard+64:k.targetAt-4]):
		return false, false // addresses before the names, the protocol after them
	}
	match := b[k.size:]
	if len(match) == 0 {
		return true, true
	}
	if len(match) < legacyTarget || int(binary.NativeEndian.Uint16(match)) != len(match) {
		return false, false // there are several
	}
	name, _, _ := bytes.Cut(match[2:31], []byte{0})
	info, err := xt.Unmarshal(string(name), xt.TableFamily(k.domain), uint32(match[31]), match[legacyTarget:])
	state, ok := info.(*xt.ConntrackMtinfo3)
	if err != nil || !ok || state.MatchFlags != uint16(xt.ConntrackState) {
		return false, false
	}
	return p.conntrack(&expr.Match{Info: state}), true
}

// legacyCard reports whether the name of an interface is meant. A packet whose
// interface has no name here is of one that no rule names.
func legacyCard(name, mask []byte, card string) bool {
	var b [16]byte
	copy(b[:], card)
	for i := range b {
		if (b[i]^name[i])&mask[i] != 0 {
			return false
		}
	}
	return true
}

func zero(b []byte) bool { return !slices.ContainsFunc(b, func(c byte) bool { return c != 0 }) }
