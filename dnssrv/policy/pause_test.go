package policy

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"pic/core/config"
	"pic/internal/faultfs"
)

// homes has a group and a rule.
func homes() Config {
	return Config{Filter: config.Filter{Enabled: new(true), Rules: []string{"always.test"}, Groups: []config.Group{{Name: "kids"}}}}
}

// resumed is an Engine in dir, as after a start of the process.
func resumed(t *testing.T, dir string) *Engine {
	t.Helper()
	e := New(Options{Log: quiet, Dir: dir})
	if err := e.Apply(homes()); err != nil {
		t.Fatal(err)
	}
	return e
}

func TestAPauseOutlivesTheProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dns") // made when it is needed
	e := resumed(t, dir)
	if err := e.Pause(time.Hour, ""); err != nil {
		t.Fatal(err)
	}
	if err := e.Pause(2*time.Hour, "kids"); err != nil {
		t.Fatal(err)
	}
	until := e.Paused()
	e = resumed(t, dir)
	if blocked(t, e, "always.test") || len(e.Paused()) != 2 || !e.Paused()["kids"].Equal(until["kids"]) {
		t.Errorf("after a restart: %v, want %v", e.Paused(), until)
	}
	if err := e.Pause(0, ""); err != nil {
		t.Fatal(err)
	}
	if e = resumed(t, dir); !blocked(t, e, "always.test") || len(e.Paused()) != 1 {
		t.Errorf("that it ended is forgotten: %v", e.Paused())
	}
	// It ends while nobody is there to see it.
	e = New(Options{Log: quiet, Dir: dir})
	e.now = func() time.Time { return time.Now().Add(3 * time.Hour) }
	if err := e.Apply(homes()); err != nil || len(e.Paused()) != 0 {
		t.Errorf("%v: it has no end: %v", err, e.Paused())
	}
}

func TestBrokenPausesAreNone(t *testing.T) {
	far := time.Now().Add(1000 * time.Hour).Format(time.RFC3339)
	for name, tt := range map[string]struct {
		text string
		n    int
	}{
		"empty":       {"", 0},
		"half":        {`{"":"2027-`, 0},
		"another":     {`[1,2]`, 0},
		"huge":        {`{"":"` + far + `"` + strings.Repeat(" ", maxPauseDoc) + "}", 0},
		"null":        {"null", 0},
		"far too far": {`{"":"` + far + `"}`, 1}, // of a clock that was wrong
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "pauses.json"), []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got := resumed(t, dir).Paused()
		if len(got) != tt.n || tt.n > 0 && time.Until(got[""]) > maxPause {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestAPauseThatCannotBeKeptIsNone(t *testing.T) {
	for n := range 20 {
		dir := t.TempDir()
		e := resumed(t, dir)
		fs := faultfs.FailAt(faultfs.OS, n, errors.New("no space left"))
		e.store.fs = fs
		err := e.Pause(time.Hour, "")
		after := resumed(t, dir)
		if blocked(t, e, "always.test") != (err != nil) || err == nil && len(after.Paused()) != 1 {
			t.Errorf("change %d fails: %v, paused %v, after a restart %v", n, err, e.Paused(), after.Paused())
		}
		if !fs.Failed() {
			return
		}
	}
	t.Error("there is no end of changes")
}

const pauseDir = "PIC_TEST_PAUSE_DIR"

// TestPauseUntilKilled is the process that TestKillLosesNoPause kills; by itself
// it does nothing.
func TestPauseUntilKilled(t *testing.T) {
	dir := os.Getenv(pauseDir)
	if dir == "" {
		return
	}
	e := resumed(t, dir)
	for n := 1; ; n++ {
		if err := e.Pause(time.Hour+time.Duration(n)*time.Second, "kids"); err != nil {
			t.Fatal(err)
		}
		fmt.Printf("ack %d\n", e.Paused()["kids"].UnixNano())
	}
}

func TestKillLosesNoPause(t *testing.T) {
	dir := t.TempDir()
	for range 8 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestPauseUntilKilled$")
		cmd.Env = append(os.Environ(), pauseDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		acked, seen, enough := int64(0), 0, 1+rand.IntN(30)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			n, err := strconv.ParseInt(strings.TrimPrefix(lines.Text(), "ack "), 10, 64)
			if err != nil {
				continue
			}
			acked = n
			if seen++; seen >= enough {
				cmd.Process.Kill() // somewhere in the next
			}
		}
		cmd.Wait() // killed: an error that says nothing new
		if got := resumed(t, dir).Paused()["kids"].UnixNano(); acked == 0 || got < acked {
			t.Fatalf("paused until %d, found %d", acked, got)
		}
	}
}
