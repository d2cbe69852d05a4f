package main

import (
	"context"
	"flag"
	"fmt"
	"strings"

	"pic/api/client"
)

var leaseCommand = command{name: "lease", words: []command{
	{
		name: "ls", short: "List the addresses that DHCP gave out",
		run: func(p *program, _ *flag.FlagSet) action {
			return p.remote(func(ctx context.Context, cell *client.Client, _ []string) error {
				all, err := cell.Leases(ctx)
				switch {
				case err != nil:
					return err
				case p.json:
					return p.printJSON(all)
				}
				var rows [][]string
				for _, l := range all {
					rows = append(rows, []string{l.Address.String(), l.MAC, l.Name, l.State, l.Expires.Local().Format("2006-01-02 15:04")})
				}
				p.table("ADDRESS MAC NAME STATE EXPIRES", rows)
				return nil
			})
		},
	},
	{
		name: "rm", args: "ADDRESS", short: "Forget a lease; the device asks anew",
		run: func(p *program, _ *flag.FlagSet) action {
			return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
				if err := cell.ReleaseLease(ctx, args[0]); err != nil {
					return err
				}
				return p.done("the lease of " + args[0] + " is gone")
			}, "ADDRESS")
		},
	},
}}

var routeCommand = command{name: "route", words: []command{
	{
		name: "ls", short: "List where requests and packets go: routes of the proxy and of the host, rules, NAT, port forwards",
		run: func(p *program, _ *flag.FlagSet) action {
			return p.remote(func(ctx context.Context, cell *client.Client, _ []string) error {
				all, err := cell.Routing(ctx)
				switch {
				case err != nil:
					return err
				case p.json:
					return p.printJSON(all)
				}
				var rows [][]string
				for _, r := range all.Routes {
					state := "ok"
					if !r.OK {
						state = plain(r.Error, "")
					}
					rows = append(rows, []string{r.Host, r.Upstream, string(r.Access), fmt.Sprint(r.Requests), state})
				}
				p.table("HOST UPSTREAM ACCESS REQUESTS STATE", rows)
				p.packets(all)
				return nil
			})
		},
	},
}}

var certCommand = command{name: "cert", words: []command{
	{
		name: "ls", short: "List the certificates that the cell issued",
		run: func(p *program, _ *flag.FlagSet) action {
			return p.remote(func(ctx context.Context, cell *client.Client, _ []string) error {
				v, err := cell.Vault(ctx)
				switch {
				case err != nil:
					return err
				case p.json:
					return p.printJSON(v.Certificates)
				}
				var rows [][]string
				for _, c := range v.Certificates {
					names := strings.Join(c.Names[:min(3, len(c.Names))], ", ")
					if more := len(c.Names) - 3; more > 0 {
						names += fmt.Sprintf(" and %d more", more)
					}
					rows = append(rows, []string{c.Serial, c.NotAfter.Local().Format("2006-01-02"), names})
				}
				p.table("SERIAL UNTIL NAMES", rows)
				return nil
			})
		},
	},
	{
		name: "issue", args: "NAME…", short: "Issue a certificate for names of the cell's domain; print it with its key",
		more: "The first file is the key: keep it secret. The cell keeps no copy.",
		run: func(p *program, _ *flag.FlagSet) action {
			return func(ctx context.Context, args []string) error {
				if len(args) == 0 {
					return usage("NAME is missing")
				}
				cell, err := p.cell()
				if err != nil {
					return err
				}
				out, err := cell.IssueCertificate(ctx, args)
				switch {
				case err != nil:
					return err
				case p.json:
					return p.printJSON(out)
				}
				fmt.Fprint(p.out, out.Key, out.Chain)
				return nil
			}
		},
	},
}}

var caCommand = command{name: "ca", words: []command{
	{
		name: "root", short: "Print the root certificate in PEM, for devices that shall trust the cell",
		run: func(p *program, _ *flag.FlagSet) action {
			return p.remote(func(ctx context.Context, cell *client.Client, _ []string) error {
				pem, err := cell.Root(ctx)
				switch {
				case err != nil:
					return err
				case p.json:
					return p.printJSON(map[string]string{"pem": string(pem)})
				}
				_, err = p.out.Write(pem)
				return err
			})
		},
	},
}}
