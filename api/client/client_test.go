package client

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"pic/api/wire"
)

// answer is a cell that always says the same.
func answer(t *testing.T, status int, contentType, body string) *Client {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	t.Cleanup(s.Close)
	return Remote(s.URL, "secret")
}

func TestProblemsBecomeErrors(t *testing.T) {
	for name, tt := range map[string]struct {
		status         int
		kind, body     string
		code, contains string
	}{
		"problem":   {409, "application/problem+json", `{"title":"Conflict","status":409,"code":"refused","detail":"dns refused","unit":"dns"}`, "refused", "dns refused"},
		"fields":    {422, "application/problem+json", `{"status":422,"code":"invalid","errors":[{"path":"a","message":"x"},{"path":"b","message":"y"}]}`, "invalid", "a: x\nb: y"},
		"a page":    {502, "text/html", `<h1>bad gateway</h1>`, "", "Bad Gateway"},
		"broken":    {500, "application/problem+json", `{"status":`, "", "Internal Server Error"},
		"redirect":  {302, "text/plain", ``, "", "Found"},
		"no status": {404, "application/problem+json", `{"detail":"gone"}`, "", "gone"},
	} {
		_, err := answer(t, tt.status, tt.kind, tt.body).Status(t.Context())
		var e *Error
		if !errors.As(err, &e) || e.Status != tt.status || e.Code != tt.code || !strings.Contains(e.Error(), tt.contains) {
			t.Errorf("%s: %#v", name, err)
		}
	}
	if _, err := answer(t, 200, "application/json", `{"cell":`).Status(t.Context()); err == nil {
		t.Error("half an answer is no error")
	}
}

func TestNobodyAnswers(t *testing.T) {
	_, err := Socket(filepath.Join(t.TempDir(), "api.sock")).Status(t.Context())
	if !errors.Is(err, ErrUnreachable) || !errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), "http://cell") {
		t.Errorf("no socket: %v", err)
	}
	_, err = Remote("http://127.0.0.1:1", "secret").Status(t.Context())
	if !errors.Is(err, ErrUnreachable) || strings.Contains(err.Error(), "secret") {
		t.Errorf("no port: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Remote("http://127.0.0.1:1", "").Status(ctx); !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnreachable) {
		t.Errorf("given up: %v", err)
	}
}

func TestRequestsSayWhatIsMeant(t *testing.T) {
	var got *http.Request
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		fmt.Fprint(w, `{}`)
	}))
	defer s.Close()
	c := Remote(s.URL+"/", "secret")
	_, err := c.EditUser(t.Context(), "a/b?c", wire.UserEdit{}, Edit{DryRun: true, Base: 7})
	if err != nil {
		t.Fatal(err)
	}
	if got.URL.EscapedPath() != "/api/users/a%2Fb%3Fc" || got.URL.Query().Get("dry-run") != "1" || got.Header.Get("If-Match") != `"7"` ||
		got.Header.Get("Authorization") != "Bearer secret" || got.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s %s %v", got.Method, got.URL, got.Header)
	}
}

// A connection that breaks is made anew where it was.
func TestFollowResumes(t *testing.T) {
	var calls atomic.Int32
	var resumed atomic.Value
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch calls.Add(1) {
		case 1:
			fmt.Fprint(w, "retry: 2000\n\n: hello\n\nid: 1-0\nevent: log\ndata: {\"a\":\ndata: 1}\n\nid: 2-0\nevent: log\ndata: {}\n\nid: 3-0\nevent: log\ndata: {\"half\"")
		case 2:
			resumed.Store(r.URL.Query().Get("since") + " " + r.URL.Query().Get("types"))
			fmt.Fprint(w, "id: 3-0\nevent: log\ndata: {\"b\":2}\n\n")
		default:
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(401)
			fmt.Fprint(w, `{"status":401,"code":"signed-out","detail":"sign in first"}`)
		}
	}))
	defer s.Close()
	var heard []string
	err := Remote(s.URL, "").Follow(t.Context(), "", []string{"log"}, func(m Message) error {
		heard = append(heard, m.ID+string(m.Data))
		return nil
	})
	var e *Error
	if !errors.As(err, &e) || e.Code != "signed-out" {
		t.Errorf("it ended with %v", err)
	}
	if got := strings.Join(heard, " "); got != `1-0{"a":1} 2-0{} 3-0{"b":2}` {
		t.Errorf("heard %s", got)
	}
	if resumed.Load() != "2-0 log" {
		t.Errorf("resumed at %v", resumed.Load())
	}
}

func TestFollowStopsWhereItIsTold(t *testing.T) {
	enough := errors.New("enough")
	err := answer(t, 200, "text/event-stream", "event: log\ndata: {}\n\n").Follow(t.Context(), "", nil, func(Message) error { return enough })
	if !errors.Is(err, enough) {
		t.Errorf("it ended with %v", err)
	}
}
