package fw

import (
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/google/nftables"
	mdnetlink "github.com/mdlayher/netlink"
)

// chunk is how many elements go into one message. The library truncates silently
// where a message exceeds 64 KB; the largest element takes some 90 bytes.
const chunk = 500

// A batch is a transaction in the making.
type batch struct {
	c  *nftables.Conn
	t  *nftables.Table
	at time.Time
}

// dial opens a socket to the kernel; it is not kept.
func dial(opts ...nftables.ConnOption) (*nftables.Conn, error) {
	opts = append(opts, nftables.WithSockOptions(func(c *mdnetlink.Conn) error {
		// Large sets overrun the default buffers. Less is no error.
		_ = c.SetReadBuffer(4 << 20)
		_ = c.SetWriteBuffer(4 << 20)
		return nil
	}))
	c, err := nftables.New(opts...)
	if err != nil {
		return nil, fmt.Errorf("reaching nftables: %w", err)
	}
	return c, nil
}

func ours() *nftables.Table {
	return &nftables.Table{Family: nftables.TableFamilyINet, Name: tableName}
}

// replace makes t the whole table, whatever was there.
func (b *batch) replace(t *Table) error {
	b.c.AddTable(b.t) // so that there is one to delete
	b.c.DelTable(b.t)
	b.c.AddTable(b.t)
	return b.change(&Table{}, t)
}

// change makes t of what is there, which is old.
func (b *batch) change(old, t *Table) error {
	d := differ(old, t)
	for _, c := range slices.Concat(d.goneChains, d.changedChains) {
		b.c.FlushChain(b.chain(c))
	}
	for _, c := range d.goneChains {
		b.c.DelChain(b.chain(c))
	}
	for _, s := range d.goneSets {
		b.c.DelSet(b.set(s))
	}
	for _, s := range d.newSets {
		if err := b.c.AddSet(b.set(s), nil); err != nil {
			return fmt.Errorf("set %s: %w", s.name, err)
		}
		if err := b.elements(s, s.all, b.c.SetAddElements, true); err != nil {
			return err
		}
	}
	for _, e := range d.elements {
		if err := b.elements(e.set, slices.Values(e.gone), b.c.SetDeleteElements, false); err != nil {
			return err
		}
		if err := b.elements(e.set, slices.Values(e.fresh), b.c.SetAddElements, true); err != nil {
			return err
		}
	}
	for _, c := range d.newChains {
		b.c.AddChain(b.chain(c))
	}
	for _, c := range slices.Concat(d.newChains, d.changedChains) {
		for _, r := range c.rules {
			b.c.AddRule(&nftables.Rule{Table: b.t, Chain: b.chain(c), Exprs: r.exprs(), UserData: r.userData()})
		}
	}
	if err := b.c.Flush(); err != nil {
		return err
	}
	return b.verify(d)
}

func (b *batch) set(s *set) *nftables.Set {
	n := &nftables.Set{
		Table: b.t, Name: s.name, KeyType: datatype(s.key), Interval: s.nets, Concatenation: len(s.key) > 1,
		IsMap: s.data != nil, HasTimeout: s.timed || s.life > 0, Timeout: s.life, Dynamic: s.isRuntime(), Size: s.size,
	}
	if s.data != nil {
		n.DataType = datatype(s.data)
	}
	return n
}

// datatype is the library's name of what a field or several hold. All of ours
// exist, and none has more fields than can be.
func datatype(list []kind) nftables.SetDatatype {
	known := map[kind]nftables.SetDatatype{
		addr4: nftables.TypeIPAddr, addr6: nftables.TypeIP6Addr, proto: nftables.TypeInetProto, port: nftables.TypeInetService,
		icmp4: nftables.TypeICMPType, icmp6: nftables.TypeICMP6Type,
	}
	var types []nftables.SetDatatype
	for _, k := range list {
		types = append(types, known[k])
	}
	if len(types) == 1 {
		return types[0]
	}
	return nftables.MustConcatSetType(types...)
}

