package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"strconv"
	"time"

	"pic/api/client"
	"pic/api/wire"
)

// editing are the flags of every command that changes the document.
type editing struct {
	client.Edit
	reason  string
	confirm time.Duration
}

func (e *editing) dry(fs *flag.FlagSet) {
	fs.BoolVar(&e.DryRun, "dry-run", false, "only say what would change")
	fs.Int64Var(&e.Base, "base", 0, "refuse if the document is not at this `revision` any more")
}

func (e *editing) full(fs *flag.FlagSet) {
	e.dry(fs)
	fs.StringVar(&e.reason, "reason", "", "`why`, for the history")
	fs.DurationVar(&e.confirm, "confirm", 0, "undo the change after this `time` unless pic confirm is run, such as 90s")
}

var getCommand = command{
	name: "get", args: "[PATH]", short: "Print a value of the document as JSON, or all of it",
	more: "Paths are those of the document: dns.upstreams, peers.laptop.split, dns.records.0.value.",
	run: func(p *program, fs *flag.FlagSet) action {
		resolved := fs.Bool("resolved", false, "with all defaults filled in")
		return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
			v, err := cell.Get(ctx, args[0], *resolved)
			if err != nil {
				return err
			}
			return p.printJSON(v)
		}, "[PATH]")
	},
}

var setCommand = command{
	name: "set", args: "PATH JSON", short: "Set a value of the document",
	more: `The value is JSON: pic set dns.upstreams '["9.9.9.9:53"]'. With - it is read from standard input.
A value that begins with a dash goes after --: pic set -- PATH -1.`,
	run: func(p *program, fs *flag.FlagSet) action {
		var e editing
		e.full(fs)
		return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
			value := []byte(args[1])
			if args[1] == "-" {
				var err error
				if value, err = readAll(p.in, 1<<20); err != nil {
					return err
				}
			}
			if !json.Valid(value) {
				return usage(`%s is not JSON; text needs quotes: pic set %s '"%s"'`, value, args[0], value)
			}
			out, err := cell.Set(ctx, wire.Put{
				Path: args[0], Value: value, Reason: e.reason, ConfirmSeconds: int(e.confirm / time.Second),
			}, e.Edit)
			if err != nil {
				return err
			}
			return p.changed(out)
		}, "PATH", "JSON")
	},
}

var unsetCommand = command{
	name: "unset", args: "PATH", short: "Return a value to its default, or remove an entry",
	run: func(p *program, fs *flag.FlagSet) action {
		var e editing
		e.full(fs)
		return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
			out, err := cell.Delete(ctx, args[0], e.reason, e.confirm, e.Edit)
			if err != nil {
				return err
			}
			return p.changed(out)
		}, "PATH")
	},
}

var historyCommand = command{
	name: "history", short: "List the revisions of the document, newest first",
	run: func(p *program, fs *flag.FlagSet) action {
		n := fs.Int("n", 20, "at most so `many`")
		return p.remote(func(ctx context.Context, cell *client.Client, _ []string) error {
			revs, err := cell.History(ctx, *n)
			if err != nil {
				return err
			}
			if p.json {
				return p.printJSON(revs)
			}
			var rows [][]string
			for _, r := range revs {
				what := r.Reason
				if what == "" {
					what = summary(r.Diff)
				}
				rows = append(rows, []string{
					strconv.FormatInt(r.Number, 10), r.Time.Local().Format("2006-01-02 15:04:05"), r.Actor, what,
				})
			}
			p.table("REVISION TIME ACTOR WHAT", rows)
			return nil
		})
	},
}

func summary(diff []wire.Difference) string {
	switch len(diff) {
	case 0:
		return ""
	case 1:
		return diff[0].Text
	}
	return fmt.Sprintf("%s, and %d more", diff[0].Text, len(diff)-1)
}

var diffCommand = command{
	name: "diff", args: "FROM [TO]", short: "Show what differs between two revisions",
	more: "Without TO it is compared with the present one.",
	run: func(p *program, _ *flag.FlagSet) action {
		return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
			if args[1] == "" {
				args[1] = "0" // the present one
			}
			from, err1 := strconv.ParseInt(args[0], 10, 64)
			to, err2 := strconv.ParseInt(args[1], 10, 64)
			if err1 != nil || err2 != nil {
				return usage("FROM and TO are revision numbers; see pic history")
			}
			d, err := cell.Diff(ctx, from, to)
			if err != nil {
				return err
			}
			if p.json {
				return p.printJSON(d)
			}
			for _, x := range d.Diff {
				fmt.Fprintln(p.out, x.Text)
			}
			return nil
		}, "FROM", "[TO]")
	},
}

var rollbackCommand = command{
	name: "rollback", args: "REVISION", short: "Bring back the document of an old revision",
	run: func(p *program, fs *flag.FlagSet) action {
		var e editing
		e.dry(fs)
		return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
			n, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil || n < 1 {
				return usage("%q is not a revision number; see pic history", args[0])
			}
			out, err := cell.Rollback(ctx, n, e.Edit)
			if err != nil {
				return err
			}
			return p.changed(out)
		}, "REVISION")
	},
}

var confirmCommand = settle("confirm", "Make the change final that waits for its confirmation", (*client.Client).Confirm)

var revertCommand = settle("revert", "Undo the change that waits for its confirmation", (*client.Client).Revert)

func settle(name, short string, do func(*client.Client, context.Context) (wire.Outcome, error)) command {
	return command{name: name, short: short, run: func(p *program, _ *flag.FlagSet) action {
		return p.remote(func(ctx context.Context, cell *client.Client, _ []string) error {
			out, err := do(cell, ctx)
			switch {
			case err != nil:
				return err
			case p.json:
				return p.printJSON(out)
			}
			fmt.Fprintf(p.out, "revision %d in force\n", out.Revision)
			return nil
		})
	}}
}
