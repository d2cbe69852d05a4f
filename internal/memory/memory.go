// Package memory tells how much memory the process may use: that of the machine,
// or of the tightest control group around it (cgroup v2). It does not watch how
// much is free, and knows no cgroup v1.
package memory

import (
	"os"
	"path"
	"strconv"
	"strings"
)

// Limit returns the bytes that the process may use; 0: nobody knows.
func Limit() int64 {
	return limit(func(name string) string {
		b, _ := os.ReadFile(name) // what is not there limits nothing
		return string(b)
	})
}

// limit is Limit of what read finds in files.
func limit(read func(name string) string) int64 {
	least := total(read("/proc/meminfo"))
	group, ok := unified(read("/proc/self/cgroup"))
	for ok {
		for _, file := range []string{"memory.max", "memory.high"} {
			n, err := strconv.ParseInt(strings.TrimSpace(read(path.Join("/sys/fs/cgroup", group, file))), 10, 64)
			if err == nil && n > 0 && (least == 0 || n < least) { // "max" is none
				least = n
			}
		}
		ok = group != "/"
		group = path.Dir(group)
	}
	return least
}

// total reads the machine's memory from /proc/meminfo.
func total(text string) int64 {
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "MemTotal:" && f[2] == "kB" {
			if n, err := strconv.ParseInt(f[1], 10, 64); err == nil && n > 0 && n < 1<<52 {
				return n << 10
			}
		}
	}
	return 0
}

// unified reads the group of the process in the one hierarchy of cgroup v2.
func unified(text string) (group string, ok bool) {
	for line := range strings.Lines(text) {
		if g, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok && path.IsAbs(g) {
			return path.Clean(g), true
		}
	}
	return "", false
}
