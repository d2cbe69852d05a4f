package store

// A watch is somebody who wants to know of changes.
type watch struct {
	box uint32 // 0: all
	c   chan struct{}
	f   func() // instead of c
}

// Watch tells of changes to a mailbox, or to any of the account if box is 0.
// The channel gets a value when there has been a change since the last value
// was taken from it; what changed is for [Account.Changed] to say. It never
// holds more than one value and is never closed. stop ends the watch.
func (a *Account) Watch(box uint32) (c <-chan struct{}, stop func()) {
	w := &watch{box: box, c: make(chan struct{}, 1)}
	a.watchMu.Lock()
	a.watches[w] = struct{}{}
	a.watchMu.Unlock()
	return w.c, func() {
		a.watchMu.Lock()
		delete(a.watches, w)
		a.watchMu.Unlock()
	}
}

func (a *Account) notify(changed map[uint32]bool) {
	a.watchMu.Lock()
	defer a.watchMu.Unlock()
	for w := range a.watches {
		if w.box != 0 && !changed[w.box] {
			continue
		}
		if w.f != nil {
			w.f()
			continue
		}
		select {
		case w.c <- struct{}{}:
		default:
		}
	}
}

// OnChange has f called after changes to a mailbox, or to any of the account if
// box is 0. f must not wait, nor call the account. stop ends it; f may be
// running still.
func (a *Account) OnChange(box uint32, f func()) (stop func()) {
	w := &watch{box: box, f: f}
	a.watchMu.Lock()
	a.watches[w] = struct{}{}
	a.watchMu.Unlock()
	return func() {
		a.watchMu.Lock()
		delete(a.watches, w)
		a.watchMu.Unlock()
	}
}
