package config

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func garden() *Document {
	d := oak()
	d.Schema = Schema
	d.DNS.Upstreams = []string{"9.9.9.9:53"}
	d.DNS.Records = []Record{{Name: "nas", Type: "A", Value: "192.0.2.9"}}
	d.Peers = []Peer{{Name: "laptop", PublicKey: "k", Address: netip.MustParseAddr("10.64.0.2")}}
	d.Proxy.Routes = []Route{{Name: "cam.example.org", Upstream: "http://192.0.2.7"}}
	return d
}

func TestGetAndSetByPath(t *testing.T) {
	for name, tt := range map[string]struct{ path, set, get string }{
		"list":            {"dns.upstreams", `["1.1.1.1:53","9.9.9.9:53"]`, `["1.1.1.1:53","9.9.9.9:53"]`},
		"switch":          {"ntp.enabled", "false", "false"},
		"number":          {"mail.imapPort", "1993", "1993"},
		"element by name": {"peers.laptop.split", "true", "true"},
		"by index":        {"dns.records.0.value", `"192.0.2.10"`, `"192.0.2.10"`},
		"quoted name":     {`proxy.routes."cam.example.org".access`, `"vpn"`, `"vpn"`},
		"new element":     {"peers.phone", `{"publicKey":"p","address":"10.64.0.3"}`, `{"address":"10.64.0.3","name":"phone","publicKey":"p"}`},
		"replaced":        {"peers.laptop", `{"publicKey":"p","address":"10.64.0.9"}`, `{"address":"10.64.0.9","name":"laptop","publicKey":"p"}`},
		"into no list":    {"mail.aliases.info", `{"to":["alice"]}`, `{"name":"info","to":["alice"]}`},
		"through options": {`dns.own.secondaries`, `[{"address":"192.0.2.53"}]`, `[{"address":"192.0.2.53"}]`},
		"into no groups":  {"dns.filter.groups.kids", `{"off":true}`, `{"name":"kids","off":true}`},
		"into no list 2":  {"dns.filter.lists.ads", `{"url":"https://example.org/ads"}`, `{"name":"ads","url":"https://example.org/ads"}`},
		"duration":        {"dhcp.lease", `"1h30m0s"`, `"1h30m0s"`},
		"prefix":          {"wireguard.subnet", `"10.9.8.0/24"`, `"10.9.8.0/24"`},
	} {
		d := garden()
		if err := Set(d, tt.path, json.RawMessage(tt.set)); err != nil {
			t.Errorf("%s: set: %v", name, err)
			continue
		}
		got, err := Get(d, tt.path)
		if err != nil || string(got) != tt.get {
			t.Errorf("%s: got %s, %v; want %s", name, got, err, tt.get)
		}
	}
}

func TestGetTellsWhatIsUnsetFromWhoIsUnknown(t *testing.T) {
	d := garden()
	if got, err := Get(d, "dns.validate"); err != nil || string(got) != "null" {
		t.Errorf("a setting left open: got %s, %v; want null", got, err)
	}
	for _, path := range []string{"peers.nobody", "peers.nobody.split", "dns.records.7"} {
		if got, err := Get(d, path); err == nil {
			t.Errorf("%s: got %s, want an error", path, got)
		}
	}
}

func TestSetRefusesWhatIsNotThere(t *testing.T) {
	for name, tt := range map[string]struct{ path, value, want string }{
		"unknown":      {"dns.upstream", `[]`, "there is no setting"},
		"wrong type":   {"dns.port", `"53"`, "whole number"},
		"too large":    {"dns.port", `70000`, "whole number in range"},
		"not JSON":     {"cell.name", `oak`, "needs quotes"},
		"beyond list":  {"dns.records.7", `{}`, "the next one is 1"},
		"below a leaf": {"cell.name.x", `1`, "nothing below"},
		"bad address":  {"dns.listen", `["x"]`, ""},
		"other case":   {"dns.PORT", `53`, "there is no such setting"},
		"other case 2": {"peers.laptop", `{"publickey":"p","address":"10.64.0.9"}`, "there is no such setting"},
		"revision":     {"revision", `99`, "cannot be set"},
		"schema":       {"schema", `2`, "cannot be set"},
		"everything":   {"", `{}`, "name a setting"},
	} {
		d := garden()
		err := Set(d, tt.path, json.RawMessage(tt.value))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
		if !reflect.DeepEqual(d, garden()) {
			t.Errorf("%s: the document changed", name)
		}
	}
}

