package policy

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"pic/internal/faultfs"
)

// listOf is a list whose rules say how many they are, so that one that is half
// there is told from all whole ones.
func listOf(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "||a%d.of%d.test^\n", i, n)
	}
	return b.String()
}

// whole returns how many rules a copy has, and fails if that is not all of them.
func whole(t *testing.T, s *store, url string) int {
	t.Helper()
	f, _, err := s.open(url)
	if errors.Is(err, os.ErrNotExist) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n, of := 0, ""
	for lines := bufio.NewScanner(f); lines.Scan(); n++ {
		_, of, _ = strings.Cut(lines.Text(), ".of")
	}
	if of != fmt.Sprintf("%d.test^", n) {
		t.Fatalf("%d rules, the last of which says %q", n, of)
	}
	return n
}

func TestAFailingDiskKeepsTheCopy(t *testing.T) {
	for n := 1; ; n++ {
		s := store{faultfs.OS, filepath.Join(t.TempDir(), "lists"), maxList}
		if _, _, err := s.save(origin{URL: "u"}, strings.NewReader(listOf(10))); err != nil {
			t.Fatal(err)
		}
		failing := faultfs.FailAt(faultfs.OS, n, syscall.ENOSPC)
		s.fs = failing
		_, _, err := s.save(origin{URL: "u"}, strings.NewReader(listOf(3000)))
		if got := whole(t, &s, "u"); err == nil && got != 3000 || got != 10 && got != 3000 {
			t.Errorf("change %d failed, and the copy has %d rules: %v", n, got, err)
		}
		if !failing.Failed() {
			break
		}
		if err == nil {
			t.Errorf("change %d failed, and nobody said so", n)
		}
		s.fs = faultfs.OS
		if _, _, err := s.save(origin{URL: "u"}, strings.NewReader(listOf(20))); err != nil || whole(t, &s, "u") != 20 {
			t.Errorf("after change %d failed, the next does too: %v", n, err)
		}
	}
}

const killDir = "PIC_TEST_KILL_DIR"

// TestSaveUntilKilled is the process that TestKilledWhileListsAreWritten kills; by
// itself it does nothing.
func TestSaveUntilKilled(t *testing.T) {
	dir := os.Getenv(killDir)
	if dir == "" {
		return
	}
	s := store{faultfs.OS, dir, maxList}
	fmt.Println("ready")
	for n := 1000; ; n += 1000 {
		if _, _, err := s.save(origin{URL: "u", ETag: fmt.Sprint(n)}, strings.NewReader(listOf(n%20_000+1))); err != nil {
			t.Fatal(err)
		}
		fmt.Println("ack", n)
	}
}

func TestKilledWhileListsAreWritten(t *testing.T) {
	dir := t.TempDir()
	s := store{faultfs.OS, dir, maxList}
	acked := 0
	// A busy machine may kill many before they have saved anything.
	for round := 0; round < 12 || acked < 5 && round < 200; round++ {
		cmd := exec.Command(os.Args[0], "-test.run=^TestSaveUntilKilled$")
		cmd.Env = append(os.Environ(), killDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		last := 0
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if lines.Text() == "ready" { // how long a process takes to begin is no matter
				time.AfterFunc(time.Duration(rand.IntN(90))*time.Millisecond, func() { cmd.Process.Kill() })
			}
			if n, ok := strings.CutPrefix(lines.Text(), "ack "); ok {
				last, _ = strconv.Atoi(n)
				acked++
			}
		}
		cmd.Wait() // killed: an error that says nothing new
		f, c, err := s.open("u")
		if errors.Is(err, os.ErrNotExist) && last == 0 {
			continue
		}
		if err != nil {
			t.Fatalf("no copy after the kill: %v", err)
		}
		f.Close()
		// The list that was being saved, or one that was saved before.
		n, _ := strconv.Atoi(c.ETag)
		if n != last && n != last+1000 && last != 0 {
			t.Errorf("acknowledged %d, found %d", last, n)
		}
		if got := whole(t, &s, "u"); got != n%20_000+1 {
			t.Errorf("the copy %d has %d rules", n, got)
		}
		if err := s.clean(map[string]bool{"u": true}, time.Now()); err != nil {
			t.Error(err)
		}
		if left, _ := os.ReadDir(dir); len(left) != 1 {
			t.Errorf("left behind: %v", left)
		}
	}
	if acked < 5 {
		t.Errorf("only %d lists were saved in all", acked)
	}
}

func TestOldCopiesOfListsThatNobodyHasAreRemoved(t *testing.T) {
	s := store{faultfs.OS, t.TempDir(), maxList}
	for _, url := range []string{"used", "unused", "old"} {
		if _, _, err := s.save(origin{URL: url}, strings.NewReader(listOf(3))); err != nil {
			t.Fatal(err)
		}
	}
	s.confirm("old", time.Now().Add(-2*keepUnused))
	if err := s.clean(map[string]bool{"used": true}, time.Now()); err != nil {
		t.Fatal(err)
	}
	for url, want := range map[string]int{"used": 3, "unused": 3, "old": 0} {
		if got := whole(t, &s, url); got != want {
			t.Errorf("%s has %d rules, want %d", url, got, want)
		}
	}
}

func TestFetchingAsksOnlyForWhatIsNew(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write([]byte("||packed.test^\n"))
	z.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("/dated", func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "list.txt", time.Unix(1e9, 0), strings.NewReader("||dated.test^\n"))
	})
	mux.HandleFunc("/list.gz", func(w http.ResponseWriter, r *http.Request) { w.Write(packed.Bytes()) })
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/dated", http.StatusFound) })
	mux.HandleFunc("/circle", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/circle", http.StatusFound) })
	mux.HandleFunc("/cut", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		w.Write([]byte("||cut.test^\n"))
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	// The server is only to be found by the resolver of the test.
	_, port, _ := strings.Cut(strings.TrimPrefix(srv.URL, "http://"), ":")
	var asked atomic.Int64
	resolve := func(_ context.Context, host string) ([]netip.Addr, error) {
		asked.Add(1)
		if host != "lists.test" {
			return nil, errors.New("there is no such host")
		}
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}
	at := func(path string) string { return "http://lists.test:" + port + path }
	e := New(Options{Log: quiet, Dir: t.TempDir(), Resolve: resolve})
	if err := e.Apply(lists(at("/dated"), at("/list.gz"), at("/moved"), at("/circle"), at("/cut"), "http://nowhere.test/")); err != nil {
		t.Fatal(err)
	}
	err := e.Refresh(t.Context(), "")
	for _, want := range []string{"list 3: the server redirects in circles", "list 4: unexpected EOF", "list 5: finding nowhere.test: there is no such host"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
	for name, want := range map[string]bool{"dated.test": true, "packed.test": true, "cut.test": false} {
		if blocked(t, e, name) != want {
			t.Errorf("%s: blocked %v", name, !want)
		}
	}
	if asked.Load() == 0 {
		t.Error("the resolver was not asked")
	}
	set, before := e.Current(), e.Status()[0]
	if err := e.Refresh(t.Context(), "list 0"); err != nil || e.Current() != set {
		t.Errorf("%v: what did not change is read again", err)
	}
	if after := e.Status()[0]; !after.Updated.Equal(before.Updated) || !after.Checked.After(before.Checked) {
		t.Errorf("before %+v, after %+v", before, after)
	}
}
