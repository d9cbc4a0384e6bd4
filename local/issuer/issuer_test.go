package issuer_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"portcullis/local/issuer"
)

const secret = "local-development-only"

// fresh makes the credential ask again: its cache belongs to the process, not to the credential, and holds the tokens of
// issuers of earlier tests. Claims bypass it.
const fresh = `{"access_token":{}}`

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// start serves an issuer on a free port. The clock starts at the real time, because azidentity looks at its own.
func start(t *testing.T, change func(*issuer.Config)) (*issuer.Issuer, string, *clock) {
	t.Helper()
	c := &clock{now: time.Now().Truncate(time.Second)}
	h := httptest.NewUnstartedServer(nil)
	cfg := issuer.Config{URL: "http://" + h.Listener.Addr().String(), IdentityHeader: secret, Now: c.Now}
	if change != nil {
		change(&cfg)
	}
	i, err := issuer.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	h.Config.Handler = i
	h.Start()
	t.Cleanup(h.Close)
	return i, h.URL, c
}

func send(t *testing.T, method, url string, header ...string) (int, map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if json.Unmarshal(text, &doc) != nil {
		doc = map[string]any{"text": string(text)}
	}
	return res.StatusCode, doc
}

func TestRefusals(t *testing.T) {
	_, url, _ := start(t, nil)
	const good = "/msi/token?api-version=2019-08-01&resource=https://management.azure.com"
	for _, test := range []struct {
		name, method, path string
		header             []string
		want               int
	}{
		{"no such persona", "POST", "/local/token?as=root", nil, 400},
		{"no persona", "POST", "/local/token", nil, 400},
		{"token by GET", "GET", "/local/token?as=admin", nil, 405},
		{"rebinding", "POST", "/local/token?as=admin", []string{"Host", "evil.example"}, 421},
		{"other tenant's discovery", "GET", "/11111111-1111-1111-1111-111111111111/v2.0/.well-known/openid-configuration", nil, 400},
		{"other tenant's keys", "GET", "/common/discovery/v2.0/keys", nil, 400},
		{"identity without header", "GET", good, nil, 403},
		{"identity with another header", "GET", good, []string{"X-IDENTITY-HEADER", secret + "x"}, 403},
		{"identity without resource", "GET", "/msi/token?api-version=2019-08-01", []string{"X-IDENTITY-HEADER", secret}, 400},
		{"identity with another version", "GET", "/msi/token?api-version=2017-09-01&resource=x", []string{"X-IDENTITY-HEADER", secret}, 400},
		{"unknown client id", "GET", good + "&client_id=11111111-1111-1111-1111-111111111111", []string{"X-IDENTITY-HEADER", secret}, 400},
		{"unknown resource id", "GET", good + "&mi_res_id=/subscriptions/x", []string{"X-IDENTITY-HEADER", secret}, 400},
		{"root", "GET", "/", nil, 404},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, doc := send(t, test.method, url+test.path, test.header...)
			if status != test.want {
				t.Errorf("status %d, want %d: %v", status, test.want, doc)
			}
			if doc["access_token"] != nil {
				t.Error("a refusal carries a token")
			}
		})
	}
}

// granted gives the status of an answer and the token in it, "" for none.
func granted(t *testing.T) func(*http.Response, error) (int, string) {
	return func(res *http.Response, err error) (int, string) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var doc struct {
			Token string `json:"access_token"`
		}
		if err := json.NewDecoder(res.Body).Decode(&doc); err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, doc.Token
	}
}

