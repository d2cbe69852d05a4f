package api

import (
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"

	"pic/api/wire"
	"pic/core/config"
	"pic/netstack"
)

func tokenOf(url string) string {
	_, token, _ := strings.Cut(url, "#")
	return token
}

func TestALinkLetsADeviceInOnceWithItsOwnKey(t *testing.T) {
	h := newHousehold(t)
	bob := h.as("bob")
	var out wire.PeerOutcome
	bob.do("POST", "/api/peers", `{"name":"phone","device":"phone","link":true}`).want(t, 200, &out)
	if out.Config != "" || out.Link == nil || out.Peer.HasConfig || out.Peer.Link.IsZero() || out.Peer.Device != "phone" {
		t.Fatalf("answer %+v", out)
	}
	token := tokenOf(out.Link.URL)
	if len(token) < 26 || strings.Contains(strings.Split(out.Link.URL, "#")[0], token) {
		t.Errorf("link %s", out.Link.URL)
	}
	stranger := h.stranger()
	var look wire.Enrolment
	stranger.do("POST", "/api/enrol/look", wire.EnrolToken{Token: token}).want(t, 200, &look)
	if look.Name != "phone" || look.Cell != "oak" || look.By != "bob" || look.Config != "" {
		t.Errorf("before: %+v", look)
	}
	stranger.do("POST", "/api/enrol", wire.Enrol{Token: token, PublicKey: "nonsense"}).problem(t, 422) // and it stays good
	_, public := netstack.NewKey()
	var in wire.Enrolment
	stranger.do("POST", "/api/enrol", wire.Enrol{Token: token, PublicKey: public}).want(t, 200, &in)
	p := h.deps.Store.Current().Peer("phone")
	if p.PublicKey != public || p.Key != "" || strings.Contains(in.Config, "\nPrivateKey") || in.QR != "" || !strings.Contains(in.Config, "PresharedKey = ") {
		t.Errorf("peer %+v, config\n%s", p, in.Config)
	}
	stranger.do("POST", "/api/enrol", wire.Enrol{Token: token, PublicKey: public}).problem(t, 404)
	stranger.do("POST", "/api/enrol/look", wire.EnrolToken{Token: token}).problem(t, 404)
	told := ""
	for _, e := range h.deps.Events.Since(0, 0) {
		told += e.Kind + " " + e.Subject + " " + e.Actor + " " + e.Text + "\n"
	}
	if !strings.Contains(told, "peer.enrolled phone bob") || strings.Contains(told, token) {
		t.Errorf("the timeline says\n%s", told)
	}
	var after wire.Peer
	bob.do("GET", "/api/peers/phone", nil).want(t, 200, &after)
	if !after.Link.IsZero() || after.Given.IsZero() || after.Reinstall != nil {
		t.Errorf("after: %+v", after)
	}
}

func TestTheCellShowsTheKeyOfALinkOnce(t *testing.T) {
	h := newHousehold(t)
	alice := h.as("alice")
	var out wire.PeerOutcome
	alice.do("POST", "/api/peers", `{"name":"tv","endpoint":"198.51.100.1"}`).want(t, 200, &out)
	before := h.deps.Store.Current().Peer("tv").PublicKey
	var l wire.EnrolLink
	alice.do("POST", "/api/peers/tv/link", `{"hours":1,"endpoint":"198.51.100.9"}`).want(t, 201, &l)
	var in wire.Enrolment
	h.stranger().do("POST", "/api/enrol", wire.Enrol{Token: tokenOf(l.URL)}).want(t, 200, &in)
	p := h.deps.Store.Current().Peer("tv")
	if p.PublicKey == before || p.Key != "" || !strings.Contains(in.Config, "\nPrivateKey = ") || !strings.HasPrefix(in.QR, "<svg ") || !strings.Contains(in.Config, "Endpoint = 198.51.100.9:51820") {
		t.Errorf("peer %+v, config\n%s", p, in.Config)
	}
	secrets, err := h.deps.Vault.List()
	must(t, err)
	for _, s := range secrets {
		key, err := h.deps.Vault.Get(s.ID)
		must(t, err)
		if strings.Contains(in.Config, "PrivateKey = "+string(key)) {
			t.Error("the cell keeps the private key")
		}
	}
}

