package issuer

import (
	"bytes"
	"crypto/rsa"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Fixed identifiers of the local directory, so that role assignments and tests can name them.
const (
	// DefaultTenant is the directory (tid) when Config.Tenant is empty.
	DefaultTenant = "00000000-0000-0000-0000-00000000d1d0"
	// DefaultAudience is what persona tokens are for when Config.Audience is empty.
	DefaultAudience = "api://portcullis-local"
	// AppObjectID is the oid of the app's own managed identity.
	AppObjectID = "00000000-0000-0000-0000-0000000000a0"
	// CallerClientID is the client id of the client that gets people's access tokens.
	CallerClientID = "00000000-0000-0000-0000-0000000000c1"
	// Scope is what that client may do for people.
	Scope = "user_impersonation"
	// AppClientID is the client id of the app's own managed identity.
	AppClientID = "00000000-0000-0000-0000-0000000000c0"
)

// Audiences of the Azure services that the stand-ins take the place of. A token is accepted with or without a final slash.
const (
	ResourceManager = "https://management.azure.com"
	Storage         = "https://storage.azure.com"
	ServiceBus      = "https://servicebus.azure.net"
)

// Persona is someone a local token can be asked for.
type Persona struct {
	Name              string   // what ?as= takes
	ObjectID          string   // oid, and sub
	PreferredUsername string   // a UPN
	DisplayName       string   // name
	Groups            []string // object ids of groups; none leaves the claim out
	Roles             []string // app roles of the app's registration; none leaves the claim out
}

// Personas returns the four people of the demo: reader may look, requester may also ask and break the glass, admin may do
// everything, approver may look and approve. What each may do in Azure is not said here but in the role assignments that
// name their object ids.
func Personas() []Persona {
	return []Persona{
		{Name: "reader", ObjectID: "00000000-0000-0000-0000-0000000000e1", PreferredUsername: "reader@portcullis.example", DisplayName: "Rae Reader"},
		{Name: "requester", ObjectID: "00000000-0000-0000-0000-0000000000e2", PreferredUsername: "requester@portcullis.example", DisplayName: "Quinn Requester", Roles: []string{"Portcullis.BreakGlass"}},
		{Name: "admin", ObjectID: "00000000-0000-0000-0000-0000000000e3", PreferredUsername: "admin@portcullis.example", DisplayName: "Ada Admin"},
		{Name: "approver", ObjectID: "00000000-0000-0000-0000-0000000000e4", PreferredUsername: "approver@portcullis.example", DisplayName: "Avery Approver", Roles: []string{"Portcullis.Approver"}},
	}
}

// Config says who issues, for whom, and where the key is kept.
type Config struct {
	URL            string        // base URL the handler is served at, such as http://127.0.0.1:7072; required
	Dir            string        // folder that keeps the signing key; empty makes a new key at each start
	Tenant         string        // empty: DefaultTenant
	Audience       string        // audience of persona tokens; empty: DefaultAudience
	IdentityHeader string        // secret of the managed identity endpoint; empty refuses every call to it
	Personas       []Persona     // nil: Personas()
	Lifetime       time.Duration // of a token; 0: one hour
	Now            func() time.Time
}

// Issuer signs and verifies tokens. It is an http.Handler and is safe for concurrent use.
type Issuer struct {
	cfg    Config
	key    *rsa.PrivateKey
	kid    string
	routes *http.ServeMux

	// An RS256 signature of a text is always the same, and to make it is dear: what is asked
	// for again within a second is what was signed before.
	mu   sync.Mutex
	kept map[string]string // the token of a header and claims
}

// Open returns an issuer, making its key when Config.Dir holds none. A key file that cannot be read is an error: it is
// never replaced, because tokens signed with it may still be in use.
func Open(cfg Config) (*Issuer, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("open issuer: the URL %q is not an absolute http or https address", cfg.URL)
	}
	cfg.URL = strings.TrimSuffix(cfg.URL, "/")
	if cfg.Tenant == "" {
		cfg.Tenant = DefaultTenant
	}
	if cfg.Audience == "" {
		cfg.Audience = DefaultAudience
	}
	if cfg.Personas == nil {
		cfg.Personas = Personas()
	}
	if cfg.Lifetime <= 0 {
		cfg.Lifetime = time.Hour
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	key, err := loadKey(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("open issuer: %w", err)
	}
	i := &Issuer{cfg: cfg, key: key, kid: keyID(&key.PublicKey), routes: http.NewServeMux(), kept: map[string]string{}}
	i.routes.HandleFunc("GET /{tenant}/v2.0/.well-known/openid-configuration", i.discovery)
	i.routes.HandleFunc("GET /{tenant}/discovery/v2.0/keys", i.keys)
	i.routes.HandleFunc("POST /local/token", i.personaToken)
	i.routes.HandleFunc("GET /msi/token", i.identityToken)
	i.routes.HandleFunc("POST /{tenant}/oauth2/v2.0/token", i.clientToken)
	return i, nil
}

// IssuerURL returns the iss claim of all tokens, which is also the authority to discover.
func (i *Issuer) IssuerURL() string { return i.cfg.URL + "/" + i.cfg.Tenant + "/v2.0" }

// ServeHTTP answers the five routes of the package; anything else is 404.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !loopback(r.Host) {
		fail(w, http.StatusMisdirectedRequest, "invalid_request", "this issuer answers on loopback names only")
		return
	}
	i.routes.ServeHTTP(w, r)
}