// TestClientCredentials holds that an application that signs in with a secret gets a token that is its own, for what it asks, and nobody else does.
func TestClientCredentials(t *testing.T) {
	i, base, _ := start(t, nil)
	ask := func(tenant string, form url.Values) (int, string) {
		return granted(t)(http.PostForm(base+"/"+tenant+"/oauth2/v2.0/token", form))
	}
	reader := issuer.Personas()[0].ObjectID
	good := url.Values{"grant_type": {"client_credentials"}, "client_id": {reader}, "client_secret": {"any"}, "scope": {issuer.DefaultAudience + "/.default"}}
	for name, change := range map[string]url.Values{
		"another grant": {"grant_type": {"password"}}, "no secret": {"client_secret": nil}, "nobody": {"client_id": {issuer.AppObjectID}},
		"no scope": {"scope": nil}, "a scope of people": {"scope": {issuer.DefaultAudience + "/user_impersonation"}}, "a scope of nothing": {"scope": {"/.default"}},
		"two scopes": {"scope": {issuer.DefaultAudience + "/.default " + issuer.DefaultAudience + "/.default"}}, "no scope but OpenID Connect's": {"scope": {"openid profile"}},
	} {
		form := maps.Clone(good)
		maps.Copy(form, change)
		if status, token := ask(issuer.DefaultTenant, form); status < 400 || status >= 500 || token != "" {
			t.Errorf("%s: %d %q", name, status, token)
		}
	}
	if status, token := ask("common", good); status != 400 || token != "" {
		t.Errorf("another tenant: %d %q", status, token)
	}
	good.Set("scope", issuer.DefaultAudience+"/.default openid offline_access profile") // as MSAL for Go asks
	status, token := ask(issuer.DefaultTenant, good)
	got, err := i.Verify(token, issuer.DefaultAudience)
	if status != 200 || err != nil || got.ObjectID != reader || got.ClientID != reader || got.Type != "app" || got.Scope != "" || got.PreferredUsername != "" {
		t.Errorf("%d %+v %v", status, got, err)
	}
}

// TestClaimsOfABody holds that a token is asked for with other claims than a persona's, times included, and that Verify judges it as any.
func TestClaimsOfABody(t *testing.T) {
	i, url, c := start(t, nil)
	ask := func(body string) (int, string) {
		return granted(t)(http.Post(url+"/local/token?as=reader", "application/json", strings.NewReader(body)))
	}
	for _, body := range []string{"[]", "{", `"x"`, `{"a":"` + strings.Repeat("x", 1<<16) + `"}`} {
		if status, token := ask(body); status != 400 || token != "" {
			t.Errorf("%.20s: %d %q", body, status, token)
		}
	}
	const somebody = "11111111-0000-0000-0000-000000000001"
	status, token := ask(`{"oid":"` + somebody + `","scp":null,"cnf":{"kid":"x"}}`)
	got, err := i.Verify(token, issuer.DefaultAudience)
	if status != 200 || err != nil || got.ObjectID != somebody || got.Scope != "" || got.PreferredUsername != "reader@portcullis.example" || got.Expires != c.Now().Add(time.Hour).Unix() {
		t.Errorf("%d %+v %v", status, got, err)
	}
	all := claims(t, token).(jwt.MapClaims)
	if _, has := all["scp"]; has || all["cnf"] == nil {
		t.Errorf("%v", all)
	}
	if _, token := ask(`{"exp":` + fmt.Sprint(c.Now().Unix()) + `}`); token == "" {
		t.Error("no token that has expired")
	} else if _, err := i.Verify(token, issuer.DefaultAudience); !errors.Is(err, issuer.ErrToken) {
		t.Errorf("one that has expired is good: %v", err)
	}
}

func TestNoHeaderConfiguredRefusesIdentity(t *testing.T) {
	_, url, _ := start(t, func(c *issuer.Config) { c.IdentityHeader = "" })
	if status, _ := send(t, "GET", url+"/msi/token?api-version=2019-08-01&resource=r"); status != http.StatusForbidden {
		t.Errorf("status %d, want 403", status)
	}
}

func TestOpenRefuses(t *testing.T) {
	broken := t.TempDir()
	if err := os.WriteFile(filepath.Join(broken, "issuer-key.pem"), []byte("not a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]issuer.Config{
		"no URL":       {},
		"relative URL": {URL: "127.0.0.1:7072"},
		"other scheme": {URL: "ftp://127.0.0.1"},
		"broken key":   {URL: "http://127.0.0.1:7072", Dir: broken},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := issuer.Open(cfg); err == nil {
				t.Error("opened")
			}
		})
	}
	if text, err := os.ReadFile(filepath.Join(broken, "issuer-key.pem")); err != nil || string(text) != "not a key" {
		t.Errorf("the broken key was replaced: %q, %v", text, err)
	}
}

