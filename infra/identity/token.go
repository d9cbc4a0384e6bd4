package identity

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// MaxToken is the longest token that is parsed, in bytes. Entra ID's stay well below it, since a person in more
// than 200 groups gets a reference instead of the list.
const MaxToken = 16 << 10

// IDTokenHeader is where App Service authentication forwards a signed-in person's ID token ("Work with user
// identities in Azure App Service authentication"). Only the token's signature makes it trusted.
const IDTokenHeader = "X-MS-TOKEN-AAD-ID-TOKEN"

// refusal is an [ErrToken] with its reason.
type refusal struct{ reason string }

func (r *refusal) Error() string { return ErrToken.Error() + ": " + r.reason }
func (r *refusal) Unwrap() error { return ErrToken }

func refuse(format string, args ...any) error {
	return &refusal{fmt.Sprintf(format, args...)}
}

// bearer returns the one token of a request, and where it was sent.
func bearer(h http.Header) (string, place, error) {
	token, at := "", inAuthorization
	if values, ok := h["Authorization"]; ok {
		if len(values) != 1 {
			return "", 0, refuse("%d Authorization headers", len(values))
		}
		scheme, rest, _ := strings.Cut(values[0], " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return "", 0, refuse("the Authorization header is not of the scheme Bearer")
		}
		token = rest
	} else {
		at = inIDTokenHeader
		values := h.Values(IDTokenHeader)
		if len(values) == 0 {
			return "", 0, refuse("neither Authorization nor an ID token was sent")
		}
		if len(values) != 1 {
			return "", 0, refuse("%d headers with an ID token", len(values))
		}
		token = values[0]
	}
	if len(token) > MaxToken {
		return "", 0, refuse("longer than %d bytes", MaxToken)
	}
	if !compact(token) {
		return "", 0, refuse("not three parts of base64url")
	}
	return token, at, nil
}

// compact reports whether s has the form of a signed token. It does not check the content of the parts.
func compact(s string) bool {
	dots, run := 0, 0
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_':
			run++
		case c == '.' && run > 0:
			dots, run = dots+1, 0
		default:
			return false
		}
	}
	return dots == 2 && run > 0
}

// claims are the claims that this package reads.
type claims struct {
	ObjectID, Tenant string
	Name             []string // a person's names, the best first
	Client           string   // the application that got the token, for itself or for a person
	Application      bool     // it got it for itself
	Methods          []string // how the person signed in
	Roles            jit.Roles
	Groups           jit.People
}

// verify returns the claims of a token that passes every check of the package. They are read from a map rather
// than into a struct, because Go matches struct fields case-insensitively: "OID" is not "oid".
func (v *Verifier) verify(ctx context.Context, token string, at place) (*claims, error) {
	all := jwt.MapClaims{}
	signed, err := v.parser.ParseWithClaims(token, all, func(t *jwt.Token) (any, error) { return v.key(ctx, t, all) })
	if err != nil {
		return nil, reason(err)
	}
	// A token for several audiences would not be for this app in particular; Entra ID sends one.
	if aud := text(all, "aud"); !v.audiences[aud] {
		return nil, refuse("made for the audience %.100q", aud)
	}
	if all["iat"] == nil {
		return nil, refuse("no iat")
	}
	if !jit.ValidGUID(text(all, "oid")) {
		return nil, refuse("no object id")
	}
	if err := at.takes(signed.Header, all); err != nil {
		return nil, err
	}
	if at == inAuthorization && len(v.permissions) > 0 && !holds(all, v.permissions) {
		return nil, refuse("an access token without any of the scopes or app roles that are required")
	}
	return &claims{ObjectID: strings.ToLower(text(all, "oid")), Tenant: text(all, "tid"), Name: names(all), Client: client(all),
		Application: at == inAuthorization && applications(all), Methods: methods(all), Roles: known(roles(all)), Groups: groups(all)}, nil
}

// text returns a claim that is a string, and "" otherwise.
func text(all jwt.MapClaims, name string) string {
	s, _ := all[name].(string)
	return s
}

// key returns the key that must have signed the token. The token's claims are still unproven: they only select
// among the configured issuers.
func (v *Verifier) key(ctx context.Context, t *jwt.Token, all jwt.MapClaims) (any, error) {
	set, ok := v.sets[text(all, "iss")]
	if !ok {
		return nil, refuse("the issuer %.100q is not that of an accepted tenant", text(all, "iss"))
	}
	if text(all, "tid") != set.tenant {
		return nil, refuse("the tenant is not that of the issuer")
	}
	if _, ok := t.Header["crit"]; ok {
		return nil, refuse("critical header extensions")
	}
	kid, ok := t.Header["kid"].(string)
	if !ok || kid == "" {
		return nil, refuse("no key id")
	}
	return set.key(ctx, kid)
}

// reason translates an error of the jwt package. It omits that package's texts, because they can quote the token.
func reason(err error) error {
	if down, ok := errors.AsType[*store.Unavailable](err); ok {
		return down
	}
	for _, r := range []struct {
		is   error
		text string
	}{
		{jwt.ErrTokenMalformed, "malformed"},
		{jwt.ErrInvalidType, "a claim is not of its type"},
		{jwt.ErrTokenSignatureInvalid, "the signature is wrong or not RS256"},
		{jwt.ErrTokenRequiredClaimMissing, "no exp or no nbf"},
		{jwt.ErrTokenExpired, "expired"},
		{jwt.ErrTokenNotValidYet, "not valid yet"},
		{jwt.ErrTokenUsedBeforeIssued, "issued in the future"},
	} {
		if errors.Is(err, r.is) {
			return refuse("%s", r.text)
		}
	}
	if ours, ok := errors.AsType[*refusal](err); ok {
		return ours
	}
	return refuse("unverifiable")
}

// caller returns who the claims name.
func (c *claims) caller() jit.Caller {
	who := jit.Caller{ID: c.Tenant + "/" + c.ObjectID, Name: c.name(), Kind: jit.Person, SignIn: strings.Join(c.Methods, " "), Roles: c.Roles, Groups: c.Groups}
	if c.Application {
		who.Kind = jit.Application
	}
	if jit.ValidGUID(c.Client) {
		who.Client = strings.ToLower(c.Client)
	}
	return who
}

// name returns the name for the activity log. People can choose theirs, within limits; a name that is not
// printable, or that could be mistaken for an application or for the app itself, is replaced by the object id.
func (c *claims) name() string {
	if c.Application {
		if jit.ValidGUID(c.Client) {
			return "app:" + strings.ToLower(c.Client)
		}
		return "app:" + c.ObjectID
	}
	for _, name := range c.Name {
		if printable(name) {
			return name
		}
	}
	return c.ObjectID
}

func printable(name string) bool {
	if name == "" || len(name) > 256 || !utf8.ValidString(name) || strings.EqualFold(name, "portcullis") || strings.HasPrefix(strings.ToLower(name), "app:") {
		return false
	}
	for _, r := range name {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return strings.TrimSpace(name) == name
}
