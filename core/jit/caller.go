package jit

import (
	"net/netip"
	"strings"
)

// Caller is who calls a verb.
type Caller struct {
	ID          string // directory and object id, "tid/oid"; a grant is owned by this id
	Name        string // display name, written to grants and the activity log
	Correlation string // the invocation id

	// What the activity log keeps beside the name, because a name can belong to somebody else tomorrow.
	Kind    CallerKind
	Client  string     // id of the client application that got the token, in lower case; "" where the token names none
	SignIn  string     // how the caller signed in: the token's amr, words with spaces between; "" where the token does not say
	Address netip.Addr // from which the call came; the zero Addr where nothing that can be trusted says so

	Roles  Roles  // what Azure RBAC cannot say
	Groups People // the groups that the token names; nobody where it names none, as where there are too many for a token
}

// Roles are the app roles of this app's registration that a caller's token has. Entra ID assigns them to people, groups and
// applications; a token keeps them until it expires, which is about an hour after they were taken away.
type Roles struct {
	Approver   bool // RoleApprover: may approve what others ask for, on machines that he may read
	BreakGlass bool // RoleBreakGlass: may open without an approval, in an emergency
}

// The values of the app roles, as the registration declares them and a token's claim roles has them.
const (
	RoleApprover   = "Portcullis.Approver"
	RoleBreakGlass = "Portcullis.BreakGlass"
)

// CallerKind is the kind of a caller.
type CallerKind string

// The kinds of caller. A person calls through a client application.
const (
	Person      CallerKind = "Person"
	Application CallerKind = "Application"
	TheApp      CallerKind = "Portcullis" // the app itself
)

// App returns the caller for work that the app starts by itself.
func App() Caller { return Caller{Name: "portcullis", Kind: TheApp} }

// Actor identifies who did something, without the name.
type Actor struct {
	Tenant, Object string // ids; "" for the app itself
	Kind           CallerKind
	Client, SignIn string     // as of [Caller]
	Address        netip.Addr // as of [Caller]
}

// Actor returns the caller without the name.
func (c Caller) Actor() Actor {
	tenant, object, _ := strings.Cut(c.ID, "/")
	return Actor{Tenant: tenant, Object: object, Kind: c.Kind, Client: c.Client, SignIn: c.SignIn, Address: c.Address}
}

// Mark returns the last group of the object id, which tells apart people of one name; "" for the app itself.
func (a Actor) Mark() string { return a.Object[strings.LastIndexByte(a.Object, '-')+1:] }
