package queue

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"pic/mailsrv/lookup/lookuptest"

	"github.com/emersion/go-smtp"
)

// speaks runs a host that answers each line by itself.
func speaks(t *testing.T, addr string, answer func(conn io.Writer, line string)) {
	t.Helper()
	l, err := net.Listen("tcp", addr+":25")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				answer(c, "")
				for sc := bufio.NewScanner(c); sc.Scan(); {
					answer(c, sc.Text())
				}
			}()
		}
	}()
}

// A host that refuses all connections does not speak for the domain's others.
func TestAHostThatIsClosedIsPassedOver(t *testing.T) {
	z := lookuptest.Zone(
		`elm.example. 60 IN MX 10 shut.elm.example.`, `elm.example. 60 IN MX 20 a.elm.example.`,
		`shut.elm.example. 60 IN A 127.0.8.9`, `a.elm.example. 60 IN A 127.0.8.1`,
		`only.example. 60 IN MX 10 shut.elm.example.`,
	)
	speaks(t, "127.0.8.9", func(c io.Writer, _ string) { io.WriteString(c, "554 no service here\r\n") })
	elm := serve(t, "127.0.8.1", nil)
	b := work(t, z, nil)
	b.send("a", "bob@elm.example")
	b.waitFor("mail", func() bool { return len(elm.all()) == 1 && len(b.List()) == 0 })
	b.send("b", "bob@only.example")
	b.waitFor("the report", func() bool { return len(b.told()) == 1 })
	if r := b.told()[0]; !strings.Contains(r, "554 no service here") || strings.Contains(r, "elm.example\r\nAction") {
		t.Errorf("%s", r)
	}
}

// A reply has an end, or the session has.
func TestAHostThatTalksWithoutEndIsLeft(t *testing.T) {
	z := lookuptest.Zone(`elm.example. 60 IN A 127.0.8.9`)
	said := make(chan int, 10)
	speaks(t, "127.0.8.9", func(c io.Writer, line string) {
		switch {
		case line == "":
			io.WriteString(c, "220 hello\r\n")
		case strings.HasPrefix(line, "EHLO"):
			io.WriteString(c, "250 hello\r\n")
		default:
			n := 0
			for n < 64<<20 {
				k, err := io.WriteString(c, "250-"+strings.Repeat("x", 1000)+"\r\n")
				if n += k; err != nil {
					break
				}
			}
			said <- n
		}
	})
	b := work(t, z, nil)
	b.send("a", "bob@elm.example")
	b.waitFor("a try", func() bool { return b.List()[0].Recipients[0].Attempts == 1 })
	if n := <-said; n >= 64<<20 {
		t.Errorf("%d bytes of one reply were heard", n)
	}
	if r := b.List()[0].Recipients[0]; r.Failed || !strings.Contains(r.Why, "it says too much") {
		t.Errorf("%+v", r)
	}
}

// What was delivered is not delivered again because that cannot be written down.
func TestAFullDiskDoesNotSendMailTwice(t *testing.T) {
	z := lookuptest.Zone(`elm.example. 60 IN A 127.0.8.1`)
	elm := serve(t, "127.0.8.1", nil)
	elm.rcpt = func(to string) error {
		if strings.HasPrefix(to, "slow") {
			return &smtp.SMTPError{Code: 451, Message: "later"}
		}
		return nil
	}
	b := work(t, z, nil)
	elm.data = func() error { // then the state cannot be written: a folder is in the way
		name := b.disk.at("a", stateSuffix)
		os.Remove(name)
		return os.MkdirAll(name+"/x", 0o700)
	}
	b.send("a", "now@elm.example", "slow@elm.example")
	for i := 1; i < 4; i++ {
		b.waitFor(fmt.Sprint("try ", i), func() bool { return b.List()[0].Recipients[1].Attempts == i })
		b.pass(longestPause)
	}
	if n := len(elm.all()); n != 1 {
		t.Errorf("it was sent %d times", n)
	}
}

// Times that were written while the clock was wrong do not stop the queue.
func TestAClockThatWasWrongDoesNotStopTheQueue(t *testing.T) {
	z := lookuptest.Zone(`elm.example. 60 IN A 127.0.8.1`)
	b := work(t, z, nil)
	b.pass(3 * 365 * 24 * time.Hour)
	b.send("a", "bob@elm.example")
	b.waitFor("a try", func() bool { return b.List()[0].Recipients[0].Attempts == 1 })
	elm := serve(t, "127.0.8.1", nil)
	b.pass(-3 * 365 * 24 * time.Hour)
	b.waitFor("mail", func() bool { return len(elm.all()) == 1 })
}

// The end of a session may not keep what was done from being written down.
func TestAHostThatDoesNotSayGoodbyeIsNotWaitedFor(t *testing.T) {
	z := lookuptest.Zone(`elm.example. 60 IN A 127.0.8.9`)
	data := false
	speaks(t, "127.0.8.9", func(c io.Writer, line string) {
		switch {
		case line == "":
			if !data {
				io.WriteString(c, "220 hello\r\n")
			}
		case line == ".":
			data = false
			io.WriteString(c, "250 taken\r\n")
		case data || line == "QUIT":
		case line == "DATA":
			data = true
			io.WriteString(c, "354 go on\r\n")
		default:
			io.WriteString(c, "250 yes\r\n")
		}
	})
	b := work(t, z, nil)
	b.send("a", "bob@elm.example")
	b.waitFor("the end", func() bool { return len(b.List()) == 0 })
}
