package mailsrv

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pic/internal/listen"
)

const killDir = "MAILSRV_KILL_DIR"

// killChild is the process that gets killed.
func killChild(dir string) {
	cert, _, err := certificate()
	if err == nil {
		s := New(Options{
			Log: slog.New(slog.DiscardHandler), Pool: listen.NewPool(nil), Dir: filepath.Join(dir, "mail"), Auth: testAuth,
			Cert: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert, nil },
		})
		if err = s.Apply(context.Background(), testConfig()); err == nil {
			x := &cell{Server: s}
			fmt.Printf("READY %s %s\n", x.at(smtpIn), x.at(imaps))
			err = s.Run(context.Background())
		}
	}
	log.Fatal(err)
}

// A killed is what clients were told before their server died.
type killed struct {
	mu    sync.Mutex
	mails map[string]int    // acknowledged ids by SMTP, with the number of recipients
	uids  map[string]uint32 // acknowledged ids by IMAP, with their UIDs
	flags map[string]bool   // of those, whose flag was acknowledged
}

// letter has an id, and a checksum of its filling.
func letter(id string, n int) string {
	fill := strings.Repeat(id+"\r\n", n)
	return fmt.Sprintf("Subject: %s\r\nX-Sum: %x\r\n\r\n%s", id, sha256.Sum256([]byte(fill)), fill)
}

// Whatever was acknowledged before kill -9 is there afterwards, once and whole,
// under its UID and with its flag. Rounds follow on the same folder.
func TestKilledServerLosesNothing(t *testing.T) {
	const rounds, writers = 5, 8
	dir := t.TempDir()
	k := &killed{mails: map[string]int{}, uids: map[string]uint32{}, flags: map[string]bool{}}
	for round := range rounds {
		cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
		cmd.Env = append(os.Environ(), killDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		smtpAt, imapAt := ready(t, out)
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() { k.deliver(smtpAt, round, w) })
		}
		for w := range 2 {
			wg.Go(func() { k.upload(t, imapAt, round, w) })
		}
		time.Sleep(300 * time.Millisecond) // of traffic; the end is not to be foreseen
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		cmd.Wait()
		wg.Wait()
	}
	t.Logf("%d messages acknowledged by SMTP, %d by IMAP, %d flags", len(k.mails), len(k.uids), len(k.flags))
	if len(k.mails) < 50 || len(k.uids) < 10 {
		t.Errorf("too few to mean anything")
	}
	x := startIn(t, testConfig(), dir)
	found := map[string]map[string]int{} // user, id: how often
	for _, user := range []string{"alice", "bob"} {
		found[user] = map[string]int{}
		for _, text := range x.inbox(t, user) {
			_, rest, _ := strings.Cut(text, "Subject: ")
			id, _, _ := strings.Cut(rest, "\r\n")
			found[user][id]++
			_, sum, _ := strings.Cut(rest, "X-Sum: ")
			head, fill, _ := strings.Cut(sum, "\r\n\r\n")
			if head != fmt.Sprintf("%x", sha256.Sum256([]byte(fill))) {
				t.Errorf("%s of %s is not what was sent", id, user)
			}
		}
	}
	for id := range k.mails {
		if found["alice"][id] != 1 || found["bob"][id] != 1 {
			t.Errorf("%s is there %d and %d times", id, found["alice"][id], found["bob"][id])
		}
	}
	k.checkUploads(t, x)
}

func ready(t *testing.T, out io.Reader) (smtpAt, imapAt string) {
	t.Helper()
	sc := bufio.NewScanner(out)
	for sc.Scan() {
		if rest, ok := strings.CutPrefix(sc.Text(), "READY "); ok {
			smtpAt, imapAt, _ = strings.Cut(rest, " ")
			go io.Copy(io.Discard, out)
			return smtpAt, imapAt
		}
	}
	t.Fatal("the server did not come up")
	return "", ""
}