func TestALinkIsGoodForOneOfManyAtTheSameTime(t *testing.T) {
	h := newHousehold(t)
	var out wire.PeerOutcome
	h.as("alice").do("POST", "/api/peers", `{"name":"phone","link":true}`).want(t, 200, &out)
	var wg sync.WaitGroup
	codes := make(chan int, 12)
	for range cap(codes) {
		wg.Go(func() {
			codes <- h.stranger().do("POST", "/api/enrol", wire.Enrol{Token: tokenOf(out.Link.URL)}).StatusCode
		})
	}
	wg.Wait()
	close(codes)
	good := 0
	for c := range codes {
		if c == 200 {
			good++
		}
	}
	if good != 1 {
		t.Errorf("%d devices came in", good)
	}
}

func TestALinkStaysGoodWhereTheChangeIsRefused(t *testing.T) {
	h := newHousehold(t)
	alice := h.as("alice")
	var out wire.PeerOutcome
	alice.do("POST", "/api/peers", `{"name":"phone","link":true}`).want(t, 200, &out)
	token := wire.Enrol{Token: tokenOf(out.Link.URL)}
	h.units.refuse = errors.New("not now")
	h.stranger().do("POST", "/api/enrol", token).problem(t, 409)
	h.units.refuse = nil
	alice.do("PUT", "/api/peers/phone", `{"disabled":true}`).want(t, 200, nil)
	h.stranger().do("POST", "/api/enrol/look", wire.EnrolToken{Token: token.Token}).problem(t, 404)
	alice.do("PUT", "/api/peers/phone", `{"disabled":false,"name":"mobile"}`).want(t, 200, nil)
	h.stranger().do("POST", "/api/enrol", token).want(t, 200, nil)
}

func TestLinksAreForOwnersAndEndWithADrop(t *testing.T) {
	h := newHousehold(t)
	h.as("bob").do("POST", "/api/peers", `{"name":"phone"}`).want(t, 200, nil)
	h.as("carl").do("POST", "/api/peers/phone/link", `{}`).problem(t, 404)
	h.as("vera").do("POST", "/api/peers/phone/link", `{}`).problem(t, 403)
	var l wire.EnrolLink
	h.as("bob").do("POST", "/api/peers/phone/link", `{}`).want(t, 201, &l)
	h.as("bob").do("DELETE", "/api/peers/phone/link", nil).want(t, 204, nil)
	h.stranger().do("POST", "/api/enrol", wire.Enrol{Token: tokenOf(l.URL)}).problem(t, 404)
}

