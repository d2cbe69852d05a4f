package api

import (
	"testing"

	"pic/api/wire"
)

func TestHowMailIsSentIsForAdministratorsToSay(t *testing.T) {
	h := newHousehold(t)
	host := map[string]any{"host": "smtp.example.net", "user": "u", "password": "secret of u"}
	h.as("vera").do("PUT", "/api/email/smarthost", host).problem(t, 403)
	h.as("bob").do("POST", "/api/email/domains/oak.home.arpa/keys", nil).problem(t, 403)
	h.as("alice").do("PUT", "/api/email/smarthost", host).want(t, 200, nil)
	h.as("alice").do("PUT", "/api/email/smarthost", map[string]any{"host": "smtp.example.net", "port": 587, "user": "u"}).want(t, 200, nil)
	d := h.deps.Store.Current().Mail
	if s := d.Smarthost; s == nil || s.Port != 587 || s.Password == "" || s.Password == "secret of u" {
		t.Fatalf("%+v", s)
	}
	if pw, err := h.deps.Vault.Get(d.Smarthost.Password); err != nil || string(pw) != "secret of u" {
		t.Errorf("the password is %q, %v", pw, err)
	}
	var mail wire.Email
	h.as("vera").do("GET", "/api/email", nil).want(t, 200, &mail)
	if mail.Smarthost == nil || mail.Smarthost.Host != "smtp.example.net" {
		t.Errorf("%+v", mail)
	}
	// Another host does not get the password of the former.
	h.as("alice").do("PUT", "/api/email/smarthost", map[string]any{"host": "smtp.example.org", "user": "u"}).problem(t, 422)
	h.as("alice").do("POST", "/api/email/domains/oak.home.arpa/keys", nil).want(t, 200, nil)
	keys := h.deps.Store.Current().Mail.DKIM
	if len(keys) != 2 || keys[0].Domain != "oak.home.arpa" || keys[0].Key == keys[1].Key {
		t.Fatalf("%+v", keys)
	}
	h.as("alice").do("POST", "/api/email/domains/elm.example/keys", nil).problem(t, 404)
	h.as("alice").do("DELETE", "/api/email/domains/oak.home.arpa/keys/"+keys[0].Selector, nil).want(t, 200, nil)
	h.as("alice").do("DELETE", "/api/email/domains/oak.home.arpa/keys/"+keys[0].Selector, nil).problem(t, 404)
	h.as("alice").do("DELETE", "/api/email/smarthost", nil).want(t, 200, nil)
	h.as("alice").do("DELETE", "/api/email/smarthost", nil).problem(t, 404)
	var domains []wire.MailDomain
	h.as("vera").do("GET", "/api/email/domains", nil).want(t, 200, &domains)
	if len(domains) != 1 || domains[0].Records[0].State != "good" || domains[0].Records[1].State != "missing" || domains[0].Records[2].State != "unknown" {
		t.Errorf("%+v", domains)
	}
	var queue []wire.QueuedMail
	h.as("bob").do("GET", "/api/email/queue", nil).want(t, 200, &queue)
	h.as("alice").do("DELETE", "/api/email/queue/x", nil).problem(t, 404)
	h.as("alice").do("POST", "/api/email/queue/x/retry", nil).problem(t, 404)
}
