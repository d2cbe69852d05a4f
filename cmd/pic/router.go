package main

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"time"

	"pic/api/client"
	"pic/api/wire"
)

var routerCommand = command{
	name: "router", short: "Show the line to the provider and the LAN, where the cell is the router",
	run: func(p *program, _ *flag.FlagSet) action {
		return p.remote(func(ctx context.Context, cell *client.Client, _ []string) error {
			r, err := cell.Router(ctx)
			switch {
			case err != nil:
				return err
			case p.json:
				return p.printJSON(r)
			case !r.Enabled:
				return p.done("the cell is a server on the LAN, not its router (network.router)")
			}
			w := r.WAN
			carries := "yes"
			if !w.Plugged {
				carries = "no, the cable is out"
			}
			rows := [][]string{
				{"WAN", w.Interface + " by " + w.Method},
				{"plugged in", carries},
				{"state", plain(w.State, "static")},
				{"address", known(w.Address)},
				{"gateway", known(w.Gateway)},
				{"name servers", joined(w.DNS)},
				{"IPv6 addresses", joined(w.Addresses6)},
				{"IPv6 gateway", known(w.Gateway6)},
			}
			if l := w.Lease; l != nil {
				rows = append(rows, []string{"lease", "until " + clock(l.Until) + ", renewed " + clock(l.Renew)})
			}
			for _, d := range w.Prefixes {
				rows = append(rows, []string{"delegated", d.Prefix.String() + " until " + clock(d.Until)})
			}
			rows = append(rows, []string{"LAN", r.LAN.Interface + " " + joined(r.LAN.Addresses)})
			if len(r.LAN.Bridge) > 0 {
				rows = append(rows, []string{"bridge of", strings.Join(r.LAN.Bridge, " ")})
			}
			if s := r.Shaping; s != nil {
				rows = append(rows, []string{"shaping", fmt.Sprintf("%s up, %s down, %s", rateOr(s.Up), rateOr(s.Down), s.Queue)})
			}
			p.table("WHAT VALUE", rows)
			return nil
		})
	},
}

func clock(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

// known is a value that may be none.
func known(v interface {
	IsValid() bool
	String() string
},
) string {
	if !v.IsValid() {
		return "none"
	}
	return v.String()
}

func rateOr(kbit int) string {
	if kbit == 0 {
		return "open"
	}
	return fmt.Sprintf("%d kbit/s", kbit)
}

func joined[S fmt.Stringer](all []S) string {
	if len(all) == 0 {
		return "none"
	}
	var out []string
	for _, s := range all {
		out = append(out, s.String())
	}
	return strings.Join(out, " ")
}

// packets prints where the host's packets go. Tables without rows are left out.
func (p *program) packets(all wire.Routing) {
	table := func(head string, rows [][]string) {
		if len(rows) > 0 {
			fmt.Fprintln(p.out)
			p.table(head, rows)
		}
	}
	var rows [][]string
	for _, r := range all.Kernel {
		to, by := r.To.String(), r.Interface
		if r.To.Bits() == 0 {
			to = "default"
			if r.To.Addr().Is6() {
				to = "default6"
			}
		}
		if r.Unreachable {
			by = "unreachable"
		}
		rows = append(rows, []string{to, known(r.Via), by, fmt.Sprint(r.Metric), tableName(r.Table), r.Origin})
	}
	table("TO VIA BY METRIC TABLE ORIGIN", rows)
	rows = nil
	for _, r := range all.Rules {
		rows = append(rows, []string{fmt.Sprint(r.Priority), known(r.From), known(r.To), r.Mark, r.Interface, tableName(r.Table)})
	}
	table("PRIORITY FROM TO MARK IN TABLE", rows)
	rows = nil
	for _, n := range all.NAT {
		rows = append(rows, []string{n})
	}
	table("NAT", rows)
	rows = nil
	for _, f := range all.Forwards {
		port := fmt.Sprint(f.Port)
		if f.Last != f.Port {
			port += fmt.Sprintf("-%d", f.Last)
		}
		state := "on"
		if f.Disabled {
			state = "off"
		}
		rows = append(rows, []string{f.Name, f.Protocol, port, f.To.String(), state})
	}
	table("FORWARD PROTOCOL PORT TO STATE", rows)
}

func tableName(n int) string {
	if n == 254 {
		return "main"
	}
	return fmt.Sprint(n)
}
