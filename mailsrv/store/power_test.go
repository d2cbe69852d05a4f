package store

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"pic/internal/faultfs"
)

// powerFS is a disk whose power can be cut. What was written and not synced is
// then there or not, page by page, and a file whose folder was not synced is
// gone. It forgets nothing by itself: content is in the real files meanwhile.
type powerFS struct {
	faultfs.FS
	mu    sync.Mutex
	rnd   *rand.Rand
	left  int // changes until the power fails
	off   bool
	files map[string]*powered
}

type powered struct {
	safe    []byte   // content as of the last sync
	pages   []pwrite // since
	size    int64
	entered bool // the folder knows of it
}

type pwrite struct {
	off  int64
	data []byte
}

var errPower = errors.New("no power")

func (p *powerFS) tick() error {
	if p.left--; p.left < 0 {
		p.off = true
	}
	if p.off {
		return errPower
	}
	return nil
}

func (p *powerFS) OpenFile(name string, flag int, perm fs.FileMode) (faultfs.File, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if flag&os.O_CREATE != 0 {
		if err := p.tick(); err != nil {
			return nil, err
		}
	}
	f, err := p.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	if p.files[name] == nil {
		old, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		p.files[name] = &powered{safe: old, size: int64(len(old)), entered: flag&os.O_CREATE == 0}
	}
	return &powerFile{f, p, p.files[name]}, nil
}

func (p *powerFS) SyncDir(dir string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.tick(); err != nil {
		return err
	}
	for name, f := range p.files {
		f.entered = f.entered || filepath.Dir(name) == dir
	}
	return nil
}

type powerFile struct {
	faultfs.File
	p *powerFS
	f *powered
}

func (f *powerFile) WriteAt(b []byte, off int64) (int, error) {
	f.p.mu.Lock()
	defer f.p.mu.Unlock()
	if err := f.p.tick(); err != nil {
		return 0, err
	}
	for at := 0; at < len(b); {
		n := min(512-int(off+int64(at))%512, len(b)-at)
		f.f.pages = append(f.f.pages, pwrite{off + int64(at), append([]byte{}, b[at:at+n]...)})
		at += n
	}
	f.f.size = max(f.f.size, off+int64(len(b)))
	return f.File.WriteAt(b, off)
}

func (f *powerFile) Sync() error {
	f.p.mu.Lock()
	defer f.p.mu.Unlock()
	if err := f.p.tick(); err != nil {
		return err
	}
	f.f.safe = f.f.content(func() bool { return true })
	f.f.pages = nil
	return nil
}

// content is the safe content with some of the pages written since.
func (f *powered) content(keep func() bool) []byte {
	out := append([]byte{}, f.safe...)
	for _, w := range f.pages {
		if !keep() {
			continue
		}
		if end := w.off + int64(len(w.data)); end > int64(len(out)) {
			out = append(out, make([]byte, end-int64(len(out)))...)
		}
		copy(out[w.off:], w.data)
	}
	return out
}

// cut makes the real files what they are after the power came back.
func (p *powerFS) cut(t *testing.T) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, f := range p.files {
		if !f.entered && p.rnd.IntN(2) == 0 {
			os.Remove(name)
			continue
		}
		if err := os.WriteFile(name, f.content(func() bool { return p.rnd.IntN(2) == 0 }), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// Every message that was acknowledged before the power failed is there when it
// is back, with its flag if that was acknowledged, and no damage is reported.
func TestPowerCut(t *testing.T) {
	for seed := range uint64(60) {
		dir := t.TempDir()
		acked := map[uint32]string{}
		flagged := map[uint32]bool{}
		for round := range 3 { // on what the round before left
			p := &powerFS{FS: faultfs.OS, rnd: rand.New(rand.NewPCG(seed, uint64(round))), files: map[string]*powered{}}
			p.left = 5 + p.rnd.IntN(120)
			s, err := open(p, dir, quiet)
			if err != nil {
				t.Fatal(err)
			}
			s.segSize = 20 << 10
			if a, err := s.Account("kim"); err == nil {
				write(t, a, fmt.Sprint(seed, "-", round), acked, flagged)
				a.Release()
			}
			s.Close()
			p.cut(t)
			s = openStore(t, dir)
			with(t, s, "kim", func(a *Account) {
				if d := a.Damage(); len(d.Places) > 0 {
					t.Errorf("seed %d: %+v", seed, d)
				}
				in, err := a.Mailbox("INBOX")
				if err != nil {
					t.Fatal(err)
				}
				for uid, want := range acked {
					m, err := a.Message(in.ID, uid)
					if err != nil {
						t.Fatalf("seed %d: UID %d: %v", seed, uid, err)
					}
					if got := text(t, a, m); got != want {
						t.Errorf("seed %d: UID %d is %.20q, want %.20q", seed, uid, got, want)
					}
					if flagged[uid] && m.Flags&Seen == 0 {
						t.Errorf("seed %d: UID %d lost its flag", seed, uid)
					}
				}
			})
			s.Close()
		}
		if t.Failed() {
			return
		}
	}
}

// write has several writers at work until nothing can be saved any more.
func write(t *testing.T, a *Account, name string, acked map[uint32]string, flagged map[uint32]bool) {
	in, err := a.Mailbox("INBOX")
	if err != nil {
		return
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				txt := fmt.Sprintf("%s-%d-%d %0*d", name, w, i, 10+i*w*97%3000, i)
				out, err := a.Append(t.Context(), in.ID, New{Body: body(txt)})
				if err != nil {
					return
				}
				mu.Lock()
				if old, twice := acked[out.UID]; twice {
					t.Errorf("UID %d was given to %.20q and %.20q", out.UID, old, txt)
				}
				acked[out.UID] = txt
				mu.Unlock()
				if _, err := a.SetFlags(t.Context(), in.ID, []uint32{out.UID}, AddFlags, []string{`\Seen`}); err != nil {
					return
				}
				mu.Lock()
				flagged[out.UID] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}
