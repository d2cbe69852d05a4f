package querylog

import (
	"bufio"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

const killDir = "PIC_TEST_KILL_DIR"

// TestLogUntilKilled is the process that TestKillLeavesASoundLog kills; by itself
// it does nothing.
func TestLogUntilKilled(t *testing.T) {
	dir := os.Getenv(killDir)
	if dir == "" {
		return
	}
	l := New(Options{Log: slog.New(slog.DiscardHandler), Dir: dir})
	l.Apply(on())
	l.Open()
	r := l.Ring()
	pid := os.Getpid()
	for n := 0; ; n++ {
		for i := range 500 {
			r.Add(&Entry{Told: &Told{Name: fmt.Sprintf("%d.%d.%d.test", i, n, pid), Answer: strings.Repeat("x", n%400)}})
		}
		if err := l.sync(nil); err != nil {
			t.Fatal(err)
		}
		fmt.Printf("ack %d\n", 500*(n+1))
	}
}

// All that was written once is found after any end of the process, each record
// once and none that was never added, and the counts agree.
func TestKillLeavesASoundLog(t *testing.T) {
	dir := t.TempDir()
	acked := map[string]int{}
	for range 8 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestLogUntilKilled$")
		cmd.Env = append(os.Environ(), killDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		pid := strconv.Itoa(cmd.Process.Pid)
		enough := 500 * (1 + rand.IntN(20))
		for lines := bufio.NewScanner(out); lines.Scan(); {
			n, err := strconv.Atoi(strings.TrimPrefix(lines.Text(), "ack "))
			if err != nil {
				continue
			}
			if acked[pid] = n; n >= enough {
				cmd.Process.Kill() // somewhere in what it does next
			}
		}
		cmd.Wait() // killed: an error that says nothing new
	}
	l := open(t, dir, on())
	found := map[string]int{}
	names := map[string]bool{}
	total := uint64(0)
	for q := (Query{Limit: MaxLimit}); ; {
		p := search(t, l, q)
		for _, r := range p.Records {
			f := strings.Split(r.Name, ".")
			if len(f) != 4 || f[3] != "test" || names[r.Name] {
				t.Fatalf("a record of %q", r.Name)
			}
			names[r.Name] = true
			found[f[2]]++
			total++
		}
		if q.Before = p.Next; p.Next == 0 {
			break
		}
	}
	for pid, n := range acked {
		if found[pid] < n {
			t.Errorf("process %s had written %d, found %d", pid, n, found[pid])
		}
	}
	if st := l.Stats(24 * time.Hour); st.Queries != total {
		t.Errorf("%d queries are counted, %d found", st.Queries, total)
	}
}
