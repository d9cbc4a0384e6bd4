package identity

import (
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// place is where a token was sent, which says of which kind it must be. The zero value takes none.
type place uint8

const (
	inAuthorization place = iota + 1 // an access token
	inIDTokenHeader                  // an ID token
)

// Claims by which the kinds of token are told apart. See docs/decisions/019.
var (
	// idOnly are in ID tokens alone: they tie one to a sign-in or to what was handed out with it.
	idOnly = []string{"nonce", "at_hash", "c_hash", "s_hash"}
	// accessOnly are in access tokens alone: what a client may do for whom, and which client it is.
	accessOnly = []string{"scp", "azp", "azpacr", "appid", "appidacr", "idtyp"}
	// neverTaken are in tokens that prove nothing by being sent: those bound to a key whose possession is not checked here, and
	// those that tell of an event, such as a logout.
	neverTaken = []string{"cnf", "events"}
)

// takes refuses a signed token that is not of the kind of its place. Claims count by being there, whatever they hold.
func (p place) takes(header map[string]any, all jwt.MapClaims) error {
	if name := first(all, neverTaken); name != "" {
		return refuse("a token with %s, which is bound to a key or tells of an event", name)
	}
	typ, _ := header["typ"].(string)
	if header["typ"] != nil && !slices.Contains(p.types(), strings.ToLower(strings.TrimPrefix(typ, "application/"))) {
		return refuse("a token of the type %.40q", typ)
	}
	switch p {
	case inAuthorization:
		if name := first(all, idOnly); name != "" {
			return refuse("an ID token (it has %s) in Authorization, where access tokens stand", name)
		}
		if !delegated(all) && !applications(all) {
			return refuse("not an access token: neither a client with scopes nor an application's own")
		}
		return nil
	case inIDTokenHeader:
		if name := first(all, accessOnly); name != "" {
			return refuse("an access token (it has %s) where App Service authentication puts ID tokens", name)
		}
		return nil
	}
	return refuse("sent where no token is taken")
}

// types are what the header of a token may call it. Entra ID writes JWT; at+jwt is RFC 9068's.
func (p place) types() []string {
	if p == inAuthorization {
		return []string{"jwt", "at+jwt"}
	}
	return []string{"jwt"}
}

func first(all jwt.MapClaims, names []string) string {
	for _, name := range names {
		if _, ok := all[name]; ok {
			return name
		}
	}
	return ""
}

// delegated reports whether a client got the token for a person: it names the client and what that may do, and says of no other kind that it is it.
func delegated(all jwt.MapClaims) bool {
	_, typed := all["idtyp"]
	return client(all) != "" && len(scopes(all)) > 0 && (!typed || text(all, "idtyp") == "user")
}

// applications reports whether a client got the token for itself: it says so, or it names the client and nothing of a person. What
// has scopes as well contradicts itself.
func applications(all jwt.MapClaims) bool {
	if _, scoped := all["scp"]; scoped {
		return false
	}
	if _, typed := all["idtyp"]; typed {
		return text(all, "idtyp") == "app"
	}
	return client(all) != "" && len(names(all)) == 0
}

// holds reports whether an access token has one of the permissions: as a scope where it is a person's, as an
// app role where it is an application's own. A person's roles are not what a client was let do.
func holds(all jwt.MapClaims, required []string) bool {
	had := roles(all)
	if delegated(all) {
		had = scopes(all)
	}
	return slices.ContainsFunc(had, func(name string) bool { return slices.Contains(required, name) })
}

func scopes(all jwt.MapClaims) []string { return strings.Fields(text(all, "scp")) }

func roles(all jwt.MapClaims) []string {
	var out []string
	list, _ := all["roles"].([]any)
	for _, r := range list {
		if name, ok := r.(string); ok {
			out = append(out, name)
		}
	}
	return out
}

// client is the application that got the token; version 1 calls it appid.
func client(all jwt.MapClaims) string {
	if azp := text(all, "azp"); azp != "" {
		return azp
	}
	return text(all, "appid")
}

// What is kept of amr: RFC 8176 registers 18 values of two to seven letters, Entra ID adds a few of its own.
const (
	maxMethods = 8
	maxMethod  = 24 // characters
)

// methods are the words of amr, which says how the person signed in. What is not a word of letters, digits, - and _ is left
// out, and so is what goes beyond the bounds: the token is signed, but nobody promises what stands in it.
func methods(all jwt.MapClaims) []string {
	var out []string
	list, _ := all["amr"].([]any)
	for _, m := range list {
		word, _ := m.(string)
		if word != "" && len(word) <= maxMethod && len(out) < maxMethods && strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == "" {
			out = append(out, word)
		}
	}
	return out
}

// names are a person's, the best first.
func names(all jwt.MapClaims) []string {
	var out []string
	for _, name := range []string{"preferred_username", "upn", "unique_name"} {
		if n := text(all, name); n != "" {
			out = append(out, n)
		}
	}
	return out
}
