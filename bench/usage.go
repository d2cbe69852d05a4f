package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the step in which /proc tells processor time: USER_HZ is 100 on every
// platform that Linux has today.
const tick = 10 * time.Millisecond

// A stat is what /proc/PID/stat tells of a process.
type stat struct {
	parent int
	cpu    time.Duration // its own and that of children that it has waited for
}

// parseStat reads a line of /proc/PID/stat. The name in it may contain anything.
func parseStat(line string) (stat, error) {
	i := strings.LastIndexByte(line, ')')
	if i < 0 {
		return stat{}, errors.New("no name in it")
	}
	f := strings.Fields(line[i+1:])
	if len(f) < 15 {
		return stat{}, errors.New("too short")
	}
	var s stat
	var err error
	if s.parent, err = strconv.Atoi(f[1]); err != nil {
		return stat{}, err
	}
	for _, v := range f[11:15] { // utime, stime, cutime, cstime
		n, err := strconv.Atoi(v)
		if err != nil {
			return stat{}, err
		}
		s.cpu += time.Duration(n) * tick
	}
	return s, nil
}

// descendants returns those of the processes that are a root or come from one.
func descendants(all map[int]stat, roots map[int]bool) map[int]stat {
	out := map[int]stat{}
	for pid, s := range all {
		for up := pid; up > 1; up = all[up].parent {
			if roots[up] {
				out[pid] = s
				break
			}
		}
	}
	return out
}

// family returns the processes of the servers.
func family(procs []*process) (map[int]stat, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	all := map[int]stat{}
	for _, d := range dirs {
		b, err := os.ReadFile(d + "/stat")
		if err != nil {
			continue // it has ended
		}
		pid, err := strconv.Atoi(filepath.Base(d))
		if err != nil {
			return nil, err
		}
		if all[pid], err = parseStat(string(b)); err != nil {
			return nil, fmt.Errorf("reading %s/stat: %w", d, err)
		}
	}
	roots := map[int]bool{}
	for _, p := range procs {
		if _, ok := all[p.cmd.Process.Pid]; !ok {
			return nil, fmt.Errorf("%s has ended: %s", p.name, oneLine(p.out.String()))
		}
		roots[p.cmd.Process.Pid] = true
	}
	return descendants(all, roots), nil
}

// spent is the processor time that the servers have used so far.
func spent(procs []*process) (time.Duration, error) {
	all, err := family(procs)
	var sum time.Duration
	for _, s := range all {
		sum += s.cpu
	}
	return sum, err
}

// A room is the memory that a server takes, in bytes.
type room struct {
	peak  float64 // of its resident memory, summed over the processes
	share float64 // now, shared pages counted once
}

// memory returns what the servers take.
func memory(procs []*process) (room, error) {
	all, err := family(procs)
	if err != nil {
		return room{}, err
	}
	var r room
	for pid := range all {
		status, err1 := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		rollup, err2 := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if errors.Join(err1, err2) != nil {
			continue // it has ended meanwhile
		}
		r.peak += kilobytes(string(status), "VmHWM:") * 1024
		r.share += kilobytes(string(rollup), "Pss:") * 1024
	}
	return r, nil
}

// kilobytes finds the figure of a line such as "VmHWM:	   123 kB".
func kilobytes(text, key string) float64 {
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(line, key); ok {
			if f := strings.Fields(v); len(f) > 0 {
				n, _ := strconv.ParseFloat(f[0], 64)
				return n
			}
		}
	}
	return 0
}
