package fw

import (
	"fmt"
	"strings"

	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
)

// A rule does something with packets that meet all of its conditions.
type rule struct {
	when []condition
	do   []action
	note string // what it is called
}

// A condition or an action writes itself in nft's language and in the kernel's.
type condition interface {
	String() string
	exprs() []expr.Any
}

type action = condition

// when begins a rule.
func when(c ...condition) rule { return rule{when: c} }

// then ends it. What reaches the last action is counted.
func (r rule) then(a ...action) rule {
	r.do = append([]action{counter{}}, a...)
	return r
}

func (r rule) called(note string) rule {
	r.note = note
	return r
}

// String writes the rule as nft does, its counter at zero.
func (r rule) String() string {
	var w []string
	for _, c := range r.when {
		w = append(w, c.String())
	}
	for _, a := range r.do {
		w = append(w, a.String())
	}
	if r.note != "" {
		w = append(w, fmt.Sprintf("comment %q", r.note))
	}
	return strings.Join(w, " ")
}

func (r rule) exprs() []expr.Any {
	var out []expr.Any
	for _, c := range r.when {
		out = append(out, c.exprs()...)
	}
	for _, a := range r.do {
		out = append(out, a.exprs()...)
	}
	return out
}

func (r rule) userData() []byte {
	if r.note == "" {
		return nil
	}
	return userdata.AppendString(nil, userdata.TypeComment, r.note)
}

// A chain is a list of rules; one with a hook sees packets by itself.
type chain struct {
	name  string
	hook  hook
	rules []rule
}

// A hook is where a base chain sits, in nft's words. Policies are all accept:
// what is not for us passes.
type hook string

const (
	jumped   hook = "" // reached by jump only
	screen   hook = "type filter hook prerouting priority raw; policy accept;"
	classify hook = "type filter hook prerouting priority mangle; policy accept;"
	dstnat   hook = "type nat hook prerouting priority dstnat; policy accept;"
	input    hook = "type filter hook input priority filter; policy accept;"
	clamp    hook = "type filter hook forward priority mangle; policy accept;"
	forward  hook = "type filter hook forward priority filter; policy accept;"
	account  hook = "type filter hook forward priority filter + 10; policy accept;"
	output   hook = "type filter hook output priority filter; policy accept;"
	srcnat   hook = "type nat hook postrouting priority srcnat; policy accept;"
)

func (c *chain) add(r ...rule) { c.rules = append(c.rules, r...) }

// String writes the chain as `nft list` would.
func (c *chain) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\tchain %s {\n", c.name)
	if c.hook != jumped {
		fmt.Fprintf(&b, "\t\t%s\n", c.hook)
	}
	for _, r := range c.rules {
		fmt.Fprintf(&b, "\t\t%s\n", r)
	}
	b.WriteString("\t}\n")
	return b.String()
}
