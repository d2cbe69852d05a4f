package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"pic/cell"
	"pic/core/config"
)

var setupCommand = command{
	name: "setup", short: "Make a cell: write the first revision and the first administrator",
	more: "Without --name, --admin and --password-file it asks for them on the terminal.",
	run: func(p *program, fs *flag.FlagSet) action {
		q := setupQuestions{}
		fs.StringVar(&q.name, "name", "", "the cell's `name`, one DNS label such as oak")
		fs.StringVar(&q.domain, "domain", "", "its `domain`; default: <name>.home.arpa")
		fs.StringVar(&q.admin, "admin", "", "`login` of the first administrator")
		fs.StringVar(&q.display, "display", "", "the `name` of the administrator that others see")
		fs.StringVar(&q.file, "password-file", "", "`file` whose first line is the password; - reads standard input")
		fs.StringVar(&q.listen, "listen", "", "`addresses` to serve on, with commas; default: all, in a trial 127.0.0.1")
		fs.BoolVar(&q.trial, "trial", false, "a trial: no privileges, high ports, loopback only")
		return func(ctx context.Context, args []string) error {
			if _, err := arguments(args, nil); err != nil {
				return err
			}
			o, err := p.answers(q)
			if err != nil {
				return err
			}
			return p.setup(ctx, o)
		}
	},
}

type setupQuestions struct {
	name, domain, admin, display, file, listen string
	trial                                      bool
}

// answers asks for what the flags did not say.
func (p *program) answers(q setupQuestions) (cell.SetupOptions, error) {
	o := cell.SetupOptions{Name: q.name, Domain: q.domain, Admin: q.admin, Display: q.display, Mode: config.Appliance}
	if q.trial {
		o.Mode = config.Trial
	}
	for _, s := range words(q.listen) {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return o, usage("--listen: %v", err)
		}
		o.Listen = append(o.Listen, a)
	}
	if !p.interactive() {
		var lacking []string
		for _, f := range [][2]string{{"--name", q.name}, {"--admin", q.admin}, {"--password-file", q.file}} {
			if f[1] == "" {
				lacking = append(lacking, f[0])
			}
		}
		if lacking != nil {
			return o, usage("give %s; there is no terminal to ask on", strings.Join(lacking, ", "))
		}
	}
	in := bufio.NewReader(p.in)
	var err error
	if o.Name == "" {
		if o.Name, err = p.ask(in, "Name of the cell", hostLabel()); err != nil {
			return o, err
		}
		if o.Domain == "" {
			def := o.Name + ".home.arpa"
			if o.Domain, err = p.ask(in, "Domain", def); err != nil {
				return o, err
			}
			if o.Domain == def {
				o.Domain = "" // nobody chose it
			}
		}
	}
	if o.Admin == "" {
		if o.Admin, err = p.ask(in, "Login of the first administrator", ""); err != nil {
			return o, err
		}
	}
	o.Password, err = p.newPassword(q.file, "Password for "+o.Admin)
	return o, err
}

// hostLabel suggests the machine's name for the cell.
func hostLabel() string {
	name, err := os.Hostname()
	name, _, _ = strings.Cut(strings.ToLower(name), ".")
	if err != nil || !config.Label(name) || name == "localhost" {
		return "home"
	}
	return name
}

func (p *program) setup(ctx context.Context, o cell.SetupOptions) error {
	open := p.options()
	open.Log = slog.NewTextHandler(p.err, &slog.HandlerOptions{Level: slog.LevelWarn})
	if err := cell.Setup(ctx, open, o); err != nil {
		return err
	}
	if p.json {
		return p.printJSON(map[string]string{"data": p.data, "name": o.Name, "mode": string(o.Mode)})
	}
	fmt.Fprintf(p.out, "the cell %s is set up in %s; start it with: pic serve --data %s\n", o.Name, p.data, quoted(p.data))
	return nil
}

var checkCommand = command{
	name: "check", args: "[FILE]", short: "Check a document without a running cell",
	more: "FILE is a config.json or a data folder; default: the data folder. Every problem is printed; the exit code is 1 then.",
	run: func(p *program, _ *flag.FlagSet) action {
		return func(_ context.Context, args []string) error {
			args, err := arguments(args, []string{"[FILE]"})
			if err != nil {
				return err
			}
			return p.check(args[0])
		}
	},
}

func (p *program) check(path string) error {
	if path == "" {
		path = p.data
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, "config.json")
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s does not exist; name a config.json or a data folder", path)
	} else if err != nil {
		return err
	}
	d, err := config.Parse(data)
	if err == nil {
		err = config.Resolve(d, cell.Environment()).Validate()
	}
	if fields := config.FieldErrors(err); fields != nil {
		p.problems(path, fields)
		return errSaid
	} else if err != nil {
		return err
	}
	return p.done("configuration OK")
}

// problems prints what is wrong in the document at path.
func (p *program) problems(path string, fields []*config.FieldError) {
	for _, f := range fields {
		fmt.Fprintf(p.err, "pic: %s: %s\n", path, strings.TrimPrefix(f.Error(), ": "))
	}
}
