package queue

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"mime"
	"strings"
	"time"
)

// maxHeader is how much of a message's header comes back to its sender.
const maxHeader = 32 << 10

// report writes a delivery status notification (RFC 3464, in a report of
// RFC 6522). action is failed or delayed.
func report(m *Message, text io.Reader, host, action string, who []Recipient, now time.Time) []byte {
	var b bytes.Buffer
	boundary := strings.ToLower(rand.Text())
	subject := "Not delivered: "
	if action == "delayed" {
		subject = "Not delivered yet: "
	}
	line := func(format string, a ...any) { fmt.Fprintf(&b, format+"\r\n", a...) }
	line("From: Mail delivery <postmaster@%s>", host)
	line("To: <%s>", clean(m.From, 320))
	line("Subject: %s", mime.QEncoding.Encode("utf-8", clean(subject+m.Subject, 200)))
	line("Date: %s", now.Format(time.RFC1123Z))
	line("Message-ID: <%s@%s>", strings.ToLower(rand.Text()), host)
	line("Auto-Submitted: auto-replied") // RFC 3834
	line("MIME-Version: 1.0")
	line("Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=%q", boundary)
	line("\r\n--%s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n", boundary)
	if action == "failed" {
		line("This is what your cell could not deliver, and it has given up:\r\n")
	} else {
		line("This could not be delivered yet. Your cell goes on trying until %s;\r\nyou need not send it again:\r\n",
			m.Created.Add(giveUpAfter).Format("2 January 2006, 15:04 MST"))
	}
	line("  Subject: %s\r\n  Sent:    %s\r\n", clean(m.Subject, 200), m.Created.Format("2 January 2006, 15:04 MST"))
	for _, r := range who {
		line("  <%s>\r\n      %s\r\n", clean(r.Addr, 320), clean(r.Why, 600))
	}
	line("--%s\r\nContent-Type: message/delivery-status\r\n", boundary)
	line("Reporting-MTA: dns; %s\r\nArrival-Date: %s", host, m.Created.Format(time.RFC1123Z))
	for _, r := range who {
		line("\r\nFinal-Recipient: rfc822; %s\r\nAction: %s\r\nStatus: %s", clean(r.Addr, 320), action, r.Status)
		if r.Host != "" {
			line("Remote-MTA: dns; %s", clean(r.Host, 255))
		}
		line("Diagnostic-Code: smtp; %s", ascii(clean(r.Why, 600)))
		if action == "delayed" {
			line("Will-Retry-Until: %s", m.Created.Add(giveUpAfter).Format(time.RFC1123Z))
		}
	}
	line("\r\n--%s\r\nContent-Type: text/rfc822-headers\r\nContent-Transfer-Encoding: 8bit\r\n", boundary)
	b.Write(header(text))
	line("\r\n--%s--", boundary)
	return b.Bytes()
}

// header is the beginning of a message up to its body, bounded.
func header(r io.Reader) []byte {
	var b []byte
	br := bufio.NewReader(io.LimitReader(r, maxHeader))
	for {
		l, err := br.ReadBytes('\n')
		if err != nil || len(bytes.TrimRight(l, "\r\n")) == 0 {
			return b
		}
		b = append(b, l...)
	}
}

// clean is s in one line.
func clean(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7F {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	for len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "")
	}
	return s
}

func ascii(s string) string {
	return strings.Map(func(r rune) rune {
		if r > '~' {
			return '?'
		}
		return r
	}, s)
}
