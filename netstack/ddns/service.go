package ddns

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// updateService asks a service by dyndns2.
func (k *Keeper) updateService(ctx context.Context, a Addresses) error {
	u, err := url.Parse(k.name.Server)
	if err != nil {
		return sayf("the service's address: %w", err)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/nic/update"
	}
	var list []string
	for _, x := range a.list() {
		list = append(list, x.String())
	}
	q := u.Query()
	q.Set("hostname", k.name.Name)
	q.Set("myip", strings.Join(list, ","))
	u.RawQuery = q.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	r.Header.Set("User-Agent", "pic (Personal Internet Cell)")
	if k.name.User != "" || k.name.Password != "" {
		if u.Scheme != "https" {
			return sayf("the password would travel in clear; use the https:// address of the service")
		}
		r.SetBasicAuth(k.name.User, k.name.Password)
	}
	res, err := k.client.Do(r)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // its text would show the URL
		}
		return fmt.Errorf("asking %s: %w", u.Host, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 4<<10))
	if err != nil {
		return fmt.Errorf("reading the answer of %s: %w", u.Host, err)
	}
	return verdict(u.Host, res.StatusCode, string(body))
}

// verdict reads the answer of a service.
func verdict(host string, status int, body string) error {
	word, _, _ := strings.Cut(strings.TrimSpace(body), " ")
	word, _, _ = strings.Cut(word, "\n")
	switch strings.ToLower(strings.TrimSpace(word)) {
	case "good", "nochg":
		return nil
	case "badauth":
		return sayf("%s does not know the user or the password", host)
	case "!donator":
		return sayf("%s offers that to paying users only", host)
	case "notfqdn", "nohost", "numhost":
		return sayf("%s knows no such name for this user", host)
	case "abuse":
		return sayf("%s has blocked the name for too many updates; ask the service to free it", host)
	case "badagent", "badsys":
		return sayf("%s refuses this program", host)
	case "dnserr", "911":
		return fmt.Errorf("%s has a problem of its own; it is tried again", host)
	}
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return sayf("%s does not know the user or the password", host)
	case http.StatusOK:
		return fmt.Errorf("%s answers what is no answer of dyndns2: %.80q", host, body)
	}
	return fmt.Errorf("%s answers with status %d", host, status)
}
