package fw

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	mdnetlink "github.com/mdlayher/netlink"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A Firewall is our table in the kernel. Its zero value has loaded none. It must
// not be used by several at once.
type Firewall struct {
	loaded Table // empty: there is none
}

// chunk is how many elements go into one message. The library truncates
// silently where a message exceeds 64 KB.
const chunk = 500

// Set makes t the one table of ours, in one transaction: at no moment is there
// none, or half of one. Connections of peers that lose a right are cut.
func (f *Firewall) Set(t Table) error {
	same, err := f.intact(t)
	if err != nil {
		return err
	}
	if same {
		return nil
	}
	if err := load(t); err != nil {
		return fmt.Errorf("loading the firewall: %w", err)
	}
	old := f.loaded
	f.loaded = t
	return cut(t.withdrawn(old))
}

// intact reports whether t is loaded already and nobody has touched it. It
// counts rules and elements; it is for accidents, not against malice.
func (f *Firewall) intact(t Table) (bool, error) {
	if len(f.loaded.chains) == 0 || !f.loaded.equal(t) {
		return false, nil
	}
	c, err := dialNFT()
	if err != nil {
		return false, err
	}
	nt, err := c.ListTableOfFamily(tableName, nftables.TableFamilyINet)
	if err != nil || nt == nil {
		return false, nil
	}
	for _, ch := range t.chains {
		rules, err := c.GetRules(nt, &nftables.Chain{Name: ch.name, Table: nt})
		if err != nil || len(rules) != len(ch.rules) {
			return false, nil
		}
	}
	return counted(c, nt, t) == nil, nil
}

// Remove deletes our table, whoever has made it.
func (f *Firewall) Remove() error {
	if len(f.loaded.chains) == 0 {
		return nil
	}
	c, err := dialNFT()
	if err != nil {
		return err
	}
	t := c.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: tableName})
	c.DelTable(t)
	if err := c.Flush(); err != nil {
		return fmt.Errorf("removing the firewall: %w", err)
	}
	f.loaded = Table{}
	return nil
}

func dialNFT() (*nftables.Conn, error) {
	c, err := nftables.New(nftables.WithSockOptions(func(c *mdnetlink.Conn) error {
		// Large sets overrun the default buffers. Less is no error.
		_ = c.SetReadBuffer(4 << 20)
		_ = c.SetWriteBuffer(4 << 20)
		return nil
	}))
	if err != nil {
		return nil, fmt.Errorf("reaching nftables: %w", err)
	}
	return c, nil
}

func load(t Table) error {
	c, err := dialNFT()
	if err != nil {
		return err
	}
	nt := &nftables.Table{Family: nftables.TableFamilyINet, Name: tableName}
	c.AddTable(nt) // so that there is one to delete
	c.DelTable(nt)
	nt = c.AddTable(nt)
	sets := map[string]*nftables.Set{}
	for _, s := range t.sets {
		ns := &nftables.Set{Table: nt, Name: s.name, KeyType: nftables.TypeIPAddr, Interval: s.nets}
		if s.six {
			ns.KeyType = nftables.TypeIP6Addr
		}
		if err := c.AddSet(ns, nil); err != nil {
			return fmt.Errorf("set %s: %w", s.name, err)
		}
		for part := range slices.Chunk(s.elements(), chunk) {
			if err := c.SetAddElements(ns, part); err != nil {
				return fmt.Errorf("set %s: %w", s.name, err)
			}
		}
		sets[s.name] = ns
	}
	chains := map[string]*nftables.Chain{}
	for _, ch := range t.chains {
		chains[ch.name] = c.AddChain(ch.nft(nt))
	}
	for _, ch := range t.chains {
		for _, r := range ch.rules {
			c.AddRule(&nftables.Rule{Table: nt, Chain: chains[ch.name], Exprs: r.exprs(t, sets)})
		}
	}
	if err := c.Flush(); err != nil {
		return err
	}
	return counted(c, nt, t)
}

// Loaded is the table in force; empty: none.
func (f *Firewall) Loaded() Table { return f.loaded }

// counted compares the number of elements that the kernel has with that wanted.
func counted(c *nftables.Conn, nt *nftables.Table, t Table) error {
	for _, s := range t.sets {
		ns, err := c.GetSetByName(nt, s.name)
		if err != nil {
			return fmt.Errorf("set %s: %w", s.name, err)
		}
		got, err := c.GetSetElements(ns)
		if err != nil {
			return fmt.Errorf("set %s: %w", s.name, err)
		}
		// Ends of intervals are elements too, and the kernel adds a start of
		// its own.
		n := 0
		for _, e := range got {
			if !e.IntervalEnd {
				n++
			}
		}
		if n != len(s.elems) {
			return fmt.Errorf("set %s has %d elements in place of %d", s.name, n, len(s.elems))
		}
	}
	return nil
}

