package cell

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"

	"pic/netstack"
	"pic/netstack/router"
)

// Cleanup takes from the host what a cell with the data folder dir, that runs no
// more, has left: its table of nftables, the interface called tunnel and those of
// exits, rules and routes, and what it set in the kernel and for the router. It
// says what it took away.
func Cleanup(ctx context.Context, dir, tunnel string) ([]string, error) {
	done, err := netstack.Cleanup(tunnel, kernelRecord(dir))
	// The router has written down what it set, and how things were before.
	r := router.New(slog.New(slog.DiscardHandler), filepath.Join(dir, "router"))
	return done, errors.Join(err, r.Apply(ctx, router.Config{}))
}

// kernelRecord is where a cell with the data folder dir writes down how the
// kernel's settings were.
func kernelRecord(dir string) string { return filepath.Join(dir, "router", "kernel.json") }
