package queue

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	mrand "math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"pic/mailsrv/lookup/lookuptest"
)

const killDir = "QUEUE_KILL_DIR"

// untilKilled takes messages for a host that is there, and for one that is not.
func untilKilled(dir string) {
	q, err := Open(Options{Log: slog.New(slog.DiscardHandler), Dir: dir, DNS: lookuptest.Records{}})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for {
		id := strings.ToLower(rand.Text())
		m := Message{ID: id, Recipients: []Recipient{{Addr: "x@elm.example"}, {Addr: "y@elm.example"}}}
		if err := q.Add(m, strings.NewReader("text "+id), nil); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("queued", id)
		// And another state of it, as after a try.
		if err := q.Hold(id); err != nil || ctx.Err() != nil {
			os.Exit(1)
		}
		fmt.Println("held", id)
	}
}

func TestKillLosesNoQueuedMail(t *testing.T) {
	dir := t.TempDir()
	queued, held := map[string]bool{}, map[string]bool{}
	for range 10 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), killDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(time.Duration(30+mrand.IntN(60))*time.Millisecond, func() { cmd.Process.Kill() })
		for lines := bufio.NewScanner(out); lines.Scan(); {
			what, id, _ := strings.Cut(lines.Text(), " ")
			switch what {
			case "queued":
				queued[id] = true
			case "held":
				held[id] = true
			default:
				t.Fatal(lines.Text())
			}
		}
		cmd.Wait() // killed: an error that says nothing new
		timer.Stop()
		q, err := Open(Options{Log: slog.New(slog.DiscardHandler), Dir: dir, DNS: lookuptest.Records{}})
		if err != nil {
			t.Fatal(err)
		}
		have := map[string]Message{}
		for _, m := range q.List() {
			have[m.ID] = m
			b, err := os.ReadFile(q.disk.at(m.ID, textSuffix))
			if err != nil || string(b) != "text "+m.ID || len(m.Recipients) != 2 {
				t.Fatalf("%s: %q, %v", m.ID, b, err)
			}
		}
		for id := range queued {
			if _, ok := have[id]; !ok || held[id] && !have[id].Held {
				t.Fatalf("%s is lost: %+v", id, have[id])
			}
		}
		files, err := os.ReadDir(dir)
		if err != nil || len(files) != 2*len(have) {
			t.Fatalf("%d files for %d messages, %v", len(files), len(have), err)
		}
	}
	if len(queued) < 10 {
		t.Errorf("only %d messages in all", len(queued))
	}
}
