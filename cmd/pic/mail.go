package main

import (
	"context"
	"flag"
	"fmt"
	"strings"

	"pic/api/client"
	"pic/api/wire"
)

var mailCommand = command{name: "mail", words: []command{
	{
		name: "queue", short: "List mail that waits to be sent to other places",
		run: func(p *program, _ *flag.FlagSet) action {
			return p.remote(func(ctx context.Context, cell *client.Client, _ []string) error {
				all, err := cell.MailQueue(ctx)
				switch {
				case err != nil:
					return err
				case p.json:
					return p.printJSON(all)
				}
				var rows [][]string
				for _, m := range all {
					for _, r := range m.Recipients {
						next := r.Next.Local().Format("2006-01-02 15:04")
						switch {
						case r.State != "waiting":
							next = r.State
						case m.Held:
							next = "held"
						}
						rows = append(rows, []string{m.ID, m.From, r.Address, next, fmt.Sprint(r.Attempts), r.Why})
					}
				}
				p.table("ID FROM TO NEXT TRIES WHY", rows)
				return nil
			})
		},
	},
	moveMail("retry", "Try to send a message now", "it is being tried"),
	moveMail("hold", "Keep a message until it is retried", "it is held"),
	{
		name: "drop", args: "ID", short: "Remove a message that waits; its sender is not told",
		run: func(p *program, _ *flag.FlagSet) action {
			return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
				if err := cell.DropMail(ctx, args[0]); err != nil {
					return err
				}
				return p.done("it is gone")
			}, "ID")
		},
	},
	{
		name: "domain", short: "Compare what DNS says of the mail domains with what it should",
		run: func(p *program, _ *flag.FlagSet) action {
			return p.remote(func(ctx context.Context, cell *client.Client, _ []string) error {
				all, err := cell.MailDomains(ctx)
				switch {
				case err != nil:
					return err
				case p.json:
					return p.printJSON(all)
				}
				for _, d := range all {
					fmt.Fprintln(p.out, d.Domain)
					if d.Local {
						fmt.Fprintln(p.out, "  exists at home only: nobody outside can send to it")
					}
					for _, r := range d.Records {
						fmt.Fprintf(p.out, "  %-8s %-6s %s\n", r.State, r.Kind, r.Name)
						if r.State != "good" {
							fmt.Fprintf(p.out, "      publish %s %q, or %s\n", r.Type, r.Want, r.Why)
						}
						if r.State == "wrong" {
							fmt.Fprintf(p.out, "      there is %q\n", strings.Join(r.Found, `", "`))
						}
					}
				}
				return nil
			})
		},
	},
	{name: "dkim", words: []command{
		{
			name: "new", args: "DOMAIN", short: "Make new keys that sign mail of a domain",
			run: func(p *program, fs *flag.FlagSet) action {
				var e editing
				e.dry(fs)
				return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
					out, err := cell.NewMailKeys(ctx, args[0], e.Edit)
					if err != nil {
						return err
					}
					return p.changed(out)
				}, "DOMAIN")
			},
		},
		{
			name: "rm", args: "DOMAIN SELECTOR", short: "Remove a key that signs mail",
			run: func(p *program, fs *flag.FlagSet) action {
				var e editing
				e.dry(fs)
				return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
					out, err := cell.RemoveMailKey(ctx, args[0], args[1], e.Edit)
					if err != nil {
						return err
					}
					return p.changed(out)
				}, "DOMAIN", "SELECTOR")
			},
		},
	}},
	{name: "smarthost", words: []command{
		{
			name: "set", args: "HOST", short: "Send mail to other places through a provider's server",
			run: func(p *program, fs *flag.FlagSet) action {
				var e editing
				e.dry(fs)
				port := fs.Uint("port", 465, "465, or 587 with STARTTLS")
				user := fs.String("user", "", "`name` of the account there")
				file := fs.String("password-file", "", "`file` whose first line is its password; - reads standard input")
				return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
					s := wire.NewSmarthost{Host: args[0], Port: uint16(min(*port, 65535)), User: *user}
					if *file != "" {
						pw, err := p.passwordFrom(*file)
						if err != nil {
							return err
						}
						s.Password = pw
					}
					out, err := cell.SetSmarthost(ctx, s, e.Edit)
					if err != nil {
						return err
					}
					return p.changed(out)
				}, "HOST")
			},
		},
		{
			name: "rm", short: "Bring mail to other places without a provider",
			run: func(p *program, fs *flag.FlagSet) action {
				var e editing
				e.dry(fs)
				return p.remote(func(ctx context.Context, cell *client.Client, _ []string) error {
					out, err := cell.RemoveSmarthost(ctx, e.Edit)
					if err != nil {
						return err
					}
					return p.changed(out)
				})
			},
		},
	}},
}}

func moveMail(what, short, done string) command {
	return command{
		name: what, args: "ID", short: short,
		run: func(p *program, _ *flag.FlagSet) action {
			return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
				if err := cell.MoveMail(ctx, args[0], what); err != nil {
					return err
				}
				return p.done(done)
			}, "ID")
		},
	}
}
