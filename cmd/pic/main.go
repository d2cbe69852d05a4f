// Command pic runs a Personal Internet Cell and talks to a running one.
//
// This package is the door: flags, words, exit codes, tables. What a command
// does is done by package cell (serve, setup, check) or by the running cell, to
// which all others speak over the socket run/api.sock in its data folder.
//
// Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no cell answers, 4 refused or
// invalid, 5 conflict with another change.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// Set by the linker.
var (
	version = "devel"
	commit  = ""
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	p := &program{
		in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.Getenv,
		release: stop,
	}
	return p.run(ctx, os.Args[1:])
}
