package identity_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" // Entra ID's x5t and kid are SHA-1 thumbprints
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"portcullis/infra/identity"
)

const (
	public     = "https://login.microsoftonline.com"
	government = "https://login.microsoftonline.us"
	china      = "https://login.partner.microsoftonline.cn"

	tenantA  = "aaaaaaaa-0000-4000-8000-00000000000a"
	tenantB  = "bbbbbbbb-0000-4000-8000-00000000000b"
	stranger = "cccccccc-0000-4000-8000-00000000000c" // a tenant that is not configured
	personal = "9188040d-6c67-4c5b-b112-36a304b66dad"

	appURI = "api://portcullis"
	appID  = "dddddddd-0000-4000-8000-00000000000d"

	alice  = "eeeeeeee-0000-4000-8000-000000000001"
	client = "ffffffff-0000-4000-8000-00000000000f"
)

// pair is a signing key as Entra ID has them: a certificate whose thumbprint is the key id.
type pair struct {
	private *rsa.PrivateKey
	der     []byte
	kid     string
}

// pairs are made once for all tests, since making them is slow.
var pairs = sync.OnceValue(func() map[string]pair {
	out := map[string]pair{}
	for _, name := range []string{"current", "next", "attacker"} {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		about := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "accounts.accesscontrol.windows.net"}, NotAfter: time.Now().Add(time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, about, about, &key.PublicKey, key)
		if err != nil {
			panic(err)
		}
		sum := sha1.Sum(der)
		out[name] = pair{key, der, base64.RawURLEncoding.EncodeToString(sum[:])}
	}
	return out
})

// jwk gives the key as the keys document of version 2 has it.
func (p pair) jwk(change map[string]any) map[string]any {
	b64 := base64.RawURLEncoding.EncodeToString
	k := map[string]any{"kty": "RSA", "use": "sig", "kid": p.kid, "x5t": p.kid, "n": b64(p.private.N.Bytes()), "e": "AQAB",
		"x5c": []string{base64.StdEncoding.EncodeToString(p.der)}, "cloud_instance_name": "microsoftonline.com"}
	maps.Copy(k, change)
	return k
}

// entra is Entra ID without a network: it answers for every authority, and counts.
type entra struct {
	mu     sync.Mutex
	now    time.Time
	keys   []map[string]any
	asked  map[string]int    // by address
	bodies map[string]string // instead of what would be answered
	status int               // instead of 200
	down   bool
	breaks bool          // it panics
	hold   chan struct{} // when set, answers wait until it is closed
}

func newEntra() *entra {
	return &entra{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), asked: map[string]int{}, bodies: map[string]string{},
		keys: []map[string]any{pairs()["current"].jwk(nil)}}
}

func (e *entra) Now() time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.now
}

func (e *entra) with(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f()
}

// questions gives how often any keys document was asked for, and how often anything was.
func (e *entra) questions() (keys, all int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for address, n := range e.asked {
		if all += n; strings.HasSuffix(address, "/keys") {
			keys += n
		}
	}
	return keys, all
}

