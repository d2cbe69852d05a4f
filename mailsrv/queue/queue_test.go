package queue

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pic/mailsrv/lookup"
	"pic/mailsrv/lookup/lookuptest"

	"github.com/emersion/go-smtp"
)

func TestMailFindsItsWay(t *testing.T) {
	cert, _ := certificate(t, "a.elm.example")
	z := lookuptest.Zone(
		`elm.example. 60 IN MX 10 down.elm.example.`, `elm.example. 60 IN MX 20 a.elm.example.`,
		`down.elm.example. 60 IN A 127.0.8.9`, `a.elm.example. 60 IN A 127.0.8.1`,
		`bare.example. 60 IN A 127.0.8.2`,
		`null.example. 60 IN MX 0 .`,
		`trap.example. 60 IN MX 0 trap.example.`, `trap.example. 60 IN A 127.0.0.1`,
		`self.example. 60 IN MX 0 mail.oak.example.`,
	)
	elm, bare := serve(t, "127.0.8.1", cert), serve(t, "127.0.8.2", nil)
	trap := serve(t, "127.0.0.1", nil)
	b := work(t, z, nil)
	b.send("one", "bob@ELM.example", "carol@elm.example", "dan@bare.example")
	b.send("two", "x@null.example", "y@nowhere.example", "z@self.example", "eve@trap.example")
	b.waitFor("mail", func() bool { return len(elm.all()) == 1 && len(bare.all()) == 1 })
	if got := elm.all()[0]; got != "alice@oak.example -> bob@ELM.example, carol@elm.example (true): Subject: hello one\r\n\r\ntext\r\n.dot\r\n" {
		t.Errorf("%q", got)
	}
	if got := bare.all()[0]; !strings.Contains(got, "dan@bare.example (false)") {
		t.Errorf("%q", got)
	}
	b.waitFor("reports", func() bool {
		n := 0
		for _, m := range b.List() {
			for _, r := range m.Recipients {
				if r.Told {
					n++
				}
			}
		}
		return n == 3
	})
	all := strings.Join(b.told(), "\n")
	for _, want := range []string{"null.example takes no mail", "there is no domain nowhere.example", "mail for self.example would come back", "Status: 5.1.10", "Status: 5.1.2", "Status: 5.4.6", "Subject: hello two"} {
		if !strings.Contains(all, want) {
			t.Errorf("the reports lack %q:\n%s", want, all)
		}
	}
	b.waitFor("the end of one", func() bool { return len(b.List()) == 1 })
	if len(trap.all()) > 0 {
		t.Error("a stranger's domain had mail sent to this host")
	}
	if err := b.Drop("two"); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(b.o.Dir); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

func TestWhatCannotGoNowIsTriedAgain(t *testing.T) {
	z := lookuptest.Zone(`elm.example. 60 IN A 127.0.8.1`)
	elm := serve(t, "127.0.8.1", nil)
	var mu sync.Mutex
	tries := map[string]int{}
	elm.rcpt = func(to string) error {
		mu.Lock()
		defer mu.Unlock()
		tries[to]++
		switch {
		case strings.HasPrefix(to, "never"):
			return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "No such user"}
		case strings.HasPrefix(to, "later") && tries[to] < 3, strings.HasPrefix(to, "slow"):
			return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "Greylisted"}
		}
		return nil
	}
	b := work(t, z, nil)
	b.send("a", "now@elm.example", "never@elm.example", "later@elm.example", "slow@elm.example")
	b.waitFor("the first", func() bool { return len(elm.all()) == 1 && len(b.told()) == 1 })
	if r := b.told()[0]; !strings.HasPrefix(r, "alice@oak.example: From: Mail delivery <postmaster@mail.oak.example>\r\n") ||
		!strings.Contains(r, "Final-Recipient: rfc822; never@elm.example\r\nAction: failed\r\nStatus: 5.1.1\r\nRemote-MTA: dns; elm.example\r\nDiagnostic-Code: smtp; elm.example said: 550 5.1.1 No such user") {
		t.Errorf("%s", r)
	}
	b.pass(4 * time.Minute)
	b.pass(2 * time.Minute)
	b.waitFor("another try", func() bool { return b.List()[0].Recipients[2].Attempts == 2 })
	b.pass(11 * time.Minute)
	b.waitFor("the second", func() bool { return len(elm.all()) == 2 })
	b.pass(warnAfter)
	b.waitFor("the warning", func() bool { return len(b.told()) == 2 })
	if r := b.told()[1]; !strings.Contains(r, "Action: delayed") || !strings.Contains(r, "slow@elm.example") || strings.Contains(r, "later@") {
		t.Errorf("%s", r)
	}
	b.pass(giveUpAfter)
	b.waitFor("the end", func() bool { return len(b.told()) == 3 && len(b.List()) == 0 })
	if r := b.told()[2]; !strings.Contains(r, "Action: failed\r\nStatus: 5.4.7") {
		t.Errorf("%s", r)
	}
	mu.Lock()
	defer mu.Unlock()
	if tries["now@elm.example"] != 1 || tries["never@elm.example"] != 1 || tries["later@elm.example"] != 3 {
		t.Errorf("%v", tries)
	}
}