func loopback(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

func (i *Issuer) tenantKnown(w http.ResponseWriter, r *http.Request) bool {
	if strings.EqualFold(r.PathValue("tenant"), i.cfg.Tenant) {
		return true
	}
	fail(w, http.StatusBadRequest, "invalid_tenant", "AADSTS90002: tenant "+r.PathValue("tenant")+" not found")
	return false
}

func (i *Issuer) discovery(w http.ResponseWriter, r *http.Request) {
	if !i.tenantKnown(w, r) {
		return
	}
	reply(w, http.StatusOK, map[string]any{
		"issuer":                                i.IssuerURL(),
		"jwks_uri":                              i.cfg.URL + "/" + i.cfg.Tenant + "/discovery/v2.0/keys",
		"token_endpoint":                        i.cfg.URL + "/" + i.cfg.Tenant + "/oauth2/v2.0/token",
		"authorization_endpoint":                i.cfg.URL + "/local/token",
		"id_token_signing_alg_values_supported": []string{"RS256"},
		"subject_types_supported":               []string{"pairwise"},
		"response_types_supported":              []string{"id_token"},
		"claims_supported":                      []string{"iss", "aud", "tid", "oid", "sub", "preferred_username", "name", "ver", "iat", "nbf", "exp", "groups"},
	})
}

func (i *Issuer) keys(w http.ResponseWriter, r *http.Request) {
	if !i.tenantKnown(w, r) {
		return
	}
	b64 := base64.RawURLEncoding.EncodeToString
	reply(w, http.StatusOK, map[string]any{"keys": []map[string]string{{
		"kty": "RSA", "use": "sig", "alg": "RS256", "kid": i.kid,
		"n": b64(i.key.N.Bytes()), "e": b64(big.NewInt(int64(i.key.E)).Bytes()), "issuer": i.IssuerURL(),
	}}})
}

// maxClaims bounds the body of a token request, in bytes.
const maxClaims = 64 << 10

// personaToken answers POST /local/token?as=NAME[&resource=URI]. Without resource the token is for the app; with it, for
// the named stand-in, so that a person can look at the simulated ARM with curl. A body is a JSON object of claims that stand
// in place of the persona's, or, where null, are left out: somebody whom nobody knows, a token of another kind, one that has expired.
func (i *Issuer) personaToken(w http.ResponseWriter, r *http.Request) {
	var claims map[string]any
	body := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxClaims))
	body.UseNumber()
	if err := body.Decode(&claims); err != nil && !errors.Is(err, io.EOF) {
		fail(w, http.StatusBadRequest, "invalid_request", "the body is no JSON object of claims: "+err.Error())
		return
	}
	token, err := i.TokenWith(r.URL.Query().Get("as"), r.URL.Query().Get("resource"), claims)
	if err != nil {
		fail(w, http.StatusBadRequest, "invalid_request", err.Error())
		return
	}
	reply(w, http.StatusOK, map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": int(i.cfg.Lifetime / time.Second)})
}

