package fw

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"pic/netstack/policy"
)

// Cut ends the open connections that now does not allow and one of old did, which
// would otherwise go on as known ones; exactly those. A policy that is nil stands
// for a former run of the cell, of which nothing is known: of those through the
// tunnel it ends what now does not allow, and what now sends by an exit. What has
// come to an end is not told to anybody; senders hear of it when they next send.
// After an error it is not known what has ended, and old is still to be asked for.
func Cut(old []*policy.Policy, now *policy.Policy) (int, error) {
	if len(old) == 0 || untracked() {
		return 0, nil
	}
	n, err := cut(func(e connection) bool {
		return slices.ContainsFunc(old, func(o *policy.Policy) bool { return lost{o, now}.ends(e.flow, e.back) })
	})
	if err != nil {
		return n, fmt.Errorf("ending connections that lost their right: %w", err)
	}
	return n, nil
}

// cut ends the connections that ends picks.
func cut(ends func(connection) bool) (n int, err error) {
	look, err := dialTracker()
	if err != nil {
		return 0, err
	}
	defer look.close()
	act, err := dialTracker()
	if err != nil {
		return 0, err
	}
	defer act.close()
	var list []connection
	err = look.each(func(e connection) {
		if ends(e) {
			list = append(list, e.kept())
		}
	})
	for _, e := range list { // what was seen goes, whatever else has failed
		gone, failed := act.end(e)
		if gone {
			n++
		}
		if err == nil {
			err = failed
		}
	}
	return n, err
}

// untracked reports whether the kernel knows of no connection: where there are
// many rooms for them, to look through them all takes it longer than all else.
func untracked() bool {
	b, err := os.ReadFile("/proc/sys/net/netfilter/nf_conntrack_count")
	return err == nil && strings.TrimSpace(string(b)) == "0"
}

// lost picks the connections to end.
type lost struct{ old, now *policy.Policy }

// ends reports whether a flow whose answers come from back has lost its right.
func (l lost) ends(f policy.Flow, back netip.Addr) bool {
	if l.old == nil {
		is := l.now.Decide(f)
		// One that goes by an exit now may have been opened past it, without its mark.
		return is.Way == policy.ToExit || !is.Allow && (l.now.Tunnelled(f.Src) || l.now.Tunnelled(f.Dst))
	}
	for _, a := range []netip.Addr{f.Src, f.Dst, back} {
		if l.old.Knows(a) && !l.now.Knows(a) || l.now.Blocks(a) && !l.old.Blocks(a) {
			return true
		}
	}
	was, is := l.old.Decide(f), l.now.Decide(f)
	if !was.Allow {
		return false // it is not known how it came to be
	}
	if !is.Allow || is.Way != was.Way {
		return true
	}
	if is.Way == policy.ToExit || is.Name != was.Name {
		return is.Name != was.Name
	}
	w, led := l.old.Forward(f)
	n, leads := l.now.Forward(f)
	return led && (!leads || w.To != n.To || w.ToPort != n.ToPort || w.First != n.First)
}
