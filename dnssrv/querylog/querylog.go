// Package querylog remembers what was asked of the name server: every query for
// a while, on disk, and counts of them.
//
// It promises:
//
//   - [Ring.Add] and [Log.Add] never wait for a disk or a reader and need no
//     memory. Where a ring is full the entry is dropped, and that is counted.
//   - Entries are on disk a second later, in segments of frames with a checksum.
//     The end of a process loses that second at most. What a crash left half
//     written is cut off when the log is opened; the loss of power can take what
//     the kernel had not written yet, but never makes the rest unreadable.
//   - Segments are deleted by age and by size. A full disk costs entries, which
//     are counted, and never a query; [Log.Fault] tells of it.
//   - [Log.Search] finds entries, the newest first, with the memory of one
//     segment. [Log.Tail] tells of them as they come.
//   - [Log.Stats] has counts of seven days in steps of ten minutes, and who asked
//     most, and what for, by sketches whose memory is bounded. They outlive the
//     process. Names and clients are in them no longer than Keep, and the hour or
//     day that it ends in.
//   - With Anonymise the last bits of an address (/24, /56) and the name of the
//     device are gone before anything is written, counted or told.
//   - Of entries that are Unlogged, and of all while the log is off, nothing is
//     kept but that there were so many, and how long they took.
//
// It knows nothing of DNS messages: who adds entries says what happened.
package querylog

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"pic/internal/faultfs"
)

// A Verdict is what became of a query.
type Verdict uint8

const (
	Answered Verdict = iota
	Blocked
	Rewritten
	Allowed // a rule let it through that another would have blocked
	Refused
	Failed
	Limited // not answered, or told to come back: too much was asked
)

var verdicts = [...]string{"answered", "blocked", "rewritten", "allowed", "refused", "failed", "limited"}

func (v Verdict) String() string { return word(verdicts[:], uint8(v)) }

// ParseVerdict is the reverse of String.
func ParseVerdict(s string) (Verdict, bool) { return parseWord[Verdict](verdicts[:], s) }

// A Source is where an answer came from.
type Source uint8

const (
	Zone Source = iota
	Cache
	Upstream
	Stale  // of the cache, after its time
	Policy // the household's rules
)

func (s Source) String() string {
	return word([]string{"zone", "cache", "upstream", "stale", "policy"}, uint8(s))
}

// A Proto is how a query came.
type Proto uint8

const (
	UDP Proto = iota
	TCP
	TLS
	HTTPS
	QUIC
)

func (p Proto) String() string { return word([]string{"udp", "tcp", "tls", "https", "quic"}, uint8(p)) }

func word(words []string, n uint8) string {
	if int(n) < len(words) {
		return words[n]
	}
	return "unknown"
}

func parseWord[T ~uint8](words []string, s string) (T, bool) {
	for i, w := range words {
		if w == s {
			return T(i), true
		}
	}
	return 0, false
}

// A Told is what a question was answered with. All who are told the same share
// one; it must not change once it was added.
type Told struct {
	Name    string // presentation format without the last dot; "." is the root
	Type    uint16
	Rcode   uint16
	Source  Source
	Verdict Verdict
	Secure  bool // checked by DNSSEC

	List, Rule string // what decided
	Reason     string // why it failed or was blocked
	Upstream   string // who answered, be it earlier
	Answer     string // the first records, in short
}

// An Entry is one query, as it is added.
type Entry struct {
	Time     int64 // microseconds since 1970; 0: about now
	Client   netip.Addr
	Device   string // name of the client, where it has one
	Told     *Told
	Took     time.Duration
	Proto    Proto
	Unlogged bool // counted only
}

// A Record is one query, as it was kept.
type Record struct {
	ID     uint64 // grows with time
	Time   time.Time
	Client netip.Prefix // a single address unless Anonymise was set
	Device string
	Proto  Proto
	Took   time.Duration
	Told
}

