package imapd

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"pic/mailsrv/message"
	"pic/mailsrv/store"
)

// Names of things that stay the same (RFC 8474).

func mailboxID(m store.Mailbox) string { return fmt.Sprintf("B%d", m.ID) }

func emailID(m store.Message) string { return fmt.Sprintf("M%d", m.ID) }

// threadID is made of the message id that a conversation began with, as far as
// the message says. Messages without any are conversations of their own.
func threadID(row store.Message, m *message.Message) string {
	e := m.Root.Envelope
	for _, f := range []string{e.References, e.InReplyTo, e.MessageID} {
		if ids := message.IDs(f); len(ids) > 0 {
			h := sha256.Sum256([]byte(ids[0]))
			return "T" + strings.ToLower(base32.HexEncoding.EncodeToString(h[:10]))
		}
	}
	return "T" + emailID(row)
}

// Bounds of a preview (RFC 8970 §3.2).
const (
	previewLen  = 200 // characters
	previewRead = 8 << 10
)

// preview is the beginning of the first text of a message, on one line, without
// marks of HTML and what is quoted.
func preview(c *store.Content, m *message.Message) string {
	var text *message.Part
	m.Root.Each(func(p *message.Part) {
		better := text == nil || text.Subtype != "plain" && p.Subtype == "plain"
		if p.Type == "text" && len(p.Parts) == 0 && p.Disposition != "attachment" && better {
			text = p
		}
	})
	if text == nil {
		return ""
	}
	b, _ := io.ReadAll(io.LimitReader(text.Text(c), previewRead)) // badly encoded text is shorter
	s := strings.ToValidUTF8(string(b), "")
	if text.Subtype == "html" {
		s = unmark(s)
	}
	var sb strings.Builder
	n := 0
	for line := range strings.Lines(s) {
		if strings.HasPrefix(line, ">") {
			continue
		}
		for word := range strings.FieldsSeq(line) {
			if k := utf8.RuneCountInString(word); n+k+1 > previewLen {
				return sb.String()
			} else if n > 0 {
				sb.WriteByte(' ')
				n += k + 1
			} else {
				n = k
			}
			sb.WriteString(strings.Map(func(r rune) rune {
				if unicode.IsControl(r) {
					return -1
				}
				return r
			}, word))
		}
	}
	return sb.String()
}

// unmark takes tags, styles and scripts out of HTML, and knows a few entities.
func unmark(s string) string {
	var sb strings.Builder
	for {
		text, rest, ok := strings.Cut(s, "<")
		sb.WriteString(text)
		if !ok {
			break
		}
		tag, after, _ := strings.Cut(rest, ">")
		s = after
		name, _, _ := strings.Cut(strings.ToLower(tag), " ")
		if name == "style" || name == "script" || name == "title" {
			if i := strings.Index(strings.ToLower(s), "</"+name); i >= 0 {
				s = s[i:]
			} else {
				s = ""
			}
		}
		sb.WriteByte(' ')
	}
	return strings.NewReplacer("&nbsp;", " ", "&lt;", "<", "&gt;", ">", "&quot;", `"`, "&#39;", "'", "&amp;", "&").Replace(sb.String())
}
