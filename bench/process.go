package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A process is a server that runs, with the processes that it started.
type process struct {
	name string
	cmd  *exec.Cmd
	out  tail
	done chan struct{} // closed when it has ended
}

// start starts a server in the namespace of h, until the contest ends.
func (l *lab) start(h *host, name string, args ...string) (*process, error) {
	return l.startInto("", h, name, args...)
}

// startInto is start of a server that writes much: its output goes into a file of
// the contest's folder, and only its errors here.
func (l *lab) startInto(file string, h *host, name string, args ...string) (*process, error) {
	return l.startTo(file, nil, h, name, args...)
}

// startTo is startInto of a server whose errors also go to watch, if there is one.
func (l *lab) startTo(file string, watch io.Writer, h *host, name string, args ...string) (*process, error) {
	path, err := program(name)
	if err != nil {
		return nil, err
	}
	if l.core {
		// As their only one from the start, for some count the cores just once.
		args = append([]string{"--cpu-list", "0", path}, args...)
		if path, err = program("taskset"); err != nil {
			return nil, err
		}
	}
	p := &process{name: filepath.Base(name), cmd: exec.Command(path, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Dir = &p.out, &p.out, l.dir
	p.cmd.Env = append(os.Environ(), "HOME="+l.dir, "WG_PROCESS_FOREGROUND=1")
	p.cmd.WaitDelay = time.Second
	if watch != nil {
		p.cmd.Stderr = io.MultiWriter(&p.out, watch)
	}
	if file != "" {
		f, err := os.Create(filepath.Join(l.dir, file))
		if err != nil {
			return nil, err
		}
		defer f.Close()
		p.cmd.Stdout = f
	}
	if err := h.do(p.cmd.Start); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	l.atEnd(p.stop)
	return p, nil
}

// stop ends the server with SIGTERM, after 5 s with SIGKILL.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(5 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// wait polls until ready reports true, the server ends or 15 s are over.
func (p *process) wait(ctx context.Context, ready func() bool) error {
	end := time.After(15 * time.Second)
	for !ready() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.done:
			return fmt.Errorf("%s ended: %s", p.name, oneLine(p.out.String()))
		case <-end:
			return fmt.Errorf("%s is not ready: %s", p.name, oneLine(p.out.String()))
		case <-time.After(2 * time.Millisecond):
		}
	}
	return nil
}

// tail keeps the last of what a server wrote.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	if most := 2000; len(t.buf) > most {
		t.buf = append(t.buf[:0], t.buf[len(t.buf)-most:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}

// program finds a program in PATH and where system programs are.
func program(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil || strings.Contains(name, "/") {
		return path, err
	}
	for _, dir := range []string{"/usr/local/sbin/", "/usr/sbin/", "/sbin/"} {
		if path, err := exec.LookPath(dir + name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed", name)
}

// command runs a program to its end, with input, and returns its output.
func command(ctx context.Context, input, name string, args ...string) (string, error) {
	path, err := program(name)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdin = strings.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", filepath.Base(name), strings.Join(args, " "), err, oneLine(stderr.String()))
	}
	return string(out), nil
}

// output is [command] for what is nice to know: empty on any error.
func output(ctx context.Context, name string, args ...string) string {
	s, _ := command(ctx, "", name, args...)
	return strings.TrimSpace(s)
}
