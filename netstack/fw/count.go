package fw

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// A Count is of packets and their bytes.
type Count struct {
	Packets, Bytes uint64
}

func (c Count) plus(o Count) Count { return Count{c.Packets + o.Packets, c.Bytes + o.Bytes} }

// A Rule is one of the table with what it has met so far.
type Rule struct {
	Chain  string
	Handle uint64 // of the kernel, for `nft delete rule`
	Text   string // in nft's language, without the counter
	Note   string // what it is called
	Count
}

// Rules returns the rules in force with their counters, which go on where a
// rule stays while others change.
func (f *Firewall) Rules() ([]Rule, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.loaded == nil {
		return nil, nil
	}
	var out []Rule
	err := f.transact(func(b *batch) error {
		for _, ch := range f.loaded.chains {
			counts, err := b.counts(ch)
			if err != nil {
				return err
			}
			names := ids(ch)
			for i, r := range ch.rules {
				out = append(out, Rule{
					Chain: ch.name, Handle: counts[i].handle, Note: r.note,
					Text:  strings.Replace(r.bare(), counter{}.String()+" ", "", 1),
					Count: counts[i].Count.plus(f.past[names[i]]),
				})
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the firewall's counters: %w", err)
	}
	return out, nil
}

// bare is the rule without its name.
func (r rule) bare() string {
	r.note = ""
	return r.String()
}

type counted struct {
	Count
	handle uint64
}

func (b *batch) counts(ch *chain) ([]counted, error) {
	rules, err := b.c.GetRules(b.t, b.chain(ch))
	if err != nil {
		return nil, err
	}
	if len(rules) != len(ch.rules) {
		return nil, fmt.Errorf("chain %s has %d rules in place of %d", ch.name, len(rules), len(ch.rules))
	}
	out := make([]counted, len(rules))
	for i, r := range rules {
		out[i].handle = r.Handle
		for _, e := range r.Exprs {
			if c, ok := e.(*expr.Counter); ok {
				out[i].Count = Count{c.Packets, c.Bytes}
			}
		}
	}
	return out, nil
}

// ids tell the rules of a chain from others by what they say, and from their like
// by their order.
func ids(ch *chain) []string {
	seen := map[string]int{}
	out := make([]string, len(ch.rules))
	for i, r := range ch.rules {
		text := ch.name + " " + r.String()
		out[i] = fmt.Sprintf("%s %d", text, seen[text])
		seen[text]++
	}
	return out
}

// remember keeps the counters of chains that are about to be made anew. They are
// nothing to fail for.
func (f *Firewall) remember(chains []*chain) {
	if len(chains) == 0 {
		return
	}
	if f.past == nil {
		f.past = map[string]Count{}
	}
	err := f.transact(func(b *batch) error {
		for _, ch := range chains {
			counts, err := b.counts(ch)
			if err != nil {
				return err
			}
			for i, id := range ids(ch) {
				f.past[id] = f.past[id].plus(counts[i].Count)
			}
		}
		return nil
	})
	if err != nil {
		f.log.Debug("counters are lost", "err", err)
	}
}

// forget drops what was remembered of rules that are no more.
func (f *Firewall) forget(t *Table) {
	if len(f.past) == 0 {
		return
	}
	kept := map[string]Count{}
	for _, ch := range t.chains {
		for _, id := range ids(ch) {
			if c, ok := f.past[id]; ok {
				kept[id] = c
			}
		}
	}
	f.past = kept
}

// Bytes are what an address has sent and received through the cell.
type Bytes struct {
	Sent, Received uint64
}

// Traffic returns the counters of the devices that have sent or received
// something through the cell lately; nothing without Accounting. A counter
// starts again at zero after a day's silence, and when the table is made anew.
func (f *Firewall) Traffic() (map[netip.Addr]Bytes, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := map[netip.Addr]Bytes{}
	if f.loaded == nil {
		return out, nil
	}
	err := f.transact(func(b *batch) error {
		for _, name := range []string{"sent4", "sent6", "received4", "received6"} {
			s := f.loaded.set(name)
			if s == nil {
				continue
			}
			list, err := b.c.GetSetElements(b.set(s))
			if err != nil {
				return err
			}
			add(out, list, name[0] == 's')
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the traffic of devices: %w", err)
	}
	return out, nil
}

func add(out map[netip.Addr]Bytes, list []nftables.SetElement, sent bool) {
	for _, e := range list {
		a, ok := netip.AddrFromSlice(e.Key)
		if !ok || e.Counter == nil {
			continue
		}
		b := out[a]
		if sent {
			b.Sent = e.Counter.Bytes
		} else {
			b.Received = e.Counter.Bytes
		}
		out[a] = b
	}
}
