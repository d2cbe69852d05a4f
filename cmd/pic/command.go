package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
)

// A command is one word of the command line: a leaf with run, or a group with
// words below.
type command struct {
	name  string
	args  string // what follows, for the usage line
	short string // one line
	more  string // further help
	words []command
	// run gets the flag set to add its flags to and returns what to do with
	// the arguments left over.
	run func(*program, *flag.FlagSet) action
}

// An action runs a command with its arguments.
type action func(ctx context.Context, args []string) error

// A program is one run of pic.
type program struct {
	in      *os.File
	out     io.Writer
	err     io.Writer
	env     func(string) string
	release func() // gives signals their usual effect back

	data  string
	url   string
	token string // file
	json  bool
}

func (p *program) commands() []command {
	return []command{
		serveCommand, setupCommand, checkCommand,
		statusCommand, restartCommand, logsCommand,
		getCommand, setCommand, unsetCommand,
		historyCommand, diffCommand, rollbackCommand, confirmCommand, revertCommand,
		userCommand, tokenCommand, peerCommand, groupCommand, wireguardCommand, explainCommand, dnsCommand, leaseCommand, routeCommand, routerCommand, trafficCommand, edgeCommand, exitCommand, mailCommand, wakeCommand, firewallCommand, certCommand, caCommand,
		openapiCommand, cleanupCommand, versionCommand,
	}
}

// globals adds the flags that stand anywhere on the line.
func (p *program) globals(fs *flag.FlagSet) {
	fs.StringVar(&p.data, "data", p.data, "the cell's data `folder`; default: $PIC_DATA or /var/lib/pic")
	fs.StringVar(&p.url, "url", p.url, "talk to the cell at this `address` instead of its socket, such as http://127.0.0.1:3000")
	fs.StringVar(&p.token, "token-file", p.token, "`file` with the API token for --url; default: $PIC_TOKEN holds it")
	fs.BoolVar(&p.json, "json", p.json, "print JSON")
}

func (p *program) run(ctx context.Context, args []string) int {
	if p.data = p.env("PIC_DATA"); p.data == "" {
		p.data = "/var/lib/pic"
	}
	return p.report(p.dispatch(ctx, "pic", p.commands(), args))
}

// dispatch finds the command that args name and runs it.
func (p *program) dispatch(ctx context.Context, path string, words []command, args []string) error {
	fs := newFlags(path)
	p.globals(fs)
	if err := fs.Parse(args); err != nil {
		return p.parsed(err, func() { p.overview(path, words) })
	}
	args = fs.Args()
	if len(args) == 0 {
		p.overview(path, words)
		return usage("say what to do: %s …", path)
	}
	if args[0] == "help" && path == "pic" {
		return p.help(ctx, args[1:])
	}
	for _, c := range words {
		if c.name != args[0] {
			continue
		}
		path += " " + c.name
		if c.words != nil {
			return p.dispatch(ctx, path, c.words, args[1:])
		}
		return p.leaf(ctx, path, c, args[1:])
	}
	return usage("there is no command %q; see %s help", args[0], "pic")
}

func (p *program) leaf(ctx context.Context, path string, c command, args []string) error {
	fs := newFlags(path)
	do := c.run(p, fs)
	own := map[string]bool{}
	fs.VisitAll(func(f *flag.Flag) { own[f.Name] = true })
	p.globals(fs)
	rest, err := interleaved(fs, args)
	if err != nil {
		return p.parsed(err, func() { p.describe(path, c, fs, own) })
	}
	return do(ctx, rest)
}

// interleaved parses flags before, between and after arguments. What follows --
// is arguments only.
func interleaved(fs *flag.FlagSet, args []string) ([]string, error) {
	var rest []string
	for {
		if err := fs.Parse(args); err != nil {
			return nil, err
		}
		left := fs.Args()
		taken := len(args) - len(left)
		if len(left) == 0 || taken > 0 && args[taken-1] == "--" {
			return append(rest, left...), nil
		}
		rest = append(rest, left[0])
		args = left[1:]
	}
}

func newFlags(name string) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	return fs
}

// parsed turns what flag says into help or a usage error.
func (p *program) parsed(err error, help func()) error {
	if errors.Is(err, flag.ErrHelp) {
		help()
		return nil
	}
	return usage("%v", err)
}

func (p *program) help(ctx context.Context, words []string) error {
	if len(words) == 0 {
		p.overview("pic", p.commands())
		return nil
	}
	return p.dispatch(ctx, "pic", p.commands(), append(words, "-h"))
}

func (p *program) overview(path string, words []command) {
	fmt.Fprintf(p.out, "usage: %s COMMAND …\n\n", path)
	w := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	listAll(w, "", words)
	w.Flush()
	fs := newFlags(path)
	p.globals(fs)
	fmt.Fprintf(p.out, "\nEverywhere:\n")
	p.flags(fs, func(string) bool { return true })
}

// listAll writes a line for each command, those of groups too.
func listAll(w io.Writer, group string, words []command) {
	for _, c := range words {
		name := strings.TrimSpace(group + " " + c.name)
		if c.words != nil {
			listAll(w, name, c.words)
			continue
		}
		fmt.Fprintf(w, "  %s\t%s\n", strings.TrimSpace(name+" "+c.args), c.short)
	}
}

func (p *program) describe(path string, c command, fs *flag.FlagSet, own map[string]bool) {
	fmt.Fprintf(p.out, "usage: %s\n\n%s.\n", strings.TrimSpace(path+" "+c.args), c.short)
	if c.more != "" {
		fmt.Fprintf(p.out, "\n%s\n", c.more)
	}
	if len(own) > 0 {
		fmt.Fprintln(p.out)
		p.flags(fs, func(name string) bool { return own[name] })
	}
	fmt.Fprintf(p.out, "\nEverywhere:\n")
	p.flags(fs, func(name string) bool { return !own[name] })
}

func (p *program) flags(fs *flag.FlagSet, which func(string) bool) {
	w := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	fs.VisitAll(func(f *flag.Flag) {
		if which(f.Name) {
			arg, text := flag.UnquoteUsage(f)
			dashes := "--"
			if len(f.Name) == 1 {
				dashes = "-"
			}
			fmt.Fprintf(w, "  %s%s\t%s\n", dashes, strings.TrimSpace(f.Name+" "+arg), text)
		}
	})
	w.Flush()
}
