// Package store keeps people's mail. It knows mailboxes, messages and flags,
// and no protocol: SMTP, IMAP and whatever comes after them are its guests.
//
// # Promises
//
// What a method that changes something has returned without error survives
// power loss. What it has refused is not there, not even in part. A change is
// seen whole by everybody or not at all. UIDs and UIDVALIDITY only ever grow
// (RFC 9051 §2.3.1.1): they are never given out twice, also not after a crash.
// Every change has a modification sequence, which is the number of its frame
// (RFC 7162).
//
// # Layout
//
// Each account is a folder of segments, NNNNNN-<salt>.seg, that are only ever
// appended to. A segment is a header and then frames. A frame is one
// transaction: a list of operations and, for a new message, its body. So one
// fdatasync commits a message with its index record, and a batch of
// transactions that arrive together:
//
//	0  marker E7 'P' 'M' 'F'
//	4  version 1
//	5  zero
//	6  batch: how many frames before this one are in the same batch
//	8  seq: number of the frame, one more than that of the frame before
//	16 length of meta      20 length of aux      24 length of body
//	28 CRC-32C of meta     32 CRC-32C of bytes 0…31 and the segment's salt
//	36 meta: operations    then aux, then body, then CRC-32C of aux and body
//
// Numbers are little-endian. Aux is what the caller derived from the body, such
// as its MIME structure, so that it need not be derived again; the store does
// not look at it. The salt keeps a frame that a stranger mails to somebody from
// being taken for a frame of the log.
//
// # Opening
//
// An account is opened by replaying its operations; bodies are skipped. Then 48
// bytes per message are in memory. It is opened when first asked for and closed
// when it has been idle for some minutes.
//
// A batch that was cut short by a crash is at the very end of the last segment
// and was never acknowledged: it is cut off. Frames that cannot be read though
// a later batch can are damage, for that batch was started after they were
// safe. Then everything readable is kept, the damaged segment is left as it is,
// writing goes on in a new one, every mailbox gets a new UIDVALIDITY, because
// UIDs may have been lost, and [Account.Damage] tells.
//
// A write that fails, as on a full disk, is taken back and may succeed later. A
// sync that fails is final: the account refuses changes until it is opened
// again after a restart, since nobody knows what the disk has.
//
// # Not done yet
//
// The space of expunged messages is not reclaimed; [Summary] tells how much it
// is. There is no checkpoint: opening reads the head of every frame ever
// written.
package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"pic/internal/faultfs"
)

var (
	// ErrClosed says that the store or account is closed.
	ErrClosed = errors.New("the mail store is closed")
	// ErrFailed says that a sync has failed before: nothing more is accepted.
	ErrFailed = errors.New("the disk failed to save earlier; restart after checking it")
	// ErrNoMailbox says that there is no mailbox of that name or number.
	ErrNoMailbox = errors.New("no such mailbox")
	// ErrMailboxExists says that the name is taken.
	ErrMailboxExists = errors.New("a mailbox of that name exists")
	// ErrName says that a name cannot be that of a mailbox.
	ErrName = errors.New("not a possible mailbox name")
	// ErrLimit says that an account has all the mailboxes or keywords, or a
	// mailbox all the UIDs, that it can have.
	ErrLimit = errors.New("limit reached")
	// ErrNoMessage says that there is no such message, or no longer.
	ErrNoMessage = errors.New("no such message")
	// ErrDamaged says that what is on disk is not what was written.
	ErrDamaged = errors.New("stored mail is damaged")
)

const (
	idleTime = 5 * time.Minute // how long an account stays in memory after its last use
	segSize  = 32 << 20        // a segment of this size gets no further batch
)

// A Store is the accounts below one folder. Use [Open]. Its methods may be
// called from any goroutine.
type Store struct {
	fs      faultfs.FS
	dir     string
	log     *slog.Logger
	idle    time.Duration
	segSize int64
	lock    *os.File

	mu     sync.Mutex
	closed bool
	open   map[string]*entry
	known  map[string]Summary // of accounts that were open
	users  sync.WaitGroup     // references to accounts
}

// An entry is an account that is open or about to be.
type entry struct {
	ready chan struct{} // closed when acct or err is set
	acct  *Account
	err   error

	refs  int // guarded by Store.mu, as are the next
	timer *time.Timer
}

// Open takes possession of dir, which is made where it is missing. No other
// process may have it.
func Open(dir string, log *slog.Logger) (*Store, error) {
	return open(faultfs.OS, dir, log)
}

