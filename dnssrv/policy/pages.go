package policy

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// mapped returns n bytes of zeros that the garbage collector does not count.
// What the collector counts it lets double before it looks, and lists are most
// of what a small machine holds.
func mapped(n int) ([]byte, error) {
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("finding %d bytes for lists: %w", n, err)
	}
	return b, nil
}

// unmapped gives memory back. Nothing may refer to it any more.
func unmapped(all ...[]byte) {
	for _, b := range all {
		if b != nil {
			_ = unix.Munmap(b) // it is ours, so there is nothing to go wrong
		}
	}
}
