package main

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"time"

	"pic/api/client"
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
				rows = append(rows, []string{"lease", "until " + moment(l.Until) + ", renewed " + moment(l.Renew)})
			}
			for _, d := range w.Prefixes {
				rows = append(rows, []string{"delegated", d.Prefix.String() + " until " + moment(d.Until)})
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

func moment(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

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
