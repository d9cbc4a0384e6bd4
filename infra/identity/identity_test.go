package identity_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"portcullis/core/jit"
	"portcullis/infra/identity"
)

// refused fails the test unless the request is refused for the given reason, without a caller and without quoting
// any part of the token.
func refused(t *testing.T, v *identity.Verifier, r *http.Request, reason string) {
	t.Helper()
	who, err := v.Caller(r)
	if !errors.Is(err, identity.ErrToken) {
		t.Fatalf("got %+v, %v, want an error that wraps ErrToken", who, err)
	}
	if who != (jit.Caller{}) {
		t.Errorf("a refusal names %+v", who)
	}
	if !strings.Contains(err.Error(), reason) {
		t.Errorf("refused with %q, want %q", err, reason)
	}
	for _, values := range r.Header {
		for _, part := range strings.FieldsFunc(strings.Join(values, " "), func(c rune) bool { return c == '.' || c == ' ' }) {
			if len(part) > 20 && strings.Contains(err.Error(), part) {
				t.Errorf("the error quotes the token: %q", err)
			}
		}
	}
}

func TestTokensRefused(t *testing.T) {
	e := newEntra()
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	next, b64 := pairs()["next"], base64.RawURLEncoding.EncodeToString
	e.keys = append(e.keys,
		next.jwk(map[string]any{"kid": "personal-accounts", "issuer": public + "/" + personal + "/v2.0"}),
		next.jwk(map[string]any{"kid": "other-tenant", "issuer": v2(tenantB)}),
		next.jwk(map[string]any{"kid": "encryption", "use": "enc"}),
		next.jwk(map[string]any{"kid": "no-use", "use": ""}),
		next.jwk(map[string]any{"kid": "other-alg", "alg": "RS512"}),
		next.jwk(map[string]any{"kid": "other-certificate", "x5c": []string{base64.StdEncoding.EncodeToString(pairs()["attacker"].der)}}),
		next.jwk(map[string]any{"kid": ""}),
		map[string]any{"kty": "RSA", "use": "sig", "kid": "small", "n": b64(small.N.Bytes()), "e": "AQAB"},
		map[string]any{"kty": "oct", "use": "sig", "kid": "shared", "k": b64([]byte("secret"))},
		map[string]any{"kty": "made up", "use": "sig", "kid": "made-up"},
	)
	v := e.verifier(t, public)
	der, err := x509.MarshalPKIXPublicKey(&pairs()["current"].private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	kid := func(id any, key any) func(*draft) {
		return func(d *draft) { d.header["kid"], d.key = id, key }
	}
	set := func(name string, value any) func(*draft) {
		return func(d *draft) { d.set(map[string]any{name: value}) }
	}
	alg := func(m jwt.SigningMethod, key any) func(*draft) { return func(d *draft) { d.method, d.key = m, key } }
	at := func(name string, d time.Duration) func(*draft) { return set(name, e.Now().Add(d).Unix()) }
	part := func(n int, text string) func(*draft) { // replaces a signed part
		return func(d *draft) {
			d.seal = func(s string) string {
				parts := strings.Split(s, ".")
				parts[n] = b64([]byte(text))
				return strings.Join(parts, ".")
			}
		}
	}
	const (
		badSignature = "the signature is wrong or not RS256"
		badKey       = "a key that the issuer does not publish"
		badIssuer    = "is not that of an accepted tenant"
		badTenant    = "the tenant is not that of the issuer"
		badAudience  = "made for the audience"
	)
	for _, test := range []struct {
		name, want string
		change     func(*draft)
	}{
		{"signed by somebody else under a known kid", badSignature, func(d *draft) { d.key = pairs()["attacker"].private }},
		{"claims changed after signing", badSignature, part(1, `{"iss":"`+v2(tenantA)+`","aud":"`+appID+`","tid":"`+tenantA+`","oid":"`+alice+`","iat":1,"nbf":1,"exp":9999999999}`)},
		{"header changed after signing", badSignature, part(0, `{"alg":"RS256","kid":"`+pairs()["current"].kid+`","x":1}`)},
		{"another signature", badSignature, part(2, strings.Repeat("x", 256))},
		{"a short signature", badSignature, part(2, "x")},
		{"spare bits in the signature", "malformed", func(d *draft) { // 256 bytes leave spare bits in the last character, which must be zero
			d.seal = func(s string) string {
				last := strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", s[len(s)-1])
				return s[:len(s)-1] + string("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[last|1])
			}
		}},
		{"alg none", "not three parts", alg(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType)},
		{"alg none with a signature", badSignature, part(0, `{"alg":"none","kid":"`+pairs()["current"].kid+`"}`)},
		{"alg None in another case", "unverifiable", part(0, `{"alg":"nOnE","kid":"`+pairs()["current"].kid+`"}`)},
		{"no alg", "unverifiable", part(0, `{"kid":"`+pairs()["current"].kid+`"}`)},
		{"HS256 with the public key's DER", badSignature, alg(jwt.SigningMethodHS256, der)},
		{"HS256 with the public key's PEM", badSignature, alg(jwt.SigningMethodHS256, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))},
		{"HS256 with a published shared key", badSignature, func(d *draft) { d.method, d.key, d.header["kid"] = jwt.SigningMethodHS256, []byte("secret"), "shared" }},
		{"RS512 with the right key", badSignature, alg(jwt.SigningMethodRS512, pairs()["current"].private)},
		{"PS256 with the right key", badSignature, alg(jwt.SigningMethodPS256, pairs()["current"].private)},
		{"ES256", badSignature, alg(jwt.SigningMethodES256, curve)},
		{"header is no JSON", "malformed", part(0, `{"alg":`)},
		{"claims are no JSON", "malformed", part(1, `[]`)},

		{"no kid", "no key id", kid(nil, pairs()["current"].private)},
		{"empty kid", "no key id", kid("", next.private)},
		{"kid is a number", "no key id", kid(7, pairs()["current"].private)},
		{"kid is a list", "no key id", kid([]string{pairs()["current"].kid}, pairs()["current"].private)},
		{"unknown kid", badKey, kid("unknown", pairs()["current"].private)},
		{"kid is a path", badKey, kid("../../../dev/null", pairs()["attacker"].private)},
		{"kid in another case", badKey, kid(strings.ToUpper(pairs()["current"].kid)+"x", pairs()["current"].private)},
		{"kid of personal accounts' key", badKey, kid("personal-accounts", next.private)},
		{"kid of another tenant's key", badKey, kid("other-tenant", next.private)},
		{"kid of an encryption key", badKey, kid("encryption", next.private)},
		{"kid of a key without a use", badKey, kid("no-use", next.private)},
		{"kid of a key for another algorithm", badKey, kid("other-alg", next.private)},
		{"kid of a key with another's certificate", badKey, kid("other-certificate", next.private)},
		{"kid of a short key", badKey, kid("small", small)},
		{"keys of its own in jku, x5u, jwk and x5c", badSignature, func(d *draft) {
			a := pairs()["attacker"]
			d.key = a.private
			d.header["jku"], d.header["x5u"], d.header["jwk"] = "https://evil.example/keys", "https://evil.example/cert", a.jwk(nil)
			d.header["x5c"] = []string{base64.StdEncoding.EncodeToString(a.der)}
		}},
		{"critical extensions", "critical header extensions", func(d *draft) { d.header["crit"] = []string{"b64"} }},

		{"issuer of a tenant that is not configured", badIssuer, func(d *draft) { d.set(map[string]any{"iss": v2(stranger), "tid": stranger}) }},
		{"issuer of personal accounts", badIssuer, func(d *draft) { d.set(map[string]any{"iss": v2(personal), "tid": personal}) }},
		{"issuer common", badIssuer, set("iss", v2("common"))},
		{"issuer with a placeholder", badIssuer, set("iss", v2("{tenantid}"))},
		{"issuer of another cloud", badIssuer, set("iss", government+"/"+tenantA+"/v2.0")},
		{"issuer elsewhere", badIssuer, set("iss", "https://evil.example/"+tenantA+"/v2.0")},
		{"issuer with a final slash", badIssuer, set("iss", v2(tenantA)+"/")},
		{"issuer in plain http", badIssuer, set("iss", strings.Replace(v2(tenantA), "https", "http", 1))},
		{"issuer in another case", badIssuer, set("iss", strings.ToUpper(v2(tenantA)))},
		{"version 1 issuer without its slash", badIssuer, set("iss", "https://sts.windows.net/"+tenantA)},
		{"version 1 issuer of China", badIssuer, set("iss", "https://sts.chinacloudapi.cn/"+tenantA+"/")},
		{"no issuer", badIssuer, set("iss", nil)},
		{"two issuers", badIssuer, set("iss", []string{v2(tenantA)})},
		{"tenant of the other configured one", badTenant, set("tid", tenantB)},
		{"issuer of the other configured one", badTenant, set("iss", v2(tenantB))},
		{"version 1 with another tenant", badTenant, func(d *draft) {
			d.set(map[string]any{"iss": "https://sts.windows.net/" + tenantA + "/", "tid": tenantB})
		}},
		{"no tenant", badTenant, set("tid", nil)},
		{"tenant under another case of its name", badTenant, func(d *draft) { d.set(map[string]any{"tid": nil, "TID": tenantA}) }},

		{"another app's audience", badAudience, set("aud", "https://management.azure.com")},
		{"audience that begins alike", badAudience, set("aud", appURI+"-other")},
		{"audience in another case", badAudience, set("aud", strings.ToUpper(appURI))},
		{"audience among others", badAudience, set("aud", []string{appID, "https://management.azure.com"})},
		{"empty audience", badAudience, set("aud", "")},
		{"no audience", badAudience, set("aud", nil)},

		{"expired by exactly the skew", "expired", at("exp", -identity.Skew)},
		{"expired by a second beyond the skew", "expired", at("exp", -identity.Skew-time.Second)},
		{"valid a second beyond the skew from now", "not valid yet", at("nbf", identity.Skew+time.Second)},
		{"issued a second beyond the skew from now", "issued in the future", at("iat", identity.Skew+time.Second)},
		{"no exp", "no exp", set("exp", nil)},
		{"no nbf", "no nbf", set("nbf", nil)},
		{"no iat", "no iat", set("iat", nil)},
		{"exp zero", "no exp", set("exp", 0)},
		{"exp is a string", "a claim is not of its type", set("exp", "9999999999")},
		{"no oid", "no object id", set("oid", nil)},
		{"oid is no GUID", "no object id", set("oid", "alice")},
		{"oid is a list", "no object id", set("oid", []string{alice})},
		{"oid under another case of its name", "no object id", func(d *draft) { d.set(map[string]any{"oid": nil, "OID": alice}) }},
		{"longer than the bound", "longer than", set("padding", strings.Repeat("x", identity.MaxToken))},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := e.draft()
			test.change(d)
			refused(t, v, with(t, d.sign(t)), test.want)
		})
	}
	for address := range e.asked {
		if !strings.HasPrefix(address, public+"/") {
			t.Errorf("a token made the verifier ask %s", address)
		}
	}
}

