package imapd

import (
	"net/mail"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"

	"pic/mailsrv/message"
)

// envelope is an Envelope as the library writes it. Encoded words are ASCII, and
// it leaves ASCII alone.
func envelope(e *message.Envelope) *imap.Envelope {
	return &imap.Envelope{
		Date: sent(e), Subject: e.Subject,
		From: addresses(e.From), Sender: addresses(e.Sender), ReplyTo: addresses(e.ReplyTo),
		To: addresses(e.To), Cc: addresses(e.Cc), Bcc: addresses(e.Bcc),
		InReplyTo: message.IDs(e.InReplyTo), MessageID: strings.Trim(e.MessageID, "<> "),
	}
}

// sent is when a message says that it was sent; zero if it does not.
func sent(e *message.Envelope) time.Time {
	t, err := mail.ParseDate(e.Date)
	if err != nil {
		return time.Time{}
	}
	return t
}

func addresses(all []message.Address) []imap.Address {
	var out []imap.Address
	for _, a := range all {
		out = append(out, imap.Address{Name: a.Name, Mailbox: a.Mailbox, Host: a.Host})
	}
	return out
}

// bodyStructure is a part as the library writes it.
func bodyStructure(p *message.Part) imap.BodyStructure {
	if p.Multipart() {
		out := &imap.BodyStructureMultiPart{
			Subtype: p.Subtype,
			Extended: &imap.BodyStructureMultiPartExt{
				Params: params(p.Params), Disposition: disposition(p), Language: p.Languages, Location: p.Location,
			},
		}
		for _, c := range p.Parts {
			out.Children = append(out.Children, bodyStructure(c))
		}
		return out
	}
	out := &imap.BodyStructureSinglePart{
		Type: p.Type, Subtype: p.Subtype, Params: params(p.Params), ID: p.ID, Description: p.Description,
		Encoding: p.Encoding, Size: uint32(p.End - p.Body),
		Extended: &imap.BodyStructureSinglePartExt{Disposition: disposition(p), Language: p.Languages, Location: p.Location},
	}
	if p.Type == "multipart" { // with nothing in it, which the grammar does not know
		out.Type, out.Subtype, out.Params = "text", "plain", nil
	}
	switch in := p.Inner(); {
	case in != nil:
		out.MessageRFC822 = &imap.BodyStructureMessageRFC822{
			Envelope: envelope(in.Envelope), BodyStructure: bodyStructure(in), NumLines: p.Lines,
		}
	case out.Type == "message" && (out.Subtype == "rfc822" || out.Subtype == "global"): // too deep to be described
		out.Type, out.Subtype = "application", "octet-stream"
	case out.Type == "text":
		out.Text = &imap.BodyStructureText{NumLines: p.Lines}
	}
	return out
}

func params(all []message.Param) map[string]string {
	if len(all) == 0 {
		return nil
	}
	out := make(map[string]string, len(all))
	for _, p := range all {
		if _, ok := out[p.Name]; !ok {
			out[p.Name] = p.Value
		}
	}
	return out
}

func disposition(p *message.Part) *imap.BodyStructureDisposition {
	if p.Disposition == "" {
		return nil
	}
	return &imap.BodyStructureDisposition{Value: p.Disposition, Params: params(p.DispParams)}
}
