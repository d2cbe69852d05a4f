package journal

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const childEnv = "PIC_JOURNAL_TEST_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		os.Exit(appendForever(path))
	}
	os.Exit(m.Run())
}

// appendForever appends, rewrites now and then, and prints what was acknowledged.
func appendForever(path string) int {
	var mu sync.Mutex
	var all []string
	l, err := Open(path, func(rec []byte) error { all = append(all, string(rec)); return nil })
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for n := 0; ; n++ {
				id := fmt.Sprintf("%d-%d-%d", os.Getpid(), g, n)
				rec := id + " " + strings.Repeat("x", n%500)
				mu.Lock()
				all = append(all, rec)
				mu.Unlock()
				if err := l.Append(context.Background(), []byte(rec)); err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				fmt.Println(id)
				if g == 0 && n%20 == 19 {
					err := l.Rewrite(context.Background(), func(emit func([]byte) error) error {
						mu.Lock()
						defer mu.Unlock()
						for _, rec := range all {
							_ = emit([]byte(rec))
						}
						return nil
					})
					if err != nil {
						fmt.Fprintln(os.Stderr, err)
						os.Exit(1)
					}
				}
			}
		})
	}
	wg.Wait()
	return 0
}

func TestKillLosesNothingAcknowledged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	acked := map[string]bool{}
	for round := range 10 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"="+path)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		before := len(acked)
		until := before + 1 + rand.IntN(400)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			acked[lines.Text()] = true
			if len(acked) == until {
				cmd.Process.Kill() // what it printed before is still read
			}
		}
		cmd.Wait()
		if len(acked) == before {
			t.Fatalf("round %d: the child wrote nothing", round)
		}
		l, recs := load(t, path)
		found := map[string]bool{}
		for _, r := range recs {
			id, pad, _ := strings.Cut(r, " ")
			if found[id] = true; strings.Trim(pad, "x") != "" {
				t.Errorf("round %d: a mangled record %q", round, r)
			}
		}
		for id := range acked {
			if !found[id] {
				t.Errorf("round %d: lost %s", round, id)
			}
		}
		l.Close()
	}
	t.Logf("%d records acknowledged", len(acked))
}

func BenchmarkAppend(b *testing.B) {
	for _, writers := range []int{1, 16} {
		b.Run(fmt.Sprint(writers), func(b *testing.B) {
			l, err := Open(filepath.Join(b.TempDir(), "j"), func([]byte) error { return nil })
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			b.SetParallelism(writers)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := l.Append(context.Background(), make([]byte, 100)); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
