package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestSwitchingOffAndOn(t *testing.T) {
	s := start(t, oak())
	c := s.client(t, insider, 1)
	get(t, c, "https://files.oak.home.arpa:10443/")
	s.apply(t, Config{})
	if got := s.Sockets(); len(got) != 0 {
		t.Errorf("sockets %q", got)
	}
	if status, _, res := get(t, c, "https://files.oak.home.arpa:10443/"); status != 503 || !res.Close {
		t.Errorf("over the connection from before: %d, closes: %v", status, res.Close)
	}
	if _, err := net.Dial("tcp", "127.0.0.1:10443"); err == nil {
		t.Error("the port is open")
	}
	s.apply(t, oak())
	if status, _, _ := get(t, c, "https://files.oak.home.arpa:10443/"); status != 200 {
		t.Errorf("on again: %d", status)
	}
	if got := s.Sockets(); !slices.Equal(got, []string{"tcp 127.0.0.1:10080", "tcp 127.0.0.1:10443"}) {
		t.Errorf("sockets %q", got)
	}
}

// When Run has ended nothing is left, and the supervisor may begin anew.
func TestServerRunsAgain(t *testing.T) {
	up := echo(t)
	s := start(t, Config{})
	for i := range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		s.apply(t, oak([3]string{"git", up, "lan"}))
		done := make(chan error)
		go func() { done <- s.Server.Run(ctx) }()
		ws := s.socket(t, "git.oak.home.arpa")
		c := s.client(t, insider, 2)
		get(t, c, "https://files.oak.home.arpa:10443/")
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		ws.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := ws.r.ReadByte(); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("round %d: the websocket is open: %v", i, err)
		}
		if _, err := net.Dial("tcp", "127.0.0.1:10443"); err == nil {
			t.Errorf("round %d: the port is open", i)
		}
		if n := s.open.Load(); n != 0 {
			t.Errorf("round %d: %d connections are left", i, n)
		}
	}
}

// Requests under way when the cell stops get their answer.
func TestStopLetsRequestsEnd(t *testing.T) {
	begun := make(chan struct{})
	up := upstream(t, func(w http.ResponseWriter, _ *http.Request) {
		close(begun)
		time.Sleep(200 * time.Millisecond)
		fmt.Fprint(w, "done")
	})
	s := start(t, Config{})
	s.apply(t, oak([3]string{"git", up, "lan"}))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Server.Run(ctx) }()
	answer := make(chan string)
	c := s.client(t, insider, 1)
	go func() {
		res, err := c.Get("https://git.oak.home.arpa:10443/")
		if err != nil {
			answer <- err.Error()
			return
		}
		b, _ := io.ReadAll(res.Body)
		answer <- string(b)
	}()
	<-begun
	cancel()
	if got := <-answer; got != "done" {
		t.Errorf("answered %q", got)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Slow clients meet deadlines, idle websockets do not.
func TestDeadlinesOfSlowClients(t *testing.T) {
	for name, tt := range map[string]struct {
		sent string
		step time.Duration // between bytes
		cut  time.Duration // 0: never
	}{
		"a byte of a head now and then": {strings.Repeat("GET / HTTP/1.1 ", 10), 3 * time.Second, headTime},
		"body that stops":               {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n1", 0, bodyTime},
		"chunk that stops":              {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n1", 0, bodyTime},
		"nothing yet":                   {"", 0, 0}, // the server's own idle time
		"between requests":              {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 0, 0},
		"websocket":                     {"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\nhello", 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				g := &guard{Conn: ours}
				g.SetReadDeadline(time.Time{})
				begin := time.Now()
				over := make(chan time.Duration, 1)
				go func() {
					buf := make([]byte, 4096)
					for {
						if _, err := g.Read(buf); err != nil {
							over <- time.Since(begin)
							return
						}
					}
				}()
				go func() {
					for i := range len(tt.sent) {
						if tt.step > 0 {
							time.Sleep(tt.step)
						}
						if _, err := io.WriteString(theirs, tt.sent[i:i+1]); err != nil {
							return
						}
					}
				}()
				time.Sleep(24 * time.Hour)
				select {
				case d := <-over:
					if tt.cut == 0 || d > tt.cut+tt.step {
						t.Errorf("cut off after %s", d)
					}
				default:
					if tt.cut != 0 {
						t.Error("not cut off in a day")
					}
				}
				ours.Close()
				theirs.Close()
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		begin := time.Now()
		n, err := (&guard{Conn: ours}).Write(make([]byte, 1<<20)) // nobody reads
		if err == nil || n != 0 || time.Since(begin) != writeTime {
			t.Errorf("wrote %d after %s: %v", n, time.Since(begin), err)
		}
		theirs.Close()
	})
}

// A read that net/http gives up must end at once, whatever our own deadline.
func TestDeadlineOfTheServerComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		g := &guard{Conn: ours}
		go io.WriteString(theirs, "GET / HT")
		over := make(chan error, 1)
		go func() {
			_, err := g.Read(make([]byte, 1))
			over <- err
		}()
		time.Sleep(time.Second)
		g.SetReadDeadline(time.Unix(1, 0))
		synctest.Wait()
		select {
		case err := <-over:
			if n := net.Error(nil); !errors.As(err, &n) || !n.Timeout() {
				t.Errorf("ended with %v", err)
			}
		default:
			t.Error("still reading")
		}
		// What was read before is not lost.
		g.SetReadDeadline(time.Time{})
		go io.WriteString(theirs, "TP/1.1\r\nHost: h\r\n\r\n")
		b := make([]byte, 100)
		if n, err := g.Read(b); string(b[:n]) != "GET / HTTP/1.1\r\nHost: h\r\n\r\n" || err != nil {
			t.Errorf("read %q %v", b[:n], err)
		}
		ours.Close()
	})
}
