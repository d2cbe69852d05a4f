package main

import "runtime/debug"

const (
	small = 1 << 30   // bytes; a machine of so many is thrifty
	least = 128 << 20 // what the collector is not asked to do without
)

// thrift is what the collector is told on a machine with so much memory: by how
// much of what is in use the heap may grow until the next round, in percent, and
// from where on it makes rounds as often as it takes.
//
// After a hundred thousand names, 42 MB are in use and the heap grows to twice
// that before a round finds it: half of the process is waiting to be collected.
// A small machine rather spends the time of a few more rounds, which answers from
// the hot cache do not notice, for they need no memory. The rest of the machine is
// for the kernel's cache of files, and for others.
func thrift(machine int64) (percent int, soft int64) {
	percent = 100
	if machine <= small {
		percent = 50
	}
	return percent, max(machine/4, least)
}

// restrain tells the collector about the machine, unless the environment does
// (GOGC, GOMEMLIMIT). Nothing happens where nobody knows the machine.
func (p *program) restrain(machine int64) {
	if machine <= 0 {
		return
	}
	percent, soft := thrift(machine)
	if p.env("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
	if p.env("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(soft)
	}
}
