package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"pic/api/client"
	"pic/api/wire"
	"pic/core/config"
)

// Exit codes. They are part of the interface.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitUnreachable = 3
	exitRefused     = 4
	exitConflict    = 5
)

type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usage(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// report says what went wrong and returns the exit code.
func (p *program) report(err error) int {
	var (
		wrong  *usageError
		answer *client.Error
		quiet  *quietError
	)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, context.Canceled):
		return exitFailed // by a signal; there is nothing to explain
	case errors.As(err, &quiet):
		return quiet.code
	case errors.As(err, &wrong):
		fmt.Fprintln(p.err, "pic:", err)
		return exitUsage
	case errors.Is(err, client.ErrUnreachable):
		fmt.Fprintln(p.err, "pic:", p.unreachable(err))
		return exitUnreachable
	case errors.As(err, &answer) && answer.Code == "signed-out":
		fmt.Fprintln(p.err, "pic: this cell wants an API token: make one there with pic token create, "+
			"and give it with --token-file or $PIC_TOKEN")
		return exitCode(answer)
	case errors.As(err, &answer):
		for line := range strings.Lines(answer.Error()) {
			fmt.Fprintln(p.err, "pic:", strings.TrimSuffix(line, "\n"))
		}
		return exitCode(answer)
	}
	if fields := config.FieldErrors(err); fields != nil {
		for _, f := range fields {
			fmt.Fprintln(p.err, "pic:", strings.TrimPrefix(f.Error(), ": "))
		}
		return exitRefused
	}
	fmt.Fprintln(p.err, "pic:", err)
	return exitFailed
}

func exitCode(e *client.Error) int {
	switch {
	case e.Status == http.StatusPreconditionFailed, e.Code == "pending", e.Code == "conflict":
		return exitConflict
	case e.Status >= 400 && e.Status < 500:
		return exitRefused
	}
	return exitFailed
}

// unreachable says why no cell answered and what to do.
func (p *program) unreachable(err error) string {
	if p.url != "" {
		return fmt.Sprintf("no cell answers at %s (%v); check the address and that the cell runs", p.url, err)
	}
	socket := p.socket()
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("you may not use %s; run pic as root (sudo) or as the user that the cell runs as", socket)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Sprintf("no cell runs in %s; start it with systemctl start pic or pic serve --data %s, or name another folder with --data", p.data, p.data)
	}
	return fmt.Sprintf("the cell at %s does not answer (%v); see systemctl status pic", socket, err)
}

func (p *program) socket() string { return filepath.Join(p.data, "run", "api.sock") }

// cell returns a client of the running cell.
func (p *program) cell() (*client.Client, error) {
	if p.url == "" {
		return client.Socket(p.socket()), nil
	}
	token := p.env("PIC_TOKEN")
	if p.token != "" {
		data, err := os.ReadFile(p.token)
		if err != nil {
			return nil, fmt.Errorf("reading the token: %w", err)
		}
		token = strings.TrimSpace(string(data))
	}
	return client.Remote(p.url, token), nil
}

// printJSON prints v, indented.
func (p *program) printJSON(v any) error {
	enc := json.NewEncoder(p.out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// table prints rows under a head, aligned.
func (p *program) table(head string, rows [][]string) {
	w := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(strings.Fields(head), "\t"))
	for _, r := range rows {
		for i := range r {
			if r[i] == "" {
				r[i] = "-"
			}
		}
		fmt.Fprintln(w, strings.Join(r, "\t"))
	}
	w.Flush()
}

// changed prints what an edit led to.
func (p *program) changed(o wire.Outcome) error {
	if p.json {
		return p.printJSON(o)
	}
	for _, d := range o.Diff {
		fmt.Fprintln(p.out, d.Text)
	}
	switch {
	case o.DryRun && len(o.Diff) == 0, len(o.Diff) == 0:
		fmt.Fprintln(p.out, "nothing to change")
	case o.DryRun:
		fmt.Fprintln(p.out, "dry run: nothing was changed")
	default:
		fmt.Fprintf(p.out, "revision %d in force\n", o.Revision)
	}
	if o.Pending != nil {
		fmt.Fprintf(p.err, "pic: the change is undone at %s unless you run: pic confirm\n", o.Pending.Deadline.Local().Format("15:04:05"))
	}
	return nil
}

// remote makes an action that talks to the running cell. names are those of its
// arguments; one in brackets may be left out and is "" then.
func (p *program) remote(do func(ctx context.Context, cell *client.Client, args []string) error, names ...string) action {
	return func(ctx context.Context, args []string) error {
		args, err := arguments(args, names)
		if err != nil {
			return err
		}
		cell, err := p.cell()
		if err != nil {
			return err
		}
		return do(ctx, cell, args)
	}
}

func arguments(args, names []string) ([]string, error) {
	if len(args) > len(names) {
		return nil, usage("too many arguments: %q", args[len(names)])
	}
	for _, name := range names[len(args):] {
		if !strings.HasPrefix(name, "[") {
			return nil, usage("%s is missing", name)
		}
		args = append(args, "")
	}
	return args, nil
}
