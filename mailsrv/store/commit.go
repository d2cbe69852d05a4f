package store

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"pic/internal/faultfs"
)

const (
	maxBatch      = 256     // transactions
	maxBatchBytes = 8 << 20 // unless a single one is larger
	writeSize     = 512 << 10
	keepBuffer    = 64 << 10
)

// A txn is a change that waits to be committed.
type txn struct {
	// prepare says what to do, given what is visible and what the batch so far
	// has taken. If it is not the first of its batch it may return errAlone, and
	// is called again as the first.
	prepare func(*state, *pending) ([]op, error)
	alone   bool // nothing else may be in its batch
	aux     []byte
	body    *Body

	done  chan struct{}
	ended bool // for the committer alone
	err   error
	seq   uint64 // of its frame, once committed; 0 if there was nothing to do
}

// end answers those who wait.
func end(ts []*txn, err error) {
	for _, t := range ts {
		if !t.ended {
			t.ended, t.err = true, err
			close(t.done)
		}
	}
}

var errAlone = errors.New("not in a batch with others")

// A pending is what the earlier transactions of a batch have taken.
type pending struct {
	first bool
	next  map[uint32]uint32 // UIDNEXT by mailbox
	seg   uint32            // where this transaction's frame will be
	off   uint32
}

// uid takes the next UID of b.
func (p *pending) uid(b *box) (uint32, error) {
	n := max(p.next[b.id], b.next)
	if n == 1<<32-1 {
		return 0, fmt.Errorf("%w: %s has no UIDs left", ErrLimit, b.name)
	}
	p.next[b.id] = n + 1
	return n, nil
}

// The committer of an account writes its log: one goroutine, which takes all
// transactions that wait, writes them, syncs once, makes them visible and only
// then answers.
type committer struct {
	queueMu sync.Mutex
	queue   []*txn
	closing bool
	wake    chan struct{} // holds one when there is something to do
	stopped chan struct{}

	// Of the goroutine alone:
	file faultfs.File // the last segment; nil: a new one is due
	size int64        // of it, all of it synced
	buf  []byte
}

