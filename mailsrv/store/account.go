package store

import (
	"cmp"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"pic/internal/faultfs"
	"pic/internal/order"
)

// An Account is the mail of one person, open. Its methods may be called from
// any goroutine until [Account.Release].
type Account struct {
	User   string
	Opened time.Time

	fs      faultfs.FS
	dir     string
	segSize int64
	log     *slog.Logger
	release func()

	mu     sync.RWMutex // guards what readers see; only the committer writes
	st     *state
	segs   []segment
	damage Damage

	committer
	files  files
	failed atomic.Pointer[failure]

	watchMu sync.Mutex
	watches map[*watch]struct{}
}

// A Mailbox is what is known of one, at one moment.
type Mailbox struct {
	ID          uint32 // never that of another mailbox of the account
	Name        string // UTF-8, levels separated by /
	Use         string // special use (RFC 6154), such as \Sent, or empty
	UIDValidity uint32
	UIDNext     uint32
	ModSeq      uint64 // of the latest change
	Expunged    uint64 // of the latest expunge
	Messages    int
	Unseen      int
	Deleted     int // messages with the flag \Deleted
	Bytes       int64
	Subscribed  bool
}

// A Summary is the totals of an account.
type Summary struct {
	Messages int
	Unseen   int
	Bytes    int64 // of the messages in mailboxes; copies count each
	Stored   int64 // of all bodies on disk, those of expunged messages too
}

// Standard mailboxes that every new account has, with their special uses.
var standard = []struct{ name, use string }{
	{"INBOX", ""}, {"Drafts", `\Drafts`}, {"Sent", `\Sent`}, {"Archive", `\Archive`}, {"Junk", `\Junk`}, {"Trash", `\Trash`},
}

