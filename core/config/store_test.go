package config

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pic/internal/faultfs"
)

// oak is a document as setup writes it.
func oak() *Document {
	return &Document{
		Cell:  Cell{Name: "oak", Mode: Trial},
		Users: []User{{Name: "alice", Role: Admin}},
	}
}

// newStore opens a store on a fresh folder that holds oak.
func newStore(t *testing.T, units ...Unit) (*Store, string) {
	t.Helper()
	dir := t.TempDir()
	if err := Create(dir, oak(), Env{}, "setup", "first"); err != nil {
		t.Fatal(err)
	}
	s, err := Open(dir, Env{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	s.Follow(t.Context(), func() func() { return func() {} }, units...)
	return s, dir
}

// A recorder is a unit that remembers what it follows and refuses on demand.
type recorder struct {
	name             string
	log              *[]string
	follows          *Document
	noCheck, noApply bool
	noRestore        bool
}

var errNo = errors.New("no")

func (r *recorder) Name() string { return r.name }

func (r *recorder) Check(_ context.Context, _ *Document) error {
	if r.noCheck {
		return errNo
	}
	return nil
}

func (r *recorder) Apply(_ context.Context, next *Document) error {
	if r.noApply {
		return errNo
	}
	*r.log = append(*r.log, fmt.Sprintf("%s applies %d", r.name, next.Revision))
	r.follows = next
	return nil
}

func (r *recorder) Restore(_ context.Context, d *Document) error {
	if r.noRestore {
		return errNo
	}
	*r.log = append(*r.log, fmt.Sprintf("%s restores %d", r.name, d.Revision))
	r.follows = d
	return nil
}

func addZone(name string) func(*Document) error {
	return func(d *Document) error {
		d.DNS.Zones = append(d.DNS.Zones, Zone{Name: name})
		return nil
	}
}

func config(t *testing.T, dir string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestChangeReachesUnitsInOrderAndDisk(t *testing.T) {
	var log []string
	a, b := &recorder{name: "a", log: &log}, &recorder{name: "b", log: &log}
	s, dir := newStore(t, a, b)
	doc, err := s.Change(t.Context(), Change{Actor: "alice", Reason: "garden", Edit: addZone("garden.home.arpa")})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"a restores 1", "b restores 1", "a applies 2", "b applies 2"}; !slices.Equal(log, want) {
		t.Errorf("units saw %q, want %q", log, want)
	}
	if a.follows.DNS.Port != 10053 {
		t.Error("units do not get the resolved document")
	}
	if doc.Revision != 2 || !strings.Contains(config(t, dir), "garden.home.arpa") {
		t.Errorf("revision %d on disk: %s", doc.Revision, config(t, dir))
	}
	if strings.Contains(config(t, dir), "10053") {
		t.Error("a default was written into the document")
	}
	h, err := s.History(10)
	if err != nil || len(h) != 2 || h[0].Actor != "alice" || h[0].Reason != "garden" || len(h[0].Diff) != 1 {
		t.Errorf("history is %+v, %v", h, err)
	}
	again, err := Open(dir, Env{}, slog.New(slog.DiscardHandler))
	if err != nil || again.Current().Revision != 2 {
		t.Fatalf("opened again: %v", err)
	}
}

func TestRefusedChangeLeavesNoTrace(t *testing.T) {
	for name, tt := range map[string]struct {
		refuse  func(*recorder)
		edit    func(*Document) error
		refused bool
	}{
		"check":   {func(r *recorder) { r.noCheck = true }, addZone("x.home.arpa"), true},
		"apply":   {func(r *recorder) { r.noApply = true }, addZone("x.home.arpa"), true},
		"invalid": {func(*recorder) {}, addZone("no zone"), false},
		"edit":    {func(*recorder) {}, func(*Document) error { return errNo }, false},
	} {
		t.Run(name, func(t *testing.T) {
			var log []string
			a, b := &recorder{name: "a", log: &log}, &recorder{name: "b", log: &log}
			s, dir := newStore(t, a, b)
			before := config(t, dir)
			tt.refuse(b)
			_, err := s.Change(t.Context(), Change{Edit: tt.edit})
			var refused *RefusedError
			if err == nil || errors.As(err, &refused) != tt.refused || tt.refused && refused.Unit != "b" {
				t.Fatalf("got %v", err)
			}
			if config(t, dir) != before || s.Current().Revision != 1 || a.follows.Revision != 1 || b.follows.Revision != 1 {
				t.Error("something of the refused change stayed")
			}
		})
	}
}

func TestFailedUndoIsReportedAndNotFatal(t *testing.T) {
	var log []string
	a, b := &recorder{name: "a", log: &log}, &recorder{name: "b", log: &log, noApply: true}
	s, _ := newStore(t, a, b)
	a.noRestore = true
	if _, err := s.Change(t.Context(), Change{Edit: addZone("x.home.arpa")}); err == nil {
		t.Fatal("accepted")
	}
	if d := s.Damage(); d == nil || d.Code != "undo-failed" {
		t.Errorf("damage is %+v", d)
	}
}

func TestLostRaceIsAConflict(t *testing.T) {
	s, _ := newStore(t)
	if _, err := s.Change(t.Context(), Change{Base: 1, Edit: addZone("a.home.arpa")}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Change(t.Context(), Change{Base: 1, Edit: addZone("b.home.arpa")}); !errors.Is(err, ErrConflict) {
		t.Errorf("got %v", err)
	}
}

func TestEditThatChangesNothingMakesNoRevision(t *testing.T) {
	s, _ := newStore(t)
	d, err := s.Change(t.Context(), Change{Edit: func(*Document) error { return nil }})
	if err != nil || d.Revision != 1 {
		t.Errorf("revision %d, %v", d.Revision, err)
	}
}

func TestProbeChangesNothing(t *testing.T) {
	s, dir := newStore(t)
	before := config(t, dir)
	_, diff, err := s.Probe(t.Context(), Change{Edit: addZone("a.home.arpa")})
	if err != nil || len(diff) != 1 || !strings.Contains(diff[0].Path, "a.home.arpa") {
		t.Errorf("diff %+v, %v", diff, err)
	}
	if config(t, dir) != before {
		t.Error("the probe was saved")
	}
}

func TestRollbackIsAChange(t *testing.T) {
	s, _ := newStore(t)
	for _, z := range []string{"a.home.arpa", "b.home.arpa"} {
		if _, err := s.Change(t.Context(), Change{Edit: addZone(z)}); err != nil {
			t.Fatal(err)
		}
	}
	d, err := s.Rollback(t.Context(), 2, Change{Actor: "alice"})
	if err != nil || d.Revision != 4 || len(d.DNS.Zones) != 1 {
		t.Fatalf("%+v, %v", d, err)
	}
	if _, err := s.Rollback(t.Context(), 77, Change{}); !errors.Is(err, ErrNoRevision) {
		t.Errorf("unknown revision gave %v", err)
	}
}

func TestOldRevisionsArePruned(t *testing.T) {
	s, dir := newStore(t)
	for i := range kept + 20 {
		if _, err := s.Change(t.Context(), Change{Edit: func(d *Document) error { d.Mail.MaxSize = 1<<20 + int64(i); return nil }}); err != nil {
			t.Fatal(err)
		}
	}
	e, err := os.ReadDir(filepath.Join(dir, "revisions"))
	if err != nil || len(e) != kept {
		t.Errorf("%d revisions are kept, %v", len(e), err)
	}
}

func TestUnconfirmedChangeIsUndoneInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, dir := newStore(t)
		if _, err := s.Change(t.Context(), Change{Edit: addZone("a.home.arpa"), Confirm: 90 * time.Second}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Change(t.Context(), Change{Edit: addZone("b.home.arpa")}); !errors.Is(err, ErrPending) {
			t.Fatalf("a change beside a pending one gave %v", err)
		}
		time.Sleep(89 * time.Second)
		synctest.Wait()
		if s.Pending() == nil || len(s.Current().DNS.Zones) != 1 {
			t.Fatal("undone too early")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if s.Pending() != nil || len(s.Current().DNS.Zones) != 0 || s.Current().Revision != 3 {
			t.Fatalf("not undone: %+v", s.Current())
		}
		if _, err := os.Stat(filepath.Join(dir, "pending.json")); err == nil {
			t.Error("still armed on disk")
		}
	})
}

func TestConfirmedChangeStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, dir := newStore(t)
		if _, err := s.Change(t.Context(), Change{Edit: addZone("a.home.arpa"), Confirm: time.Minute}); err != nil {
			t.Fatal(err)
		}
		if err := s.Confirm(t.Context(), "alice"); err != nil {
			t.Fatal(err)
		}
		if err := s.Confirm(t.Context(), "alice"); !errors.Is(err, ErrNotPending) {
			t.Errorf("confirmed twice: %v", err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		again, err := Open(dir, Env{}, slog.New(slog.DiscardHandler))
		if err != nil || len(again.Current().DNS.Zones) != 1 {
			t.Errorf("the confirmed change is gone: %v", err)
		}
	})
}

func TestRestartRevertsWhatWasNotConfirmed(t *testing.T) {
	s, dir := newStore(t)
	if _, err := s.Change(t.Context(), Change{Edit: addZone("a.home.arpa"), Confirm: time.Hour}); err != nil {
		t.Fatal(err)
	}
	s.Close() // as a crash would: the file stays
	again, err := Open(dir, Env{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if d := again.Current(); d.Revision != 3 || len(d.DNS.Zones) != 0 {
		t.Errorf("after the restart the document is %+v", d)
	}
	if h, err := again.History(1); err != nil || h[0].Actor != "cell" {
		t.Errorf("history says %+v, %v", h, err)
	}
}

// Whatever write fails, or wherever the process is killed: the store and the
// next start have the document before or after, whole, and what Change reported
// is what is on disk.
func TestEveryWriteMayFail(t *testing.T) {
	for name, fail := range map[string]func(int) *faultfs.Faults{
		"fails": func(n int) *faultfs.Faults { return faultfs.FailAt(faultfs.OS, n, syscall.EIO) },
		"crash": func(n int) *faultfs.Faults { return faultfs.CrashAt(faultfs.OS, n, syscall.EIO) },
	} {
		for _, confirm := range []time.Duration{0, time.Hour} {
			t.Run(fmt.Sprint(name, confirm), func(t *testing.T) {
				for n := 1; ; n++ {
					dir := t.TempDir()
					if err := Create(dir, oak(), Env{}, "setup", ""); err != nil {
						t.Fatal(err)
					}
					fs := fail(n)
					s, err := open(disk{dir, fs}, Env{}, slog.New(slog.DiscardHandler))
					if err != nil {
						t.Fatal(err)
					}
					_, err = s.Change(t.Context(), Change{Edit: addZone("a.home.arpa"), Confirm: confirm})
					s.Close()
					again, openErr := Open(dir, Env{}, slog.New(slog.DiscardHandler))
					if openErr != nil {
						t.Fatalf("write %d: the cell no longer starts: %v", n, openErr)
					}
					there := len(again.Current().DNS.Zones) == 1
					if want := err == nil && confirm == 0; there != want {
						t.Errorf("write %d: Change said %v, and the zone is there: %v", n, err, there)
					}
					if err == nil && s.Current().Revision != 2 || err != nil && s.Current().Revision != 1 {
						t.Errorf("write %d: Change said %v at revision %d", n, err, s.Current().Revision)
					}
					if !fs.Failed() {
						break
					}
				}
			})
		}
	}
}

func TestInvalidFileIsExplained(t *testing.T) {
	for name, tt := range map[string]struct{ file, want string }{
		"not JSON":      {`{"schema": 1,`, "not JSON at byte"},
		"unknown field": {`{"schema":1,"dsn":{}}`, `there is no setting "dsn"`},
		"wrong type":    {`{"schema":1,"dns":{"port":"53"}}`, "dns.port: needs a whole number"},
		"newer":         {`{"schema":99}`, "update pic"},
		"no schema":     {`{}`, "schema"},
		"bad value":     {`{"schema":1,"cell":{"name":"O K","mode":"trial"}}`, "cell.name"},
	} {
		dir := t.TempDir()
		os.WriteFile(filepath.Join(dir, "config.json"), []byte(tt.file), 0o600)
		_, err := Open(dir, Env{}, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
	if _, err := Open(t.TempDir(), Env{}, slog.New(slog.DiscardHandler)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file gave %v", err)
	}
}

func TestOldSchemasAreMigrated(t *testing.T) {
	steps := map[int]migration{
		1: func(d map[string]any) error { d["links"] = d["cells"]; delete(d, "cells"); return nil },
		2: func(d map[string]any) error { d["cell"].(map[string]any)["mode"] = "trial"; return nil },
	}
	d, err := parse([]byte(`{"schema":1,"cell":{"name":"oak"},"cells":[{"name":"elm","domain":"elm.home.arpa","publicKey":"","subnets":null}]}`), steps, 3)
	if err != nil || d.Cell.Mode != Trial || len(d.Links) != 1 || d.Links[0].Name != "elm" {
		t.Errorf("got %+v, %v", d, err)
	}
	if _, err := parse([]byte(`{"schema":1}`), nil, 3); err == nil {
		t.Error("a schema without a migration was read")
	}
}

func TestResolveKeepsTheChosenDocument(t *testing.T) {
	d := oak()
	before, _ := json.Marshal(d)
	r := Resolve(d, Env{Ports: map[string]uint16{"DNS_PORT": 5353}, Resolvers: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.53:53")}})
	if after, _ := json.Marshal(d); string(before) != string(after) {
		t.Error("Resolve changed its argument")
	}
	if r.DNS.Port != 5353 || r.DNS.Upstreams[0] != "192.0.2.53:53" || r.Cell.Domain != "oak.home.arpa" {
		t.Errorf("resolved DNS is %+v", r.DNS)
	}
	if err := r.Validate(); err != nil {
		t.Error(err)
	}
}

// A host that asks its own cell must not make the cell ask itself.
func TestCellIsNotItsOwnUpstream(t *testing.T) {
	d := oak()
	d.Cell.Mode = Appliance
	env := eth0("192.168.7.1/24")
	for _, a := range []string{"127.0.0.1:53", "192.168.7.1:53", "192.168.7.254:53"} {
		env.Resolvers = append(env.Resolvers, netip.MustParseAddrPort(a))
	}
	if up := Resolve(d, env).DNS.Upstreams; !slices.Equal(up, []string{"192.168.7.254:53"}) {
		t.Errorf("asks %v", up)
	}
}

func TestHugeDocumentIsRefused(t *testing.T) {
	s, _ := newStore(t)
	_, err := s.Change(t.Context(), Change{Edit: func(d *Document) error {
		for range 5000 {
			d.DNS.Records = append(d.DNS.Records, Record{Name: "x", Type: "TXT", Value: strings.Repeat("x", 1000)})
		}
		return nil
	}})
	if err == nil || !strings.Contains(err.Error(), "are allowed") || s.Current().Revision != 1 {
		t.Errorf("got %v", err)
	}
}
