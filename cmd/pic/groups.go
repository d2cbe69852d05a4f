package main

import (
	"context"
	"flag"
	"fmt"
	"strings"

	"pic/api/client"
	"pic/api/wire"
)

var groupCommand = command{name: "group", words: []command{
	{
		name: "ls", short: "List the groups of devices and what they may reach",
		run: func(p *program, _ *flag.FlagSet) action {
			return p.remote(func(ctx context.Context, cell *client.Client, _ []string) error {
				all, err := cell.Groups(ctx)
				switch {
				case err != nil:
					return err
				case p.json:
					return p.printJSON(all)
				}
				var rows [][]string
				for _, g := range all {
					var says []string
					for _, r := range g.Rights {
						says = append(says, r.Name+": "+r.Text)
					}
					rows = append(rows, []string{g.Name, strings.Join(g.Peers, ", "), strings.Join(says, "; ")})
				}
				p.table("NAME DEVICES RIGHTS", rows)
				return nil
			})
		},
	},
	{
		name: "add", args: "NAME", short: "Add a group; what it does not say is left to others and the defaults",
		run: func(p *program, fs *flag.FlagSet) action {
			var e editing
			e.dry(fs)
			var r rightFlags
			r.add(fs)
			return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
				out, err := cell.AddGroup(ctx, wire.NewGroup{Name: args[0], PeerRights: r.rights(fs)}, e.Edit)
				if err != nil {
					return err
				}
				return p.changed(out)
			}, "NAME")
		},
	},
	{
		name: "edit", args: "NAME", short: "Change a group: only what is said",
		run: func(p *program, fs *flag.FlagSet) action {
			var e editing
			e.dry(fs)
			var r rightFlags
			r.add(fs)
			name := fs.String("name", "", "another `name`")
			return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
				g := wire.GroupEdit{PeerRights: r.rights(fs)}
				if *name != "" {
					g.Name = name
				}
				out, err := cell.EditGroup(ctx, args[0], g, e.Edit)
				if err != nil {
					return err
				}
				return p.changed(out)
			}, "NAME")
		},
	},
	{
		name: "rm", args: "NAME", short: "Remove a group; its devices stay, with what they have themselves",
		run: func(p *program, fs *flag.FlagSet) action {
			var e editing
			e.dry(fs)
			return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
				out, err := cell.RemoveGroup(ctx, args[0], e.Edit)
				if err != nil {
					return err
				}
				return p.changed(out)
			}, "NAME")
		},
	},
}}

var wireguardCommand = command{name: "wireguard", words: []command{
	wireguardCheck,
	{
		name: "show", short: "Show the cell's end of the VPN",
		run: func(p *program, _ *flag.FlagSet) action {
			return p.remote(func(ctx context.Context, cell *client.Client, _ []string) error {
				w, err := cell.WireGuard(ctx)
				switch {
				case err != nil:
					return err
				case p.json:
					return p.printJSON(w)
				}
				state := "off"
				if w.Enabled {
					state = "on"
				}
				fmt.Fprintf(p.out, "state       %s\nbackend     %s %s\npublic key  %s\nport        %d\nendpoint    %s\nnetworks    %s %s\nMTU         %d\ndevices     %d\n",
					state, w.Backend, w.Interface, w.PublicKey, w.Port, w.Endpoint, w.Subnet, w.Subnet6, w.MTU, len(w.Peers))
				return nil
			})
		},
	},
	{
		name: "rotate", short: "Give the cell a new key; every device needs its file anew",
		more: "Without --yes it says what would happen and changes nothing. Also where the key was lost with the vault.",
		run: func(p *program, fs *flag.FlagSet) action {
			var e editing
			yes := fs.Bool("yes", false, "do it")
			return p.remote(func(ctx context.Context, cell *client.Client, _ []string) error {
				e.DryRun = !*yes
				out, err := cell.RotateCell(ctx, e.Edit)
				switch {
				case err != nil:
					return err
				case p.json:
					return p.printJSON(out)
				}
				fmt.Fprintln(p.out, out.Text)
				if !*yes {
					fmt.Fprintln(p.err, "pic: nothing was changed; give --yes to do it")
					return nil
				}
				fmt.Fprintln(p.out, "new public key:", out.PublicKey)
				return p.changed(out.Outcome)
			})
		},
	},
}}
