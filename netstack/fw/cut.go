package fw

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"pic/netstack/policy"
)

// Cut ends the open connections that now does not allow and old did, which would
// otherwise go on as known ones; exactly those. Without old, it ends those through
// the tunnel that now does not allow: a former run of the cell may have. What has
// come to an end is not told to anybody; senders hear of it when they next send.
func Cut(old, now *policy.Policy) (int, error) {
	cut := 0
	for _, family := range []netlink.InetFamily{unix.AF_INET, unix.AF_INET6} {
		n, err := netlink.ConntrackDeleteFilters(netlink.ConntrackTable, family, lost{old, now})
		cut += int(n)
		if err != nil && !errors.Is(err, unix.ENOENT) { // gone by itself meanwhile
			return cut, fmt.Errorf("ending connections that lost their right: %w", err)
		}
	}
	return cut, nil
}

// lost picks the connections to end.
type lost struct{ old, now *policy.Policy }

// MatchConntrackFlow reports whether an entry has to go.
func (l lost) MatchConntrackFlow(e *netlink.ConntrackFlow) bool {
	f, ok := opened(e)
	if !ok {
		return false
	}
	back, _ := netip.AddrFromSlice(e.Reverse.SrcIP)
	back = back.Unmap()
	return l.ends(f, back)
}

// opened is the flow as it was opened.
func opened(e *netlink.ConntrackFlow) (policy.Flow, bool) {
	src, ok := netip.AddrFromSlice(e.Forward.SrcIP)
	dst, ok2 := netip.AddrFromSlice(e.Forward.DstIP)
	f := policy.Flow{Src: src.Unmap(), Dst: dst.Unmap(), Proto: e.Forward.Protocol}
	if f.Proto == policy.TCP || f.Proto == policy.UDP {
		f.Port = e.Forward.DstPort
	}
	return f, ok && ok2
}

// ends reports whether a flow whose answers come from back has lost its right.
func (l lost) ends(f policy.Flow, back netip.Addr) bool {
	if l.old == nil {
		return !l.now.Decide(f).Allow && (l.now.Tunnelled(f.Src) || l.now.Tunnelled(f.Dst))
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
