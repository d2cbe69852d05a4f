package main

import (
	"context"
	"flag"
	"fmt"
	"strings"

	"pic/api/client"
	"pic/api/wire"
	"pic/core/config"
)

var userCommand = command{name: "user", words: []command{
	{
		name: "ls", short: "List the people of the household",
		run: func(p *program, _ *flag.FlagSet) action {
			return p.remote(func(ctx context.Context, cell *client.Client, _ []string) error {
				all, err := cell.Users(ctx)
				switch {
				case err != nil:
					return err
				case p.json:
					return p.printJSON(all)
				}
				var rows [][]string
				for _, u := range all {
					state := "active"
					if u.Disabled {
						state = "disabled"
					}
					rows = append(rows, []string{u.Name, u.Display, string(u.Role), state, strings.Join(u.Groups, ","), strings.Join(u.Peers, ",")})
				}
				p.table("NAME DISPLAY ROLE STATE GROUPS PEERS", rows)
				return nil
			})
		},
	},
	{
		name: "add", args: "NAME", short: "Add a person",
		more: "The password is asked for on the terminal unless --password-file names a file with it.",
		run: func(p *program, fs *flag.FlagSet) action {
			var e editing
			e.dry(fs)
			u := wire.NewUser{}
			fs.StringVar(&u.Display, "display", "", "the `name` that others see")
			role := fs.String("role", "", "admin, viewer or user; default: user")
			groups := fs.String("groups", "", "`names` of groups, with commas")
			file := fs.String("password-file", "", "`file` whose first line is the password; - reads standard input")
			return p.remote(func(ctx context.Context, cell *client.Client, args []string) (err error) {
				u.Name, u.Role, u.Groups = args[0], config.Role(*role), words(*groups)
				if u.Password, err = p.newPassword(*file, "Password for "+u.Name); err != nil {
					return err
				}
				out, err := cell.AddUser(ctx, u, e.Edit)
				if err != nil {
					return err
				}
				return p.changed(out.Outcome)
			}, "NAME")
		},
	},
	{
		name: "set", args: "NAME", short: "Change a person",
		run: func(p *program, fs *flag.FlagSet) action {
			var e editing
			e.dry(fs)
			display := fs.String("display", "", "the `name` that others see")
			role := fs.String("role", "", "admin, viewer or user")
			groups := fs.String("groups", "", "`names` of groups, with commas")
			disabled := fs.Bool("disabled", false, "may not sign in; --disabled=false lets them again")
			return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
				u := wire.UserEdit{}
				fs.Visit(func(f *flag.Flag) {
					switch f.Name {
					case "display":
						u.Display = display
					case "role":
						u.Role = new(config.Role(*role))
					case "groups":
						u.Groups = new(words(*groups))
					case "disabled":
						u.Disabled = disabled
					}
				})
				out, err := cell.EditUser(ctx, args[0], u, e.Edit)
				if err != nil {
					return err
				}
				return p.changed(out.Outcome)
			}, "NAME")
		},
	},
	{
		name: "rm", args: "NAME", short: "Remove a person and their devices",
		more: "Mail and files stay in the data folder. --dry-run shows what goes.",
		run: func(p *program, fs *flag.FlagSet) action {
			var e editing
			e.dry(fs)
			return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
				out, err := cell.RemoveUser(ctx, args[0], e.Edit)
				if err != nil {
					return err
				}
				return p.changed(out)
			}, "NAME")
		},
	},
	{
		name: "passwd", args: "NAME", short: "Set a password",
		run: func(p *program, fs *flag.FlagSet) action {
			file := fs.String("password-file", "", "`file` whose first line is the password; - reads standard input")
			return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
				pw, err := p.newPassword(*file, "New password for "+args[0])
				if err != nil {
					return err
				}
				if err := cell.SetPassword(ctx, args[0], wire.NewPassword{Password: pw}); err != nil {
					return err
				}
				return p.done("the password of " + args[0] + " is set")
			}, "NAME")
		},
	},
}}

// words splits a list with commas, without empty elements.
func words(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

// done says that something without a result worked.
func (p *program) done(text string) error {
	if p.json {
		return p.printJSON(map[string]bool{"ok": true})
	}
	fmt.Fprintln(p.out, text)
	return nil
}

var tokenCommand = command{name: "token", words: []command{
	{
		name: "ls", short: "List the API tokens",
		run: func(p *program, _ *flag.FlagSet) action {
			return p.remote(func(ctx context.Context, cell *client.Client, _ []string) error {
				all, err := cell.Tokens(ctx)
				switch {
				case err != nil:
					return err
				case p.json:
					return p.printJSON(all)
				}
				var rows [][]string
				for _, t := range all {
					rows = append(rows, []string{t.ID, t.User, string(t.Role), t.Label, ago(t.Created), ago(t.Used)})
				}
				p.table("ID USER ROLE LABEL CREATED USED", rows)
				return nil
			})
		},
	},
	{
		name: "create", args: "LABEL", short: "Make an API token and print it, this once",
		run: func(p *program, fs *flag.FlagSet) action {
			t := wire.NewToken{}
			fs.StringVar(&t.User, "user", "", "the `user` that it acts for; default: the only administrator")
			role := fs.String("role", "", "admin, viewer or user; default: that of the user")
			return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
				t.Label, t.Role = args[0], config.Role(*role)
				out, err := cell.CreateToken(ctx, t)
				switch {
				case err != nil:
					return err
				case p.json:
					return p.printJSON(out)
				}
				fmt.Fprintln(p.out, out.Secret)
				return nil
			}, "LABEL")
		},
	},
	{
		name: "rm", args: "ID", short: "Make an API token worthless",
		run: func(p *program, _ *flag.FlagSet) action {
			return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
				if err := cell.DeleteToken(ctx, args[0]); err != nil {
					return err
				}
				return p.done("token " + args[0] + " is deleted")
			}, "ID")
		},
	},
}}
