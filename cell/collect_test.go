package cell

import (
	"log/slog"
	"testing"
	"time"

	"pic/api"
	"pic/core/config"
	"pic/core/vault"
)

func TestOnlySecretsThatNoKeptRevisionNamesAreCollected(t *testing.T) {
	dir := t.TempDir()
	v, err := vault.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	put := func(kind string) config.Secret {
		id, err := v.Put(t.Context(), kind, []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	password, stray, foreign := put("dynamic-dns"), put("wireguard-peer-key"), put("of-another")
	doc := &config.Document{Cell: config.Cell{Name: "oak"}, Users: []config.User{{Name: "alice", Role: config.Admin}}}
	doc.Network.Dynamic = []config.DynamicName{{Name: "oak.dyn.example", Server: "https://dyn.example/", Password: password}}
	if err := config.Create(dir, doc, config.Env{}, "setup", ""); err != nil {
		t.Fatal(err)
	}
	s, err := config.Open(dir, config.Env{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	change := func(do func(d *config.Document)) {
		t.Helper()
		if _, err := s.Change(t.Context(), config.Change{Edit: func(d *config.Document) error { do(d); return nil }}); err != nil {
			t.Fatal(err)
		}
	}
	has := func(id config.Secret) bool {
		_, err := v.Get(id)
		return err == nil
	}
	later := time.Now().Add(2 * collectAfter)
	run := func(at time.Time, want int) {
		t.Helper()
		if n, err := collect(v, s.Named, at); n != want || err != nil {
			t.Errorf("%d collected, %v; want %d", n, err, want)
		}
	}
	change(func(d *config.Document) { d.Network.Dynamic = nil })
	run(time.Now(), 0) // too young
	run(later, 1)
	if !has(password) || has(stray) || !has(foreign) {
		t.Error("others were collected than those that nobody names")
	}
	if _, err := s.Rollback(t.Context(), 1, config.Change{}); err != nil || s.Current().Network.Dynamic[0].Password != password {
		t.Errorf("rolled back: %v", err)
	}
	change(func(d *config.Document) { d.Network.Dynamic = nil })
	for n := range 100 { // beyond the history
		change(func(d *config.Document) { d.Mail.MaxSize = 1<<20 + int64(n) })
	}
	run(later, 1)
	if has(password) || !has(foreign) {
		t.Error("a password that no kept revision names stays")
	}
}

// The kinds are those that changes of the document keep in the vault.
func TestKeysOfTheCellItselfAreNeverCollected(t *testing.T) {
	for _, k := range api.SecretKinds {
		if k == "wireguard" || k == "" {
			t.Errorf("the kind %q would be collected", k)
		}
	}
}
