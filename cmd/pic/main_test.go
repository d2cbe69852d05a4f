package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/rogpeppe/go-internal/testscript"

	"pic/api/wire"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"pic": func() { os.Exit(run()) }})
}

// Each script is a session with a real cell in a folder and on ports of its own.
func TestSessions(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:   "testdata",
		Setup: func(env *testscript.Env) error { return ports(env) },
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits": exits,
			"await": await,
			"post":  post,
			"same":  same,
			"ask":   ask,
			"hears": hears,
		},
	})
}

// ports gives the script's cell free ports.
func ports(env *testscript.Env) error {
	env.Setenv("PIC_DATA", env.WorkDir+"/data")
	given := map[int]bool{}
	for _, name := range []string{
		"DNS_PORT", "DOT_PORT", "NTP_PORT", "WG_PORT", "API_PORT", "WEBUI_PORT", "HTTP_PORT", "HTTPS_PORT", "MAIL_SMTP_PORT", "MAIL_SUBMISSION_PORT",
		"MAIL_SUBMISSIONS_PORT", "MAIL_IMAP_PORT", "RADICALE_PORT", "WEBDAV_PORT", "RAINLOOP_PORT", "FILEGATOR_PORT",
	} {
		port, err := free()
		for err == nil && given[port] {
			port, err = free()
		}
		if err != nil {
			return err
		}
		given[port] = true
		env.Setenv(name, strconv.Itoa(port))
	}
	return nil
}

// free finds a port that neither TCP nor UDP uses. It is none of those that the
// kernel gives to outgoing connections, for those of other tests could take it
// before the cell does.
func free() (int, error) {
	for range 1000 {
		port := 12_000 + rand.IntN(20_000)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		u, err := net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", port))
		l.Close()
		if err == nil {
			u.Close()
			return port, nil
		}
	}
	return 0, errors.New("no port is free for TCP and UDP")
}

// exits CODE command… checks the exit code; output goes to the files out and err.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if got := command1(ts, args[1:]); got != want {
		ts.Fatalf("%s: exit code %d, want %d\n%s", strings.Join(args[1:], " "), got, want, ts.ReadFile("err"))
	}
}

// command1 runs a command in the script's folder and environment.
func command1(ts *testscript.TestScript, args []string) int {
	path, err := lookPath(ts, args[0])
	ts.Check(err)
	cmd := exec.Command(path, args[1:]...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = append(os.Environ(), "PIC_DATA="+ts.Getenv("PIC_DATA"), "PATH="+ts.Getenv("PATH"))
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	err = cmd.Run()
	ts.Check(os.WriteFile(ts.MkAbs("out"), out.Bytes(), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("err"), stderr.Bytes(), 0o600))
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	ts.Check(err)
	return 0
}

func lookPath(ts *testscript.TestScript, name string) (string, error) {
	for _, dir := range strings.Split(ts.Getenv("PATH"), string(os.PathListSeparator)) {
		if path := dir + "/" + name; fileExists(path) {
			return path, nil
		}
	}
	return "", fmt.Errorf("no %s in the path", name)
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// await command… repeats a command until it works.
func await(ts *testscript.TestScript, _ bool, args []string) {
	for deadline := time.Now().Add(30 * time.Second); command1(ts, args) != 0; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			ts.Fatalf("%s does not work\n%s", strings.Join(args, " "), ts.ReadFile("err"))
		}
	}
}