func TestTheOwnerHoldsRetriesAndDrops(t *testing.T) {
	z := lookuptest.Zone(`elm.example. 60 IN A 127.0.8.1`)
	b := work(t, z, nil)
	b.send("a", "x@elm.example")
	b.waitFor("a try", func() bool { return b.List()[0].Recipients[0].Attempts == 1 })
	if err := b.Hold("a"); err != nil {
		t.Fatal(err)
	}
	elm := serve(t, "127.0.8.1", nil)
	b.pass(time.Hour)
	b.send("b", "y@elm.example")
	b.waitFor("the other", func() bool { return len(elm.all()) == 1 && len(b.List()) == 1 })
	b.stop()
	b = workIn(t, b.o.Dir, z, nil) // also after a start
	if l := b.List(); len(l) != 1 || !l[0].Held || l[0].Recipients[0].Why == "" || l[0].Size == 0 {
		t.Fatalf("%+v", l)
	}
	if err := b.Retry("a"); err != nil {
		t.Fatal(err)
	}
	b.waitFor("the held one", func() bool { return len(elm.all()) == 2 && len(b.List()) == 0 })
	for _, err := range []error{b.Hold("a"), b.Retry("a"), b.Drop("a")} {
		if !errors.Is(err, ErrNone) {
			t.Errorf("of what is gone: %v", err)
		}
	}
	if err := b.Add(Message{ID: "../x", Recipients: []Recipient{{}}}, strings.NewReader(""), nil); err == nil {
		t.Error("an ID that is a path")
	}
	no := errors.New("no")
	if err := b.Add(Message{ID: "c", Recipients: []Recipient{{Addr: "x@elm.example"}}}, strings.NewReader(""), func() error { return no }); !errors.Is(err, no) || len(b.List()) != 0 {
		t.Errorf("what was refused after all: %v", err)
	}
}

