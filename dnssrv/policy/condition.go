package policy

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
)

// maxConditions bounds how many different conditions on clients there are, for
// each client is held against all of them.
const maxConditions = 256

// A condition says for which clients a rule is ($client).
type condition struct {
	text     string
	only, no []who
}

// A who is one client in a condition: a name of the document, a MAC address, an
// address or a network.
type who struct {
	name string
	net  netip.Prefix
}

func parseCondition(s string) (*condition, error) {
	c := &condition{text: s}
	for _, item := range splitClients(s) {
		item, not := strings.CutPrefix(item, "~")
		item = strings.Trim(item, `'"`)
		if item == "" {
			return nil, errors.New("client needs the name or address of a client")
		}
		w := who{name: item}
		if a, err := netip.ParseAddr(item); err == nil {
			w.net = netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen())
		} else if p, err := netip.ParsePrefix(item); err == nil {
			w.net = p.Masked()
		}
		if not {
			c.no = append(c.no, w)
		} else {
			c.only = append(c.only, w)
		}
	}
	return c, nil
}

// splitClients splits at |, but for those in quotes.
func splitClients(s string) []string {
	var out []string
	start, quote := 0, byte(0)
	for i := range len(s) {
		switch c := s[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == '|':
			out = append(out, s[start:i])
			start = i + 1
		}
	}
	return append(out, s[start:])
}

// holds reports whether the condition is true of a client: its name in the
// document, its address, its MAC address.
func (c *condition) holds(name string, a netip.Addr, mac string) bool {
	is := func(w who) bool {
		if w.net.IsValid() {
			return w.net.Contains(a)
		}
		return name != "" && strings.EqualFold(w.name, name) || mac != "" && strings.EqualFold(w.name, mac)
	}
	if slices.ContainsFunc(c.no, is) {
		return false
	}
	return len(c.only) == 0 || slices.ContainsFunc(c.only, is)
}

// conditions are the different ones of a set of rules.
type conditions []*condition

// index returns the place of c + 1, adding it if need be; 0 if there are too
// many.
func (cs *conditions) index(c *condition) int {
	for i, have := range *cs {
		if have.text == c.text {
			return i + 1
		}
	}
	if len(*cs) == maxConditions {
		return 0
	}
	*cs = append(*cs, c)
	return len(*cs)
}

// A bits is which of up to 256 things are so: lists, or conditions.
type bits [4]uint64

func (b *bits) set(i int)      { b[i>>6] |= 1 << (i & 63) }
func (b *bits) has(i int) bool { return b[i>>6]&(1<<(i&63)) != 0 }

// of returns which conditions hold for a client.
func (cs conditions) of(name string, a netip.Addr, mac string) (b bits) {
	for i, c := range cs {
		if c.holds(name, a, mac) {
			b.set(i)
		}
	}
	return b
}