func TestGuessersOfLinksAreHeldUp(t *testing.T) {
	h := newHousehold(t)
	for range 20 {
		h.stranger().do("POST", "/api/enrol", `{"token":"nonsense"}`).problem(t, 404)
	}
	got := h.stranger().do("POST", "/api/enrol/look", `{"token":"nonsense"}`)
	got.problem(t, 429)
	if got.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

func TestNewKeysWaitForTheDevice(t *testing.T) {
	h := newHousehold(t)
	alice := h.as("alice")
	alice.do("POST", "/api/peers", `{"name":"laptop"}`).want(t, 200, nil)
	before := *h.deps.Store.Current().Peer("laptop")
	var out wire.PeerOutcome
	alice.do("POST", "/api/peers/laptop/rotate", `{}`).want(t, 200, &out)
	p := h.deps.Store.Current().Peer("laptop")
	if p.PublicKey != before.PublicKey || p.Next.PublicKey == "" || p.Next.Until.IsZero() || out.Peer.NextKey != p.Next.PublicKey {
		t.Fatalf("peer %+v", p)
	}
	private, err := h.deps.Vault.Get(p.Next.Key)
	must(t, err)
	if !strings.Contains(out.Config, "PrivateKey = "+string(private)) {
		t.Errorf("config\n%s", out.Config)
	}
	if got := alice.do("GET", "/api/peers/laptop/config", nil); string(got.body) != out.Config {
		t.Errorf("later it is\n%s", got.body)
	}
	if out.Peer.Reinstall != nil {
		t.Errorf("it was just given: %q", out.Peer.Reinstall)
	}
	alice.do("POST", "/api/peers/laptop/rotate", `{"hours":0}`).want(t, 200, &out)
	if p := h.deps.Store.Current().Peer("laptop"); p.PublicKey == before.PublicKey || p.Next != (config.Keys{}) {
		t.Errorf("at once: %+v", p)
	}
	const own = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
	alice.do("POST", "/api/peers", wire.NewPeer{Name: "server", PublicKey: own}).want(t, 200, nil)
	e := alice.do("POST", "/api/peers/server/rotate", `{}`).problem(t, 422)
	if e.Errors[0].Path != "publicKey" {
		t.Errorf("errors %+v", e.Errors)
	}
}

func TestANewKeyOfTheCellFlagsEveryDevice(t *testing.T) {
	h := newHousehold(t)
	alice := h.as("alice")
	alice.do("POST", "/api/peers", `{"name":"laptop"}`).want(t, 200, nil)
	alice.do("POST", "/api/peers", `{"name":"phone"}`).want(t, 200, nil)
	before := h.deps.Store.Resolved().WireGuard
	var out wire.CellRotation
	alice.do("POST", "/api/wireguard/rotate?dry-run=1", `{}`).want(t, 200, &out)
	if h.deps.Store.Current().WireGuard.PublicKey != before.PublicKey || !strings.Contains(out.Text, "2 devices are cut off") || len(out.Peers) != 2 {
		t.Fatalf("said before: %+v", out)
	}
	alice.do("POST", "/api/wireguard/rotate", `{}`).want(t, 200, &out)
	now := h.deps.Store.Resolved().WireGuard
	if now.PublicKey == before.PublicKey || now.PublicKey != out.PublicKey || now.Subnet6 != before.Subnet6 {
		t.Errorf("before %+v, after %+v", before, now)
	}
	private, err := h.deps.Vault.Get(now.Key)
	must(t, err)
	if public, err := netstack.PublicKey(string(private)); err != nil || public != now.PublicKey {
		t.Errorf("the kept key is that of %s, %v", public, err)
	}
	var all []wire.Peer
	alice.do("GET", "/api/peers", nil).want(t, 200, &all)
	for _, p := range all {
		if len(p.Reinstall) != 1 || p.Reinstall[0] != "the cell's key was changed" {
			t.Errorf("%s: %q", p.Name, p.Reinstall)
		}
	}
	alice.do("GET", "/api/peers/phone/qr", nil).want(t, 200, nil)
	var p wire.Peer
	alice.do("GET", "/api/peers/phone", nil).want(t, 200, &p)
	if p.Reinstall != nil {
		t.Errorf("after it was given: %q", p.Reinstall)
	}
}

func TestRightsComeFromThePeerItsGroupsAndDefaults(t *testing.T) {
	h := newHousehold(t)
	alice := h.as("alice")
	alice.do("POST", "/api/groups", `{"name":"kids","internet":false,"services":["dns","mail"]}`).want(t, 200, nil)
	alice.do("POST", "/api/groups", `{"name":"all"}`).problem(t, 422)
	alice.do("POST", "/api/groups", `{"name":"kids"}`).problem(t, 422)
	alice.do("PUT", "/api/users/bob", `{"groups":["kids"]}`).want(t, 200, nil)
	h.as("bob").do("POST", "/api/peers", `{"name":"console"}`).want(t, 200, nil)
	alice.do("POST", "/api/peers", `{"name":"nas"}`).want(t, 200, nil)
	alice.do("PUT", "/api/peers/console", `{"peers":["nas"],"lan":true}`).want(t, 200, nil)
	var p wire.Peer
	alice.do("GET", "/api/peers/console", nil).want(t, 200, &p)
	if want := "may reach the LAN, mail, DNS and the devices of nas; not the internet"; p.May != want {
		t.Errorf("it %q, want %q", p.May, want)
	}
	from := map[string]string{}
	for _, r := range p.Rights {
		from[r.Name] = strings.TrimSpace(r.Source + " " + strings.Join(r.Groups, " "))
	}
	got, _ := json.Marshal(from)
	if want := `{"cells":"default","exit":"default","fallback":"default","internet":"group kids","lan":"own","peers":"own","services":"group kids"}`; string(got) != want {
		t.Errorf("from %s", got)
	}
	alice.do("PUT", "/api/peers/nas", `{"name":"store"}`).want(t, 200, nil)
	alice.do("PUT", "/api/groups/kids", `{"name":"children","inherit":["services"]}`).want(t, 200, nil)
	alice.do("PUT", "/api/peers/console", `{"inherit":["lan"]}`).want(t, 200, nil)
	d := h.deps.Store.Current()
	if c := d.Peer("console"); c.Rights.Peers[0] != "store" || c.LAN != nil || d.Group("children").Services != nil {
		t.Errorf("document %+v", c)
	}
	alice.do("DELETE", "/api/peers/store", nil).want(t, 200, nil)
	if c := h.deps.Store.Current().Peer("console"); c.Rights.Peers[0] != config.None {
		t.Errorf("after the other is gone: %+v", c)
	}
	var groups []wire.Group
	alice.do("GET", "/api/groups", nil).want(t, 200, &groups)
	if len(groups) != 1 || groups[0].Name != "children" || len(groups[0].Rights) != 1 {
		t.Errorf("groups %+v", groups)
	}
	alice.do("DELETE", "/api/groups/children", nil).want(t, 200, nil)
	alice.do("DELETE", "/api/groups/children", nil).problem(t, 404)
}

func TestUsersGiveThemselvesNoRights(t *testing.T) {
	h := newHousehold(t)
	bob := h.as("bob")
	for _, more := range []string{
		`"internet":true`, `"lan":false`, `"peers":["all"]`, `"services":[]`, `"exit":"none"`, `"fallback":true`, `"groups":["x"]`,
		`"site":["10.0.0.0/8"]`, `"inherit":["lan"]`,
	} {
		bob.do("POST", "/api/peers", `{"name":"phone",`+more+`}`).problem(t, 403)
	}
	bob.do("POST", "/api/peers", `{"name":"phone","expires":"2099-01-01T00:00:00Z"}`).want(t, 200, nil)
	bob.do("PUT", "/api/peers/phone", `{"expires":"2099-02-01T00:00:00Z"}`).problem(t, 403)
	bob.do("PUT", "/api/peers/phone", `{"device":"tablet","dns":["9.9.9.9"],"keepalive":-1,"mac":"02:00:00:00:00:09"}`).want(t, 200, nil)
	h.as("alice").do("PUT", "/api/peers/phone", `{"expires":"2001-01-01T00:00:00Z"}`).problem(t, 422)
	var p wire.Peer
	bob.do("GET", "/api/peers/phone", nil).want(t, 200, &p)
	if p.Device != "tablet" || p.Keepalive != -1 || len(p.Reinstall) != 2 {
		t.Errorf("peer %+v", p)
	}
	var hist wire.PeerHistory
	bob.do("GET", "/api/peers/phone/history?hours=48", nil).want(t, 200, &hist)
	if hist.Step != 3600 || hist.Points == nil {
		t.Errorf("history %+v", hist)
	}
	h.as("carl").do("GET", "/api/peers/phone/history", nil).problem(t, 404)
}
