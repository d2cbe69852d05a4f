package davsrv

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pic/core/state"
	"pic/internal/listen"
	"pic/internal/nettest"
)

// victim is the child of TestKilledServerLosesNothing: a server that runs until
// it is killed.
func victim(dir string) {
	db, err := state.Open(filepath.Join(dir, "state.db"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	s := New(slog.New(slog.DiscardHandler), listen.NewPool(nil), db.Space("dav"), filepath.Join(dir, "files"), checkPassword)
	if err := s.Apply(context.Background(), testConfig()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(s.sockets.Bound()[0].LocalAddr())
	s.Run(context.Background())
}

// A writing client's belief: what was acknowledged, and what may or may not have
// happened when the connection broke.
type belief struct {
	sure  map[string]string // path -> content; empty content: it is gone
	maybe map[string]string
}

// kill -9 in the middle of writes, again and again: every acknowledged one is
// there, whole, and the change log agrees with what is stored.
func TestKilledServerLosesNothing(t *testing.T) {
	const writers, rounds = 6, 8
	dir := t.TempDir()
	believes := make([]belief, writers)
	for i := range believes {
		believes[i] = belief{make(map[string]string), make(map[string]string)}
	}
	var writes atomic.Int64
	for round := range rounds {
		addr, kill := startVictim(t, dir)
		var wg sync.WaitGroup
		for i := range writers {
			wg.Go(func() { writeUntilDead(t, addr, i, round, &believes[i], &writes) })
		}
		before := writes.Load()
		nettest.WaitFor(t, time.Minute, func() bool { return writes.Load() >= before+writers || t.Failed() })
		time.Sleep(time.Duration(rand.IntN(40*(round+1))) * time.Millisecond) // the moment of the kill is what is tested
		kill()
		wg.Wait()
		c := startIn(t, dir)
		for i := range believes {
			verify(t, c, &believes[i])
		}
		var r replica
		r.sync(t, c, personal, 7)
		expectReplica(t, c, &r, personal)
		c.stop()
		if t.Failed() {
			t.Fatalf("after round %d", round)
		}
	}
	t.Logf("%d writes were acknowledged", writes.Load())
}

func startVictim(t *testing.T, dir string) (addr string, kill func()) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "DAVSRV_TEST_VICTIM="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = func() {
		cmd.Process.Kill()
		cmd.Wait()
	}
	t.Cleanup(kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal("the child did not start:", err)
	}
	return strings.TrimSpace(line), kill
}

// writeUntilDead puts, moves and deletes until the server is gone, and counts
// what was acknowledged.
func writeUntilDead(t *testing.T, addr string, who, round int, b *belief, acknowledged *atomic.Int64) {
	cl := &http.Client{Transport: &http.Transport{}, Timeout: time.Minute}
	defer cl.CloseIdleConnections()
	for n := 0; ; n++ {
		slot := n % 5
		path, content := fmt.Sprintf("/dav/files/alice/w%d-%d", who, slot), strings.Repeat(fmt.Sprintf("%d.%d.%d ", who, round, n), 500+who*100)
		if who%2 == 1 {
			path = fmt.Sprintf("%sw%d-%d.ics", personal, who, slot)
			content = event(fmt.Sprintf("w%d-%d", who, slot), fmt.Sprintf("DTSTART:20260310T100000Z\nSUMMARY:%d.%d\n", round, n))
		}
		method, dest := "PUT", ""
		switch {
		case n%7 == 5 && b.sure[path] != "":
			method, content = "DELETE", ""
		case n%7 == 6 && who%2 == 0 && b.sure[path] != "":
			method, dest, content = "MOVE", path+"-moved", b.sure[path]
		}
		req, err := http.NewRequest(method, "http://"+addr+path, strings.NewReader(content))
		if err != nil {
			t.Error(err)
			return
		}
		if dest != "" {
			req.Body, req.ContentLength = http.NoBody, 0
			req.Header.Set("Destination", dest)
		}
		req.SetBasicAuth("alice", "pw")
		resp, err := cl.Do(req)
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		switch {
		case err != nil && dest != "":
			b.maybe[path], b.maybe[dest] = "", content
			return
		case err != nil:
			b.maybe[path] = content
			return
		case resp.StatusCode >= 300:
			t.Errorf("%s %s: status %d", method, path, resp.StatusCode)
			return
		case dest != "":
			b.sure[dest], b.sure[path] = content, ""
		default:
			b.sure[path] = content
		}
		acknowledged.Add(1)
	}
}

// verify compares what is there with what the client was told, and settles what
// it could not know.
func verify(t *testing.T, c *cell, b *belief) {
	t.Helper()
	get := func(path string) string {
		a := c.do("GET", path, "")
		if a.status == http.StatusNotFound {
			return ""
		}
		return a.body
	}
	for path, want := range b.maybe {
		if got := get(path); got != want && got != b.sure[path] {
			t.Errorf("%s is neither old nor new but %d bytes", path, len(got))
		} else {
			b.sure[path] = got
		}
	}
	b.maybe = make(map[string]string)
	for path, want := range b.sure {
		if got := get(path); got != want {
			t.Errorf("%s was acknowledged with %d bytes (%.20q) and now has %d (%.20q)", path, len(want), want, len(got), got)
		}
	}
}