// post STATUS URL FILE BODY sends JSON once FILE holds the setup token, which
// replaces TOKEN in the body.
func post(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	token := regexp.MustCompile(`(?m)^    ([A-Z2-7]{20,})$`)
	var body string
	for deadline := time.Now().Add(20 * time.Second); body == ""; time.Sleep(50 * time.Millisecond) {
		if data, _ := os.ReadFile(ts.MkAbs(args[2])); token.Match(data) {
			body = strings.ReplaceAll(args[3], "TOKEN", string(token.FindSubmatch(data)[1]))
		} else if time.Now().After(deadline) {
			ts.Fatalf("no token in %s:\n%s", args[2], data)
		}
	}
	resp, err := http.Post(args[1], "application/json", strings.NewReader(body))
	ts.Check(err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	ts.Check(err)
	if resp.StatusCode != want {
		ts.Fatalf("status %d: %s", resp.StatusCode, answer)
	}
	fmt.Fprintf(ts.Stdout(), "%s\n", answer)
}

// ask NAME TYPE asks the cell's name server as a device does.
func ask(ts *testscript.TestScript, _ bool, args []string) {
	m := new(dns.Msg).SetQuestion(dns.Fqdn(args[0]), dns.StringToType[args[1]])
	c := dns.Client{Timeout: 10 * time.Second}
	_, _, err := c.Exchange(m, "127.0.0.1:"+ts.Getenv("DNS_PORT"))
	ts.Check(err)
}

// hears NAME LINE command… runs a command that goes on, and asks for NAME until it
// prints a line that matches.
func hears(ts *testscript.TestScript, _ bool, args []string) {
	path, err := lookPath(ts, args[2])
	ts.Check(err)
	cmd := exec.Command(path, args[3:]...)
	cmd.Env = append(os.Environ(), "PIC_DATA="+ts.Getenv("PIC_DATA"))
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	line := make(chan string, 1)
	go func() {
		defer close(line)
		for s := bufio.NewScanner(out); s.Scan(); {
			select {
			case line <- s.Text():
			default:
			}
		}
	}()
	end := time.After(30 * time.Second)
	for got := ""; got == ""; {
		ask(ts, false, []string{args[0], "A"})
		select {
		case got = <-line:
			if !regexp.MustCompile(args[1]).MatchString(got) {
				ts.Fatalf("it printed %q", got)
			}
		case <-time.After(100 * time.Millisecond): // it is not connected yet
		case <-end:
			ts.Fatalf("it printed nothing")
		}
	}
	ts.Check(cmd.Process.Signal(os.Interrupt))
	for range line {
	}
	ts.Check(cmd.Wait())
}

// same FILE JSON compares a file with JSON, whatever the layout.
func same(ts *testscript.TestScript, neg bool, args []string) {
	var got, want any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &got))
	ts.Check(json.Unmarshal([]byte(args[1]), &want))
	a, err := json.Marshal(got)
	ts.Check(err)
	b, err := json.Marshal(want)
	ts.Check(err)
	if bytes.Equal(a, b) == neg {
		ts.Fatalf("got %s", a)
	}
}

// What strangers bring into the log must not command the terminal.
func TestLogLinesObeyNobody(t *testing.T) {
	var out bytes.Buffer
	p := &program{out: &out}
	p.printLine(wire.Line{Unit: "mail", Msg: "refused \x1b[2J", Attrs: map[string]string{
		"peer": "192.0.2.1", "helo": "\x1b]0;owned\a", "more": "two words", "name": "größe", "tail": "a\rb",
	}})
	want := `mail: "refused \x1b[2J" helo="\x1b]0;owned\a" more="two words" name=größe peer=192.0.2.1 tail="a\rb"` + "\n"
	if _, got, _ := strings.Cut(out.String(), "INFO "); strings.TrimLeft(got, " ") != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Nor must names that strangers ask for.
func TestQueriesObeyNobody(t *testing.T) {
	var out bytes.Buffer
	p := &program{out: &out}
	p.printQuery(wire.DNSQuery{
		Device: "tv", Name: "a\x1b[2J.example", Type: "A", Verdict: "answered", Rcode: "NOERROR", Answer: "CNAME \x1b]0;owned\a",
	})
	p.printQuery(wire.DNSQuery{Client: "192.0.2.1", Name: "ads.example", Type: "A", Verdict: "blocked", List: "l\n", Rule: "||ads.example^"})
	p.printQuery(wire.DNSQuery{Name: "b.example", Type: "A", Verdict: "failed", Rcode: "SERVFAIL", Reason: "no upstream\r"})
	want := []string{
		`tv "a\x1b[2J.example" A answered "CNAME \x1b]0;owned\a"`,
		`192.0.2.1 ads.example A blocked by "l\n" (||ads.example^)`,
		`- b.example A failed SERVFAIL ("no upstream\r")`,
	}
	for i, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		if _, got, _ := strings.Cut(line, ":"); i >= len(want) || !strings.HasSuffix(got, " "+want[i]) {
			t.Errorf("got %q", line)
		}
	}
}
