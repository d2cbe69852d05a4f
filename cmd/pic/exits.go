package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"pic/api/client"
	"pic/api/wire"
)

var exitCommand = command{name: "exit", words: []command{
	{
		name: "ls", short: "List the other ways to the internet",
		run: func(p *program, _ *flag.FlagSet) action {
			return p.remote(func(ctx context.Context, cell *client.Client, _ []string) error {
				all, err := cell.Exits(ctx)
				switch {
				case err != nil:
					return err
				case p.json:
					return p.printJSON(all)
				}
				var rows [][]string
				for _, e := range all {
					to, carries := e.Endpoint, []string{}
					if e.Link != "" {
						to = "cell " + e.Link
					}
					if e.IPv4 {
						carries = append(carries, "IPv4")
					}
					if e.IPv6 {
						carries = append(carries, "IPv6")
					}
					last := "never"
					if e.Handshake != nil {
						last = ago(*e.Handshake)
					}
					rows = append(rows, []string{
						e.Name, e.State, to, strings.Join(carries, ", "), last, size(e.Received), size(e.Sent), strings.Join(e.Peers, ", "),
					})
				}
				p.table("NAME STATE TO CARRIES HANDSHAKE RECEIVED SENT DEVICES", rows)
				for _, e := range all {
					if e.Trouble != "" {
						fmt.Fprintf(p.out, "%s: %s\n", e.Name, e.Trouble)
					}
				}
				return nil
			})
		},
	},
	{
		name: "add", args: "FILE", short: "Add the .conf of a WireGuard provider, or a linked cell with -link",
		run: func(p *program, fs *flag.FlagSet) action {
			var e editing
			e.dry(fs)
			name := fs.String("name", "", "`name` of the exit; default: that of the file")
			link := fs.String("link", "", "a linked `cell` in the place of a file")
			return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
				n := wire.NewExit{Name: *name, Link: *link}
				switch {
				case (args[0] == "") == (*link == ""):
					return errors.New("give the provider's .conf, or a linked cell with -link")
				case *link != "":
					if n.Name == "" {
						n.Name = *link
					}
				default:
					b, err := os.ReadFile(args[0])
					if err != nil {
						return err
					}
					n.Conf = string(b)
					if n.Name == "" {
						n.Name = strings.ToLower(strings.TrimSuffix(filepath.Base(args[0]), ".conf"))
					}
				}
				out, err := cell.AddExit(ctx, n, e.Edit)
				if err != nil {
					return err
				}
				return p.changed(out)
			}, "[FILE]")
		},
	},
	exitSwitch("on", "Use an exit again", false), exitSwitch("off", "Shut an exit: devices that use it are as if it were down", true),
	{
		name: "dns", args: "NAME ADDRESS,...", short: "Say which name servers are asked by an exit; none: no such list",
		run: func(p *program, fs *flag.FlagSet) action {
			var e editing
			e.dry(fs)
			return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
				list := []netip.Addr{}
				if args[1] != "none" {
					for _, s := range strings.Split(args[1], ",") {
						a, err := netip.ParseAddr(strings.TrimSpace(s))
						if err != nil {
							return fmt.Errorf("%q is not the address of a name server", s)
						}
						list = append(list, a)
					}
				}
				return p.exitEdited(ctx, cell, args[0], wire.ExitEdit{DNS: &list}, e)
			}, "NAME", "ADDRESS,...")
		},
	},
	{
		name: "rm", args: "NAME", short: "Remove an exit that no device uses",
		run: func(p *program, fs *flag.FlagSet) action {
			var e editing
			e.dry(fs)
			return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
				out, err := cell.RemoveExit(ctx, args[0], e.Edit)
				if err != nil {
					return err
				}
				return p.changed(out)
			}, "NAME")
		},
	},
	{
		name: "use", args: "DEVICE EXIT", short: "Have a device's internet go by an exit; none: by the cell's own line",
		run: func(p *program, fs *flag.FlagSet) action {
			var e editing
			e.dry(fs)
			fallback := fs.Bool("fallback", false, "may use the cell's own line while the exit is down; else it has no internet then")
			return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
				var edit wire.PeerEdit
				edit.Exit, edit.Fallback = &args[1], fallback
				out, err := cell.EditPeer(ctx, args[0], edit, e.Edit)
				if err != nil {
					return err
				}
				return p.changed(out.Outcome)
			}, "DEVICE", "EXIT")
		},
	},
}}

func exitSwitch(name, short string, disabled bool) command {
	return command{name: name, args: "NAME", short: short, run: func(p *program, fs *flag.FlagSet) action {
		var e editing
		e.dry(fs)
		return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
			return p.exitEdited(ctx, cell, args[0], wire.ExitEdit{Disabled: &disabled}, e)
		}, "NAME")
	}}
}

func (p *program) exitEdited(ctx context.Context, cell *client.Client, name string, n wire.ExitEdit, e editing) error {
	out, err := cell.EditExit(ctx, name, n, e.Edit)
	if err != nil {
		return err
	}
	return p.changed(out)
}
