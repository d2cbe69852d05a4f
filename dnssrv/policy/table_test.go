package policy

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"pic/core/config"
)

// writeNames writes n names of lists, one a line, about 17 octets each.
func writeNames(w io.Writer, n int) error {
	b := bufio.NewWriterSize(w, 1<<16)
	var line []byte
	for i := range n {
		x := uint64(i) * 2654435761 % (1 << 32)
		if i%5 < 3 {
			line = strconv.AppendInt(append(line[:0], "||a"...), int64(i%97), 10)
			line = strconv.AppendUint(append(line, '.'), x, 16)
		} else {
			line = strconv.AppendUint(append(line[:0], "||ads"...), x, 16)
		}
		b.Write(append(line, ".test^\n"...))
	}
	return b.Flush()
}

func manyNames(n int) io.Reader {
	r, w := io.Pipe()
	go func() { w.CloseWithError(writeNames(w, n)) }()
	return r
}

// resident is how much of the process is in memory, and the most that ever was.
func resident(t *testing.T) (now, peak int) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip(err)
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		switch f[0] {
		case "VmRSS:":
			now, _ = strconv.Atoi(f[1])
		case "VmHWM:":
			peak, _ = strconv.Atoi(f[1])
		}
	}
	return now << 10, peak << 10
}

func library1(t testing.TB, in io.Reader, about ...int) *library {
	t.Helper()
	s, err := newShelf(append(about, 1000)[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.add("one", in); err != nil {
		t.Fatal(err)
	}
	l, err := s.library()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// The limits are those of the house: 30 MB more with a million names, 60 MB at
// most while another million takes their place, fetching and checking included. A
// tenth more is borne, for the collector is late while other tests keep the
// processors busy.
func TestAMillionNamesFitIntoThirtyMegabytes(t *testing.T) {
	const million = 1_000_000
	path := filepath.Join(t.TempDir(), "list")
	write := func(more string) {
		t.Helper()
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := writeNames(f, million); err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(more); err != nil {
			t.Fatal(err)
		}
	}
	write("")
	dir := t.TempDir()
	small := engine(t, t.TempDir(), lists(path)) // whatever the first costs
	e := engine(t, dir, lists(path))
	debug.FreeOSMemory()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		t.Skip("the peak cannot be measured here: ", err)
	}
	before, _ := resident(t)
	if err := e.Refresh(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	now, peak := resident(t)
	t.Logf("%d names: %.1f MB, of them %.1f of the table; peak %.1f", e.Current().Names(), mb(now-before), mb(e.Memory()), mb(peak-before))
	if e.Current().Names() != million {
		t.Errorf("%d names of a million", e.Current().Names())
	}
	if now-before > 30e6 {
		t.Errorf("a million names take %.1f MB", mb(now-before))
	}
	write("||another.test^\n")
	set := e.Current() // as a query that is under way
	if err := e.Refresh(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	_, peak = resident(t)
	t.Logf("with the next: peak %.1f MB", mb(peak-before))
	if peak-before > 66e6 {
		t.Errorf("a reload takes %.1f MB", mb(peak-before))
	}
	if !blocked(t, e, "another.test") || set.Names() != million {
		t.Error("the next is not in force, or the one before is gone")
	}
	runtime.KeepAlive(small)
	start := time.Now()
	again := engine(t, dir, lists(path))
	t.Logf("ready after %v", time.Since(start))
	if !blocked(t, again, "another.test") {
		t.Error("the first Apply does not read the copies")
	}
}

func mb(n int) float64 { return float64(n) / 1e6 }

func TestTablesGiveTheirMemoryBack(t *testing.T) {
	library1(t, manyNames(100_000))
	debug.FreeOSMemory()
	before, _ := resident(t)
	for range 10 {
		library1(t, manyNames(100_000))
		runtime.GC()
	}
	debug.FreeOSMemory()
	runtime.GC()
	if now, _ := resident(t); now-before > 12e6 {
		t.Errorf("ten tables, none in use, left %.1f MB", mb(now-before))
	}
}

func TestLookingUpTakesNoMemory(t *testing.T) {
	l := library1(t, strings.NewReader("||ads.test^\n@@||ok.ads.test^\n"))
	s := newSet(must(t, filter(config.Filter{Lists: []config.List{{Name: "one", URL: "one"}}})), l, nil, never, noon)
	v := s.View(client1, "")
	name := wire(t, "a.b.ok.ads.test")
	if n := testing.AllocsPerRun(100, func() {
		l.table.each(name, func(string, int, []said) bool { return true })
	}); n != 0 {
		t.Errorf("a lookup allocates %v times", n)
	}
	if n := testing.AllocsPerRun(100, func() { s.View(client1, "") }); n != 0 {
		t.Errorf("a view allocates %v times", n)
	}
	if d := v.Decide(name, 1); d.Action != Allow || d.Rule != "@@||ok.ads.test^" || d.List != "one" {
		t.Errorf("got %+v", d)
	}
}

func TestTableFull(t *testing.T) {
	b, err := NewBuilder(0)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Drop()
	b.t.pages = make([][]byte, maxPages)
	b.used = pageSize
	if _, err := b.Add([]byte("a.test"), formName, 0); err != ErrFull {
		t.Errorf("got %v", err)
	}
	b.t.pages = nil
}

func BenchmarkBuild(b *testing.B) {
	var text bytes.Buffer
	io.Copy(&text, manyNames(1_000_000))
	for b.Loop() {
		library1(b, bytes.NewReader(text.Bytes()))
	}
	b.ReportMetric(float64(text.Len())/1e6, "MB")
}

func BenchmarkLookup(b *testing.B) {
	l := library1(b, manyNames(1_000_000))
	name := wire(b, "www.cdn.example.com")
	for b.Loop() {
		l.table.each(name, func(string, int, []said) bool { return true })
	}
}

// BenchmarkScan is the most that rules with patterns may cost a name that nobody
// asked for yet.
func BenchmarkScan(b *testing.B) {
	var text strings.Builder
	for i := range maxScanned {
		text.WriteString("||ads" + strconv.Itoa(i) + "*.banner^\n")
	}
	for i := range maxPatterns {
		text.WriteString("/^(?:.+[.])?a[dv]s?" + strconv.Itoa(i) + "[0-9]*[.]/\n")
	}
	l := library1(b, strings.NewReader(text.String()))
	q := search{q: &asked{name: wire(b, "www.static.cdn.example.com"), typ: 1}}
	q.use.set(0)
	for b.Loop() {
		l.find(&q)
	}
}