func (s *Store) openAccount(user string) (*Account, error) {
	a := &Account{User: user, Opened: time.Now(), fs: s.fs, dir: filepath.Join(s.dir, user), segSize: s.segSize, log: s.log, watches: map[*watch]struct{}{}}
	if _, err := os.Stat(a.dir); os.IsNotExist(err) {
		if err := os.Mkdir(a.dir, 0o700); err != nil {
			return nil, err
		}
		if err := s.fs.SyncDir(s.dir); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	segs, err := segments(s.fs, a.dir)
	if err != nil {
		return nil, err
	}
	p, err := replay(segs)
	if err != nil {
		return nil, err
	}
	a.st, a.segs, a.damage = p.st, segs, p.damage
	clear(a.st.changed)
	if err := a.start(p); err != nil {
		return nil, err
	}
	if err := a.settle(p); err != nil {
		a.close()
		return nil, err
	}
	return a, nil
}

// settle makes what every account has, and renews UIDVALIDITY after damage.
func (a *Account) settle(p *replayer) error {
	if p.unhealed() {
		a.log.Error("stored mail is damaged", "user", a.User, "places", p.damage.Places, "frames", p.damage.Frames)
		if err := a.renew(); err != nil {
			return fmt.Errorf("%w, and the repair failed: %w", ErrDamaged, err)
		}
	}
	if a.st.byName["INBOX"] != nil {
		return nil
	}
	return a.submit(&txn{alone: true, prepare: func(st *state, _ *pending) ([]op, error) {
		var ops []op
		for i, s := range standard {
			if st.byName[s.name] != nil {
				continue
			}
			ops = append(ops, op{verb: opCreate, box: st.nextBox + uint32(i), name: s.name, use: s.use, num: st.newValidity() + uint32(i)},
				op{verb: opSubscribe, name: s.name, on: true})
		}
		return ops, nil
	}})
}

// Release ends the caller's use of the account.
func (a *Account) Release() { a.release() }

// close waits for changes under way.
func (a *Account) close() error {
	err := a.stop()
	a.files.close()
	return err
}

// Failed returns why the account accepts no changes any more, or nil.
func (a *Account) Failed() error {
	if f := a.failed.Load(); f != nil {
		return f.err
	}
	return nil
}

// FailedSince returns when the account stopped to accept changes; zero if it
// has not.
func (a *Account) FailedSince() time.Time {
	if f := a.failed.Load(); f != nil {
		return f.at
	}
	return time.Time{}
}

type failure struct {
	err error
	at  time.Time
}

// Damage returns what could not be read when the account was opened.
func (a *Account) Damage() Damage { return a.damage }

// Summary returns the totals.
func (a *Account) Summary() Summary {
	a.mu.RLock()
	defer a.mu.RUnlock()
	sum := Summary{Bytes: a.st.bytes, Stored: a.st.stored}
	for _, b := range a.st.boxes {
		sum.Messages += len(b.rows)
		sum.Unseen += b.unseen
	}
	return sum
}

// view makes a Mailbox; a.mu is held.
func (a *Account) view(b *box) Mailbox {
	return Mailbox{
		ID: b.id, Name: b.name, Use: b.use, UIDValidity: b.validity, UIDNext: b.next, ModSeq: b.modseq,
		Expunged: b.expunged, Messages: len(b.rows), Unseen: b.unseen, Deleted: b.deleted, Bytes: b.bytes,
		Subscribed: a.st.subs[b.name],
	}
}

// Mailboxes returns all mailboxes, sorted by name with INBOX first.
func (a *Account) Mailboxes() []Mailbox {
	a.mu.RLock()
	out := make([]Mailbox, 0, len(a.st.boxes))
	for _, b := range a.st.boxes {
		out = append(out, a.view(b))
	}
	a.mu.RUnlock()
	order.By(out, func(x, y Mailbox) int {
		if (x.Name == Inbox) != (y.Name == Inbox) {
			if x.Name == Inbox {
				return -1
			}
			return 1
		}
		return cmp.Compare(x.Name, y.Name)
	})
	return out
}

// Mailbox returns the mailbox of that name.
func (a *Account) Mailbox(name string) (Mailbox, error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if b := a.st.byName[canonical(name)]; b != nil {
		return a.view(b), nil
	}
	return Mailbox{}, ErrNoMailbox
}

// ByID returns the mailbox of that number.
func (a *Account) ByID(id uint32) (Mailbox, error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if b := a.st.boxes[id]; b != nil {
		return a.view(b), nil
	}
	return Mailbox{}, ErrNoMailbox
}

// Subscriptions returns the subscribed names, sorted. There need not be
// mailboxes of those names (RFC 9051 §6.3.7).
func (a *Account) Subscriptions() []string {
	a.mu.RLock()
	defer a.mu.RUnlock()
	out := make([]string, 0, len(a.st.subs))
	for n := range a.st.subs {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

// Keywords returns the names of all keywords in use, and whether there is room
// for more.
func (a *Account) Keywords() (names []string, room bool) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	for _, n := range a.st.keywords[firstKeyword:] {
		if n != "" {
			names = append(names, n)
		}
	}
	return names, len(names) < maxKeywords
}

// FlagNames returns the names of flags.
func (a *Account) FlagNames(f Flags) []string {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.st.names(f)
}

// FlagBits returns the bits of named flags; known is false if no message can
// have one of them.
func (a *Account) FlagBits(names ...string) (f Flags, known bool) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	f, missing := a.st.bits(names)
	return f, len(missing) == 0
}

// Messages fills buf with messages of a mailbox in the order of their UIDs,
// beginning with the first that is not less than from, and returns how many.
func (a *Account) Messages(box, from uint32, buf []Message) (int, error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	b := a.st.boxes[box]
	if b == nil {
		return 0, ErrNoMailbox
	}
	i, _ := b.find(from)
	return copy(buf, b.rows[i:]), nil
}

// Message returns one message.
func (a *Account) Message(box, uid uint32) (Message, error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	b := a.st.boxes[box]
	if b == nil {
		return Message{}, ErrNoMailbox
	}
	i, ok := b.find(uid)
	if !ok {
		return Message{}, ErrNoMessage
	}
	return b.rows[i], nil
}

// UIDs returns the UIDs of all messages of a mailbox, ascending, and the
// mailbox as it was at that moment.
func (a *Account) UIDs(box uint32) ([]uint32, Mailbox, error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	b := a.st.boxes[box]
	if b == nil {
		return nil, Mailbox{}, ErrNoMailbox
	}
	out := make([]uint32, len(b.rows))
	for i := range b.rows {
		out[i] = b.rows[i].UID
	}
	return out, a.view(b), nil
}

// Changed returns the messages of a mailbox that came or changed after the
// modification sequence since, ascending by UID, and the mailbox as it was at
// that moment.
func (a *Account) Changed(box uint32, since uint64) ([]Message, Mailbox, error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	b := a.st.boxes[box]
	if b == nil {
		return nil, Mailbox{}, ErrNoMailbox
	}
	var out []Message
	if b.modseq > since {
		for i := range b.rows {
			if b.rows[i].ModSeq > since {
				out = append(out, b.rows[i])
			}
		}
	}
	return out, a.view(b), nil
}