// deliver sends messages to alice and bob until the server is gone.
func (k *killed) deliver(at string, round, w int) {
	c, err := net.Dial("tcp", at)
	if err != nil {
		return
	}
	defer c.Close()
	br := bufio.NewReader(c)
	says := func(line, want string) bool {
		fmt.Fprintf(c, "%s\r\n", line)
		for {
			l, err := br.ReadString('\n')
			if err != nil {
				return false
			}
			if l[3] != '-' {
				return strings.HasPrefix(l, want)
			}
		}
	}
	br.ReadString('\n')
	if !says("EHLO x", "250") {
		return
	}
	for i := 0; ; i++ {
		id := fmt.Sprintf("s-%d-%d-%d", round, w, i)
		if !says("MAIL FROM:<x@example.net>", "250") || !says("RCPT TO:<family@oak.home.arpa>", "250") || !says("DATA", "354") ||
			!says(letter(id, 1+(i*37+w)%600)+".", "250") {
			return
		}
		k.mu.Lock()
		k.mails[id] = 2
		k.mu.Unlock()
	}
}

// upload appends messages to bob's Archive and flags them until the server is
// gone.
func (k *killed) upload(t *testing.T, at string, round, w int) {
	tc, err := dialAny(at)
	if err != nil {
		return
	}
	defer tc.Close()
	br := bufio.NewReader(tc)
	br.ReadString('\n')
	do := func(cmd string) (string, bool) {
		fmt.Fprintf(tc, "x %s\r\n", cmd)
		for {
			l, err := br.ReadString('\n')
			if err != nil {
				return "", false
			}
			if rest, ok := strings.CutPrefix(l, "x "); ok {
				return rest, strings.HasPrefix(rest, "OK ")
			}
		}
	}
	if _, ok := do("LOGIN bob bob-secret"); !ok {
		return
	}
	if _, ok := do("SELECT Archive"); !ok {
		return
	}
	for i := 0; ; i++ {
		id := fmt.Sprintf("i-%d-%d-%d", round, w, i)
		text := letter(id, 1+i%50)
		r, ok := do(fmt.Sprintf("APPEND Archive {%d+}\r\n%s", len(text), text))
		if !ok {
			return
		}
		var validity, uid uint32
		if _, err := fmt.Sscanf(r, "OK [APPENDUID %d %d]", &validity, &uid); err != nil {
			t.Errorf("%q: %v", r, err)
			return
		}
		k.mu.Lock()
		k.uids[id] = uid
		k.mu.Unlock()
		if _, ok := do(fmt.Sprintf("UID STORE %d +FLAGS.SILENT ($Ack)", uid)); !ok {
			return
		}
		k.mu.Lock()
		k.flags[id] = true
		k.mu.Unlock()
	}
}

func (k *killed) checkUploads(t *testing.T, x *cell) {
	t.Helper()
	l := x.enter()
	defer l.wg.Done()
	a, err := l.store.Account("bob")
	if err != nil {
		t.Fatal(err)
	}
	defer a.Release()
	if d := a.Damage(); len(d.Places) > 0 {
		t.Errorf("%+v", d)
	}
	box, _ := a.Mailbox("Archive")
	bit, _ := a.FlagBits("$Ack")
	for id, uid := range k.uids {
		m, err := a.Message(box.ID, uid)
		if err != nil {
			t.Errorf("%s, UID %d: %v", id, uid, err)
			continue
		}
		c, err := a.Open(m)
		if err != nil {
			t.Errorf("%s, UID %d: %v", id, uid, err)
			continue
		}
		b, _ := io.ReadAll(c)
		if err := c.Verify(); err != nil || !strings.HasPrefix(string(b), "Subject: "+id+"\r\n") {
			t.Errorf("UID %d is %.30q, not %s: %v", uid, b, id, err)
		}
		c.Close()
		if k.flags[id] && m.Flags&bit == 0 {
			t.Errorf("%s has lost its flag: %v", id, a.FlagNames(m.Flags))
		}
	}
}
