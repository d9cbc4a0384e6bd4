package armsim

import (
	"net/http"
	"regexp"
	"strings"
)

// kind is what a path names.
type kind int

const (
	unknown       kind = iota
	one                // a resource
	list               // resources of a type, in a group or a subscription
	child              // a rule or a subnet
	children           // the rules or subnets of a resource
	operationPath      // an operation's status
	operationDone      // an operation's result
	lock
	locks
	genericList // GET /subscriptions/{id}[/resourceGroups/{name}]/resources
	group
	groups
	grant      // an assignment or a definition of Azure RBAC
	grants     // a list of them
	adminRules // the security admin rules in effect on a virtual network
	provider   // the registration of a resource provider
)

// target is a parsed path. Matching is case-insensitive throughout; the spelling that was asked for is kept.
type target struct {
	kind       kind
	sub, group string
	typ        *resourceType
	name       string // of the resource
	childName  string
	id         string // of the resource, without a child
	scope      string // of locks and of Azure RBAC
	rbac       string // type of an assignment or a definition
	location   string // of an operation
	operation  string
}

// resourceType is a type the stand-in serves.
type resourceType struct {
	name     string // as ARM spells it
	children string // segment of the child type, if any
	generic  bool   // PUT and DELETE are plain stores
}

func resourceTypes() []resourceType {
	return []resourceType{
		{name: nsgType, children: "securityRules"},
		{name: "Microsoft.Network/networkInterfaces", generic: true},
		{name: vnetType, children: "subnets", generic: true},
		{name: "Microsoft.Network/publicIPAddresses", generic: true},
		{name: firewallType},
		{name: "Microsoft.Network/routeTables", generic: true},
	}
}

const (
	nsgType   = "Microsoft.Network/networkSecurityGroups"
	vnetType  = "Microsoft.Network/virtualNetworks"
	adminList = "listNetworkManagerEffectiveSecurityAdminRules"
	lockType  = "Microsoft.Authorization/locks"
	groupType = "Microsoft.Resources/resourceGroups"
)

// key is the form in which ids are compared.
func key(id string) string { return strings.ToLower(strings.TrimSuffix(id, "/")) }

// parseTarget reads a path. The error is ARM's for a path that names nothing it serves.
func parseTarget(path string) (target, *Error) {
	segments := strings.Split(strings.Trim(path, "/"), "/")
	is := func(i int, word string) bool { return i < len(segments) && strings.EqualFold(segments[i], word) }
	if at, ok := rbacTarget(segments); ok {
		return at, nil
	}
	if !is(0, "subscriptions") || len(segments) < 2 || segments[1] == "" {
		return target{}, newError(http.StatusNotFound, "InvalidResourceType", "The path '%s' names no resource.", path)
	}
	t := target{sub: segments[1]}
	if at, ok := lockTarget(t, segments); ok {
		return at, nil
	}
	next := 2
	if is(2, "resourceGroups") {
		switch len(segments) {
		case 3:
			t.kind = groups
			return t, nil
		case 4:
			t.kind, t.group, t.id = group, segments[3], "/"+strings.Join(segments, "/")
			return t, nil
		}
		t.group, next = segments[3], 4
		if is(4, "resources") && len(segments) == 5 {
			t.kind = genericList
			return t, nil
		}
	} else if is(2, "resources") && len(segments) == 3 {
		t.kind = genericList
		return t, nil
	}
	if is(2, "providers") && len(segments) == 4 {
		t.kind, t.name = provider, segments[3]
		return t, nil
	}
	if !is(next, "providers") || len(segments) < next+3 {
		return t, newError(http.StatusNotFound, "InvalidResourceType", "The path '%s' names no resource.", path)
	}
	return providerTarget(t, segments, next+1)
}

// lockTarget reads a path that ends in /providers/Microsoft.Authorization/locks[/name], whose scope is what precedes it.
func lockTarget(t target, segments []string) (target, bool) {
	for _, i := range []int{len(segments) - 3, len(segments) - 4} {
		if i < 2 || !strings.EqualFold(strings.Join(segments[i:i+3], "/"), "providers/"+lockType) {
			continue
		}
		t.kind, t.scope = locks, "/"+strings.Join(segments[:i], "/")
		if len(segments) == i+4 {
			t.kind, t.name, t.id = lock, segments[i+3], "/"+strings.Join(segments, "/")
		}
		return t, true
	}
	return target{}, false
}

