package api

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"pic/api/wire"
	"pic/core/config"
)

func TestAPeerGetsKeysAndAnAddress(t *testing.T) {
	h := newHousehold(t)
	alice := h.as("alice")
	var out wire.PeerOutcome
	alice.do("POST", "/api/peers", `{"name":"laptop","owner":"bob","endpoint":"198.51.100.1"}`).want(t, 200, &out)
	p := h.deps.Store.Current().Peer("laptop")
	if p == nil || p.Address != netip.MustParseAddr("10.64.3.2") || p.Key == "" || p.Preshared == "" {
		t.Fatalf("peer %+v", p)
	}
	if !out.Peer.HasConfig || out.Peer.Address != p.Address || !out.Peer.Internet || !out.Peer.LAN {
		t.Errorf("answer %+v", out.Peer)
	}
	private, err := h.deps.Vault.Get(p.Key)
	must(t, err)
	for _, want := range []string{"PrivateKey = " + string(private), "Address = 10.64.3.2/32", "Endpoint = 198.51.100.1:51820", "PresharedKey = "} {
		if !strings.Contains(out.Config, want) {
			t.Errorf("no %q in\n%s", want, out.Config)
		}
	}
	got := alice.do("GET", "/api/peers/laptop/config?endpoint=198.51.100.1", nil)
	got.want(t, 200, nil)
	if string(got.body) != out.Config || !strings.HasPrefix(got.Header.Get("Content-Type"), "text/plain") {
		t.Errorf("later it is\n%s", got.body)
	}
	got = alice.do("GET", "/api/peers/laptop/qr", nil)
	got.want(t, 200, nil)
	if !strings.HasPrefix(string(got.body), "<svg ") || got.Header.Get("Content-Type") != "image/svg+xml" {
		t.Errorf("QR code: %s %.40s", got.Header.Get("Content-Type"), got.body)
	}
	e := alice.do("GET", "/api/peers/laptop/config?endpoint=a%20b", nil).problem(t, 422)
	if e.Errors[0].Path != "endpoint" {
		t.Errorf("errors %+v", e.Errors)
	}
}

func TestADeviceWithItsOwnKeyKeepsIt(t *testing.T) {
	h := newHousehold(t)
	const key = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
	var out wire.PeerOutcome
	h.as("alice").do("POST", "/api/peers", wire.NewPeer{Name: "server", PublicKey: key}).want(t, 200, &out)
	if p := h.deps.Store.Current().Peer("server"); p.PublicKey != key || p.Key != "" {
		t.Errorf("peer %+v", p)
	}
	if strings.Contains(out.Config, "\nPrivateKey") || out.Peer.HasConfig {
		t.Errorf("config\n%s", out.Config)
	}
}

func TestAFailedPeerLeavesNoKey(t *testing.T) {
	h := newHousehold(t)
	alice := h.as("alice")
	h.units.refuse = errors.New("no")
	alice.do("POST", "/api/peers", `{"name":"laptop"}`).problem(t, 409)
	h.units.refuse = nil
	alice.do("POST", "/api/peers", `{"name":"Not A Label"}`).problem(t, 422)
	alice.do("POST", "/api/peers", `{"name":"laptop","owner":"nobody"}`).problem(t, 422)
	alice.do("POST", "/api/peers", `{"name":"laptop"}`, "If-Match", `"7"`).problem(t, 412)
	if secrets, err := h.deps.Vault.List(); err != nil || len(secrets) != 0 {
		t.Errorf("secrets were left in the vault: %v, %v", secrets, err)
	}
	e := alice.do("POST", "/api/peers", `{"name":"laptop","endpoint":"no such thing"}`).problem(t, 422)
	if e.Errors[0].Path != "endpoint" || h.deps.Store.Current().Peer("laptop") != nil {
		t.Errorf("with a bad endpoint: %+v", e)
	}
}

func TestAnEndpointThatNobodyChoseIsNoted(t *testing.T) {
	h := newHousehold(t)
	alice := h.as("alice")
	alice.do("DELETE", "/api/config/value?path=wireguard.endpoint", nil).want(t, 200, nil)
	var out wire.PeerOutcome
	alice.do("POST", "/api/peers", `{"name":"laptop"}`).want(t, 200, &out)
	if !strings.Contains(out.Note, "127.0.0.1:51820") || !strings.Contains(out.Config, "Endpoint = 127.0.0.1:51820") {
		t.Errorf("note %q\n%s", out.Note, out.Config)
	}
	out = wire.PeerOutcome{}
	alice.do("POST", "/api/peers", `{"name":"phone","endpoint":"vpn.example.org"}`).want(t, 200, &out)
	if out.Note != "" {
		t.Errorf("note %q", out.Note)
	}
}

