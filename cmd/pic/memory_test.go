package main

import (
	"runtime/debug"
	"testing"
)

func TestASmallMachineCollectsSooner(t *testing.T) {
	for name, tt := range map[string]struct {
		machine int64
		percent int
		soft    int64
	}{
		"board":  {512 << 20, 50, 128 << 20},
		"tiny":   {128 << 20, 50, 128 << 20},
		"1 GB":   {1 << 30, 50, 256 << 20},
		"server": {16 << 30, 100, 4 << 30},
	} {
		if percent, soft := thrift(tt.machine); percent != tt.percent || soft != tt.soft {
			t.Errorf("%s: %d %%, %d bytes", name, percent, soft)
		}
	}
}

func TestTheEnvironmentHasTheLastWordOnMemory(t *testing.T) {
	percent, soft := debug.SetGCPercent(73), debug.SetMemoryLimit(1<<40)
	defer func() { debug.SetGCPercent(percent); debug.SetMemoryLimit(soft) }()
	for name, tt := range map[string]struct {
		env     map[string]string
		machine int64
		percent int
		soft    int64
	}{
		"neither":         {nil, 512 << 20, 50, 128 << 20},
		"percent":         {map[string]string{"GOGC": "73"}, 512 << 20, 73, 128 << 20},
		"limit":           {map[string]string{"GOMEMLIMIT": "1TiB"}, 512 << 20, 50, 1 << 40},
		"unknown machine": {nil, 0, 73, 1 << 40},
	} {
		debug.SetGCPercent(73)
		debug.SetMemoryLimit(1 << 40)
		p := &program{env: func(key string) string { return tt.env[key] }}
		p.restrain(tt.machine)
		if gotP, gotS := debug.SetGCPercent(73), debug.SetMemoryLimit(-1); gotP != tt.percent || gotS != tt.soft {
			t.Errorf("%s: %d %%, %d bytes", name, gotP, gotS)
		}
	}
}
