package identity

import (
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"portcullis/core/jit"
)

// place is the header in which a token was sent, which determines its kind. The zero value accepts none.
type place uint8

const (
	inAuthorization place = iota + 1 // an access token
	inIDTokenHeader                  // an ID token
)

// Claims that distinguish the kinds of token. See docs/decisions/019.
var (
	// idOnly occur only in ID tokens: they tie a token to a sign-in or to what was issued with it.
	idOnly = []string{"nonce", "at_hash", "c_hash", "s_hash"}
	// accessOnly occur only in access tokens: what a client may do for whom, and which client it is.
	accessOnly = []string{"scp", "azp", "azpacr", "appid", "appidacr", "idtyp"}
	// neverTaken occur in tokens whose possession proves nothing: those bound to a key, which is not checked here, and
	// those that report an event, such as a logout.
	neverTaken = []string{"cnf", "events"}
)

// takes refuses a signed token that is not of the place's kind. A claim counts if it is present, whatever its
// value.
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

// types are the accepted values of typ in the header. Entra ID writes JWT; at+jwt is RFC 9068's.
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

// delegated reports whether a client got the token for a person: it names the client and its scopes, and declares no
// other kind.
func delegated(all jwt.MapClaims) bool {
	_, typed := all["idtyp"]
	return client(all) != "" && len(scopes(all)) > 0 && (!typed || text(all, "idtyp") == "user")
}

// applications reports whether a client got the token for itself: it says so, or it names the client and no
// person. A token that has scopes as well contradicts itself and is none.
func applications(all jwt.MapClaims) bool {
	if _, scoped := all["scp"]; scoped {
		return false
	}
	if _, typed := all["idtyp"]; typed {
		return text(all, "idtyp") == "app"
	}
	return client(all) != "" && len(names(all)) == 0
}

// holds reports whether an access token has one of the permissions: as a scope for a person's token, as an app
// role for an application's own. A person's app roles do not say what the client may do.
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

// known are the app roles that mean something here. A name counts in its own case alone, as Entra ID compares it.
func known(roles []string) jit.Roles {
	return jit.Roles{Approver: slices.Contains(roles, jit.RoleApprover), BreakGlass: slices.Contains(roles, jit.RoleBreakGlass)}
}

// maxGroups is how many groups a token names at most: beyond 200 Entra ID names none and refers to Microsoft Graph.
const maxGroups = 200

// groups returns the object ids of the groups that the token names, if the registration asks for them; nobody where one is none, or there are too many.
func groups(all jwt.MapClaims) jit.People {
	list, _ := all["groups"].([]any)
	if len(list) > maxGroups {
		return jit.People{}
	}
	var ids []string
	for _, g := range list {
		id, _ := g.(string)
		ids = append(ids, id)
	}
	people, err := jit.PeopleOf(ids...)
	if err != nil {
		return jit.People{}
	}
	return people
}

// client returns the application that got the token; version 1 calls the claim appid.
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

// names returns a person's names, the best first.
func names(all jwt.MapClaims) []string {
	var out []string
	for _, name := range []string{"preferred_username", "upn", "unique_name"} {
		if n := text(all, name); n != "" {
			out = append(out, n)
		}
	}
	return out
}
