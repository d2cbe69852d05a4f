package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pic/internal/nettest"
)

const password = "correct horse battery"

// binary is the program under test, built once for all tests of the process.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "pic-e2e")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "pic")
	cmd := exec.Command("scripts/build.sh", bin)
	cmd.Dir = ".."
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building pic: %w\n%s", err, out)
	}
	return bin, nil
})

func TestMain(m *testing.M) {
	code := nettest.Main(m)
	if bin, err := binary(); err == nil && os.Getenv("PIC_NETTEST_INSIDE") != "" {
		os.RemoveAll(filepath.Dir(bin))
	}
	os.Exit(code)
}

// A cell is a running `pic serve` and its data folder.
type cell struct {
	t    *testing.T
	bin  string
	dir  string
	host *nettest.Host // where it runs
	env  []string
	cmd  *exec.Cmd
	out  *bytes.Buffer
}

// newCell sets a cell up in the namespace of host, in the given mode, and starts it.
func newCell(t *testing.T, host *nettest.Host, setup ...string) *cell {
	t.Helper()
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	c := &cell{t: t, bin: bin, dir: filepath.Join(t.TempDir(), "data"), host: host}
	pw := filepath.Join(t.TempDir(), "pw")
	if err := os.WriteFile(pw, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.stop)
	args := []string{"setup", "--data", c.dir, "--name", "oak", "--domain", "oak.home.arpa", "--admin", "alice", "--password-file", pw}
	if out, err := host.Command(bin, append(args, setup...)...).CombinedOutput(); err != nil {
		t.Fatalf("setup: %v\n%s", err, out)
	}
	return c
}

// trial is a running trial cell in the test's own namespace.
func trial(t *testing.T) *cell {
	t.Helper()
	lab := nettest.New(t)
	c := newCell(t, lab.Self(), "--trial")
	c.start()
	return c
}

// start runs the cell until the test ends, and waits until it is ready.
func (c *cell) start() {
	c.t.Helper()
	c.out = &bytes.Buffer{}
	c.cmd = c.host.Command(c.bin, "serve", "--data", c.dir)
	c.cmd.Env = append(os.Environ(), c.env...)
	c.cmd.Stdout, c.cmd.Stderr = c.out, c.out
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.waitReady()
}

// stop ends the cell as systemd would, and shows what it wrote if the test failed.
func (c *cell) stop() {
	if c.cmd == nil {
		return
	}
	c.cmd.Process.Signal(os.Interrupt)
	done := make(chan struct{})
	go func() { c.cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		c.cmd.Process.Kill()
		<-done
		c.t.Error("the cell did not stop in 20 s")
	}
	if c.t.Failed() {
		c.t.Logf("the cell wrote:\n%s", tail(c.out.String(), 60))
	}
}

func (c *cell) waitReady() {
	c.t.Helper()
	nettest.WaitFor(c.t, 20*time.Second, func() bool {
		status := 0
		c.host.Do(func() error {
			conn, err := net.DialTimeout("tcp", "127.0.0.1:3000", time.Second)
			if err != nil {
				return err
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(2 * time.Second))
			fmt.Fprintf(conn, "GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n")
			_, err = fmt.Fscanf(conn, "HTTP/1.0 %d", &status)
			return err
		})
		return status == http.StatusOK
	})
}

// kill ends the cell with SIGKILL.
func (c *cell) kill() {
	c.t.Helper()
	c.cmd.Process.Kill()
	c.cmd.Wait()
}

// pic runs a command of the cell and returns what it printed on stdout.
func (c *cell) pic(args ...string) string {
	c.t.Helper()
	out, err := c.try(args...)
	if err != nil {
		c.t.Fatalf("pic %s: %v", strings.Join(args, " "), err)
	}
	return out
}

func (c *cell) try(args ...string) (string, error) {
	cmd := c.host.Command(c.bin, append([]string{"--data", c.dir}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, stderr.String())
	}
	return string(out), err
}

// set changes one setting.
func (c *cell) set(path string, value any) {
	c.t.Helper()
	b, err := json.Marshal(value)
	if err != nil {
		c.t.Fatal(err)
	}
	c.pic("set", path, string(b))
}

// root writes the cell's root certificate to a file.
func (c *cell) root() string {
	c.t.Helper()
	file := filepath.Join(c.t.TempDir(), "root.pem")
	if err := os.WriteFile(file, []byte(c.pic("ca", "root")), 0o644); err != nil {
		c.t.Fatal(err)
	}
	return file
}

// run runs a program beside the test's cell and returns what it printed.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := try(t, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

func try(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, nettest.Tool(t, name), args...).CombinedOutput()
	return string(out), err
}

func tail(s string, n int) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// send hands a message to alice over SMTP, as a stranger would, and returns once
// it is acknowledged.
func send(addr, subject, text string) error {
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return err
	}
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	s, err := smtp.NewClient(conn, "localhost")
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Mail("bob@example.com"); err != nil {
		return err
	}
	if err := s.Rcpt("alice@oak.home.arpa"); err != nil {
		return err
	}
	w, err := s.Data()
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "Subject: %s\r\n\r\n%s", subject, text)
	return w.Close() // the 250 is read here
}
