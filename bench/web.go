package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"pic/core/config"
)

const webHost = "bench." + domain

// web compares reverse proxies.
func web() contest {
	return contest{
		name: "proxy", title: "Proxy: HTTPS to a server behind it, beside nginx and Caddy", packages: []string{"nginx", "caddy"},
		what: `GET of 1 KiB over 16 kept connections, HTTP/1.1 over TLS 1.3 with a P-256 certificate, to an upstream that speaks
plain HTTP and keeps its connections. nginx has as many workers as cores and keeps connections to the upstream, which it
does not by default; no access log anywhere. Plain HTTP is not compared: the cell only redirects it.`,
		run: webRun,
	}
}

func webRun(ctx context.Context, l *lab) (string, error) {
	up, body, err := l.origin()
	if err != nil {
		return "", err
	}
	crt, key, err := l.certificate()
	if err != nil {
		return "", err
	}
	m := &match{unit: "request", cpu: time.Microsecond, works: []string{"GET 1 KiB"}}
	add := func(name string, port uint16, open func(port uint16) (*process, error)) error {
		return m.enter(name, func() (*rival, error) {
			p, err := open(port)
			if err != nil {
				return nil, err
			}
			at := fmt.Sprintf("127.0.0.1:%d", port)
			// Until the route is there, with its certificate.
			if err := p.wait(ctx, func() bool {
				b, err := dialBrowser(ctx, at)
				if err != nil {
					return false
				}
				defer b.conn.Close()
				return b.get(body) == nil
			}); err != nil {
				return nil, err
			}
			return &rival{procs: []*process{p}, jobs: []job{func(ctx context.Context, mt *meter) error {
				return browse(ctx, mt, at, body)
			}}}, nil
		})
	}
	err = add("pic", 10443, func(uint16) (*process, error) {
		c, err := l.trial(ctx, map[string]any{"proxy.routes": []config.Route{{Name: "bench", Upstream: "http://" + up}}})
		if err != nil {
			return nil, err
		}
		return c.proc, nil
	})
	if err != nil {
		return "", err
	}
	for _, peer := range []struct {
		name string
		open func(port uint16, up, crt, key string) (*process, error)
	}{{"nginx", l.nginx}, {"caddy", l.caddy}} {
		port, err := closedPort()
		if err != nil {
			return "", err
		}
		if err := add(peer.name, port, func(port uint16) (*process, error) { return peer.open(port, up, crt, key) }); err != nil {
			return "", err
		}
	}
	return m.play(ctx, l)
}

// origin is the server behind the proxies.
func (l *lab) origin() (addr string, body []byte, err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	body = bytes.Repeat([]byte("0123456789abcdef"), 64)
	srv := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = w.Write(body)
	})}
	go func() { _ = srv.Serve(ln) }()
	l.atEnd(func() { srv.Close() })
	return ln.Addr().String(), body, nil
}

// certificate writes a self-signed one for the peers; the cell makes its own.
func (l *lab) certificate() (crt, key string, err error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: webHost}, DNSNames: []string{webHost},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err1 := x509.CreateCertificate(rand.Reader, t, t, k.Public(), k)
	pk, err2 := x509.MarshalPKCS8PrivateKey(k)
	if err := errors.Join(err1, err2); err != nil {
		return "", "", err
	}
	crt, key = filepath.Join(l.dir, "crt.pem"), filepath.Join(l.dir, "key.pem")
	return crt, key, errors.Join(
		os.WriteFile(crt, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pk}), 0o600),
	)
}

func (l *lab) nginx(port uint16, up, crt, key string) (*process, error) {
	conf := filepath.Join(l.dir, "nginx.conf")
	text := fmt.Sprintf(`daemon off;
user root;
worker_processes auto;
pid %[1]s/nginx.pid;
error_log stderr warn;
events { worker_connections 768; }
http {
 access_log off;
 sendfile on;
 tcp_nopush on;
 keepalive_requests 10000000;
 client_body_temp_path %[1]s/nginx-body; proxy_temp_path %[1]s/nginx-proxy; fastcgi_temp_path %[1]s/nginx-f;
 uwsgi_temp_path %[1]s/nginx-u; scgi_temp_path %[1]s/nginx-s;
 upstream origin { server %[2]s; keepalive 32; keepalive_requests 10000000; }
 server {
  listen 127.0.0.1:%[3]d ssl;
  server_name %[4]s;
  ssl_certificate %[5]s;
  ssl_certificate_key %[6]s;
  ssl_protocols TLSv1.2 TLSv1.3;
  location / {
   proxy_pass http://origin;
   proxy_http_version 1.1;
   proxy_set_header Connection "";
   proxy_set_header Host $host;
   proxy_set_header X-Forwarded-For $remote_addr;
   proxy_set_header X-Forwarded-Proto $scheme;
  }
 }
}
`, l.dir, up, port, webHost, crt, key)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return nil, err
	}
	return l.start(nil, "nginx", "-e", "stderr", "-c", conf)
}

func (l *lab) caddy(port uint16, up, crt, key string) (*process, error) {
	conf := filepath.Join(l.dir, "Caddyfile")
	text := fmt.Sprintf(`{
	admin off
	auto_https off
	storage file_system %s/caddy
}
https://%s:%d {
	bind 127.0.0.1
	tls %s %s
	reverse_proxy %s
}
`, l.dir, webHost, port, crt, key, up)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return nil, err
	}
	return l.start(nil, "caddy", "run", "--adapter", "caddyfile", "--config", conf)
}
