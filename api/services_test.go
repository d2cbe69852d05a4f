package api

import (
	"strings"
	"testing"

	"pic/api/wire"
)

func TestOneSeesOnesOwnMailAndCalendars(t *testing.T) {
	h := newHousehold(t)
	for who, want := range map[string]int{"alice": 2, "vera": 2, "bob": 1, "carl": 0} {
		var mail wire.Email
		h.as(who).do("GET", "/api/email", nil).want(t, 200, &mail)
		var cal wire.Calendar
		h.as(who).do("GET", "/api/calendar", nil).want(t, 200, &cal)
		if len(mail.Mailboxes) != want || len(cal.Collections) != want {
			t.Errorf("%s sees %+v and %+v", who, mail.Mailboxes, cal.Collections)
		}
	}
	for _, who := range []string{"alice", "vera", "bob"} {
		var l wire.Listing
		h.as(who).do("GET", "/api/files?path=photos", nil).want(t, 200, &l)
		if len(l.Entries) != 1 || l.Entries[0].Name != "of "+who {
			t.Errorf("%s sees %+v", who, l)
		}
	}
	for path, status := range map[string]int{"none": 404, "..": 422} {
		if e := h.as("bob").do("GET", "/api/files?path="+path, nil).problem(t, status); e.Detail != "there is no such folder" {
			t.Errorf("%s: %+v", path, e)
		}
	}
	if e := h.as("bob").do("GET", "/api/files?path=broken", nil).problem(t, 500); strings.Contains(e.Detail, "/var/lib") {
		t.Errorf("a stranger to the disk is told of it: %+v", e)
	}
}

func TestALookupIsReadIntoParts(t *testing.T) {
	h := newHousehold(t)
	var a wire.DNSAnswer
	h.as("vera").do("GET", "/api/dns/lookup?name=home.oak.home.arpa&type=txt", nil).want(t, 200, &a)
	want := wire.DNSRecord{Name: "home.oak.home.arpa", Type: "TXT", TTL: 60, Value: `"two words"`}
	if len(a.Answers) != 1 || a.Answers[0] != want || a.Type != "TXT" || a.DurationMs != 1.5 {
		t.Errorf("answer %+v", a)
	}
	h.as("vera").do("GET", "/api/dns/lookup?name=x&type=nope", nil).problem(t, 422)
}

func TestALeaseIsForgotten(t *testing.T) {
	h := newHousehold(t)
	alice := h.as("alice")
	var leases []wire.Lease
	alice.do("GET", "/api/dhcp/leases", nil).want(t, 200, &leases)
	alice.do("DELETE", "/api/dhcp/leases/"+leases[0].Address.String(), nil).want(t, 204, nil)
	alice.do("DELETE", "/api/dhcp/leases/192.168.1.9", nil).problem(t, 404)
	alice.do("DELETE", "/api/dhcp/leases/tv", nil).problem(t, 422)
}

func TestServicesRestartByName(t *testing.T) {
	h := newHousehold(t)
	alice := h.as("alice")
	alice.do("POST", "/api/services/dns/restart", nil).want(t, 200, nil)
	alice.do("POST", "/api/services/nonsense/restart", nil).problem(t, 404)
	if len(h.units.restart) != 1 {
		t.Errorf("restarted %v", h.units.restart)
	}
	var line []wire.Event
	alice.do("GET", "/api/timeline?subject=dns", nil).want(t, 200, &line)
	if len(line) != 1 || line[0].Actor != "alice" || line[0].Kind != "unit.restarted" {
		t.Errorf("timeline %+v", line)
	}
}

func TestTheLogIsFiltered(t *testing.T) {
	h := newHousehold(t)
	h.deps.Log.Info("one", "unit", "dns")
	h.deps.Log.Warn("two", "unit", "dhcp", "peer", "Laptop")
	h.deps.Log.Error("three", "unit", "dns")
	vera := h.as("vera")
	for query, want := range map[string][]string{
		"":                      {"one", "two", "three"},
		"?unit=dns":             {"one", "three"},
		"?level=warn":           {"two", "three"},
		"?text=peer%3Dlaptop":   {"two"},
		"?limit=1":              {"three"},
		"?unit=dns&level=error": {"three"},
	} {
		var lines []wire.Line
		vera.do("GET", "/api/logs"+query, nil).want(t, 200, &lines)
		var got []string
		for _, l := range lines {
			got = append(got, l.Msg)
		}
		if len(got) != len(want) || got[0] != want[0] {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
	vera.do("GET", "/api/logs?level=loud", nil).problem(t, 422)
}