func TestAddressesRunOut(t *testing.T) {
	h := newHousehold(t) // a /29: the cell, five peers, and the broadcast address
	alice := h.as("alice")
	for _, n := range []string{"a", "b", "c", "d", "e"} {
		alice.do("POST", "/api/peers", wire.NewPeer{Name: n}).want(t, 200, nil)
	}
	e := alice.do("POST", "/api/peers", `{"name":"f"}`).problem(t, 422)
	if e.Errors[0].Path != "wireguard.subnet" {
		t.Errorf("errors %+v", e.Errors)
	}
	alice.do("DELETE", "/api/peers/c", nil).want(t, 200, nil)
	var out wire.PeerOutcome
	alice.do("POST", "/api/peers", `{"name":"f"}`).want(t, 200, &out)
	if out.Peer.Address != netip.MustParseAddr("10.64.3.4") {
		t.Errorf("the free address is not used again: %s", out.Peer.Address)
	}
}

func TestPeersBelongToTheirOwners(t *testing.T) {
	h := newHousehold(t)
	bob, carl, vera, alice := h.as("bob"), h.as("carl"), h.as("vera"), h.as("alice")
	bob.do("POST", "/api/peers", `{"name":"phone"}`).want(t, 200, nil)
	if p := h.deps.Store.Current().Peer("phone"); p.Owner != "bob" {
		t.Errorf("owner %q", p.Owner)
	}
	bob.do("POST", "/api/peers", `{"name":"gift","owner":"carl"}`).problem(t, 403)
	bob.do("POST", "/api/peers", `{"name":"fixed","address":"10.64.3.6"}`).problem(t, 403)

	var all []wire.Peer
	for a, want := range map[*agent]int{bob: 1, carl: 0, vera: 1, alice: 1} {
		a.do("GET", "/api/peers", nil).want(t, 200, &all)
		if len(all) != want {
			t.Errorf("somebody sees %d peers instead of %d", len(all), want)
		}
	}
	for path, status := range map[string]int{"": 404, "/config": 404, "/qr": 404} {
		carl.do("GET", "/api/peers/phone"+path, nil).problem(t, status)
	}
	vera.do("GET", "/api/peers/phone", nil).want(t, 200, nil)
	for _, path := range []string{"/config", "/qr"} { // a viewer sees all but secrets
		vera.do("GET", "/api/peers/phone"+path, nil).problem(t, 403)
		bob.do("GET", "/api/peers/phone"+path, nil).want(t, 200, nil)
	}
	carl.do("PUT", "/api/peers/phone", `{"name":"mine"}`).problem(t, 404)
	carl.do("DELETE", "/api/peers/phone", nil).problem(t, 404)
	vera.do("DELETE", "/api/peers/phone", nil).problem(t, 403)
	for _, body := range []string{`{"lan":true}`, `{"internet":true}`, `{"owner":"carl"}`, `{"address":"10.64.3.6"}`} {
		bob.do("PUT", "/api/peers/phone", body).problem(t, 403)
	}
	var out wire.PeerOutcome
	bob.do("PUT", "/api/peers/phone", `{"name":"mobile","split":true}`).want(t, 200, &out)
	if out.Peer.Name != "mobile" || !out.Peer.Split || out.Peer.Owner != "bob" {
		t.Errorf("peer %+v", out.Peer)
	}
	alice.do("PUT", "/api/peers/mobile", `{"lan":false}`).want(t, 200, &out)
	if out.Peer.LAN || !out.Peer.Internet {
		t.Errorf("peer %+v", out.Peer)
	}
	bob.do("DELETE", "/api/peers/mobile", nil).want(t, 200, nil)
}

func TestAUserCannotTakeAllAddresses(t *testing.T) {
	h := newHousehold(t)
	_, err := h.deps.Store.Change(t.Context(), config.Change{Edit: func(d *config.Document) error {
		d.WireGuard.Subnet = netip.MustParsePrefix("10.64.3.0/24")
		return nil
	}})
	must(t, err)
	bob := h.as("bob")
	for i := range userPeers {
		bob.do("POST", "/api/peers", wire.NewPeer{Name: "d" + string(rune('a'+i))}).want(t, 200, nil)
	}
	bob.do("POST", "/api/peers", `{"name":"more"}`).problem(t, 422)
}
