package validate

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Work that a hostile zone can ask for is done on threads of the lowest priority:
// what others ask for in the meantime goes first, whatever the zone costs.
const (
	gentle = 19               // of nice(2)
	unused = 10 * time.Second // until a thread ends
)

// A desk hands work to such threads. There are never more than it has places.
type desk struct {
	places chan struct{}
	work   chan func()
}

func newDesk(places int) *desk {
	return &desk{places: make(chan struct{}, places), work: make(chan func())}
}

// do has f done and waits for it; f's panic becomes the caller's. The caller holds
// a place.
func (d *desk) do(f func()) {
	done := make(chan any)
	job := func() {
		var broke any
		defer func() { done <- broke }()
		defer func() { broke = recover() }()
		f()
	}
	select {
	case d.work <- job:
	default:
		go d.serve(job)
	}
	if broke := <-done; broke != nil {
		panic(broke)
	}
}

// serve does work until there has been none for a while. Its thread ends with it,
// for it is never unlocked: nothing else runs at its priority.
func (d *desk) serve(job func()) {
	runtime.LockOSThread()
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), gentle) // less is always allowed
	idle := time.NewTimer(unused)
	defer idle.Stop()
	for {
		job()
		idle.Reset(unused)
		select {
		case job = <-d.work:
		case <-idle.C:
			return
		}
	}
}