// start opens the last segment for writing, unless something unfinished follows
// there, and starts the goroutine.
func (a *Account) start(p *replayer) error {
	a.wake, a.stopped = make(chan struct{}, 1), make(chan struct{})
	a.size = p.end
	if n := len(a.segs); n > 0 && !p.torn && !p.unhealed() {
		f, err := a.fs.OpenFile(a.segs[n-1].path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		a.file = f
	}
	go a.run()
	return nil
}

// stop ends the goroutine once the queue is empty.
func (a *Account) stop() error {
	a.queueMu.Lock()
	a.closing = true
	a.queueMu.Unlock()
	a.nudge()
	<-a.stopped
	if a.file != nil {
		return a.file.Close()
	}
	return nil
}

func (a *Account) nudge() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// submit has a transaction committed and waits for it.
func (a *Account) submit(t *txn) error {
	t.done = make(chan struct{})
	a.queueMu.Lock()
	if a.closing {
		a.queueMu.Unlock()
		return ErrClosed
	}
	a.queue = append(a.queue, t)
	a.queueMu.Unlock()
	a.nudge()
	<-t.done
	return t.err
}

func (a *Account) run() {
	defer close(a.stopped)
	for range a.wake {
		for {
			a.queueMu.Lock()
			list := a.queue
			a.queue = nil
			over := a.closing
			a.queueMu.Unlock()
			if len(list) == 0 {
				if over {
					return
				}
				break
			}
			for len(list) > 0 {
				list = a.safely(list)
			}
		}
	}
}

// safely is batch, but a fault of the program ends changes to this account and
// nothing else.
func (a *Account) safely(list []*txn) (rest []*txn) {
	defer func() {
		if v := recover(); v != nil {
			a.judge(&finalError{fmt.Errorf("panic: %v", v)})
			end(list, a.Failed())
			rest = nil
		}
	}()
	return a.batch(list)
}

// batch commits the first transactions of list and returns the rest.
func (a *Account) batch(list []*txn) []*txn {
	if err := a.Failed(); err != nil {
		end(list, err)
		return nil
	}
	if err := a.roll(); err != nil {
		a.judge(err)
		end(list, err)
		return nil
	}
	p := &pending{next: map[uint32]uint32{}, seg: a.segs[len(a.segs)-1].num}
	w := &logWriter{f: a.file, start: a.size, buf: a.buf[:0]}
	var in []*txn
	var all [][]op
	n, full := 0, false
	for _, t := range list {
		if n == maxBatch || len(in) > 0 && (full || t.alone || w.len()+t.size() > maxBatchBytes) {
			break
		}
		p.off, p.first = uint32(w.start+w.len()), len(in) == 0
		ops, err := t.prepare(a.st, p)
		if err == errAlone {
			break
		}
		n++
		if err != nil || len(ops) == 0 {
			end([]*txn{t}, err)
			continue
		}
		t.seq = a.st.seq + uint64(len(in)) + 1
		mark := w.len()
		if err := w.frame(t, ops, uint16(len(in)), a.segs[len(a.segs)-1].salt); err != nil {
			if !w.ok() {
				a.undo(w)
				end(append(in, t), fmt.Errorf("saving mail: %w", err))
				return list[n:]
			}
			// The body could not be read, or there are too many operations.
			// That is this transaction's own trouble; the rest goes on.
			w.cut(mark)
			end([]*txn{t}, err)
			continue
		}
		in, all = append(in, t), append(all, ops)
		full = t.alone || needsAlone(ops)
	}
	if len(in) == 0 {
		if w.high > 0 {
			a.undo(w)
		}
		return list[n:]
	}
	if err := w.finish(); err != nil {
		a.undo(w)
		end(in, fmt.Errorf("saving mail: %w", err))
		return list[n:]
	}
	if err := datasync(a.file); err != nil {
		a.judge(&finalError{err})
		end(in, a.Failed())
		return list[n:]
	}
	a.size += w.len()
	if a.buf = w.buf; cap(a.buf) > keepBuffer {
		a.buf = nil
	}
	a.publish(in, all)
	end(in, nil)
	return list[n:]
}

// needsAlone says whether operations change what later ones of the same batch
// would have to know.
func needsAlone(ops []op) bool {
	for i := range ops {
		switch ops[i].verb {
		case opCreate, opDelete, opRename, opKeyword, opRenew, opMeta:
			return true
		}
	}
	return false
}

// publish makes a batch visible.
func (a *Account) publish(in []*txn, all [][]op) {
	a.notify(a.carryOut(in, all))
}

func (a *Account) carryOut(in []*txn, all [][]op) (changed map[uint32]bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, ops := range all {
		for j := range ops {
			a.st.apply(&ops[j], in[i].seq)
		}
		a.st.seq = in[i].seq
		if in[i].body != nil {
			a.st.stored += in[i].body.Size()
		}
	}
	changed = a.st.changed
	a.st.changed = map[uint32]bool{}
	return changed
}

// roll makes a new segment where one is due.
func (a *Account) roll() error {
	if a.file != nil && a.size < a.segSize {
		return nil
	}
	num, prev := uint32(1), int64(0)
	if n := len(a.segs); n > 0 {
		num, prev = a.segs[n-1].num+1, a.size
	}
	s, f, err := createSegment(a.fs, a.dir, num, prev)
	if err != nil {
		return fmt.Errorf("new segment of mail: %w", err)
	}
	if a.file != nil {
		a.file.Close() // all of it is synced
	}
	a.file, a.size = f, segHead
	a.mu.Lock()
	a.segs = append(a.segs, s)
	a.mu.Unlock()
	return nil
}

// undo takes back what was written of a batch. If that fails, nobody knows what
// is there.
func (a *Account) undo(w *logWriter) {
	if err := a.file.Truncate(a.size); err != nil {
		a.judge(&finalError{err})
	}
	a.buf = nil
}

// judge ends the account's readiness for changes if err is final.
func (a *Account) judge(err error) {
	if !errors.Is(err, ErrFailed) {
		return
	}
	if a.failed.CompareAndSwap(nil, &failure{err, time.Now()}) {
		a.log.Error("mail can no longer be saved", "user", a.User, "err", err)
	}
}

// newValidity returns a UIDVALIDITY that no mailbox of the account ever had.
func (st *state) newValidity() uint32 {
	return max(st.validity+1, uint32(time.Now().Unix()))
}