func TestVerifyRefuses(t *testing.T) {
	i, _, c := start(t, nil)
	other, _, _ := start(t, nil)
	good, err := i.Token("admin", "api://a")
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := other.Token("admin", "api://a")
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(good, ".")
	kid := header(t, good)["kid"]
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	forged := jwt.NewWithClaims(jwt.SigningMethodRS256, claims(t, good))
	forged.Header["kid"] = kid
	signedByStranger, err := forged.SignedString(stranger)
	if err != nil {
		t.Fatal(err)
	}
	hmac := jwt.NewWithClaims(jwt.SigningMethodHS256, claims(t, good))
	hmac.Header["kid"] = kid
	signedByHMAC, err := hmac.SignedString([]byte(kid.(string)))
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	for _, test := range []struct {
		name, token string
		audiences   []string
		after       time.Duration
	}{
		{"empty", "", []string{"api://a"}, 0},
		{"garbage", "a.b.c", []string{"api://a"}, 0},
		{"no audience asked for", good, nil, 0},
		{"empty audience", good, []string{""}, 0},
		{"another audience", good, []string{"api://b", issuer.ResourceManager}, 0},
		{"another issuer", foreign, []string{"api://a"}, 0},
		{"alg none", encode([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".", []string{"api://a"}, 0},
		{"alg HS256", signedByHMAC, []string{"api://a"}, 0},
		{"another key under our id", signedByStranger, []string{"api://a"}, 0},
		{"changed claims", parts[0] + "." + encode([]byte(`{"aud":"api://a"}`)) + "." + parts[2], []string{"api://a"}, 0},
		{"cut signature", good[:len(good)-4], []string{"api://a"}, 0},
		{"not yet valid", good, []string{"api://a"}, -time.Second},
		{"expired, to the second", good, []string{"api://a"}, time.Hour},
	} {
		t.Run(test.name, func(t *testing.T) {
			c.Advance(test.after)
			defer c.Advance(-test.after)
			got, err := i.Verify(test.token, test.audiences...)
			if !errors.Is(err, issuer.ErrToken) {
				t.Errorf("error %v, want ErrToken", err)
			}
			if diff := cmp.Diff(issuer.Claims{}, got); diff != "" {
				t.Errorf("claims with a refusal:\n%s", diff)
			}
		})
	}
}

func TestPersonaToken(t *testing.T) {
	i, url, c := start(t, func(cfg *issuer.Config) {
		people := issuer.Personas()
		people[2].Groups = []string{"g1", "g2"}
		cfg.Personas = people
	})
	status, doc := send(t, "POST", url+"/local/token?as=admin")
	if status != http.StatusOK || doc["token_type"] != "Bearer" || doc["expires_in"] != 3600.0 {
		t.Fatalf("status %d: %v", status, doc)
	}
	c.Advance(time.Hour - time.Second)
	got, err := i.Verify(doc["access_token"].(string), issuer.DefaultAudience)
	if err != nil {
		t.Fatal(err)
	}
	issued := c.Now().Add(time.Second - time.Hour).Unix()
	want := issuer.Claims{
		Issuer: url + "/" + issuer.DefaultTenant + "/v2.0", Audience: issuer.DefaultAudience, Tenant: issuer.DefaultTenant,
		ObjectID: "00000000-0000-0000-0000-0000000000e3", Subject: "00000000-0000-0000-0000-0000000000e3",
		PreferredUsername: "admin@portcullis.example", Name: "Ada Admin", Groups: []string{"g1", "g2"}, Version: "2.0",
		ClientID: issuer.CallerClientID, Scope: issuer.Scope,
		IssuedAt: issued, NotBefore: issued, Expires: issued + 3600,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	id, err := i.IDToken("admin")
	if err != nil {
		t.Fatal(err)
	}
	if got, err = i.Verify(id, issuer.DefaultAudience); err != nil {
		t.Fatal(err)
	}
	now := c.Now().Unix()
	want.ClientID, want.Scope, want.Nonce, want.IssuedAt, want.NotBefore, want.Expires = "", "", "local", now, now, now+3600
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ID token: %s", diff)
	}
	if id, err := i.IDToken("nobody"); err == nil || id != "" {
		t.Error("somebody who is not there has an ID token")
	}
	_, doc = send(t, "POST", url+"/local/token?as=reader&resource=https://management.azure.com/")
	if _, err := i.Verify(doc["access_token"].(string), issuer.ResourceManager); err != nil {
		t.Errorf("token for ARM: %v", err)
	}
}

// A verifier that knows only the issuer's address finds the key by discovery and can check a token with it.
func TestDiscovery(t *testing.T) {
	i, url, _ := start(t, nil)
	_, doc := send(t, "GET", url+"/"+issuer.DefaultTenant+"/v2.0/.well-known/openid-configuration")
	if doc["issuer"] != i.IssuerURL() {
		t.Fatalf("issuer %v, want %v", doc["issuer"], i.IssuerURL())
	}
	_, set := send(t, "GET", doc["jwks_uri"].(string))
	jwk := set["keys"].([]any)[0].(map[string]any)
	token, err := i.Token("reader", "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = jwt.Parse(token, func(tok *jwt.Token) (any, error) {
		if tok.Header["kid"] != jwk["kid"] {
			t.Errorf("kid %v, want %v", tok.Header["kid"], jwk["kid"])
		}
		return &rsa.PublicKey{N: number(t, jwk["n"]), E: int(number(t, jwk["e"]).Int64())}, nil
	}, jwt.WithValidMethods([]string{jwk["alg"].(string)}))
	if err != nil {
		t.Error(err)
	}
}

func TestKeySurvivesRestart(t *testing.T) {
	cfg := issuer.Config{URL: "http://127.0.0.1:7072", Dir: filepath.Join(t.TempDir(), "state")}
	first, err := issuer.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	token, err := first.AppToken(issuer.Storage)
	if err != nil {
		t.Fatal(err)
	}
	second, err := issuer.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := second.Verify(token, issuer.Storage+"/"); err != nil {
		t.Error(err)
	}
	files, err := os.ReadDir(cfg.Dir)
	if err != nil || len(files) != 1 {
		t.Fatalf("files %v, %v; want the key alone", files, err)
	}
	if info, err := files[0].Info(); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
}

// The credential that the app uses in Azure gets its tokens here, by the two variables that App Service sets.
func TestManagedIdentityCredential(t *testing.T) {
	i, url, _ := start(t, nil)
	t.Setenv("IDENTITY_ENDPOINT", url+"/msi/token")
	t.Setenv("IDENTITY_HEADER", "wrong")
	refused, err := azidentity.NewManagedIdentityCredential(nil)
	if err != nil {
		t.Fatal(err)
	}
	scope := policy.TokenRequestOptions{Scopes: []string{"https://management.azure.com//.default"}, Claims: fresh}
	if token, err := refused.GetToken(t.Context(), scope); err == nil || token.Token != "" {
		t.Fatalf("a wrong header got a token, or no error: %v", err)
	}
	t.Setenv("IDENTITY_HEADER", secret)
	unknown, err := azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{ID: azidentity.ClientID("11111111-1111-1111-1111-111111111111")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unknown.GetToken(t.Context(), scope); err == nil {
		t.Fatal("an identity that the app does not have got a token")
	}
	for name, id := range map[string]azidentity.ManagedIDKind{"system": nil, "user": azidentity.ClientID(issuer.AppClientID)} {
		for _, resource := range []string{issuer.ResourceManager, issuer.Storage, issuer.ServiceBus} {
			t.Run(name+" "+resource, func(t *testing.T) {
				cred, err := azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{ID: id})
				if err != nil {
					t.Fatal(err)
				}
				token, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{resource + "/.default"}, Claims: fresh})
				if err != nil {
					t.Fatal(err)
				}
				got, err := i.Verify(token.Token, resource)
				if err != nil {
					t.Fatal(err)
				}
				if got.ObjectID != issuer.AppObjectID || got.Type != "app" || got.Expires != token.ExpiresOn.Unix() {
					t.Errorf("claims %+v, expires %v", got, token.ExpiresOn)
				}
			})
		}
	}
}

func number(t *testing.T, text any) *big.Int {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(text.(string))
	if err != nil {
		t.Fatal(err)
	}
	return new(big.Int).SetBytes(b)
}

func header(t *testing.T, token string) map[string]any {
	t.Helper()
	tok, _, err := jwt.NewParser().ParseUnverified(token, jwt.MapClaims{})
	if err != nil {
		t.Fatal(err)
	}
	return tok.Header
}

func claims(t *testing.T, token string) jwt.Claims {
	t.Helper()
	tok, _, err := jwt.NewParser().ParseUnverified(token, jwt.MapClaims{})
	if err != nil {
		t.Fatal(err)
	}
	return tok.Claims
}
