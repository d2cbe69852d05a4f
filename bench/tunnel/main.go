// Command tunnel is the cell's WireGuard alone, without a cell around it: what
// the benchmark compares with other implementations, in their own manner.
//
//	tunnel -f INTERFACE
//
// It makes the interface, which `wg` then configures, and runs until SIGTERM.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"pic/netstack/wgdev"
)

func main() {
	flag.Bool("f", true, "stay in the foreground, as it always does")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: tunnel -f INTERFACE")
		os.Exit(2)
	}
	if err := run(flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "tunnel:", err)
		os.Exit(1)
	}
}

func run(card string) error {
	d, err := wgdev.Open(wgdev.Options{Interface: card}, wgdev.Config{})
	if err != nil {
		return err
	}
	if err := d.SocketError(); err != nil {
		d.Close()
		return err
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	select {
	case <-stop:
	case <-d.Done():
	}
	return d.Close()
}
