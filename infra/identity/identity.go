package identity

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/golang-jwt/jwt/v5"

	"portcullis/core/jit"
	"portcullis/infra/loopback"
)

// Skew is how far the clocks of this machine and of Entra ID may differ, in either direction.
const Skew = 5 * time.Minute

// ErrToken is wrapped by every error of [Verifier.Caller] that is the token's fault. Its text is safe to log: it holds
// no part of the token but, where they differ from what is configured, its issuer and audience.
var ErrToken = errors.New("no valid token")

// consumers is the tenant of all personal Microsoft accounts ("Access token claims reference", iss and tid).
const consumers = "9188040d-6c67-4c5b-b112-36a304b66dad"

// Config says whose tokens count, and for whom they must be made. The zero value is refused by [New].
type Config struct {
	// Authority is the base URL of Entra ID in the cloud, such as https://login.microsoftonline.com. Plain http is for
	// an issuer on the same machine: a loopback address by number.
	Authority string
	// Tenants are the GUIDs of the directories whose people and apps may call; at least one.
	Tenants []string
	// Audiences are the values of aud that mean this app: api://{app id} and the app id itself, as tokens of version 1
	// hold the former and tokens of version 2 and ID tokens the latter; at least one.
	Audiences []string
	// Permissions are names of scopes and app roles of this app, one of which an access token must hold: in scp where it is
	// a person's, in roles where it is an application's own. Empty demands none: Azure RBAC says what a caller may do.
	// ID tokens hold no scopes; who may sign in is set at the app registration.
	Permissions []string
	// Now gives the time; nil means time.Now.
	Now func() time.Time
	// HTTPClient fetches discovery documents and keys; nil means a plain one. Redirects are never followed and a
	// fetch ends after ten seconds in any case.
	HTTPClient *http.Client
}

// Verifier tells callers by their tokens. It is safe for concurrent use.
type Verifier struct {
	sets        map[string]*keySet // by issuer
	first       *keySet
	audiences   map[string]bool
	permissions []string
	parser      *jwt.Parser
}

// New checks the configuration; it asks nobody yet, so that an app can start while Entra ID does not answer.
func New(cfg Config) (*Verifier, error) {
	authority, err := parseAuthority(cfg.Authority)
	if err != nil {
		return nil, fmt.Errorf("verify tokens: %w", err)
	}
	if len(cfg.Tenants) == 0 || len(cfg.Audiences) == 0 {
		return nil, errors.New("verify tokens: at least one tenant and one audience are needed")
	}
	now := cfg.Now
	if now == nil {
		now = time.Now
	}
	v := &Verifier{
		sets: map[string]*keySet{}, audiences: map[string]bool{},
		parser: jwt.NewParser(jwt.WithValidMethods([]string{"RS256"}), jwt.WithStrictDecoding(), jwt.WithTimeFunc(now), jwt.WithLeeway(Skew),
			jwt.WithExpirationRequired(), jwt.WithNotBeforeRequired(), jwt.WithIssuedAt()),
	}
	for _, a := range cfg.Audiences {
		if a == "" || strings.TrimSpace(a) != a {
			return nil, fmt.Errorf("verify tokens: %q is not an audience", a)
		}
		v.audiences[a] = true
	}
	for _, p := range cfg.Permissions {
		if p == "" || strings.ContainsFunc(p, unicode.IsSpace) {
			return nil, fmt.Errorf("verify tokens: %q is not the name of a scope or an app role", p)
		}
		v.permissions = append(v.permissions, p)
	}
	client := fetcher(cfg.HTTPClient)
	for _, t := range cfg.Tenants {
		tenant := strings.ToLower(t)
		if !jit.ValidGUID(tenant) || tenant == consumers {
			return nil, fmt.Errorf("verify tokens: %q is not the GUID of an organization's tenant", t)
		}
		issuers := authority.issuers(tenant)
		for _, i := range issuers {
			s := &keySet{issuer: i.iss, discovery: i.discovery, keyIssuers: issuers, tenant: tenant, authority: authority, client: client, now: now}
			v.sets[i.iss] = s
			if v.first == nil {
				v.first = s
			}
		}
	}
	return v, nil
}

// Caller gives who sent the request, without Correlation. The ID is "tid/oid" in lower case; the name is for reading
// only: "app:{client id}" for applications, the user name for people, the oid where there is none fit to print. Nor has it an Address,
// which no token names.
//
// An error is *[store.Unavailable] when the issuer's keys cannot be had, and wraps [ErrToken] otherwise.
func (v *Verifier) Caller(r *http.Request) (jit.Caller, error) {
	token, at, err := bearer(r.Header)
	if err != nil {
		return jit.Caller{}, err
	}
	c, err := v.verify(r.Context(), token, at)
	if err != nil {
		return jit.Caller{}, err
	}
	return c.caller(), nil
}

// Ping gives nil when the keys of the first tenant are at hand, and otherwise what [Verifier.Caller] would say.
func (v *Verifier) Ping(ctx context.Context) error { return v.first.ready(ctx) }

// authority is a cloud's Entra ID.
type authority struct {
	base     string // without a final slash
	v1       string // base of the issuers of version 1; empty where they are not known
	loopback bool
}

// v1Issuers are the bases of version 1 issuers, by the host of the authority. Tokens of version 1 are refused elsewhere.
func v1Issuers(host string) string {
	switch host {
	case "login.microsoftonline.com", "login.microsoftonline.us":
		return "https://sts.windows.net"
	case "login.partner.microsoftonline.cn", "login.chinacloudapi.cn":
		return "https://sts.chinacloudapi.cn"
	}
	return ""
}

func parseAuthority(s string) (authority, error) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" || u.Host != strings.ToLower(u.Host) {
		return authority{}, fmt.Errorf("%q is not an authority such as https://login.microsoftonline.com", s)
	}
	local := loopback.Number(u.Hostname())
	if u.Scheme != "https" && !(u.Scheme == "http" && local) {
		return authority{}, fmt.Errorf("the authority %q is neither https nor http on a loopback address by number", s)
	}
	return authority{base: u.Scheme + "://" + u.Host, v1: v1Issuers(u.Host), loopback: local && u.Scheme == "http"}, nil
}

// issuer is one that a tenant's tokens may name, and where it describes itself.
type issuer struct{ iss, discovery string }

// issuers gives those of the tenant, version 2 first.
func (a authority) issuers(tenant string) []issuer {
	const document = "/.well-known/openid-configuration"
	v2 := a.base + "/" + tenant + "/v2.0"
	out := []issuer{{v2, v2 + document}}
	if a.v1 != "" {
		out = append(out, issuer{a.v1 + "/" + tenant + "/", a.base + "/" + tenant + document})
	}
	return out
}

// trusts reports whether keys may be fetched from the address that a discovery document names: https, or the very
// server that was asked where that is on the same machine.
func (a authority) trusts(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return false
	}
	return u.Scheme == "https" && !a.loopback || u.Scheme+"://"+u.Host == a.base
}
