package querylog

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pic/internal/faultfs"
)

// Every change of a file fails once; the log says so, loses at most what it was
// writing, and goes on.
func TestAFailingDiskCostsEntriesOnly(t *testing.T) {
	for n := 1; ; n++ {
		synctest.Test(t, func(t *testing.T) {
			fs := faultfs.FailAt(faultfs.OS, n, syscall.ENOSPC)
			dir := t.TempDir()
			l := open(t, dir, on(), func(o *Options) { o.FS = fs })
			failed := false
			for i := range 6 {
				l.Add(entry("192.168.1.1", fmt.Sprintf("n%d.test", i), Answered))
				time.Sleep(25 * time.Minute)
				if since, err := l.Fault(); err != nil {
					failed = true
					if since.IsZero() {
						t.Error("it has always failed")
					}
				}
			}
			if fs.Failed() { // by now
				l.Add(entry("192.168.1.1", "last.test", Answered))
				search(t, l, Query{})
			}
			p := search(t, l, Query{})
			if got := len(p.Records); uint64(got)+l.Dropped() < 6 || l.Dropped() > 1 {
				t.Errorf("change %d: %d found, %d dropped: %q", n, got, l.Dropped(), names(p))
			}
			if l.Dropped() > 0 && !failed {
				t.Errorf("change %d: an entry was lost and nobody said so", n)
			}
			if _, err := l.Fault(); err != nil {
				t.Errorf("change %d: still %v", n, err)
			}
			l.Close()
			again := open(t, dir, on())
			if got := search(t, again, Query{}); len(got.Records) != len(p.Records) {
				t.Errorf("change %d: %d after a restart, %d before", n, len(got.Records), len(p.Records))
			}
			again.Close()
			if !fs.Failed() {
				n = -1
			}
		})
		if n < 0 || t.Failed() {
			return
		}
	}
}

func TestOldAndTooLargeSegmentsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := on()
		c.Keep = 3 * time.Hour
		l := open(t, t.TempDir(), c)
		for i := range 12 {
			l.Add(entry("192.168.1.1", fmt.Sprintf("n%d.test", i), Answered))
			time.Sleep(time.Hour)
		}
		if got := names(search(t, l, Query{})); !slices.Equal(got, []string{"n11.test", "n10.test", "n9.test"}) {
			t.Errorf("%q", got)
		}
		if n := len(l.disk.list()); n > 5 {
			t.Errorf("%d segments are left", n)
		}
		c.MaxSize = 1 << 20
		l.Apply(c)
		long := strings.Repeat("x", 1000)
		for i := range 4000 {
			l.Add(&Entry{Told: &Told{Name: fmt.Sprintf("n%d.test", i), Answer: long + fmt.Sprint(i)}})
			if i%500 == 0 {
				time.Sleep(2 * time.Second)
			}
		}
		time.Sleep(time.Hour)
		var size int64
		for _, s := range l.disk.list() {
			size += s.size
		}
		if size > 1<<20+frameBytes || size < 1<<19 {
			t.Errorf("%d bytes are left", size)
		}
		if got := search(t, l, Query{Limit: 1}); len(got.Records) != 1 || !strings.HasPrefix(got.Records[0].Name, "n399") {
			t.Errorf("the last is %q", names(got))
		}
		l.Close()
	})
}
