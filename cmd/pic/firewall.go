package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"strconv"
	"time"

	"pic/api/client"
	"pic/api/wire"
	"pic/cell"
)

var firewallCommand = command{name: "fw", words: []command{
	{
		name: "ls", short: "List the rules of the packet filter with what they have met",
		more: "Rules that have met nothing are left out unless --all is given. The whole table: nft list table inet pic.",
		run: func(p *program, fs *flag.FlagSet) action {
			all := fs.Bool("all", false, "also rules that have met nothing")
			return p.remote(func(ctx context.Context, cell *client.Client, _ []string) error {
				f, err := cell.Firewall(ctx)
				switch {
				case err != nil:
					return err
				case p.json:
					return p.printJSON(f)
				}
				p.firewall(f, *all)
				return nil
			})
		},
	},
	{
		name: "forwards", short: "List port forwards, and ports that devices opened for themselves",
		run: func(p *program, _ *flag.FlagSet) action {
			return p.remote(func(ctx context.Context, cell *client.Client, _ []string) error {
				f, err := cell.Firewall(ctx)
				switch {
				case err != nil:
					return err
				case p.json:
					return p.printJSON(map[string]any{"forwards": f.Forwards, "mappings": f.Mappings})
				}
				p.table("NAME PROTOCOL PORT TO FROM CONNECTIONS STATE", forwardRows(f))
				return nil
			})
		},
	},
	{
		name: "block", args: "ADDRESS|NETWORK", short: "Shut out an address or a network, in both directions",
		run: func(p *program, fs *flag.FlagSet) action {
			var e editing
			e.dry(fs)
			reason := fs.String("reason", "", "`why`")
			d := fs.Duration("for", 0, "how long, such as 2h; default: for good")
			return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
				if *d < 0 || *d%time.Minute != 0 {
					return usage("--for: give whole minutes, such as 90m")
				}
				out, err := cell.Block(ctx, wire.NewBlock{Net: args[0], Reason: *reason, Minutes: int(*d / time.Minute)}, e.Edit)
				if err != nil {
					return err
				}
				return p.changed(out)
			}, "ADDRESS")
		},
	},
	{
		name: "unblock", args: "ADDRESS|NETWORK", short: "Lift a block",
		run: func(p *program, fs *flag.FlagSet) action {
			var e editing
			e.dry(fs)
			return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
				out, err := cell.Unblock(ctx, args[0], e.Edit)
				if err != nil {
					return err
				}
				return p.changed(out)
			}, "ADDRESS")
		},
	},
	cleanupCommand,
}}

var cleanupCommand = command{
	name: "cleanup", short: "Take from the host what a cell that runs no more has left",
	more: "The table inet pic, interfaces, rules and routes of exits, addresses and routes that the router set. The cell must be stopped.",
	run: func(p *program, fs *flag.FlagSet) action {
		tunnel := fs.String("interface", "pic0", "the tunnel's `name`, as in wireguard.interface")
		return func(ctx context.Context, args []string) error {
			if _, err := arguments(args, nil); err != nil {
				return err
			}
			return p.cleanup(ctx, *tunnel)
		}
	},
}

func (p *program) cleanup(ctx context.Context, tunnel string) error {
	if c, err := net.Dial("unix", p.socket()); err == nil {
		c.Close()
		return fmt.Errorf("the cell in %s runs; stop it first (systemctl stop pic): what it sets on the host it also takes away", p.data)
	}
	done, err := cell.Cleanup(ctx, p.data, tunnel)
	for _, d := range done {
		fmt.Fprintln(p.out, "removed:", d)
	}
	if err != nil {
		return err
	}
	if len(done) == 0 {
		fmt.Fprintln(p.out, "nothing was left")
	}
	return nil
}

// firewall prints zones, rules and blocks.
func (p *program) firewall(f wire.Firewall, all bool) {
	if len(f.Rules) == 0 {
		fmt.Fprintln(p.out, "the cell filters nothing: it is a trial, or has neither a VPN nor a router's place")
		return
	}
	for _, z := range f.Zones {
		fmt.Fprintf(p.out, "%-5s %-10s may open: %s\n", z.Name, z.Interface, z.Connection)
	}
	fmt.Fprintln(p.out)
	var rows [][]string
	for _, r := range f.Rules {
		if all || r.Packets > 0 {
			rows = append(rows, []string{r.Chain, strconv.FormatUint(r.Packets, 10), strconv.FormatUint(r.Bytes, 10), r.Name, r.Text})
		}
	}
	p.table("CHAIN PACKETS BYTES NAME RULE", rows)
	if len(f.Blocked) > 0 {
		fmt.Fprintln(p.out)
		rows = nil
		for _, b := range f.Blocked {
			until := "for good"
			if !b.Until.IsZero() {
				until = b.Until.Local().Format("2006-01-02 15:04")
			}
			rows = append(rows, []string{b.Net.String(), until, b.Reason})
		}
		p.table("BLOCKED UNTIL REASON", rows)
	}
	for _, d := range f.Foreign {
		fmt.Fprintf(p.out, "\nAnother firewall: %s drops %s. Let it pass by:\n  %s\n", d.Chain, d.What, d.Fix)
	}
}

func forwardRows(f wire.Firewall) [][]string {
	var rows [][]string
	for _, w := range f.Forwards {
		port, state, from := strconv.Itoa(int(w.Port)), "on", "everybody"
		if w.Last > w.Port {
			port = fmt.Sprintf("%d-%d", w.Port, w.Last)
		}
		if w.Disabled {
			state = "off"
		}
		if len(w.From) > 0 {
			from = fmt.Sprint(w.From)
		}
		rows = append(rows, []string{
			w.Name, w.Protocol, port, net.JoinHostPort(w.To.String(), strconv.Itoa(int(w.ToPort))), from,
			strconv.FormatUint(w.Packets, 10), state,
		})
	}
	for _, m := range f.Mappings {
		rows = append(rows, []string{
			"(device)", m.Protocol, strconv.Itoa(int(m.Port)), m.To.String(), "everybody", "", "until " + m.Until.Local().Format("15:04:05"),
		})
	}
	return rows
}
