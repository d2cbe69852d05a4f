// Package fw is the cell's packet filter and NAT: one nftables table, `inet pic`.
//
// [Compile] writes a [Model], plain data, down as a [Table]; it is pure. A
// [Firewall] makes a table the kernel's, in one transaction, and reads back what
// has become of it. Other tables are never written.
package fw

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"pic/netstack/policy"
)

// tableName is our one table, of family inet.
const tableName = "pic"

// A Model is what the table is made of.
type Model struct {
	Rules     policy.Rules
	Interface string // of the tunnel
	WAN       string // where the internet is; empty: wherever the kernel routes it
}

// A Table is what we want of the kernel's packet filter. It is plain data:
// [Compile] makes it, String shows it in nft's own language, and a [Firewall]
// loads it.
type Table struct {
	sets   []set
	chains []chain
}

// A set holds single addresses, or networks. Elements are sorted.
type set struct {
	name  string
	six   bool
	nets  bool
	elems []netip.Prefix
}

type chain struct {
	name  string
	hook  hook
	rules []rule
}

type hook string

const (
	jumped      hook = "" // reached by jump only
	forward     hook = "type filter hook forward priority filter; policy accept;"
	postrouting hook = "type nat hook postrouting priority srcnat; policy accept;"
)

// A rule applies to packets that meet all of its conditions.
type rule struct {
	in, out     string // interfaces; !name means any other
	established bool   // of a connection that was allowed to open
	src, dst    string // names of sets
	verdict     verdict
	target      string // of a jump
}

type verdict string

const (
	accept     verdict = "accept"
	drop       verdict = "drop"
	jump       verdict = "jump"
	masquerade verdict = "masquerade"
	// reject tells the sender at once, so that nothing waits for a timeout.
	reject verdict = "reject with icmpx admin-prohibited"
)

// Compile writes the policy down as a table. It is pure.
//
// Traffic that does not touch the tunnel's interface passes untouched; what
// other tables say of it, and of ours, is theirs.
func Compile(m Model) Table {
	var t Table
	tun, wan := m.Interface, m.WAN
	if wan == "" {
		wan = "!" + tun
	}
	from := chain{name: "from_vpn", rules: []rule{{established: true, verdict: accept}, {out: tun, verdict: reject}}}
	nat := chain{name: "postrouting", hook: postrouting}
	for _, six := range []bool{false, true} {
		v := "4"
		if six {
			v = "6"
		}
		t.sets = append(
			t.sets,
			hosts("internet"+v, six, m.Rules.Peers, func(p policy.Peer) bool { return p.Internet }),
			hosts("lan"+v, six, m.Rules.Peers, func(p policy.Peer) bool { return p.LAN }),
			networks("lan_nets"+v, six, m.Rules.LAN),
			networks("vpn_nets"+v, six, m.Rules.VPN),
		)
		from.rules = append(
			from.rules,
			rule{src: "lan" + v, dst: "lan_nets" + v, verdict: accept},
			rule{dst: "lan_nets" + v, verdict: reject},
			rule{out: wan, src: "internet" + v, verdict: accept},
		)
		nat.rules = append(nat.rules, rule{out: wan, src: "vpn_nets" + v, verdict: masquerade})
	}
	from.rules = append(from.rules, rule{verdict: reject})
	t.chains = []chain{
		from,
		{name: "to_vpn", rules: []rule{{established: true, verdict: accept}, {verdict: drop}}},
		{name: "forward", hook: forward, rules: []rule{
			{in: tun, verdict: jump, target: "from_vpn"},
			{out: tun, verdict: jump, target: "to_vpn"},
		}},
		nat,
	}
	return t
}

func hosts(name string, six bool, peers []policy.Peer, may func(policy.Peer) bool) set {
	s := set{name: name, six: six}
	for _, p := range peers {
		if !may(p) {
			continue
		}
		for _, a := range p.Addrs {
			if a.Is6() == six {
				s.elems = append(s.elems, netip.PrefixFrom(a, a.BitLen()))
			}
		}
	}
	s.elems = policy.Disjoint(s.elems)
	return s
}

