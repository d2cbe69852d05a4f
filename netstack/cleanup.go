package netstack

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"pic/netstack/fw"
	"pic/netstack/shape"
	"pic/netstack/wgdev"
)

// Where exits have their rules and routing tables: exit n at these plus n.
const (
	exitTables = 51800
	exitRules  = 5180
	mostExits  = 16
)

// Cleanup takes from the host what a cell that is not there any more has left:
// its table of nftables, the interfaces of tunnel and exits, the rules and routes
// of exits, traffic shaping. It says what it took away. The cell must not run.
// Settings of the kernel such as ip_forward become what they were, as the file at
// record says (see [Server.Remember]), unless somebody else has set them since;
// what a router set is in the router's own record.
func Cleanup(tunnel, record string) ([]string, error) {
	var done []string
	var errs []error
	there, err := fw.Cleanup()
	errs = append(errs, err)
	if there {
		done = append(done, "table inet pic")
	}
	kernel := routing{path: record}
	put, err := kernel.back()
	done, errs = append(done, put...), append(errs, err)
	links, err := netlink.LinkList()
	errs = append(errs, err)
	for _, l := range links {
		name := l.Attrs().Name
		if !isOurs(l, tunnel) {
			continue
		}
		if err := netlink.LinkDel(l); err != nil && !errors.Is(err, unix.ENODEV) {
			errs = append(errs, fmt.Errorf("removing the interface %s: %w", name, err))
			continue
		}
		done = append(done, "interface "+name)
	}
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		if family == unix.AF_INET6 && !wgdev.HasIPv6() {
			continue
		}
		took, err := cleanRouting(family)
		done = append(done, took...)
		errs = append(errs, err)
	}
	errs = append(errs, shape.Cleanup())
	return done, errors.Join(errs...)
}

// isOurs reports whether an interface is a tunnel of ours, by its name and kind.
func isOurs(l netlink.Link, tunnel string) bool {
	name, kind := l.Attrs().Name, l.Type()
	if kind != "wireguard" && kind != "tun" && kind != "tuntap" {
		return false
	}
	n, exit := strings.CutPrefix(name, "pix")
	return name == tunnel || exit && n != "" && strings.Trim(n, "0123456789") == ""
}

func cleanRouting(family int) (done []string, err error) {
	rules, err := netlink.RuleList(family)
	if err != nil {
		return nil, fmt.Errorf("listing rules of routing: %w", err)
	}
	var errs []error
	for _, r := range rules {
		if r.Priority <= exitRules || r.Priority > exitRules+mostExits {
			continue
		}
		r.Family = family
		if err := netlink.RuleDel(&r); err != nil && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, fmt.Errorf("removing the rule %d: %w", r.Priority, err))
			continue
		}
		done = append(done, fmt.Sprintf("rule %d", r.Priority))
	}
	for n := exitTables + 1; n <= exitTables+mostExits; n++ {
		routes, err := netlink.RouteListFiltered(family, &netlink.Route{Table: n}, netlink.RT_FILTER_TABLE)
		if err != nil {
			errs = append(errs, fmt.Errorf("listing routes: %w", err))
			break
		}
		for _, r := range routes {
			if err := netlink.RouteDel(&r); err != nil && !errors.Is(err, unix.ESRCH) {
				errs = append(errs, fmt.Errorf("removing a route of table %d: %w", n, err))
				continue
			}
			if text := fmt.Sprintf("routing table %d", n); !slices.Contains(done, text) {
				done = append(done, text)
			}
		}
	}
	return done, errors.Join(errs...)
}
