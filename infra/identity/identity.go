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

// ErrToken is wrapped by every error of [Verifier.Caller] that is due to the token. Its text is safe to log: it
// contains no part of the token except, if they differ from the configuration, its issuer and audience.
var ErrToken = errors.New("no valid token")

// consumers is the tenant of all personal Microsoft accounts ("Access token claims reference", iss and tid).
const consumers = "9188040d-6c67-4c5b-b112-36a304b66dad"

// Config says which tokens are accepted. [New] refuses the zero value.
type Config struct {
	// Authority is the base URL of Entra ID in the cloud, such as https://login.microsoftonline.com. Plain http is
	// only for an issuer on the same machine: a loopback address by number.
	Authority string
	// Tenants are the GUIDs of the directories whose people and apps may call; at least one.
	Tenants []string
	// Audiences are the values of aud that mean this app: api://{app id}, which tokens of version 1 have, and the app
	// id itself, which tokens of version 2 and ID tokens have; at least one.
	Audiences []string
	// Permissions are names of scopes and app roles of this app, one of which an access token must have: in scp for a
	// person's token, in roles for an application's own. Empty demands none: Azure RBAC decides what a caller may do.
	// ID tokens have no scopes; the app registration decides who may sign in.
	Permissions []string
	// Now returns the time; nil means time.Now.
	Now func() time.Time
	// HTTPClient fetches discovery documents and keys; nil means a default one. Redirects are never followed, and a
	// fetch ends after ten seconds in any case.
	HTTPClient *http.Client
}

// Verifier identifies callers by their tokens. It is safe for concurrent use.
type Verifier struct {
	sets        map[string]*keySet // by issuer
	first       *keySet
	audiences   map[string]bool
	permissions []string
	parser      *jwt.Parser
}

// New checks the configuration. It makes no request, so that an app can start while Entra ID does not answer.
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

// Caller returns who sent the request, without Correlation. The ID is "tid/oid" in lower case. The name is for
// display only: "app:{client id}" for applications, the user name for people, the oid if no name is printable.
// No token names an address, so it has none.
//
// An error is *[store.Unavailable] if the issuer's keys cannot be fetched, and wraps [ErrToken] otherwise.
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

// Ping returns nil if the keys of the first tenant are available, and otherwise the error that [Verifier.Caller]
// would return.
func (v *Verifier) Ping(ctx context.Context) error { return v.first.ready(ctx) }

// authority is a cloud's Entra ID.
type authority struct {
	base     string // without a trailing slash
	v1       string // base of the issuers of version 1; empty if they are not known
	loopback bool
}

// v1Issuers returns the base of version 1 issuers for the host of the authority. For other hosts tokens of version
// 1 are refused.
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

// issuer is an issuer that a tenant's tokens may name, and its discovery address.
type issuer struct{ iss, discovery string }

// issuers returns the tenant's issuers, version 2 first.
func (a authority) issuers(tenant string) []issuer {
	const document = "/.well-known/openid-configuration"
	v2 := a.base + "/" + tenant + "/v2.0"
	out := []issuer{{v2, v2 + document}}
	if a.v1 != "" {
		out = append(out, issuer{a.v1 + "/" + tenant + "/", a.base + "/" + tenant + document})
	}
	return out
}

// trusts reports whether keys may be fetched from an address in a discovery document: https, or the same server
// that was asked if that is on this machine.
func (a authority) trusts(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return false
	}
	return u.Scheme == "https" && !a.loopback || u.Scheme+"://"+u.Host == a.base
}
