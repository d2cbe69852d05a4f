package exit

import (
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"pic/netstack/wgdev"
)

// Most is how many exits there may be, for their numbers have a place in the
// mark of packets.
const Most = 16

const (
	marks     = 0x00ff0000 // the bits of a mark that are ours
	firstRule = 5180       // priority of the rule of exit 0, which there is none of
	table0    = 51800      // its table
	// shut is the metric of the route that is left when all others are gone. It is
	// the last there is.
	shut uint32 = 4278198272
	// protocol marks our routes; the router has another.
	protocol = 113
)

// Mark is the mark of packets that go by the exit of that number.
func Mark(number int) uint32 { return uint32(number) << 16 }

// A path is where the packets of an exit go.
type path struct {
	number    int
	card      string // empty: nowhere
	four, six bool   // families that the exit carries
}

func families() []int {
	if wgdev.HasIPv6() {
		return []int{netlink.FAMILY_V4, netlink.FAMILY_V6}
	}
	return []int{netlink.FAMILY_V4}
}

// metric is a metric as the library has it, which may be negative where an int has
// 32 bits.
func metric(m uint32) int { return int(m) }

// lead makes tables and rules for the paths. Each table is shut before anything
// leads to it.
func lead(paths []path) error {
	var errs []error
	for _, f := range families() {
		errs = append(errs, leadFamily(f, paths, false))
	}
	return errors.Join(errs...)
}

// leadOnly is lead, and takes all other rules and tables of our numbers away, of
// whichever run of the cell they are.
func leadOnly(paths []path) error {
	var errs []error
	for _, f := range families() {
		errs = append(errs, leadFamily(f, paths, true))
	}
	return errors.Join(errs...)
}

// Remove takes away all rules and tables of exits.
func Remove() error { return leadOnly(nil) }

// ourRules lists the rules of routing that have our priorities.
func ourRules(family int) ([]netlink.Rule, error) {
	rules, err := netlink.RuleList(family)
	if err != nil {
		return nil, fmt.Errorf("reading the rules of routing: %w", err)
	}
	return slices.DeleteFunc(rules, func(r netlink.Rule) bool { return r.Priority <= firstRule || r.Priority > firstRule+Most }), nil
}

// leftovers reports whether there are rules of a former run.
func leftovers() bool {
	for _, f := range families() {
		if rules, err := ourRules(f); err != nil || len(rules) > 0 {
			return true
		}
	}
	return false
}

func leadFamily(family int, paths []path, only bool) error {
	rules, err := ourRules(family)
	if err != nil {
		return err
	}
	wanted := map[int]bool{}
	for _, p := range paths {
		wanted[p.number] = true
		if err := leadOne(family, p); err != nil {
			return err
		}
		want := ruleOf(family, p.number)
		if !slices.ContainsFunc(rules, func(r netlink.Rule) bool { return sameRule(r, *want) }) {
			if err := netlink.RuleAdd(want); err != nil && !errors.Is(err, unix.EEXIST) {
				return fmt.Errorf("rule of exit %d: %w", p.number, err)
			}
		}
	}
	if !only {
		return nil
	}
	for _, r := range rules {
		n := r.Priority - firstRule
		if wanted[n] && sameRule(r, *ruleOf(family, n)) {
			continue
		}
		r.Family = family
		if err := netlink.RuleDel(&r); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("old rule %d: %w", r.Priority, err)
		}
	}
	for n := 1; n <= Most; n++ {
		if !wanted[n] {
			if err := clearTable(family, n, func(netlink.Route) bool { return false }); err != nil {
				return err
			}
		}
	}
	return nil
}

func ruleOf(family, number int) *netlink.Rule {
	r := netlink.NewRule()
	mask := uint32(marks)
	r.Family, r.Priority, r.Table = family, firstRule+number, table0+number
	r.Mark, r.Mask = Mark(number), &mask
	return r
}

func sameRule(a, b netlink.Rule) bool {
	return a.Priority == b.Priority && a.Table == b.Table && a.Mark == b.Mark && a.Mask != nil && *a.Mask == *b.Mask &&
		a.Src == nil && a.Dst == nil && a.IifName == "" && a.OifName == "" && !a.Invert
}

// leadOne makes the table of one path.
func leadOne(family int, p path) error {
	wall := defaultRoute(family, p.number)
	wall.Type, wall.Priority = unix.RTN_UNREACHABLE, metric(shut)
	if err := netlink.RouteReplace(wall); err != nil {
		return fmt.Errorf("shutting the table of exit %d: %w", p.number, err)
	}
	way := defaultRoute(family, p.number)
	open := p.card != "" && (family == netlink.FAMILY_V4 && p.four || family == netlink.FAMILY_V6 && p.six)
	if open {
		link, err := netlink.LinkByName(p.card)
		if err != nil {
			open = false // the card is gone: shut is right
		} else {
			way.LinkIndex, way.Scope, way.Priority = link.Attrs().Index, netlink.SCOPE_LINK, 1
			if family == netlink.FAMILY_V6 {
				way.Scope = netlink.SCOPE_UNIVERSE
			}
		}
	}
	if open {
		if err := netlink.RouteReplace(way); err != nil {
			return fmt.Errorf("route by exit %d: %w", p.number, err)
		}
	}
	return clearTable(family, p.number, func(r netlink.Route) bool {
		return r.Type == unix.RTN_UNREACHABLE && r.Priority == metric(shut) || open && r.LinkIndex == way.LinkIndex && r.Priority == way.Priority
	})
}

func defaultRoute(family, number int) *netlink.Route {
	r := &netlink.Route{Family: family, Table: table0 + number, Protocol: protocol}
	if family == netlink.FAMILY_V6 {
		r.Dst = &net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}
	} else {
		r.Dst = &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}
	}
	return r
}

// clearTable removes the routes of an exit's table that are not to stay.
func clearTable(family, number int, stays func(netlink.Route) bool) error {
	list, err := netlink.RouteListFiltered(family, &netlink.Route{Table: table0 + number}, netlink.RT_FILTER_TABLE)
	if err != nil {
		if errors.Is(err, unix.ENOENT) {
			return nil // no such table
		}
		return fmt.Errorf("reading the table of exit %d: %w", number, err)
	}
	for _, r := range list {
		if stays(r) {
			continue
		}
		if err := netlink.RouteDel(&r); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("old route of exit %d: %w", number, err)
		}
	}
	return nil
}

// byMark picks the connections that go by an exit.
type byMark uint32

func (m byMark) MatchConntrackFlow(f *netlink.ConntrackFlow) bool { return f.Mark&marks == uint32(m) }

// forget ends the connections that went by an exit whose number is another's now.
func forget(number int) error {
	for _, family := range []netlink.InetFamily{unix.AF_INET, unix.AF_INET6} {
		_, err := netlink.ConntrackDeleteFilters(netlink.ConntrackTable, family, byMark(Mark(number)))
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("ending the connections by exit %d: %w", number, err)
		}
	}
	return nil
}