// RoundTrip answers as login.microsoftonline.com and the sovereign authorities do.
func (e *entra) RoundTrip(r *http.Request) (*http.Response, error) {
	e.mu.Lock()
	hold, down, breaks := e.hold, e.down, e.breaks
	e.asked[r.URL.String()]++
	e.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	if breaks {
		panic("a bug")
	}
	if down {
		return nil, errors.New("connection refused")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	status, body := http.StatusOK, e.bodies[r.URL.String()]
	if body == "" {
		status, body = e.answer(r)
	}
	if e.status != 0 {
		status = e.status
	}
	return &http.Response{StatusCode: status, Header: http.Header{"Location": {"https://evil.example/"}}, Body: io.NopCloser(bytes.NewReader([]byte(body))), Request: r}, nil
}

func (e *entra) answer(r *http.Request) (int, string) {
	base := "https://" + r.URL.Host
	part := strings.Split(strings.TrimPrefix(r.URL.Path, "/"), "/")
	tenant, rest := part[0], strings.Join(part[1:], "/")
	var doc any
	switch rest {
	case "v2.0/.well-known/openid-configuration":
		doc = map[string]any{"issuer": base + "/" + tenant + "/v2.0", "jwks_uri": base + "/" + tenant + "/discovery/v2.0/keys",
			"token_endpoint": base + "/" + tenant + "/oauth2/v2.0/token", "id_token_signing_alg_values_supported": []string{"RS256"},
			"subject_types_supported": []string{"pairwise"}, "tenant_region_scope": "EU", "cloud_instance_name": "microsoftonline.com"}
	case ".well-known/openid-configuration":
		sts := "https://sts.windows.net/"
		if strings.HasSuffix(r.URL.Host, ".cn") {
			sts = "https://sts.chinacloudapi.cn/"
		}
		doc = map[string]any{"issuer": sts + tenant + "/", "jwks_uri": base + "/common/discovery/keys", "token_endpoint": base + "/" + tenant + "/oauth2/token"}
	case "discovery/v2.0/keys": // names the issuer of each key, unlike version 1
		var keys []map[string]any
		for _, k := range e.keys {
			k = maps.Clone(k)
			if k["issuer"] == nil {
				k["issuer"] = base + "/{tenantid}/v2.0"
			}
			keys = append(keys, k)
		}
		doc = map[string]any{"keys": keys}
	case "discovery/keys":
		doc = map[string]any{"keys": e.keys}
	default:
		return http.StatusNotFound, "not found: " + r.URL.String()
	}
	text, err := json.Marshal(doc)
	if err != nil {
		panic(err)
	}
	return http.StatusOK, string(text)
}

func (e *entra) verifier(t testing.TB, authority string) *identity.Verifier {
	t.Helper()
	v, err := identity.New(identity.Config{Authority: authority, Tenants: []string{tenantA, strings.ToUpper(tenantB)}, Audiences: []string{appURI, appID},
		Now: e.Now, HTTPClient: &http.Client{Transport: e}})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// draft is a token before it is signed. The zero changes give a good one.
type draft struct {
	method jwt.SigningMethod
	key    any
	header map[string]any
	claims jwt.MapClaims
	seal   func(string) string // changes the signed text
}

func v2(tenant string) string { return public + "/" + tenant + "/v2.0" }

// draft gives an access token of version 2 of a person.
func (e *entra) draft() *draft {
	now := e.Now()
	return &draft{
		method: jwt.SigningMethodRS256, key: pairs()["current"].private, header: map[string]any{"kid": pairs()["current"].kid},
		claims: jwt.MapClaims{"iss": v2(tenantA), "aud": appID, "tid": tenantA, "oid": alice, "sub": "pairwise", "ver": "2.0", "azp": client,
			"scp": "user_impersonation", "preferred_username": "alice@example.com", "name": "Alice", "uti": "x",
			"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(75 * time.Minute).Unix()},
	}
}

// idDraft gives an ID token of version 2 of a person.
func (e *entra) idDraft() *draft {
	d := e.draft()
	d.set(map[string]any{"scp": nil, "azp": nil, "nonce": "n"})
	return d
}

func (d *draft) set(claims map[string]any) {
	for name, value := range claims {
		if value == nil {
			delete(d.claims, name)
		} else {
			d.claims[name] = value
		}
	}
}

func (d *draft) sign(t testing.TB) string {
	t.Helper()
	token := jwt.NewWithClaims(d.method, d.claims)
	for name, value := range d.header {
		if value == nil {
			delete(token.Header, name)
		} else {
			token.Header[name] = value
		}
	}
	signed, err := token.SignedString(d.key)
	if err != nil {
		t.Fatal(err)
	}
	if d.seal != nil {
		signed = d.seal(signed)
	}
	return signed
}

// signedBy gives a good token but for its key.
func (e *entra) signedBy(t testing.TB, name string) string {
	d := e.draft()
	d.key, d.header["kid"] = pairs()[name].private, pairs()[name].kid
	return d.sign(t)
}

// request gives one with these headers, as names and values in turn; a name can come twice.
func request(t testing.TB, header ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1/api/machines", nil)
	if err != nil {
		t.Fatal(err)
	}
	for pair := range slices.Chunk(header, 2) {
		r.Header.Add(pair[0], pair[1])
	}
	return r
}

func with(t testing.TB, token string) *http.Request {
	t.Helper()
	return request(t, "Authorization", "Bearer "+token)
}