func networks(name string, six bool, nets []netip.Prefix) set {
	s := set{name: name, six: six, nets: true}
	for _, p := range nets {
		if p.Addr().Is6() == six {
			s.elems = append(s.elems, p)
		}
	}
	s.elems = policy.Disjoint(s.elems)
	return s
}

// set returns the set of that name; compile never refers to another.
func (t Table) set(name string) *set {
	i := slices.IndexFunc(t.sets, func(s set) bool { return s.name == name })
	return &t.sets[i]
}

// withdrawn lists the addresses that could reach something by old and cannot by
// t: their open connections must end.
func (t Table) withdrawn(old Table) []netip.Addr {
	var out []netip.Addr
	for _, s := range old.sets {
		if s.nets {
			continue
		}
		for _, e := range s.elems {
			if len(t.sets) == 0 || !slices.Contains(t.set(s.name).elems, e) {
				out = append(out, e.Addr())
			}
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}

// NAT says in words what is translated on the way out.
func (t Table) NAT() []string {
	var out []string
	for _, c := range t.chains {
		for _, r := range c.rules {
			if r.verdict != masquerade {
				continue
			}
			via := r.out
			if name, not := strings.CutPrefix(r.out, "!"); not {
				via = "any interface but " + name
			}
			for _, e := range t.set(r.src).elems {
				out = append(out, fmt.Sprintf("%s leaves by %s with the address that the cell has there", e, via))
			}
		}
	}
	return out
}

func (t Table) equal(o Table) bool { return t.String() == o.String() }

// String writes the table as `nft list table` would.
func (t Table) String() string {
	if len(t.chains) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "table inet %s {\n", tableName)
	for _, s := range t.sets {
		kind := "ipv4_addr"
		if s.six {
			kind = "ipv6_addr"
		}
		fmt.Fprintf(&b, "\tset %s {\n\t\ttype %s\n", s.name, kind)
		if s.nets {
			b.WriteString("\t\tflags interval\n")
		}
		if len(s.elems) > 0 {
			fmt.Fprintf(&b, "\t\telements = { %s }\n", s.list())
		}
		b.WriteString("\t}\n\n")
	}
	for i, c := range t.chains {
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "\tchain %s {\n", c.name)
		if c.hook != jumped {
			fmt.Fprintf(&b, "\t\t%s\n", c.hook)
		}
		for _, r := range c.rules {
			fmt.Fprintf(&b, "\t\t%s\n", r.text(t))
		}
		b.WriteString("\t}\n")
	}
	b.WriteString("}\n")
	return b.String()
}

func (s set) list() string {
	var words []string
	for _, e := range s.elems {
		w := e.String()
		if e.IsSingleIP() {
			w = e.Addr().String()
		}
		words = append(words, w)
	}
	return strings.Join(words, ", ")
}

func (r rule) text(t Table) string {
	var w []string
	for _, i := range []struct{ key, name string }{{"iifname", r.in}, {"oifname", r.out}} {
		if i.name == "" {
			continue
		}
		name, not := strings.CutPrefix(i.name, "!")
		if not {
			w = append(w, i.key, "!=", fmt.Sprintf("%q", name))
		} else {
			w = append(w, i.key, fmt.Sprintf("%q", name))
		}
	}
	if r.established {
		w = append(w, "ct state established,related")
	}
	for _, a := range []struct{ key, set string }{{"saddr", r.src}, {"daddr", r.dst}} {
		if a.set == "" {
			continue
		}
		ip := "ip"
		if t.set(a.set).six {
			ip = "ip6"
		}
		w = append(w, ip, a.key, "@"+a.set)
	}
	w = append(w, string(r.verdict))
	if r.target != "" {
		w = append(w, r.target)
	}
	return strings.Join(w, " ")
}
