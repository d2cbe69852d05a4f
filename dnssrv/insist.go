package dnssrv

import (
	"context"
	"runtime/debug"
	"time"
)

// insist does what must not end before it is over, though it may break: what
// panics is done anew after a pause, which grows while it keeps breaking. It
// returns once do has, or run is over. about is what the log calls it.
func (s *Server) insist(run context.Context, about string, do func()) {
	for pause := firstRetry; ; pause = min(2*pause, lastRetry) {
		began := time.Now()
		if s.unbroken(about, do) {
			return
		}
		if time.Since(began) > lastRetry {
			pause = firstRetry // it went well for long
		}
		if !sleep(run, pause) {
			return
		}
	}
}

// unbroken does it, and reports whether it did not panic.
func (s *Server) unbroken(about string, do func()) (ok bool) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("something broke and is tried again", "about", about, "err", p, "stack", string(debug.Stack()))
		}
	}()
	do()
	return true
}
