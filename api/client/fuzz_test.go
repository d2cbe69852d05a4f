package client

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

type body string

func (b body) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(string(b)))}, nil
}

func FuzzStream(f *testing.F) {
	for _, s := range []string{"event: log\ndata: {}\n\n", "id: 1\nevent: a\ndata: x\ndata: y\n\n: c\n\n", "data\n\n", "event:log\r\n\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c := &Client{base: "http://cell", http: &http.Client{Transport: body(s)}}
		total := 0
		last, err := c.stream(t.Context(), "start", nil, func(m Message) error {
			if m.Type == "" {
				t.Fatal("a message without a type")
			}
			total += len(m.Type) + len(m.Data)
			return nil
		})
		if total > len(s) {
			t.Fatalf("%d bytes of messages from %d", total, len(s))
		}
		if last != "start" && !strings.Contains(s, last) {
			t.Fatalf("the last id is %q", last)
		}
		var e *Error
		if errors.As(err, &e) {
			t.Fatalf("a stream became a refusal: %v", err)
		}
	})
}
