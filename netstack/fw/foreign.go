package fw

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
)

// A Drop is a chain of another program that drops what ours lets pass: every
// chain at a hook has a veto.
type Drop struct {
	Chain string // in nft's words, such as "ip filter FORWARD"
	What  string // that is dropped
	Fix   string // the command that lets it pass
}

// Foreign finds the chains that drop what comes from the tunnel's interface or
// goes there. It follows their rules with a packet of which only the interfaces
// and the state are known: a rule with other conditions is taken not to apply. Of
// the legacy iptables, which is not of nftables, it knows the policies and plain
// rules; unread says in words which of its chains have more.
func Foreign(tunnel string) (drops []Drop, unread []string) {
	drops, unread = legacy(tunnel)
	return append(foreign(tunnel), drops...), unread
}

func foreign(tunnel string) []Drop {
	c, err := dial()
	if err != nil {
		return nil
	}
	chains, err := c.ListChains()
	if err != nil {
		return nil
	}
	f := foreigners{c: c, rules: map[string][]*nftables.Rule{}, chains: chains}
	var out []Drop
	for _, ch := range chains {
		if ch.Hooknum == nil || ch.Type != nftables.ChainTypeFilter || familyName(ch.Table) == "" || ch.Table.Name == tableName && ch.Table.Family == nftables.TableFamilyINet {
			continue
		}
		for _, t := range trials(*ch.Hooknum, tunnel) {
			if f.drops(ch, t) {
				out = append(out, Drop{Chain: familyName(ch.Table) + " " + ch.Table.Name + " " + ch.Name, What: t.what, Fix: f.fix(ch, t, tunnel)})
			}
		}
	}
	return out
}

// trials are the packets that must pass at a hook.
func trials(at nftables.ChainHook, tunnel string) []trial {
	switch at {
	case *nftables.ChainHookForward:
		return []trial{
			{in: tunnel, state: expr.CtStateBitNEW, what: "what devices in the VPN send on"},
			{out: tunnel, state: expr.CtStateBitESTABLISHED, what: "the answers to devices in the VPN"},
		}
	case *nftables.ChainHookInput:
		return []trial{{in: tunnel, state: expr.CtStateBitNEW, what: "what devices in the VPN send to the cell"}}
	}
	return nil
}

func familyName(t *nftables.Table) string {
	return map[nftables.TableFamily]string{
		nftables.TableFamilyIPv4: "ip", nftables.TableFamilyIPv6: "ip6", nftables.TableFamilyINet: "inet",
	}[t.Family]
}

// A trial is a packet to follow. An empty interface is one that no rule names.
type trial struct {
	in, out string
	state   uint32
	what    string
}

type foreigners struct {
	c      *nftables.Conn
	chains []*nftables.Chain
	rules  map[string][]*nftables.Rule
}

func (f *foreigners) of(t *nftables.Table, chain string) (out []*nftables.Rule) {
	key := fmt.Sprint(t.Family, t.Name, chain)
	if r, ok := f.rules[key]; ok {
		return r
	}
	defer func() {
		if recover() != nil { // a rule that the library cannot read
			out = nil
		}
		f.rules[key] = out
	}()
	out, _ = f.c.GetRules(t, &nftables.Chain{Table: t, Name: chain})
	return out
}

// An end is what a chain makes of a packet.
type end int

const (
	goesOn end = iota
	passes
	dropped
)

func (f *foreigners) drops(base *nftables.Chain, t trial) bool {
	switch f.walk(base.Table, base.Name, t, 0) {
	case passes:
		return false
	case dropped:
		return true
	}
	return base.Policy != nil && *base.Policy == nftables.ChainPolicyDrop
}

// deepest is how many jumps the kernel allows.
const deepest = 16

func (f *foreigners) walk(table *nftables.Table, chain string, t trial, depth int) end {
	if depth > deepest {
		return goesOn
	}
	for _, r := range f.of(table, chain) {
		v := t.meets(r)
		if v == nil {
			continue
		}
		switch v.Kind {
		case expr.VerdictAccept:
			return passes
		case expr.VerdictDrop:
			return dropped
		case expr.VerdictReturn:
			return goesOn
		case expr.VerdictJump, expr.VerdictGoto:
			e := f.walk(table, v.Chain, t, depth+1)
			if e != goesOn || v.Kind == expr.VerdictGoto {
				return e
			}
		}
	}
	return goesOn
}

