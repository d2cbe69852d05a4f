package main

import (
	"context"
	"flag"
	"fmt"
	"strings"

	"pic/api/client"
	"pic/api/wire"
)

var wireguardCheck = command{
	name: "check", short: "Find out whether devices on the road find the cell",
	run: func(p *program, _ *flag.FlagSet) action {
		return p.remote(func(ctx context.Context, cell *client.Client, _ []string) error {
			steps, err := cell.Reach(ctx)
			switch {
			case err != nil:
				return err
			case p.json:
				return p.printJSON(steps)
			}
			for _, s := range steps {
				fmt.Fprintf(p.out, "%-8s %-8s %s\n", s.Name, s.Outcome, s.Text)
				if s.Fix != "" {
					fmt.Fprintf(p.out, "%-8s %-8s %s\n", "", "", s.Fix)
				}
			}
			return nil
		})
	},
}

var edgeCommand = command{
	name: "edge", short: "Show ports that are open around the cell, and public names",
	run: func(p *program, _ *flag.FlagSet) action {
		return p.remote(func(ctx context.Context, cell *client.Client, _ []string) error {
			e, err := cell.Edge(ctx)
			switch {
			case err != nil:
				return err
			case p.json:
				return p.printJSON(e)
			}
			switch u := e.Upstream; {
			case u.Method != "":
				fmt.Fprintf(p.out, "the router upstream lets %s in, by %s, until %s\n", u.External, u.Method, u.Until.Local().Format("15:04"))
			case u.Error != "":
				fmt.Fprintln(p.out, u.Error)
			case u.Asked:
				fmt.Fprintln(p.out, "the router upstream is being asked for the VPN's port")
			default:
				fmt.Fprintln(p.out, "the router upstream is not asked for the VPN's port; `pic set wireguard.openPort true` has it asked")
			}
			var rows [][]string
			for _, m := range e.Mappings {
				rows = append(rows, []string{m.Protocol, fmt.Sprint(m.Port), m.To.String(), m.Until.Local().Format("2006-01-02 15:04")})
			}
			if rows != nil {
				p.table("PROTOCOL PORT DEVICE UNTIL", rows)
			}
			rows = nil
			for _, n := range e.Names {
				var at []string
				if n.Four.IsValid() {
					at = append(at, n.Four.String())
				}
				if n.Six.IsValid() {
					at = append(at, n.Six.String())
				}
				rows = append(rows, []string{n.Name, strings.Join(at, " "), ago(n.Updated), n.Error})
			}
			if rows != nil {
				p.table("NAME ADDRESS UPDATED TROUBLE", rows)
			}
			return nil
		})
	},
}

var wakeCommand = command{
	name: "wake", args: "NAME|MAC", short: "Wake a device of the LAN up",
	run: func(p *program, _ *flag.FlagSet) action {
		return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
			w := wire.Wake{Name: args[0]}
			if strings.Contains(args[0], ":") {
				w = wire.Wake{MAC: args[0]}
			}
			out, err := cell.Wake(ctx, w)
			if err != nil {
				return err
			}
			return p.done(out.MAC + " was called")
		}, "NAME|MAC")
	},
}
