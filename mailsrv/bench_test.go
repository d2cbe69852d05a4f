package mailsrv

import (
	"bufio"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"pic/mailsrv/message"
	"pic/mailsrv/store"
)

// BenchmarkReceive is messages of 4 KB, each in a connection of its own, that
// are durable before they are acknowledged.
func BenchmarkReceive(b *testing.B) {
	text := "Subject: x\r\nFrom: a@example.net\r\n\r\n" + strings.Repeat(strings.Repeat("x", 78)+"\r\n", 50) + "."
	for _, sessions := range []int{1, 10, 50} {
		b.Run(fmt.Sprint(sessions), func(b *testing.B) {
			x := start(b, testConfig())
			x.smtp.allow(1000)
			at := x.at(smtpIn)
			b.SetParallelism((sessions + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0))
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := sendOne(at, text); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}

func sendOne(at, text string) error {
	c, err := net.Dial("tcp", at)
	if err != nil {
		return err
	}
	defer c.Close()
	br := bufio.NewReader(c)
	for _, step := range []struct{ say, want string }{
		{"", "220"},
		{"EHLO x\r\n", "250"},
		{"MAIL FROM:<x@example.net>\r\n", "250"},
		{"RCPT TO:<alice@oak.home.arpa>\r\n", "250"},
		{"DATA\r\n", "354"},
		{text + "\r\n", "250"},
		{"QUIT\r\n", "221"},
	} {
		if _, err := c.Write([]byte(step.say)); err != nil {
			return err
		}
		for {
			l, err := br.ReadString('\n')
			if err != nil {
				return err
			}
			if l[3] == '-' {
				continue
			}
			if !strings.HasPrefix(l, step.want) {
				return fmt.Errorf("%q: %q", step.say, l)
			}
			break
		}
	}
	return nil
}

// BenchmarkOpen is the opening of an account of 50,000 messages of 4 KB.
func BenchmarkOpen(b *testing.B) {
	x := start(b, testConfig())
	fill(b, x, 50000)
	x.stop()
	for b.Loop() {
		st, err := store.Open(x.dir, x.log)
		if err != nil {
			b.Fatal(err)
		}
		a, err := st.Account("alice")
		if err != nil {
			b.Fatal(err)
		}
		if n := a.Summary().Messages; n != 50000 {
			b.Fatal(n)
		}
		a.Release()
		st.Close()
	}
}

func fill(b testing.TB, x *cell, n int) {
	b.Helper()
	text := "Subject: x\r\nFrom: a@example.net\r\n\r\n" + strings.Repeat(strings.Repeat("x", 78)+"\r\n", 50)
	m, err := message.Scan(strings.NewReader(text))
	if err != nil {
		b.Fatal(err)
	}
	aux := m.Append(nil)
	l := x.enter()
	defer l.wg.Done()
	a, err := l.store.Account("alice")
	if err != nil {
		b.Fatal(err)
	}
	defer a.Release()
	in, _ := a.Mailbox("INBOX")
	errs := make(chan error, 64)
	for w := range cap(errs) {
		go func() {
			for i := w; i < n; i += cap(errs) {
				if _, err := a.Append(b.Context(), in.ID, store.New{Body: &store.Body{Head: []byte(text)}, Aux: aux}); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkIMAP is what clients do with a mailbox of 50,000 messages.
func BenchmarkIMAP(b *testing.B) {
	x := start(b, testConfig())
	fill(b, x, 50000)
	c := x.imapAs(b, "alice")
	for _, cmd := range []string{"SELECT INBOX", "UID FETCH 1:* FLAGS", "UID FETCH 1:* (FLAGS ENVELOPE)", `STORE 1:1000 +FLAGS.SILENT (\Seen)`, "SEARCH SINCE 1-Jan-2030", "SEARCH SUBJECT nowhere", "SEARCH UNSEEN LARGER 100", "SORT (REVERSE DATE) UTF-8 ALL", "THREAD REFERENCES UTF-8 ALL"} {
		b.Run(cmd, func(b *testing.B) {
			for b.Loop() {
				c.c.SetDeadline(time.Time{})
				c.ok(cmd)
			}
		})
	}
}
