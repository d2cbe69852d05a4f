package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// interactive reports whether somebody can be asked.
func (p *program) interactive() bool { return term.IsTerminal(int(p.in.Fd())) }

// ask asks for one line; an empty answer is def.
func (p *program) ask(in *bufio.Reader, question, def string) (string, error) {
	if def != "" {
		question += " [" + def + "]"
	}
	fmt.Fprint(p.err, question+": ")
	line, err := in.ReadString('\n')
	if err != nil && line == "" {
		return "", fmt.Errorf("reading the answer: %w", err)
	}
	if line = strings.TrimSpace(line); line == "" {
		return def, nil
	}
	return line, nil
}

// newPassword reads a new password from file, or asks for it twice.
func (p *program) newPassword(file, question string) (string, error) {
	if file != "" {
		return p.passwordFrom(file)
	}
	if !p.interactive() {
		return "", usage("give the password with --password-file; there is no terminal to ask on")
	}
	first, err := p.hidden(question)
	if err != nil {
		return "", err
	}
	again, err := p.hidden("Once more")
	if err != nil {
		return "", err
	}
	if first != again {
		return "", errors.New("the two passwords differ; try again")
	}
	return first, nil
}

func (p *program) hidden(question string) (string, error) {
	fmt.Fprint(p.err, question+": ")
	secret, err := term.ReadPassword(int(p.in.Fd()))
	fmt.Fprintln(p.err)
	if err != nil {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	return string(secret), nil
}

// passwordFrom returns the first line of a file, of standard input for "-".
func (p *program) passwordFrom(file string) (string, error) {
	in := p.in
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", fmt.Errorf("reading the password: %w", err)
		}
		defer f.Close()
		in = f
	}
	data, err := readAll(in, 64<<10)
	if err != nil {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	line, _, _ := strings.Cut(string(data), "\n")
	if line = strings.TrimSuffix(line, "\r"); line == "" {
		return "", fmt.Errorf("reading the password: the first line of %s is empty", file)
	}
	return line, nil
}

// readAll reads at most limit bytes; more is an error.
func readAll(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("it is larger than %d bytes", limit)
	}
	return data, err
}