func TestHeadersRefused(t *testing.T) {
	e := newEntra()
	v := e.verifier(t, public)
	good, goodID, forged := e.draft().sign(t), e.idDraft().sign(t), e.signedBy(t, "attacker")
	const auth, id = "Authorization", identity.IDTokenHeader
	for _, test := range []struct {
		name, want string
		header     []string
	}{
		{"nothing", "neither", nil},
		{"two Authorization headers, both good", "2 Authorization headers", []string{auth, "Bearer " + good, auth, "Bearer " + good}},
		{"two Authorization headers, one good", "2 Authorization headers", []string{auth, "Basic eDp5", auth, "Bearer " + good}},
		{"two, joined by a proxy", "not three parts", []string{auth, "Bearer " + good + ", Bearer " + good}},
		{"two ID tokens", "2 headers", []string{id, goodID, id, goodID}},
		{"forged Authorization beside a good ID token", "a key that the issuer does not publish", []string{auth, "Bearer " + forged, id, goodID}},
		{"other scheme beside a good ID token", "not of the scheme", []string{auth, "Basic eDp5", id, goodID}},
		{"empty Authorization beside a good ID token", "not of the scheme", []string{auth, "", id, goodID}},
		{"forged ID token", "a key that the issuer does not publish", []string{id, forged}},
		{"ID token with a scheme", "not three parts", []string{id, "Bearer " + goodID}},
		{"no scheme", "not of the scheme", []string{auth, good}},
		{"scheme without a token", "not three parts", []string{auth, "Bearer"}},
		{"scheme and a space", "not three parts", []string{auth, "Bearer "}},
		{"two spaces", "not three parts", []string{auth, "Bearer  " + good}},
		{"a tab", "not of the scheme", []string{auth, "Bearer\t" + good}},
		{"a final space", "not three parts", []string{auth, "Bearer " + good + " "}},
		{"a line break", "not three parts", []string{auth, "Bearer " + good + "\r\nX: y"}},
		{"quotes", "not three parts", []string{auth, `Bearer "` + good + `"`}},
		{"padding", "not three parts", []string{auth, "Bearer " + good + "=="}},
		{"not ASCII", "not three parts", []string{auth, "Bearer " + strings.Replace(good, "e", "е", 1)}},
		{"a NUL", "not three parts", []string{auth, "Bearer " + good + "\x00"}},
		{"two parts", "not three parts", []string{auth, "Bearer " + good[:strings.LastIndexByte(good, '.')]}},
		{"four parts", "not three parts", []string{auth, "Bearer " + good + ".x"}},
		{"five parts, as encrypted tokens have", "not three parts", []string{auth, "Bearer a.b.c.d.e"}},
		{"only dots", "not three parts", []string{auth, "Bearer .."}},
		{"longer than the bound", "longer than", []string{auth, "Bearer " + strings.Repeat("x", identity.MaxToken+1)}},
		{"principal headers without a token", "neither", []string{"X-MS-CLIENT-PRINCIPAL", "eyJhdXRoX3R5cCI6ImFhZCJ9", "X-MS-CLIENT-PRINCIPAL-ID", alice,
			"X-MS-CLIENT-PRINCIPAL-NAME", "admin@example.com", "X-MS-CLIENT-PRINCIPAL-IDP", "aad", "X-MS-TOKEN-AAD-ACCESS-TOKEN", good}},
		{"token in other places", "neither", []string{"X-Authorization", "Bearer " + good, "Cookie", "token=" + good, "X-Forwarded-Authorization", "Bearer " + good, "Proxy-Authorization", "Bearer " + good}},
	} {
		t.Run(test.name, func(t *testing.T) { refused(t, v, request(t, test.header...), test.want) })
	}
}

