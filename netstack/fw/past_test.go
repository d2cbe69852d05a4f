package fw

import (
	"bytes"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"pic/internal/nettest"
)

// What ended by itself is not taken out once more, which would load the whole
// table anew, with all counters and limits at zero.
func TestWhatEndedByItselfIsLeftToTheKernel(t *testing.T) {
	f, _ := fresh(t)
	var log bytes.Buffer
	f.log = slog.New(slog.NewTextHandler(&log, nil))
	m := small()
	end := time.Now().Add(1500 * time.Millisecond)
	m.Bans = []Ban{{netip.MustParsePrefix("203.0.113.66/32"), end}, {netip.MustParsePrefix("198.18.0.0/15"), time.Time{}}}
	if err := f.Set(Compile(m)); err != nil {
		t.Fatal(err)
	}
	nettest.WaitFor(t, 5*time.Second, func() bool { return time.Now().After(end.Add(20 * time.Millisecond)) })
	m.Bans = m.Bans[1:]
	if err := f.Set(Compile(m)); err != nil {
		t.Fatal(err)
	}
	if log.Len() > 0 {
		t.Errorf("%s", log.String())
	}
	m.Bans = nil
	if err := f.Set(Compile(m)); err != nil || log.Len() > 0 {
		t.Errorf("%v %s", err, log.String())
	}
}
