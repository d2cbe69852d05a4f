package querylog

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// What is too old is gone from the disk, whether anybody asks any more or not.
func TestNothingIsKeptLongerThanItMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, c := t.TempDir(), on()
		c.Keep = 3 * time.Hour
		l := open(t, dir, c)
		l.Add(entry("192.168.1.77", "doctor.test", Answered))
		left := func() (out []string) {
			err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
				if err != nil || e.IsDir() {
					return err
				}
				b, err := os.ReadFile(path)
				if bytes.Contains(b, []byte("doctor.test")) || bytes.Contains(b, []byte("192.168.1.77")) {
					out = append(out, e.Name())
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		time.Sleep(2 * time.Hour)
		if got := left(); len(got) != 2 {
			t.Errorf("after two hours it is in %q", got)
		}
		time.Sleep(5 * time.Hour)
		if got := left(); len(got) > 1 { // the top list of the day
			t.Errorf("after seven hours it is in %q", got)
		}
		time.Sleep(24 * time.Hour)
		if got := left(); len(got) != 0 {
			t.Errorf("after a day it is in %q", got)
		}
		if st := l.Stats(7 * 24 * time.Hour); st.Queries != 1 || len(st.Names)+len(st.Clients) != 0 {
			t.Errorf("counts: %+v", st)
		}
		l.Close()
	})
}
