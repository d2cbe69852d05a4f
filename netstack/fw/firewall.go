package fw

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/nftables"
	mdnetlink "github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// A Firewall is our table in the kernel. Use [New]. Its methods may be called by
// several at once.
type Firewall struct {
	log      *slog.Logger
	own      sockets
	watching atomic.Bool // somebody tells of other programs' changes
	touched  atomic.Bool // another program has changed our table

	mu     sync.Mutex
	conn   *nftables.Conn // nil: not open
	loaded *Table         // nil: there is none
	past   map[string]Count
}

// New returns a firewall that has loaded nothing.
func New(log *slog.Logger) *Firewall { return &Firewall{log: log} }

// Loaded is the table in force; one without chains: none.
func (f *Firewall) Loaded() Table {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.loaded == nil {
		return Table{}
	}
	return *f.loaded
}

// Set makes t the one table of ours, in one transaction: at no moment is there
// none, or half of one. What is there already stays untouched, counters and the
// sets that rules fill included; where only elements differ, only they change.
// Time of elements runs from now.
func (f *Firewall) Set(t Table) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	whole, err := f.intact()
	if err != nil {
		return err
	}
	if whole {
		d := differ(f.loaded, &t)
		if d.empty() {
			return nil
		}
		f.remember(slices.Concat(d.goneChains, d.changedChains))
		if err = f.transact(func(b *batch) error { return b.change(f.loaded, &t) }); err == nil {
			f.taken(&t)
			return nil
		}
		f.log.Warn("firewall is not as remembered; loading it anew", "err", err)
	}
	if f.loaded != nil {
		f.remember(f.loaded.chains)
	}
	if err := f.transact(func(b *batch) error { return b.replace(&t) }); err != nil {
		return fmt.Errorf("loading the firewall: %w", err)
	}
	f.taken(&t)
	f.touched.Store(false)
	return nil
}

func (f *Firewall) taken(t *Table) {
	f.loaded = t
	f.forget(t)
}

// transact runs one transaction. The socket is kept for the next, but after an
// error, when answers may still be on their way.
func (f *Firewall) transact(do func(*batch) error) error {
	c, err := f.open()
	if err != nil {
		return err
	}
	if err := do(&batch{c: c, t: ours(), at: time.Now()}); err != nil {
		f.shut()
		return err
	}
	return nil
}

func (f *Firewall) open() (*nftables.Conn, error) {
	if f.conn != nil {
		return f.conn, nil
	}
	c, err := dial(nftables.AsLasting(), nftables.WithSockOptions(f.own.add))
	if err != nil {
		return nil, err
	}
	f.conn = c
	return c, nil
}

func (f *Firewall) shut() {
	if f.conn != nil {
		_ = f.conn.CloseLasting()
		f.conn = nil
	}
}

// intact reports whether what is loaded is still there. It counts rules and
// elements, and only when somebody else may have been at them; it is for
// accidents, not against malice.
func (f *Firewall) intact() (bool, error) {
	if f.loaded == nil {
		return false, nil
	}
	if f.watching.Load() && !f.touched.Swap(false) {
		return true, nil
	}
	whole := false
	err := f.transact(func(b *batch) error {
		nt, err := b.c.ListTableOfFamily(tableName, nftables.TableFamilyINet)
		if err != nil || nt == nil {
			return nil
		}
		for _, ch := range f.loaded.chains {
			rules, err := b.c.GetRules(b.t, b.chain(ch))
			if err != nil || len(rules) != len(ch.rules) {
				return nil
			}
		}
		for _, s := range f.loaded.sets {
			if b.counted(s) != nil {
				return nil
			}
		}
		whole = true
		return nil
	})
	return whole, err
}

// Remove deletes our table, if there is one, and lets go of the kernel.
func (f *Firewall) Remove() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.shut()
	if f.loaded == nil {
		return nil
	}
	if err := f.transact(func(b *batch) error { return b.remove() }); err != nil {
		return fmt.Errorf("removing the firewall: %w", err)
	}
	f.loaded, f.past = nil, nil
	return nil
}

// Cleanup deletes the table of a cell that is not there any more, and reports
// whether there was one.
func Cleanup() (bool, error) {
	c, err := dial()
	if err != nil {
		return false, err
	}
	t, err := c.ListTableOfFamily(tableName, nftables.TableFamilyINet)
	if err != nil || t == nil {
		return false, ignore(err, unix.ENOENT)
	}
	if err := (&batch{c: c, t: ours()}).remove(); err != nil {
		return false, fmt.Errorf("removing the firewall: %w", err)
	}
	return true, nil
}

func ignore(err, of error) error {
	if errors.Is(err, of) {
		return nil
	}
	return err
}

func (b *batch) remove() error {
	b.c.AddTable(b.t) // so that there is one to delete
	b.c.DelTable(b.t)
	return b.c.Flush()
}

// sockets are the addresses of our own sockets to the kernel, by which it tells
// who has changed something.
type sockets struct {
	mu  sync.Mutex
	ids []uint32
}

const mostSockets = 16 // late news of older ones is taken for somebody else's

func (s *sockets) add(c *mdnetlink.Conn) error {
	rc, err := c.SyscallConn()
	if err != nil {
		return nil
	}
	_ = rc.Control(func(fd uintptr) {
		sa, err := unix.Getsockname(int(fd))
		if nl, ok := sa.(*unix.SockaddrNetlink); ok && err == nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.ids = append(s.ids, nl.Pid); len(s.ids) > mostSockets {
				s.ids = s.ids[1:]
			}
		}
	})
	return nil
}

func (s *sockets) has(id uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.ids, id)
}