func TestANameWithDotsWithoutQuotesIsExplained(t *testing.T) {
	d := garden()
	d.DNS.Zones = []Zone{{Name: "lab.home.arpa"}}
	const path, want = "dns.zones.lab.home.arpa.options", `'dns.zones."lab.home.arpa".options'`
	_, err := Get(d, path)
	for _, err := range []error{err, Set(d, path, json.RawMessage("{}")), Delete(d, path)} {
		if err == nil || !strings.Contains(err.Error(), "written in quotes: "+want) {
			t.Errorf("got %v", err)
		}
	}
	if _, err := Get(d, strings.Trim(want, "'")); err != nil {
		t.Error(err)
	}
}

func TestDelete(t *testing.T) {
	d := garden()
	for _, p := range []string{"peers.laptop", "dns.upstreams", "dns.records.0"} {
		if err := Delete(d, p); err != nil {
			t.Errorf("%s: %v", p, err)
		}
	}
	if len(d.Peers) != 0 || d.DNS.Upstreams != nil || len(d.DNS.Records) != 0 {
		t.Errorf("left: %+v %+v", d.Peers, d.DNS)
	}
	if err := Delete(d, "peers.ghost"); err == nil {
		t.Error("deleted what is not there")
	}
	if got, err := Get(d, "dns.upstreams"); err != nil || string(got) != "null" {
		t.Errorf("an unset setting reads %s, %v", got, err)
	}
	if _, err := Get(d, "dns.nothing"); err == nil {
		t.Error("read a setting that does not exist")
	}
}

func TestDiffSpeaksOfWhatChanged(t *testing.T) {
	on := true
	for name, tt := range map[string]struct {
		edit func(*Document)
		want string
	}{
		"nothing":  {func(*Document) {}, "[]"},
		"upstream": {func(d *Document) { d.DNS.Upstreams = append(d.DNS.Upstreams, "1.1.1.1:53") }, "[dns.upstreams gains 1.1.1.1:53]"},
		"default":  {func(d *Document) { d.DNS.Upstreams = nil }, "[dns.upstreams loses 9.9.9.9:53]"},
		"peer":     {func(d *Document) { d.Peers = append(d.Peers, Peer{Name: "tv"}) }, "[peers.tv added]"},
		"last":     {func(d *Document) { d.Peers = nil }, "[peers.laptop removed]"},
		"field":    {func(d *Document) { d.Peers[0].Split = true }, "[peers.laptop.split set to true]"},
		"switch":   {func(d *Document) { d.NTP.Enabled = &on }, "[ntp.enabled set to true]"},
		"change":   {func(d *Document) { d.Cell.Name = "elm" }, "[cell.name oak → elm]"},
		"record":   {func(d *Document) { d.DNS.Records[0].Value = "192.0.2.10" }, "[dns.records gains nas A 192.0.2.10, loses nas A 192.0.2.9]"},
		"order": {func(d *Document) {
			d.DNS.Upstreams = []string{"9.9.9.9:53"}
			d.Revision = 9
		}, "[]"},
	} {
		b := garden()
		tt.edit(b)
		var got []string
		for _, x := range Diff(garden(), b) {
			got = append(got, x.Text)
		}
		if fmt.Sprint(got) != tt.want {
			t.Errorf("%s: %v, want %s", name, got, tt.want)
		}
	}
}

// Every field must be copied: a document that shares memory with another would
// let an edit leak into the one in force.
func TestCloneSharesNothing(t *testing.T) {
	var d Document
	fill(reflect.ValueOf(&d).Elem())
	c := d.Clone()
	if !reflect.DeepEqual(&d, c) {
		t.Fatal("the clone differs")
	}
	shared(t, "document", reflect.ValueOf(&d).Elem(), reflect.ValueOf(c).Elem())
}

func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i))
			}
		}
	}
}

