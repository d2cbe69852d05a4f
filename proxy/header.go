package proxy

import (
	"net/http"
	"strings"
)

// reserved are the beginnings of headers by which servers recognise users,
// clients and what came before them. Only the proxy may set them.
var reserved = []string{
	"forwarded",
	"remote-",
	"x-forwarded-",
	"x-real-ip",
	"x-remote-",
	"x-client-",
	"x-original-",
	"x-auth-request-",
	"x-authenticated-",
	"x-authentik-",
	"x-webauth-",
	"x-ssl-",
	"ssl-client-",
	"client-cert",
	"true-client-ip",
	"cf-connecting-ip",
	"tailscale-user-",
	"proxy", // httpoxy: CGI makes HTTP_PROXY of it
}

// undress removes from a client's request what only the proxy may say. Servers
// that speak CGI take _ for -, so that is no way around.
func undress(h http.Header) {
	for name := range h {
		// Most names are none of these; look at the first letter only.
		switch name[0] | 0x20 {
		case 'f', 'r', 'x', 's', 'c', 't', 'p':
			n := strings.ReplaceAll(strings.ToLower(name), "_", "-")
			for _, p := range reserved {
				if strings.HasPrefix(n, p) && (strings.HasSuffix(p, "-") || len(n) == len(p)) {
					delete(h, name)
					break
				}
			}
		}
	}
}