// providerTarget reads {namespace}/{type}[/{name}[/{children}[/{child}]]] from segments[i:].
func providerTarget(t target, segments []string, i int) (target, *Error) {
	typ := segments[i] + "/" + segments[i+1]
	rest := segments[i+2:]
	if strings.EqualFold(typ, "Microsoft.Network/locations") && len(rest) == 3 {
		t.location, t.operation = rest[0], rest[2]
		switch strings.ToLower(rest[1]) {
		case "operations":
			t.kind = operationPath
			return t, nil
		case "operationresults":
			t.kind = operationDone
			return t, nil
		}
	}
	for _, rt := range resourceTypes() {
		if !strings.EqualFold(rt.name, typ) {
			continue
		}
		t.typ = &rt
		switch {
		case len(rest) == 0:
			t.kind = list
			return t, nil
		case t.group == "":
		case len(rest) == 1:
			t.kind, t.name, t.id = one, rest[0], "/"+strings.Join(segments, "/")
			return t, nil
		case len(rest) == 2 && strings.EqualFold(rest[1], adminList) && rt.name == vnetType:
			t.kind, t.name, t.id = adminRules, rest[0], "/"+strings.Join(segments[:i+3], "/")
			return t, nil
		case rt.children == "" || !strings.EqualFold(rest[1], rt.children) || len(rest) > 3:
		default:
			t.kind, t.name, t.id = children, rest[0], "/"+strings.Join(segments[:i+3], "/")
			if len(rest) == 3 {
				t.kind, t.childName = child, rest[2]
			}
			return t, nil
		}
	}
	return t, newError(http.StatusNotFound, "InvalidResourceType",
		"The resource type could not be found in the namespace '%s'.", segments[i])
}

var versions = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}(-[A-Za-z]+)?$`)

func checkVersion(r *http.Request) *Error {
	v := r.URL.Query().Get("api-version")
	if v == "" {
		return newError(http.StatusBadRequest, "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required for all requests.")
	}
	if !versions.MatchString(v) {
		return newError(http.StatusBadRequest, "InvalidApiVersionParameter", "The api-version '%s' is invalid. The supported versions are of the form 2025-05-01.", v)
	}
	return nil
}

// action is the permission that a call needs, in the words of Azure RBAC.
func (t target) action(method string) string {
	verb := "read"
	switch method {
	case http.MethodPut:
		verb = "write"
	case http.MethodDelete:
		verb = "delete"
	}
	switch t.kind {
	case one, list:
		return t.typ.name + "/" + verb
	case adminRules:
		return t.typ.name + "/" + adminList + "/action"
	case child, children:
		return t.typ.name + "/" + t.typ.children + "/" + verb
	case lock, locks:
		return lockType + "/" + verb
	case grant, grants:
		return t.rbac + "/" + verb
	case group, groups:
		return "Microsoft.Resources/subscriptions/resourceGroups/" + verb
	case provider:
		return "Microsoft.Resources/subscriptions/providers/" + verb
	case operationPath:
		return "Microsoft.Network/locations/operations/" + verb
	case operationDone:
		return "Microsoft.Network/locations/operationResults/" + verb
	}
	return "Microsoft.Resources/subscriptions/resources/" + verb
}

// path is where the call is aimed, for messages and for scopes.
func (t target) path() string {
	switch {
	case t.kind == child:
		return t.id + "/" + t.typ.children + "/" + t.childName
	case t.kind == locks, t.kind == grants:
		return t.scope
	case t.id != "":
		return t.id
	case t.group != "":
		return "/subscriptions/" + t.sub + "/resourceGroups/" + t.group
	}
	return "/subscriptions/" + t.sub
}

// groupID is the id of the resource group of an id; empty when it has none.
func groupID(id string) string {
	s := strings.Split(id, "/")
	if len(s) < 5 || !strings.EqualFold(s[3], "resourceGroups") {
		return ""
	}
	return strings.Join(s[:5], "/")
}

func lastSegment(id string) string { return id[strings.LastIndexByte(id, '/')+1:] }