// meets is the verdict of a rule for the packet, nil where it has none or may not
// apply.
func (t trial) meets(r *nftables.Rule) *expr.Verdict {
	regs := map[uint32][]byte{}
	for _, e := range r.Exprs {
		switch e := e.(type) {
		case *expr.Meta:
			regs[e.Register] = t.meta(e)
		case *expr.Ct:
			regs[e.Register] = nil
			if e.Key == expr.CtKeySTATE {
				regs[e.Register] = binaryutil.NativeEndian.PutUint32(t.state)
			}
		case *expr.Bitwise:
			regs[e.DestRegister] = masked(regs[e.SourceRegister], e)
		case *expr.Cmp:
			if !compares(regs[e.Register], e) {
				return nil
			}
		case *expr.Match:
			if !t.conntrack(e) {
				return nil
			}
		case *expr.Target:
			if e.Name == "REJECT" {
				return &expr.Verdict{Kind: expr.VerdictDrop}
			}
			return nil
		case *expr.Reject:
			return &expr.Verdict{Kind: expr.VerdictDrop}
		case *expr.Verdict:
			return e
		case *expr.Counter, *expr.Log:
		default:
			return nil // a condition that is not known to hold
		}
	}
	return nil
}

func (t trial) meta(e *expr.Meta) []byte {
	name := map[expr.MetaKey]string{expr.MetaKeyIIFNAME: t.in, expr.MetaKeyOIFNAME: t.out}
	n, ok := name[e.Key]
	if !ok {
		return nil
	}
	if n == "" {
		n = "\x01" // what no interface is called
	}
	return append([]byte(n), make([]byte, 16-len(n))...)
}

func masked(b []byte, e *expr.Bitwise) []byte {
	if len(b) != len(e.Mask) || len(b) != len(e.Xor) {
		return nil
	}
	out := slices.Clone(b)
	for i := range out {
		out[i] = out[i]&e.Mask[i] ^ e.Xor[i]
	}
	return out
}

// compares reports whether the comparison holds. One that is shorter than the
// register is of a prefix, such as eth*.
func compares(b []byte, e *expr.Cmp) bool {
	if b == nil || len(e.Data) > len(b) {
		return false
	}
	same := bytes.Equal(b[:len(e.Data)], e.Data)
	switch e.Op {
	case expr.CmpOpEq:
		return same
	case expr.CmpOpNeq:
		return !same
	}
	return false
}

// conntrack reports whether a match of iptables asks for the packet's state.
func (t trial) conntrack(e *expr.Match) bool {
	m, ok := e.Info.(*xt.ConntrackMtinfo3)
	if !ok || m.MatchFlags != uint16(xt.ConntrackState) {
		return false
	}
	is := uint32(m.StateMask)&t.state != 0
	return is != (m.InvertFlags&uint16(xt.ConntrackState) != 0)
}

// fix is the command that makes a chain let the tunnel's packets pass, in the
// words of the program that made the chain.
func (f *foreigners) fix(ch *nftables.Chain, t trial, tunnel string) string {
	has := func(name string) bool {
		return slices.ContainsFunc(f.chains, func(o *nftables.Chain) bool {
			return o.Table.Name == ch.Table.Name && o.Table.Family == ch.Table.Family && o.Name == name
		})
	}
	side, iptables, way := "in", "iptables", "-i"
	key := "iifname"
	if t.out != "" {
		side, way, key = "out", "-o", "oifname"
	}
	v6 := ""
	if ch.Table.Family == nftables.TableFamilyIPv6 {
		iptables, v6 = "ip6tables", "6"
	}
	ofIPTables := ch.Table.Family != nftables.TableFamilyINet && ch.Table.Name == "filter" && strings.ToUpper(ch.Name) == ch.Name
	forwarded := *ch.Hooknum == *nftables.ChainHookForward
	switch {
	case has("ufw" + v6 + "-user-input"):
		if forwarded {
			return fmt.Sprintf("ufw route allow %s on %s", side, tunnel)
		}
		return "ufw allow in on " + tunnel
	case strings.HasPrefix(ch.Table.Name, "firewalld"):
		return fmt.Sprintf("firewall-cmd --permanent --zone=trusted --add-interface=%s && firewall-cmd --reload", tunnel)
	case forwarded && has("DOCKER-USER"):
		return fmt.Sprintf("%s -I DOCKER-USER %s %s -j ACCEPT", iptables, way, tunnel)
	case ofIPTables:
		return fmt.Sprintf("%s -I %s %s %s -j ACCEPT", iptables, ch.Name, way, tunnel)
	}
	return fmt.Sprintf("nft insert rule %s %s %s %s %s accept", familyName(ch.Table), ch.Table.Name, ch.Name, key, tunnel)
}