func open(fs faultfs.FS, dir string, log *slog.Logger) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("mail folder: %w", err)
	}
	lock, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("mail folder: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("mail folder %s is in use by another process: %w", dir, err)
	}
	return &Store{
		fs: fs, dir: dir, log: log, idle: idleTime, segSize: segSize, lock: lock,
		open: map[string]*entry{}, known: map[string]Summary{},
	}, nil
}

// Close closes all accounts and lets go of the folder. It waits for
// [Account.Release] of every account that is in use.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	s.users.Wait()

	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for user, e := range s.open {
		if e.timer != nil {
			e.timer.Stop()
		}
		errs = append(errs, e.acct.close())
		delete(s.open, user)
	}
	return errors.Join(append(errs, s.lock.Close())...)
}

// Account returns the account of a user, which is made where it is missing. The
// caller must call [Account.Release] once it is done with it.
func (s *Store) Account(user string) (*Account, error) {
	if !validUser(user) {
		return nil, fmt.Errorf("%q cannot have an account", user)
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, ErrClosed
	}
	e := s.open[user]
	mine := e == nil
	if mine {
		e = &entry{ready: make(chan struct{})}
		s.open[user] = e
	}
	e.refs++
	s.users.Add(1)
	if e.timer != nil {
		e.timer.Stop()
		e.timer = nil
	}
	s.mu.Unlock()

	if mine {
		start := time.Now()
		e.acct, e.err = s.openAccount(user)
		if e.err == nil {
			e.acct.release = func() { s.release(user, e) }
			s.log.Debug("mail account opened", "user", user, "dur", time.Since(start))
		}
		close(e.ready)
	}
	<-e.ready
	if e.err != nil {
		s.release(user, e)
		return nil, fmt.Errorf("opening the mail of %s: %w", user, e.err)
	}
	return e.acct, nil
}

// release drops one reference. Accounts whose opening failed are forgotten at
// once, those whose sync failed never.
func (s *Store) release(user string, e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.users.Done()
	e.refs--
	switch {
	case e.refs > 0:
	case e.err != nil:
		if s.open[user] == e {
			delete(s.open, user)
		}
	case e.acct.Failed() != nil, s.closed:
	default:
		e.timer = time.AfterFunc(s.idle, func() { s.expire(user, e) })
	}
}

func (s *Store) expire(user string, e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || e.refs > 0 || s.open[user] != e {
		return
	}
	s.known[user] = e.acct.Summary()
	delete(s.open, user)
	if err := e.acct.close(); err != nil {
		s.log.Warn("mail account not closed cleanly", "user", user, "err", err)
	}
}

// Users returns the names of all accounts that exist, also of people who have
// left.
func (s *Store) Users() ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		if e.IsDir() && validUser(e.Name()) {
			out = append(out, e.Name())
		}
	}
	return out, nil
}

// Summary returns the totals of an account, opening it only if it has not been
// open since the start. Asking for an account that does not exist makes none.
func (s *Store) Summary(user string) (Summary, error) {
	s.mu.Lock()
	sum, ok := s.known[user]
	if s.open[user] != nil {
		ok = false
	}
	s.mu.Unlock()
	if ok {
		return sum, nil
	}
	if !validUser(user) {
		return Summary{}, fmt.Errorf("%q cannot have an account", user)
	}
	if _, err := os.Stat(filepath.Join(s.dir, user)); errors.Is(err, os.ErrNotExist) {
		return Summary{}, nil
	}
	a, err := s.Account(user)
	if err != nil {
		return Summary{}, err
	}
	defer a.Release()
	return a.Summary(), nil
}

// Each calls f for every account that is in memory now.
func (s *Store) Each(f func(*Account)) {
	s.mu.Lock()
	var all []*Account
	for _, e := range s.open {
		select {
		case <-e.ready:
			if e.acct != nil {
				all = append(all, e.acct)
			}
		default:
		}
	}
	s.mu.Unlock()
	for _, a := range all {
		f(a)
	}
}

// Temp returns a new file without a name, on the same disk as the mail.
func (s *Store) Temp() (*os.File, error) {
	fd, err := unix.Open(s.dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return os.NewFile(uintptr(fd), "mail"), nil
	}
	f, err := os.CreateTemp(s.dir, ".spool-*") // a file system without O_TMPFILE
	if err != nil {
		return nil, err
	}
	return f, os.Remove(f.Name())
}

// validUser says whether a name can be that of a folder of ours.
func validUser(name string) bool {
	if name == "" || len(name) > 64 || name[0] == '.' {
		return false
	}
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}

// Context is checked before a change is queued; once queued it is carried out.
func alive(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	return nil
}