// elements sends elements to the kernel in pieces.
func (b *batch) elements(s *set, list iter.Seq[elem], send func(*nftables.Set, []nftables.SetElement) error, whole bool) error {
	n := b.set(s)
	var out []nftables.SetElement
	flush := func() error {
		if len(out) == 0 {
			return nil
		}
		if err := send(n, out); err != nil {
			return fmt.Errorf("set %s: %w", s.name, err)
		}
		out = out[:0]
		return nil
	}
	for e := range list {
		var left time.Duration
		if !e.end.IsZero() {
			if left = e.end.Sub(b.at); whole && left < time.Second || left <= 0 {
				continue // over; what is not there cannot be taken out
			}
		}
		n := nftables.SetElement{Key: []byte(e.key)}
		if whole {
			n.Timeout = left
			n.Val = []byte(e.data)
		}
		switch {
		case s.nets && len(s.key) > 1:
			n.KeyEnd = []byte(e.last)
			out = append(out, n)
		case s.nets:
			out = append(out, n)
			if end := after(e.last); end != nil {
				out = append(out, nftables.SetElement{Key: end, IntervalEnd: true})
			}
		default:
			out = append(out, n)
		}
		if len(out) >= chunk {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// after is the number that follows b, nil where none does.
func after(b string) []byte {
	out := []byte(b)
	for i := len(out) - 1; i >= 0; i-- {
		if out[i]++; out[i] != 0 {
			return out
		}
	}
	return nil
}

func (b *batch) chain(c *chain) *nftables.Chain {
	n := &nftables.Chain{Name: c.name, Table: b.t}
	policy := nftables.ChainPolicyAccept
	place := map[hook]struct {
		kind nftables.ChainType
		hook *nftables.ChainHook
		at   nftables.ChainPriority
	}{
		screen:   {nftables.ChainTypeFilter, nftables.ChainHookPrerouting, -300},
		classify: {nftables.ChainTypeFilter, nftables.ChainHookPrerouting, -150},
		dstnat:   {nftables.ChainTypeNAT, nftables.ChainHookPrerouting, -100},
		input:    {nftables.ChainTypeFilter, nftables.ChainHookInput, 0},
		clamp:    {nftables.ChainTypeFilter, nftables.ChainHookForward, -150},
		forward:  {nftables.ChainTypeFilter, nftables.ChainHookForward, 0},
		account:  {nftables.ChainTypeFilter, nftables.ChainHookForward, 10},
		output:   {nftables.ChainTypeFilter, nftables.ChainHookOutput, 0},
		srcnat:   {nftables.ChainTypeNAT, nftables.ChainHookPostrouting, 100},
	}
	if p, ok := place[c.hook]; ok {
		n.Type, n.Hooknum, n.Priority, n.Policy = p.kind, p.hook, &p.at, &policy
	}
	return n
}

// verify counts what has arrived of changes that were too large for one message.
func (b *batch) verify(d difference) error {
	for _, s := range d.newSets {
		if s.count() >= chunk/2 {
			if err := b.counted(s); err != nil {
				return err
			}
		}
	}
	for _, e := range d.elements {
		if len(e.fresh) >= chunk/2 {
			if err := b.counted(e.set); err != nil {
				return err
			}
		}
	}
	return nil
}

// counted compares the number of elements that the kernel has with that wanted.
// Those that end by themselves may be fewer.
func (b *batch) counted(s *set) error {
	if s.isRuntime() {
		return nil
	}
	got, err := b.c.GetSetElements(b.set(s))
	if err != nil {
		return fmt.Errorf("set %s: %w", s.name, err)
	}
	// Ends of intervals are elements too, and the kernel adds a start of its own.
	n := 0
	for _, e := range got {
		if !e.IntervalEnd {
			n++
		}
	}
	if want := s.count(); n > want || n < want && !s.timed {
		return fmt.Errorf("set %s has %d elements in place of %d", s.name, n, want)
	}
	return nil
}
