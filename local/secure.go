package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	neturl "net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The certificate of this machine's https ports: how long one is good for, and how long before its end it is replaced.
const (
	certificateLife  = 365 * 24 * time.Hour
	certificateSpare = 7 * 24 * time.Hour
)

// certificateFile is where a state folder keeps the certificate, for clients to trust.
func certificateFile(dir string) string { return filepath.Join(dir, "tls", "certificate.pem") }

// certificate returns the certificate of a state folder, and makes one where there is none that lasts. It is for 127.0.0.1 and
// localhost, and can sign no other: whoever trusts it trusts nothing else.
func certificate(dir string, now time.Time) (tls.Certificate, error) {
	file, keyFile := certificateFile(dir), filepath.Join(dir, "tls", "key.pem")
	kept, err := tls.LoadX509KeyPair(file, keyFile)
	if err == nil && now.Before(kept.Leaf.NotAfter.Add(-certificateSpare)) {
		return kept, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return tls.Certificate{}, fmt.Errorf("read the certificate: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return tls.Certificate{}, err
	}
	name := pkix.Name{CommonName: "Portcullis on this machine"}
	made, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial, Subject: name, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(certificateLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}, &x509.Certificate{Subject: name}, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return tls.Certificate{}, err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return tls.Certificate{}, err
	}
	err = errors.Join(os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600),
		os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: made}), 0o644))
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("keep the certificate: %w", err)
	}
	return tls.LoadX509KeyPair(file, keyFile)
}

// serveSecure serves the app and the token issuer over https too, as the platform does: most clients send no token over http, and
// sign in at no authority without https.
func (a *azure) serveSecure(p ports, dir string) error {
	own, err := certificate(dir, time.Now())
	if err != nil {
		return err
	}
	for port, behind := range map[int]int{p.Secure: p.Host, p.Authority: p.ARM} {
		front, err := secureFront(behind, p)
		if err != nil {
			return err
		}
		if err := a.listenSecure(port, front, &tls.Config{Certificates: []tls.Certificate{own}, MinVersion: tls.VersionTLS12}); err != nil {
			return err
		}
	}
	return nil
}

// secureFront forwards to a port as the platform's front end does. Where what answers tells a client where to sign in, it tells the
// https address.
func secureFront(behind int, p ports) (http.Handler, error) {
	to, err := neturl.Parse(url(behind))
	if err != nil {
		return nil, err
	}
	proxy := &httputil.ReverseProxy{
		FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.SetXForwarded()
			r.Out.Host = r.In.Host
			if tells(r.In.URL.Path) {
				r.Out.Header.Del("Accept-Encoding") // it is read here
			}
		},
		ModifyResponse: func(res *http.Response) error {
			if !tells(res.Request.URL.Path) {
				return nil
			}
			text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
			if err = errors.Join(err, res.Body.Close()); err != nil {
				return err
			}
			text = bytes.ReplaceAll(text, []byte(url(p.ARM)), []byte(secureURL(p.Authority)))
			res.Body, res.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
			res.Header.Del("Content-Length")
			return nil
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// An answer may begin before the body of its request was passed on. Without this the server then takes the body away, and the answer
		// is cut. HTTP/2 does not need it, and returns an error.
		_ = http.NewResponseController(w).EnableFullDuplex()
		proxy.ServeHTTP(w, r)
	}), nil
}

// tells reports whether a path tells where to sign in.
func tells(path string) bool {
	return strings.HasSuffix(path, "/openid-configuration") || strings.HasSuffix(path, "/metadata/endpoints")
}

func secureURL(port int) string { return fmt.Sprintf("https://127.0.0.1:%d", port) }
