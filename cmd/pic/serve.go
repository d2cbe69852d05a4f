package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/coreos/go-systemd/v22/daemon"

	"pic/cell"
	"pic/core/config"
	"pic/internal/memory"
)

var serveCommand = command{
	name: "serve", short: "Run the cell until it is told to stop",
	more: "A folder that is not set up yet gets the first-run wizard: its address and one-time token are printed.",
	run: func(p *program, fs *flag.FlagSet) action {
		trial := fs.Bool("trial", false, "make the wizard suggest a trial: no privileges, high ports, loopback only")
		level := fs.String("log", "info", "print log lines of this `level` and above: debug, info, warn, error")
		return func(ctx context.Context, args []string) error {
			if _, err := arguments(args, nil); err != nil {
				return err
			}
			o := p.options()
			o.Trial = *trial
			h, err := p.logger(*level)
			if err != nil {
				return err
			}
			o.Log = h
			return p.serve(ctx, o)
		}
	},
}

// options are what all commands that open the data folder say of themselves.
func (p *program) options() cell.Options {
	o := cell.Options{Dir: p.data, Env: cell.Environment(), Look: cell.Environment}
	o.Version.Version, o.Version.Commit = version, built()
	return o
}

func (p *program) logger(level string) (slog.Handler, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, usage("--log: %q is not debug, info, warn or error", level)
	}
	o := &slog.HandlerOptions{Level: l}
	if p.json {
		return slog.NewJSONHandler(p.err, o), nil
	}
	if p.env("JOURNAL_STREAM") != "" { // the journal has the time
		o.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}
	}
	return slog.NewTextHandler(p.err, o), nil
}

func (p *program) serve(ctx context.Context, o cell.Options) error {
	p.restrain(memory.Limit())
	log := slog.New(o.Log)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var c *cell.Cell
	o.Ready = func() {
		notify(log, daemon.SdNotifyReady)
		if token := c.SetupToken(); token != "" {
			p.welcome(c.URL(), token, o.Trial)
			return
		}
		fmt.Fprintf(p.out, "The cell runs. Its page is %s\n", c.URL())
	}
	c, err := cell.Open(ctx, o)
	if err != nil {
		return err
	}
	// A terminal that goes away must not take the household's DNS with it.
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	go func() {
		for {
			select {
			case <-hup:
				log.Info("SIGHUP needs no action: changes come into force by themselves")
			case <-ctx.Done():
				p.release() // from now on a second signal kills
				notify(log, daemon.SdNotifyStopping)
				return
			}
		}
	}()
	err = c.Run(ctx)
	if fields := config.FieldErrors(err); fields != nil {
		document := filepath.Join(p.data, "config.json")
		p.problems(document, fields)
		fmt.Fprintf(p.err, "pic: correct it until pic check --data %s finds nothing, or put it back from a backup; "+
			"the last file of %s has it under \"document\"\n", quoted(p.data), quoted(filepath.Join(p.data, "revisions")))
		return errInvalid
	}
	return err
}

// welcome tells the owner how to set the cell up.
func (p *program) welcome(url, token string, trial bool) {
	fmt.Fprintf(p.out, "This cell is not set up yet. Open %s and give this token, which works once:\n\n    %s\n\n", url, token)
	setup := "pic setup"
	if trial {
		setup += " --trial"
	}
	fmt.Fprintf(p.out, "Or stop it and run: %s --data %s\n", setup, quoted(p.data))
}

// quoted makes s one word of a shell line.
func quoted(s string) string {
	if s != "" && !strings.ContainsAny(s, " \t\n'\"\\$&|;<>()*?[]#~`!{}") {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// notify tells systemd, where it started us.
func notify(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("systemd was not told", "err", err)
	}
}