func shared(t *testing.T, path string, a, b reflect.Value) {
	switch a.Kind() {
	case reflect.Pointer, reflect.Slice:
		if a.Pointer() == b.Pointer() {
			t.Errorf("%s is shared", path)
		}
		if a.Kind() == reflect.Slice {
			shared(t, path+"[0]", a.Index(0), b.Index(0))
		}
	case reflect.Struct:
		for i := range a.NumField() {
			if f := a.Type().Field(i); f.IsExported() {
				shared(t, path+"."+f.Name, a.Field(i), b.Field(i))
			}
		}
	}
}

func FuzzSet(f *testing.F) {
	f.Add("dns.upstreams", `["9.9.9.9:53"]`)
	f.Add("peers.laptop.split", `true`)
	f.Add(`proxy.routes."a.b"`, `{"upstream":"http://x"}`)
	f.Add("users.0", `null`)
	f.Fuzz(func(t *testing.T, path, value string) {
		d := garden()
		if err := Set(d, path, json.RawMessage(value)); err != nil {
			if !reflect.DeepEqual(d, garden()) {
				t.Fatal("a refused edit changed the document")
			}
			return
		}
		data, err := json.Marshal(d)
		if err != nil {
			t.Fatalf("cannot be saved: %v", err)
		}
		if _, err := Decode(data); err != nil {
			t.Fatalf("cannot be read again: %v", err)
		}
		Resolve(d, Env{}).Validate()
	})
}

// A script whose variable is empty must not delete every peer.
func TestEmptyPartsOfPathsNameNothing(t *testing.T) {
	for _, path := range []string{"peers.", "dns.", ".", "dns..port", ".dns", `proxy.routes."".access`, `peers.""`} {
		d := garden()
		if err := Delete(d, path); err == nil {
			t.Errorf("deleted %q", path)
		}
		for _, v := range []string{`{}`, `[]`, `null`, `1`} {
			if err := Set(d, path, json.RawMessage(v)); err == nil {
				t.Errorf("set %q to %s", path, v)
			}
		}
		if _, err := Get(d, path); err == nil {
			t.Errorf("read %q", path)
		}
		if !reflect.DeepEqual(d, garden()) {
			t.Errorf("%q changed the document", path)
		}
	}
}

func TestDeleteOfAnUnknownSettingIsAnError(t *testing.T) {
	for _, path := range []string{"dns.nothing", "nothing", "peers.laptop.nothing", "ghosts.x"} {
		if err := Delete(garden(), path); err == nil {
			t.Errorf("deleted %q", path)
		}
	}
	for _, path := range []string{"ntp.enabled", "dns.port", "peers.laptop.split", "links"} {
		if err := Delete(garden(), path); err != nil {
			t.Errorf("%s, which is at its default: %v", path, err)
		}
	}
}

// The text ends in the timeline and on terminals, whatever the value holds.
func TestTextOfADifferenceIsOneShortLine(t *testing.T) {
	b := garden()
	b.Users[0].Display = strings.Repeat("ü", 10000) + "\x1b[2J\n"
	b.DNS.Records[0].Value = "x\x1b[2J\ny"
	for _, d := range Diff(garden(), b) {
		if len(d.Text) > 310 || strings.ContainsAny(d.Text, "\x1b\n") || !utf8.ValidString(d.Text) {
			t.Errorf("text is %d bytes: %q", len(d.Text), d.Text)
		}
	}
}

// Rights are embedded in peers and groups; they are settings like all others.
func TestRightsAreReadBack(t *testing.T) {
	no := false
	d := oak()
	r := Rights{Internet: &no, Services: []string{"dns"}, Exit: None}
	d.Network.Groups = []PeerGroup{{Name: "kids", Rights: r}}
	d.Peers = []Peer{{Name: "tv", Rights: r, Groups: []string{"kids"}}}
	data, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(data)
	if err != nil || !reflect.DeepEqual(got, d) {
		t.Errorf("%v, got %+v", err, got)
	}
	if err := Set(d, "peers.tv.lan", json.RawMessage("false")); err != nil || d.Peers[0].LAN == nil || *d.Peers[0].LAN {
		t.Errorf("%v, peer %+v", err, d.Peers[0])
	}
	if err := Set(d, "network.groups.kids.peers", json.RawMessage(`["tv"]`)); err != nil || len(d.Network.Groups[0].Rights.Peers) != 1 {
		t.Errorf("%v, group %+v", err, d.Network.Groups[0])
	}
}