// clientToken answers POST /{tenant}/oauth2/v2.0/token, by which an application signs in with a secret. Whoever's client id is
// the object id of a persona gets the token of an application in its place; any secret does, since whoever can reach this can be anyone.
func (i *Issuer) clientToken(w http.ResponseWriter, r *http.Request) {
	if !i.tenantKnown(w, r) {
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxClaims)
	form := r.PostFormValue
	// MSAL for Go adds three scopes of OpenID Connect to what it is asked for, and Entra ID passes over them here.
	scopes := slices.DeleteFunc(strings.Fields(form("scope")), func(s string) bool { return s == "openid" || s == "offline_access" || s == "profile" })
	resource, whole := strings.CutSuffix(strings.Join(scopes, " "), "/.default")
	whole = whole && len(scopes) == 1
	switch {
	case form("grant_type") != "client_credentials":
		fail(w, http.StatusBadRequest, "unsupported_grant_type", "only client_credentials is known here")
		return
	case !whole || resource == "":
		fail(w, http.StatusBadRequest, "invalid_scope", "AADSTS1002012: the scope has to end with /.default")
		return
	case form("client_secret") == "" && form("client_assertion") == "":
		fail(w, http.StatusUnauthorized, "invalid_client", "AADSTS7000216: a client secret or an assertion is needed")
		return
	}
	for _, p := range i.cfg.Personas {
		if !strings.EqualFold(p.ObjectID, form("client_id")) {
			continue
		}
		token, err := i.sign(Claims{Audience: resource, ObjectID: p.ObjectID, Subject: p.ObjectID, ClientID: p.ObjectID, Groups: p.Groups, Type: "app"})
		if err != nil {
			fail(w, http.StatusInternalServerError, "server_error", err.Error())
			return
		}
		reply(w, http.StatusOK, map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": int(i.cfg.Lifetime / time.Second)})
		return
	}
	fail(w, http.StatusUnauthorized, "unauthorized_client", "AADSTS700016: no application has the client id "+form("client_id"))
}

// Token returns a signed access token for the persona and the audience; an empty audience means Config.Audience. It is an
// error to name a persona that does not exist.
func (i *Issuer) Token(persona, audience string) (string, error) {
	return i.TokenWith(persona, audience, nil)
}

// TokenWith returns a token as [Issuer.Token] does, with claims in place of its own: a nil value leaves one out.
func (i *Issuer) TokenWith(persona, audience string, claims map[string]any) (string, error) {
	if audience == "" {
		audience = i.cfg.Audience
	}
	c, err := i.person(persona)
	if err != nil {
		return "", err
	}
	c.Audience, c.ClientID, c.Scope = audience, CallerClientID, Scope
	if audience != i.cfg.Audience {
		c.Roles = nil
	}
	if len(claims) == 0 {
		return i.sign(c)
	}
	text, err := json.Marshal(i.complete(c))
	if err != nil {
		return "", fmt.Errorf("write claims: %w", err)
	}
	all := jwt.MapClaims{}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber() // times stay whole
	if err := decoder.Decode(&all); err != nil {
		return "", fmt.Errorf("read claims: %w", err)
	}
	maps.Copy(all, claims)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	return i.signed(all)
}

// person returns the claims that every token of a persona has.
func (i *Issuer) person(persona string) (Claims, error) {
	names := make([]string, 0, len(i.cfg.Personas))
	for _, p := range i.cfg.Personas {
		if p.Name == persona {
			return Claims{ObjectID: p.ObjectID, Subject: p.ObjectID, PreferredUsername: p.PreferredUsername, Name: p.DisplayName, Groups: p.Groups, Roles: p.Roles}, nil
		}
		names = append(names, p.Name)
	}
	return Claims{}, fmt.Errorf("there is no persona %q; the query parameter as takes one of %s", persona, strings.Join(names, ", "))
}

// AppToken returns a signed token of the app's own managed identity for the resource.
func (i *Issuer) AppToken(resource string) (string, error) {
	if resource == "" {
		return "", errors.New("a resource is required")
	}
	return i.sign(Claims{Audience: resource, ObjectID: AppObjectID, Subject: AppObjectID, ClientID: AppClientID, Type: "app"})
}

func (i *Issuer) identityToken(w http.ResponseWriter, r *http.Request) {
	given := r.Header.Get("X-IDENTITY-HEADER")
	if i.cfg.IdentityHeader == "" || subtle.ConstantTimeCompare([]byte(given), []byte(i.cfg.IdentityHeader)) != 1 {
		fail(w, http.StatusForbidden, "invalid_request", "the header X-IDENTITY-HEADER is missing or wrong")
		return
	}
	q := r.URL.Query()
	if q.Get("api-version") != "2019-08-01" {
		fail(w, http.StatusBadRequest, "unsupported_api_version", "api-version must be 2019-08-01")
		return
	}
	for _, name := range []string{"mi_res_id", "object_id", "principal_id"} {
		if q.Has(name) {
			fail(w, http.StatusBadRequest, "invalid_request", "no managed identity is found by "+name)
			return
		}
	}
	if q.Has("client_id") && !strings.EqualFold(q.Get("client_id"), AppClientID) {
		fail(w, http.StatusBadRequest, "invalid_request", "no managed identity has the client id "+q.Get("client_id"))
		return
	}
	resource := q.Get("resource")
	token, err := i.AppToken(resource)
	if err != nil {
		fail(w, http.StatusBadRequest, "invalid_resource", err.Error())
		return
	}
	reply(w, http.StatusOK, map[string]string{
		"access_token": token, "token_type": "Bearer", "resource": resource, "client_id": AppClientID,
		"expires_on": strconv.FormatInt(i.cfg.Now().Add(i.cfg.Lifetime).Unix(), 10),
	})
}

func (i *Issuer) sign(c Claims) (string, error) { return i.signed(i.complete(c)) }

// complete adds what every token says.
func (i *Issuer) complete(c Claims) Claims {
	now := i.cfg.Now().Truncate(time.Second)
	c.Issuer, c.Tenant, c.Version = i.IssuerURL(), i.cfg.Tenant, "2.0"
	c.IssuedAt, c.NotBefore, c.Expires = now.Unix(), now.Unix(), now.Add(i.cfg.Lifetime).Unix()
	return c
}

func (i *Issuer) signed(c jwt.Claims) (string, error) {
	t := jwt.NewWithClaims(jwt.SigningMethodRS256, c)
	t.Header["kid"] = i.kid
	text, err := t.SigningString()
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if token, ok := i.kept[text]; ok {
		return token, nil
	}
	signature, err := t.Method.Sign(text, i.key)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	if len(i.kept) >= mostSigned {
		clear(i.kept)
	}
	i.kept[text] = text + "." + t.EncodeSegment(signature)
	return i.kept[text], nil
}

// mostSigned is how many tokens are kept, of this second and of earlier ones.
const mostSigned = 100

func fail(w http.ResponseWriter, status int, code, message string) {
	reply(w, status, map[string]string{"error": code, "error_description": message})
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// The status is out: a write error means that the client has gone.
	_ = json.NewEncoder(w).Encode(body)
}
