package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"pic/api/client"
	"pic/api/wire"
	"pic/core/service"
)

var statusCommand = command{
	name: "status", short: "Show the state of the cell and of every service",
	more: "The exit code is 1 when something that is switched on does not run.",
	run: func(p *program, _ *flag.FlagSet) action {
		return p.remote(func(ctx context.Context, cell *client.Client, _ []string) error {
			h, err := cell.Status(ctx)
			if err != nil {
				return err
			}
			if p.json {
				err = p.printJSON(h)
			} else {
				p.printStatus(h)
			}
			if err == nil && !h.OK {
				return errSaid
			}
			return err
		})
	},
}

// A quietError only sets the exit code: everything has been said.
type quietError struct{ code int }

var (
	errSaid    = &quietError{exitFailed}
	errInvalid = &quietError{exitRefused}
)

func (*quietError) Error() string { return "" }

func (p *program) printStatus(h wire.Health) {
	fmt.Fprintf(p.out, "%s (%s), %s, pic %s, revision %d, up %s\n", h.Cell.Name, h.Cell.Domain, h.Cell.Mode,
		h.Version, h.Revision, (time.Duration(h.UptimeSeconds) * time.Second).String())
	fmt.Fprintln(p.out, h.Sentence)
	if h.Pending != nil {
		fmt.Fprintf(p.out, "Revision %d is undone at %s unless you run: pic confirm\n", h.Pending.Revision, h.Pending.Deadline.Local().Format("15:04:05"))
	}
	var rows [][]string
	for _, s := range h.Services {
		rows = append(rows, []string{s.Name, string(s.State), ago(s.Since), fmt.Sprint(s.Restarts), facts(s.Facts)})
	}
	fmt.Fprintln(p.out)
	p.table("SERVICE STATE SINCE RESTARTS FACTS", rows)
	for _, x := range h.Problems {
		fmt.Fprintf(p.out, "\n%s: %s\n", x.Unit, x.Title)
		for _, line := range []string{x.Text, x.Fix} {
			if line != "" {
				fmt.Fprintln(p.out, "  "+line)
			}
		}
	}
}

// facts are as many of a service's facts as fit on a line; --json has all.
func facts(all []service.Fact) string {
	const room = 64
	line := ""
	for _, f := range all {
		next := f.Name + " " + f.Value
		if line != "" {
			next = line + ", " + next
		}
		if utf8.RuneCountInString(next) > room {
			break
		}
		line = next
	}
	return line
}

// ago says how long ago t was.
func ago(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	switch d := time.Since(t); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(max(d, 0)/time.Second))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d/time.Minute))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d/time.Hour))
	default:
		return fmt.Sprintf("%dd", int(d/(24*time.Hour)))
	}
}

var restartCommand = command{
	name: "restart", args: "SERVICE", short: "End a service and start it anew",
	run: func(p *program, _ *flag.FlagSet) action {
		return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
			s, err := cell.Restart(ctx, args[0])
			switch {
			case err != nil:
				return err
			case p.json:
				return p.printJSON(s)
			}
			fmt.Fprintln(p.out, s.Name, "restarts")
			return nil
		}, "SERVICE")
	},
}

var logsCommand = command{
	name: "logs", args: "[SERVICE]", short: "Show the log, of one service or of all",
	run: func(p *program, fs *flag.FlagSet) action {
		follow := fs.Bool("f", false, "go on until interrupted")
		q := client.LogQuery{}
		fs.IntVar(&q.Limit, "n", 100, "the last so `many` lines")
		fs.StringVar(&q.Level, "level", "", "this `level` and above: debug, info, warn, error")
		return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
			q.Unit = args[0]
			lines, err := cell.Logs(ctx, q)
			if err != nil {
				return err
			}
			var last int64
			for _, l := range lines {
				p.printLine(l)
				last = l.ID
			}
			if !*follow {
				return nil
			}
			return p.follow(ctx, cell, q, last)
		}, "[SERVICE]")
	},
}

func (p *program) follow(ctx context.Context, cell *client.Client, q client.LogQuery, last int64) error {
	since := ""
	if last != 0 {
		since = fmt.Sprintf("0-%d", last)
	}
	least := levels[strings.ToLower(q.Level)]
	err := cell.Follow(ctx, since, []string{"log"}, func(m client.Message) error {
		var l wire.Line
		if err := json.Unmarshal(m.Data, &l); err != nil {
			return fmt.Errorf("reading a log line: %w", err)
		}
		if (q.Unit == "" || l.Unit == q.Unit) && int(l.Level) >= least {
			p.printLine(l)
		}
		return nil
	})
	if ctx.Err() != nil {
		return nil // interrupted, as it should end
	}
	return err
}

// levels are those of log/slog; without a level all lines pass.
var levels = map[string]int{"": -100, "debug": -4, "info": 0, "warn": 4, "error": 8}

func (p *program) printLine(l wire.Line) {
	if p.json {
		line, _ := json.Marshal(l) // strings and numbers only
		fmt.Fprintln(p.out, string(line))
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %-5s", l.Time.Local().Format("2006-01-02 15:04:05"), l.Level)
	if l.Unit != "" {
		b.WriteString(" " + l.Unit + ":")
	}
	b.WriteString(" " + plain(l.Msg, ""))
	for _, k := range slices.Sorted(maps.Keys(l.Attrs)) {
		b.WriteString(" " + k + "=" + plain(l.Attrs[k], " \"="))
	}
	fmt.Fprintln(p.out, b.String())
}

// plain is s, quoted where it has one of odd or what a terminal would obey:
// strangers can bring their words into the log.
func plain(s, odd string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || strings.ContainsRune(odd, r) }) {
		return strconv.Quote(s)
	}
	return s
}