func TestForgedPrincipalHeadersChangeNothing(t *testing.T) {
	e := newEntra()
	v := e.verifier(t, public)
	r := with(t, e.draft().sign(t))
	r.Header.Set("X-MS-CLIENT-PRINCIPAL-ID", client)
	r.Header.Set("X-MS-CLIENT-PRINCIPAL-NAME", "admin@example.com")
	r.Header.Set("X-MS-CLIENT-PRINCIPAL", base64.StdEncoding.EncodeToString([]byte(`{"auth_typ":"aad","claims":[{"typ":"oid","val":"`+client+`"}]}`)))
	r.Header.Set(identity.IDTokenHeader, e.signedBy(t, "attacker"))
	got, err := v.Caller(r)
	if err != nil {
		t.Fatal(err)
	}
	if want := (jit.Caller{ID: tenantA + "/" + alice, Name: "alice@example.com", Kind: jit.Person, Client: client}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// FuzzHeaders checks that only the good header value is accepted, and that nothing panics.
func FuzzHeaders(f *testing.F) {
	e := newEntra()
	v := e.verifier(f, public)
	good, goodID := e.draft().sign(f), e.idDraft().sign(f)
	f.Add("Bearer "+goodID, good)
	f.Add("", goodID)
	parts := strings.Split(good, ".")
	for _, seed := range []string{"", "Bearer", "Bearer " + good, good, "Basic eDp5", "Bearer " + parts[0] + "." + parts[1] + ".", "Bearer a.b.c", "Bearer ..", "Bearer " + good + "A",
		"bearer " + parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"iss":1}`)) + "." + parts[2], "Bearer e30.e30.e30", "Bearer \xff.\xff.\xff"} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, authorization, idToken string) {
		for _, header := range []http.Header{{"Authorization": {authorization}}, {http.CanonicalHeaderKey(identity.IDTokenHeader): {idToken}}, {"Authorization": {authorization, idToken}}} {
			r := request(t)
			r.Header = header
			_, err := v.Caller(r)
			scheme, token, _ := strings.Cut(authorization, " ")
			mayPass := len(header["Authorization"]) == 1 && strings.EqualFold(scheme, "bearer") && token == good || header["Authorization"] == nil && idToken == goodID
			if mayPass != (err == nil) {
				t.Errorf("%q: %v", header, err)
			}
			if err != nil && !errors.Is(err, identity.ErrToken) {
				t.Errorf("%q: %v does not wrap ErrToken", header, err)
			}
		}
	})
}

// BenchmarkCaller measures what a cache of verified tokens would save.
func BenchmarkCaller(b *testing.B) {
	e := newEntra()
	v := e.verifier(b, public)
	r := with(b, e.draft().sign(b))
	for b.Loop() {
		if _, err := v.Caller(r); err != nil {
			b.Fatal(err)
		}
	}
}