func (s set) elements() []nftables.SetElement {
	var out []nftables.SetElement
	for _, p := range s.elems {
		out = append(out, nftables.SetElement{Key: p.Addr().AsSlice()})
		if !s.nets {
			continue
		}
		if end := last(p).Next(); end.IsValid() {
			out = append(out, nftables.SetElement{Key: end.AsSlice(), IntervalEnd: true})
		}
	}
	return out
}

// last is the highest address of p.
func last(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

func (ch chain) nft(nt *nftables.Table) *nftables.Chain {
	n := &nftables.Chain{Name: ch.name, Table: nt}
	policy := nftables.ChainPolicyAccept
	switch ch.hook {
	case forward:
		n.Type, n.Hooknum, n.Priority = nftables.ChainTypeFilter, nftables.ChainHookForward, nftables.ChainPriorityFilter
		n.Policy = &policy
	case postrouting:
		n.Type, n.Hooknum, n.Priority = nftables.ChainTypeNAT, nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource
		n.Policy = &policy
	}
	return n
}

// exprs is the rule in the kernel's virtual machine. Conditions are checked in
// the order of [rule.text].
func (r rule) exprs(t Table, sets map[string]*nftables.Set) []expr.Any {
	var out []expr.Any
	for _, i := range []struct {
		key  expr.MetaKey
		name string
	}{{expr.MetaKeyIIFNAME, r.in}, {expr.MetaKeyOIFNAME, r.out}} {
		if i.name == "" {
			continue
		}
		name, not := strings.CutPrefix(i.name, "!")
		op := expr.CmpOpEq
		if not {
			op = expr.CmpOpNeq
		}
		padded := make([]byte, unix.IFNAMSIZ)
		copy(padded, name)
		out = append(out, &expr.Meta{Key: i.key, Register: 1}, &expr.Cmp{Op: op, Register: 1, Data: padded})
	}
	if r.established {
		out = append(
			out,
			&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
			&expr.Bitwise{
				SourceRegister: 1, DestRegister: 1, Len: 4, Xor: make([]byte, 4),
				Mask: binaryutil.NativeEndian.PutUint32(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED),
			},
			&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
		)
	}
	for _, a := range []struct {
		set  string
		four uint32 // offset in the header of IPv4
		six  uint32
	}{{r.src, 12, 8}, {r.dst, 16, 24}} {
		if a.set == "" {
			continue
		}
		load := &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: a.four, Len: 4}
		family := byte(unix.NFPROTO_IPV4)
		if t.set(a.set).six {
			load.Offset, load.Len, family = a.six, 16, unix.NFPROTO_IPV6
		}
		ns := sets[a.set]
		out = append(
			out,
			&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{family}},
			load,
			&expr.Lookup{SourceRegister: 1, SetName: ns.Name, SetID: ns.ID},
		)
	}
	switch r.verdict {
	case accept:
		out = append(out, &expr.Verdict{Kind: expr.VerdictAccept})
	case drop:
		out = append(out, &expr.Verdict{Kind: expr.VerdictDrop})
	case jump:
		out = append(out, &expr.Verdict{Kind: expr.VerdictJump, Chain: r.target})
	case masquerade:
		out = append(out, &expr.Masq{})
	case reject:
		out = append(out, &expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED})
	}
	return out
}

// cut ends the connections that these addresses have opened, which would
// otherwise go on as established ones.
func cut(addrs []netip.Addr) error {
	byFamily := map[netlink.InetFamily][]netlink.CustomConntrackFilter{}
	for _, a := range addrs {
		var f netlink.ConntrackFilter
		if err := f.AddIP(netlink.ConntrackOrigSrcIP, a.AsSlice()); err != nil {
			return fmt.Errorf("ending connections of %s: %w", a, err)
		}
		family := netlink.InetFamily(unix.AF_INET6)
		if a.Is4() {
			family = unix.AF_INET
		}
		byFamily[family] = append(byFamily[family], &f)
	}
	for family, filters := range byFamily {
		_, err := netlink.ConntrackDeleteFilters(netlink.ConntrackTable, family, filters...)
		if err != nil && !errors.Is(err, unix.ENOENT) { // gone by itself meanwhile
			return fmt.Errorf("ending connections of peers that lost a right: %w", err)
		}
	}
	return nil
}

// Foreign names the chains of others that drop what we let pass: every
// chain at the hook has a veto.
func Foreign() []string {
	c, err := dialNFT()
	if err != nil {
		return nil
	}
	chains, err := c.ListChains()
	if err != nil {
		return nil
	}
	var out []string
	for _, ch := range chains {
		if ch.Hooknum == nil || ch.Policy == nil || *ch.Hooknum != *nftables.ChainHookForward ||
			*ch.Policy != nftables.ChainPolicyDrop || ch.Type != nftables.ChainTypeFilter {
			continue
		}
		family := map[nftables.TableFamily]string{
			nftables.TableFamilyIPv4: "ip", nftables.TableFamilyIPv6: "ip6", nftables.TableFamilyINet: "inet",
		}[ch.Table.Family]
		if family != "" {
			out = append(out, family+" "+ch.Table.Name+" "+ch.Name)
		}
	}
	return out
}