func TestDomainsDemandTheRightHost(t *testing.T) {
	cert, pool := certificate(t, "mx.elm.example", "mta-sts.elm.example", "mx.smart.example")
	_, other := certificate(t, "other.example")
	sum := sha256.Sum256(cert.Leaf.RawSubjectPublicKeyInfo)
	base := []string{`elm.example. 60 IN MX 1 mx.elm.example.`, `mx.elm.example. 60 IN A 127.0.8.1`}
	good := fmt.Sprintf(`_25._tcp.mx.elm.example. 60 IN TLSA 3 1 1 %x`, sum)
	bad := fmt.Sprintf(`_25._tcp.mx.elm.example. 60 IN TLSA 3 1 1 %x`, sha256.Sum256(nil))
	anchor := fmt.Sprintf(`_25._tcp.mx.elm.example. 60 IN TLSA 2 0 1 %x`, sha256.Sum256(cert.Leaf.Raw))
	useless := `_25._tcp.mx.elm.example. 60 IN TLSA 1 1 1 00`
	sts := []string{`_mta-sts.elm.example. 60 IN TXT "v=STSv1; id=1;"`, `mta-sts.elm.example. 60 IN A 127.0.8.2`}
	policy := "version: STSv1\r\nmode: enforce\r\nmx: mx.elm.example\r\nmax_age: 86400\r\n"
	var mu sync.Mutex
	l, err := tls.Listen("tcp", "127.0.8.2:443", &tls.Config{Certificates: []tls.Certificate{*cert}})
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.Host != "mta-sts.elm.example" || r.URL.Path != "/.well-known/mta-sts.txt" {
			w.WriteHeader(http.StatusNotFound)
		}
		io.WriteString(w, policy)
	})}
	go web.Serve(l)
	t.Cleanup(func() { web.Close() })
	for name, tt := range map[string]struct {
		records []string
		insec   bool
		policy  string
		tls     bool
		roots   *x509.CertPool
		require bool
		want    string // in Why; "" it goes
		how     string
	}{
		"DANE":                      {records: []string{good}, tls: true, how: "DANE"},
		"DANE, one of two":          {records: []string{bad, good}, tls: true, how: "DANE"},
		"DANE, an anchor":           {records: []string{anchor}, tls: true, how: "DANE"},
		"DANE, another key":         {records: []string{bad}, tls: true, want: "its certificate is none of those"},
		"DANE, no TLS":              {records: []string{good}, want: "offers no encryption, which its domain demands by DANE"},
		"DANE, unusable":            {records: []string{useless}, tls: true, how: "DANE"},
		"DANE, unusable, no TLS":    {records: []string{useless}, want: "offers no encryption"},
		"DANE without DNSSEC":       {records: []string{bad}, insec: true, tls: true, how: "TLS 1.3"},
		"MTA-STS":                   {records: sts, insec: true, tls: true, roots: pool, how: "MTA-STS"},
		"MTA-STS, other authority":  {records: sts, insec: true, tls: true, roots: pool, policy: strings.Replace(policy, "mx.elm", "mx2.elm", 1), want: "is not among the hosts that elm.example allows"},
		"MTA-STS, no TLS":           {records: sts, insec: true, roots: pool, want: "offers no encryption, which its domain demands by MTA-STS"},
		"MTA-STS, only tested":      {records: sts, insec: true, roots: pool, policy: strings.Replace(policy, "enforce", "testing", 1)},
		"MTA-STS, policy not there": {records: sts, insec: true, roots: other},
		"sender demands":            {insec: true, tls: true, roots: other, require: true, want: "cannot show that it is the right host, which the sender demands"},
		"anybody":                   {insec: true, tls: true, how: "TLS 1.3"},
	} {
		t.Run(name, func(t *testing.T) {
			mu.Lock()
			was := policy
			if tt.policy != "" {
				policy = tt.policy
			}
			mu.Unlock()
			defer func() {
				mu.Lock()
				policy = was
				mu.Unlock()
			}()
			var c *tls.Certificate
			if tt.tls {
				c = cert
			}
			h := serve(t, "127.0.8.1", c)
			z := lookuptest.Zone(append(slices.Clone(base), tt.records...)...)
			var dns lookup.Resolver = secured{z}
			if tt.insec {
				dns = z
			}
			b := work(t, dns, tt.roots)
			m := Message{ID: "a", From: "alice@oak.example", RequireTLS: tt.require, Recipients: []Recipient{{Addr: "bob@elm.example"}}}
			if err := b.Add(m, strings.NewReader("\r\n"), nil); err != nil {
				t.Fatal(err)
			}
			if tt.want == "" {
				b.waitFor("it goes", func() bool { return len(h.all()) == 1 && len(b.List()) == 0 })
				return
			}
			b.waitFor("a try", func() bool { return b.List()[0].Recipients[0].Attempts == 1 })
			if r := b.List()[0].Recipients[0]; r.Failed || !strings.Contains(r.Why, tt.want) || len(h.all()) > 0 {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestRoutesAndSmarthost(t *testing.T) {
	cert, pool := certificate(t, "smart.example")
	z := lookuptest.Zone(`mail.elm.test. 60 IN A 127.0.0.1`, `smart.example. 60 IN A 127.0.8.3`)
	cell := serve(t, "127.0.0.1", nil) // Reach says no, the route yes
	smart := &host{}
	s := smtp.NewServer(smart)
	s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*cert}}
	l, err := tls.Listen("tcp", "127.0.8.3:465", s.TLSConfig)
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	b := work(t, z, pool)
	b.SetRoutes(Routes{
		Host:      "mail.oak.example",
		Domains:   map[string]Route{"elm.test": {Host: "mail.elm.test", Within: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/30")}}},
		Smarthost: &Smarthost{Host: "smart.example", Port: 465, Implicit: true},
	})
	b.send("a", "bob@elm.test", "carol@anywhere.example")
	b.waitFor("both", func() bool { return len(cell.all()) == 1 && len(smart.all()) == 1 && len(b.List()) == 0 })
	if got := smart.all()[0]; !strings.Contains(got, "-> carol@anywhere.example (true)") {
		t.Errorf("%q", got)
	}
	b.SetRoutes(Routes{Host: "x", Smarthost: &Smarthost{Host: "smart.example", Port: 465, Implicit: true, User: "u", Password: "secret-of-u"}})
	b.send("b", "carol@anywhere.example")
	b.waitFor("a try", func() bool { return b.List()[0].Recipients[0].Attempts == 1 })
	if r := b.List()[0].Recipients[0]; r.Failed || !strings.Contains(r.Why, "offers no way to log in") || strings.Contains(fmt.Sprint(b.List()), "secret-of-u") {
		t.Errorf("%+v", r)
	}
}

func FuzzPolicy(f *testing.F) {
	f.Add([]byte("version: STSv1\nmode: enforce\nmx: *.elm.example\nmax_age: 1"), "mx.elm.example")
	f.Fuzz(func(t *testing.T, text []byte, host string) {
		p, err := parsePolicy(bytes.NewReader(text), time.Unix(0, 0))
		if err != nil {
			return
		}
		if len(p.hosts) > 100 || p.until.After(time.Unix(0, 0).Add(stsMax)) {
			t.Fatalf("%+v", p)
		}
		if p.allows(host) && len(p.hosts) == 0 {
			t.Fatal("nobody is allowed, and that is")
		}
	})
}
