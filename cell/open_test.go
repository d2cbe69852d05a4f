package cell

import (
	"bytes"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pic/core/config"
)

// A cell that lost a part of its data folder says which, and what to do.
func TestAFolderThatLostAPart(t *testing.T) {
	for name, tt := range map[string]struct {
		lose   func(t *testing.T, dir string)
		refuse string // what Open says; empty: it opens
		logged string // what the log says then
	}{
		"nothing":            {lose: func(*testing.T, string) {}},
		"the document":       {lose: gone("config.json"), refuse: "make it anew"},
		"before a change":    {lose: gone("config.json", "revisions/000002.json")},
		"the state":          {lose: gone("state.db"), logged: "pic user passwd"},
		"the state, emptied": {lose: filled("state.db", ""), logged: "pic user passwd"},
		"the state, damaged": {lose: filled("state.db", strings.Repeat("x", 20_000)), refuse: "put it back from a backup"},
		"the timeline":       {lose: filled("journal/events", "this was a journal once"), logged: "begins anew"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, log := t.TempDir(), new(bytes.Buffer)
			o := Options{Dir: dir, Log: slog.NewTextHandler(log, nil)}
			err := Setup(t.Context(), o, SetupOptions{
				Name: "oak", Mode: config.Trial, Admin: "alice", Password: "correct horse battery",
			})
			if err != nil {
				t.Fatal(err)
			}
			second := filepath.Join(dir, "revisions", "000002.json")
			if err := os.WriteFile(second, []byte("{}"), 0o600); err != nil {
				t.Fatal(err)
			}
			tt.lose(t, dir)
			c, err := Open(t.Context(), o)
			if err == nil {
				defer c.close()
			}
			switch {
			case tt.refuse == "" && err != nil, tt.refuse != "" && (err == nil || !strings.Contains(err.Error(), tt.refuse)):
				t.Errorf("refused by %v, want %q", err, tt.refuse)
			case tt.logged == "" && log.Len() > 0, !strings.Contains(log.String(), tt.logged):
				t.Errorf("the log has %q, want %q", log, tt.logged)
			}
		})
	}
}

func gone(names ...string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		for _, name := range names {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func filled(name, text string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheOwnerIsToldWhereThePageIs(t *testing.T) {
	lan := config.Interface{Name: "eth0", Address: netip.MustParsePrefix("192.168.7.1/24")}
	for name, tt := range map[string]struct {
		mode   config.Mode
		listen string
		lan    config.Interface
		want   string
	}{
		"in the LAN":         {config.Appliance, "", lan, "http://192.168.7.1:8081/"},
		"without a LAN":      {config.Appliance, "", config.Interface{}, "http://127.0.0.1:8081/"},
		"a trial":            {config.Trial, "", lan, "http://127.0.0.1:8081/"},
		"one address":        {config.Appliance, "192.168.8.8", lan, "http://192.168.8.8:8081/"},
		"one IPv6 address":   {config.Appliance, "fd00::1", lan, "http://[fd00::1]:8081/"},
		"a trial in the LAN": {config.Trial, "0.0.0.0", lan, "http://192.168.7.1:8081/"},
	} {
		d := &config.Document{Cell: config.Cell{Name: "oak", Mode: tt.mode}, Network: config.Network{LAN: tt.lan}}
		if tt.listen != "" {
			d.Cell.Listen = []netip.Addr{netip.MustParseAddr(tt.listen)}
		}
		if got := page(config.Resolve(d, config.Env{})); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}
