package wgdev

import (
	"encoding/binary"
	"net"
	"strconv"
	"sync"
	"time"
)

// indices are the numbers by which peers address our sessions: 32 random bits
// that we see going out in handshakes. Only what bears one counts as inside the
// library; else whoever sends rubbish could make the receiver wait for it to
// come out.
type indices struct {
	mu   sync.RWMutex
	now  map[uint32]struct{}
	past map[uint32]struct{}
	turn time.Time // when now became it
}

// session is how long an index is good: as long as a session, and a bit.
const session = 200 * time.Second

func newIndices() *indices {
	return &indices{now: map[uint32]struct{}{}, turn: time.Now()}
}

func (x *indices) add(i uint32) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if t := time.Now(); t.Sub(x.turn) > session {
		x.past, x.now, x.turn = x.now, map[uint32]struct{}{}, t
	}
	x.now[i] = struct{}{}
}

// data counts the packets that hold data of our sessions.
func (x *indices) data(bufs [][]byte, sizes []int) (n int) {
	var last uint32
	known := false
	for i, b := range bufs {
		if sizes[i] <= keepaliveSize || b[0] != typeData {
			continue
		}
		if j := binary.LittleEndian.Uint32(b[4:]); !known || j != last {
			x.mu.RLock()
			_, a := x.now[j]
			_, b := x.past[j]
			x.mu.RUnlock()
			if known = a || b; !known {
				continue
			}
			last = j
		}
		n++
	}
	return n
}

// zone is the name of the interface of that number, which stands behind % in an
// address that is valid there alone.
func zone(scope uint32) string {
	if c, err := net.InterfaceByIndex(int(scope)); err == nil {
		return c.Name
	}
	return strconv.FormatUint(uint64(scope), 10)
}

func scope(zone string) uint32 {
	if c, err := net.InterfaceByName(zone); err == nil {
		return uint32(c.Index)
	}
	n, _ := strconv.ParseUint(zone, 10, 32)
	return uint32(n)
}
