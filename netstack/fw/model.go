package fw

import (
	"net/netip"
	"time"

	"pic/netstack/policy"
)

// A Model is what the table is made of: the policy's rules, and where things are.
type Model struct {
	Rules      policy.Rules
	Interface  string // of the tunnel
	WAN        string // where the internet is; empty: wherever the kernel routes it
	LAN        string // empty: any interface but the tunnel's and the WAN's
	Exits      []Exit
	Bans       []Ban        // besides Rules.Blocked
	Mappings   []Mapping    // besides Rules.Forwards, which has them too
	Split      []netip.Addr // peers that answer strangers by another way than the tunnel
	OneCard    bool         // the WAN's card is the LAN's: a server beside the router
	NewRate    int          // connections a second that one address may open; below 1: any
	SynRate    int          // TCP connections a second that the WAN may open; below 1: any
	Accounting bool
}

// An Exit is another way to the internet. Packets that go by it have its mark.
type Exit struct {
	Name      string // as in the peers' rules
	Number    int    // 1 to 16
	Interface string // that of the tunnel, where it is a linked cell
}

// Mark is the mark of the exit's packets, among the bits 0x00ff0000.
func (e Exit) Mark() uint32 { return uint32(e.Number) << 16 }

// A Ban blocks addresses for a while.
type Ban struct {
	Net   netip.Prefix
	Until time.Time // zero: for good
}

// A Mapping is a port forward that a device asked for, for a while. One of IPv6
// to an address that the internet knows only lets in.
type Mapping struct {
	Proto uint8 // policy.TCP or policy.UDP
	Port  uint16
	To    netip.AddrPort
	Until time.Time
}

// Forward is the mapping as the policy knows it.
func (m Mapping) Forward() policy.Forward {
	return policy.Forward{
		Name: "mapping", Proto: m.Proto, First: m.Port, Last: m.Port, To: m.To.Addr(), ToPort: m.To.Port(),
	}
}

// A Table is what we want of the kernel's packet filter. It is plain data:
// [Compile] makes it, String shows it in nft's own language, and a [Firewall]
// loads it.
type Table struct {
	sets   []*set
	chains []*chain
}

// tableName is our one table, of family inet.
const tableName = "pic"

func (t *Table) set(name string) *set {
	for _, s := range t.sets {
		if s.name == name {
			return s
		}
	}
	return nil
}

func (t *Table) chain(name string) *chain {
	for _, c := range t.chains {
		if c.name == name {
			return c
		}
	}
	return nil
}