// Config says what is kept. It may change at any time.
type Config struct {
	Enabled   bool
	Keep      time.Duration
	MaxSize   int64 // bytes on disk
	Anonymise bool
}

// Options are what a Log stands on. Without Dir it remembers nothing over a
// restart and finds nothing.
type Options struct {
	Log *slog.Logger
	Dir string     // need not exist
	FS  faultfs.FS // nil: that of the host
}

// ErrClosed says that the log is not open.
var ErrClosed = errors.New("the query log is not open")

// A Log is the query log. Use [New]. All methods may be called from any
// goroutine; Open and Close by turns.
type Log struct {
	log  *slog.Logger
	conf atomic.Pointer[Config]

	wake   chan struct{}
	asleep atomic.Bool // nobody looks at the rings until woken
	asks   chan chan struct{}
	seats  chan struct{} // of those who search

	mu     sync.Mutex
	rings  []*Ring
	shared *Ring // of all who call Add
	adds   sync.Mutex
	subs   map[chan Record]struct{}
	stop   chan struct{} // nil while not open
	ended  chan struct{}

	disk    disk
	stats   stats
	build   builder // of the batcher alone
	batch   []Entry // as build
	out     []byte  // as build
	dropped atomic.Uint64
}

// searchers is how many search at a time.
const searchers = 2

// New returns a log that is off and not open, and deletes nothing before the
// first Apply.
func New(o Options) *Log {
	if o.FS == nil {
		o.FS = faultfs.OS
	}
	l := &Log{
		log:   o.Log,
		wake:  make(chan struct{}, 1),
		asks:  make(chan chan struct{}),
		seats: make(chan struct{}, searchers),
		subs:  map[chan Record]struct{}{},
		disk:  disk{dir: o.Dir, fs: o.FS, log: o.Log},
	}
	l.conf.Store(&Config{})
	l.shared = newRing(l, ringSize)
	l.rings = append(l.rings, l.shared)
	l.stats.reset()
	return l
}

// Apply changes what is kept, from the next moment on.
func (l *Log) Apply(c Config) {
	if *l.conf.Swap(&c) != c {
		l.poke()
	}
}

// Open begins to take entries off the rings. What is wrong with the disk does
// not keep it from that; see Fault.
func (l *Log) Open() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stop != nil {
		return
	}
	l.stop, l.ended = make(chan struct{}), make(chan struct{})
	go l.run(l.stop, l.ended)
}

// Close writes what is left and saves the counts.
func (l *Log) Close() {
	l.mu.Lock()
	stop, ended := l.stop, l.ended
	l.stop = nil
	l.mu.Unlock()
	if stop != nil {
		close(stop)
		<-ended
	}
}

// Ring returns a ring for one goroutine that adds often. It must be closed.
func (l *Log) Ring() *Ring {
	r := newRing(l, ringSize)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rings = append(l.rings, r)
	return r
}

// Add takes in one entry. A goroutine that adds often has a Ring instead.
func (l *Log) Add(e *Entry) {
	l.adds.Lock()
	l.shared.Add(e)
	l.adds.Unlock()
}

// Dropped returns how many entries were lost since the start, for a ring was
// full or the disk failed.
func (l *Log) Dropped() uint64 {
	n := l.dropped.Load()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.rings {
		n += r.dropped.Load()
	}
	return n
}

// Fault returns what keeps entries from being written, and since when; nil:
// nothing does.
func (l *Log) Fault() (time.Time, error) { return l.disk.fault() }

// Tail tells of entries as they come, within half a second, until ctx is done;
// then it closes the channel. Who falls 256 behind loses some.
func (l *Log) Tail(ctx context.Context) <-chan Record {
	c := make(chan Record, 256)
	l.mu.Lock()
	l.subs[c] = struct{}{}
	l.mu.Unlock()
	context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.subs, c)
		close(c)
	})
	return c
}
