package config

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

const killDir = "PIC_TEST_KILL_DIR"

// TestWriteUntilKilled is the process that TestKillLosesNoAcknowledgedChange
// kills; by itself it does nothing.
func TestWriteUntilKilled(t *testing.T) {
	dir := os.Getenv(killDir)
	if dir == "" {
		return
	}
	s, err := Open(dir, Env{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for {
		d, err := s.Change(context.Background(), Change{Edit: func(d *Document) error {
			d.Mail.MaxSize = 1<<20 + d.Revision
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("ack %d\n", d.Revision)
	}
}

func TestKillLosesNoAcknowledgedChange(t *testing.T) {
	dir := t.TempDir()
	if err := Create(dir, oak(), Env{}, "setup", ""); err != nil {
		t.Fatal(err)
	}
	acked := int64(1)
	for range 15 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestWriteUntilKilled$")
		cmd.Env = append(os.Environ(), killDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(time.Duration(20+rand.IntN(80))*time.Millisecond, func() { cmd.Process.Kill() })
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if n, err := strconv.ParseInt(lines.Text()[min(4, len(lines.Text())):], 10, 64); err == nil {
				acked = max(acked, n)
			}
		}
		cmd.Wait() // killed: an error that says nothing new
		timer.Stop()
		s, err := Open(dir, Env{}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatalf("does not start after the kill: %v", err)
		}
		if got := s.Current(); got.Revision < acked || got.Revision > 1 && got.Mail.MaxSize != 1<<20+got.Revision-1 {
			t.Fatalf("acknowledged revision %d, found %d with size %d", acked, got.Revision, got.Mail.MaxSize)
		}
	}
	if acked < 10 {
		t.Errorf("only %d changes were acknowledged in all", acked)
	}
}
