package compat

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"portcullis/core/defender"
	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/store"
	"portcullis/handlers/arrival"
	"portcullis/handlers/query"
	"portcullis/handlers/wire"
)

// The compatible face speaks Microsoft.Security/locations/jitNetworkAccessPolicies
// as Azure Resource Manager does, for clients that are used as they are
// (https://github.com/Azure/azure-rest-api-specs, specification/security,
// stable/2020-01-01/jitNetworkAccessPolicies.json).
//
// Resource Manager does not tell cases apart in a path, and Go's mux does. So
// one pattern takes every path below subscriptions, and operations are
// matched here.
const (
	Pattern = root + "/{path...}"
	root    = "/api/subscriptions"
)

// Takes reports whether a pattern of the mux is this face's: [Pattern] or the path that it is below, after a method.
func Takes(pattern string) bool {
	_, path, _ := strings.Cut(pattern, " ")
	return path == Pattern || path == root
}

// Versions are the api-versions that clients send: the stable one, and
// the preview of Microsoft's older scripts, whose shapes are the same.
var Versions = []string{"2020-01-01", "2015-06-01-preview"}

// The parameters of a path, by the names that the published definition gives them.
const (
	paramSubscription = "subscriptionId"
	paramGroup        = "resourceGroupName"
	paramLocation     = "ascLocation"
	paramName         = "jitNetworkAccessPolicyName"

	typeList   = "/providers/Microsoft.Security/jitNetworkAccessPolicies"
	typeRegion = "/providers/Microsoft.Security/locations/{ascLocation}/jitNetworkAccessPolicies"
	typePolicy = "/resourceGroups/{resourceGroupName}" + typeRegion + "/{jitNetworkAccessPolicyName}"
)

// Face answers the calls of clients of Microsoft's contract. Every field must be set.
type Face struct {
	Named *defender.Named
	// Own gives the address from which the platform took a call, and whether that is known.
	Own func(*http.Request) (netip.Addr, bool)
	// Open opens a grant and gives it as it then is, or as it was if that takes longer than wait; the opening goes on by itself.
	Open func(r *http.Request, who jit.Caller, rec store.GrantRecord, wait time.Duration) (store.GrantRecord, error)
	// GroupGone reports whether the caller may be told that a resource group is not there, and it is not.
	GroupGone func(ctx context.Context, who jit.Caller, subscription, group string) (bool, error)
	// Wait bounds how long an initiate waits for its ports, as a request of the plain face does.
	Wait time.Duration
}

// call is one identified call.
type call struct {
	*http.Request
	who jit.Caller
}

// operation is one operation of the published definition.
type operation struct {
	id       string // as the definition calls it
	method   string
	template string
	handle   func(Face, http.ResponseWriter, call, params) error
}

// operations is all eight.
func operations() []operation {
	below := root + "/{subscriptionId}"
	return []operation{
		{"JitNetworkAccessPolicies_List", http.MethodGet, below + typeList, Face.list},
		{"JitNetworkAccessPolicies_ListByRegion", http.MethodGet, below + typeRegion, Face.list},
		{"JitNetworkAccessPolicies_ListByResourceGroup", http.MethodGet, below + "/resourceGroups/{resourceGroupName}" + typeList, Face.list},
		{"JitNetworkAccessPolicies_ListByResourceGroupAndRegion", http.MethodGet, below + "/resourceGroups/{resourceGroupName}" + typeRegion, Face.list},
		{"JitNetworkAccessPolicies_Get", http.MethodGet, below + typePolicy, Face.get},
		{"JitNetworkAccessPolicies_CreateOrUpdate", http.MethodPut, below + typePolicy, Face.put},
		{"JitNetworkAccessPolicies_Delete", http.MethodDelete, below + typePolicy, Face.remove},
		{"JitNetworkAccessPolicies_Initiate", http.MethodPost, below + typePolicy + "/initiate", Face.initiate},
	}
}

// params are the parameters of a path, by name.
type params map[string]string

func (p params) filter() store.PolicyFilter {
	return store.PolicyFilter{Subscription: p[paramSubscription], ResourceGroup: p[paramGroup], Location: p[paramLocation]}
}

func (p params) policy() store.PolicyName {
	return store.PolicyName{Subscription: p[paramSubscription], ResourceGroup: p[paramGroup], Location: p[paramLocation], Name: p[paramName]}
}

// Serve answers a call of a path below [Pattern], or gives the error to be answered.
func (f Face) Serve(w http.ResponseWriter, r *http.Request, who jit.Caller) error {
	var allowed []string
	for _, op := range operations() {
		p, ok := matchPath(op.template, r.URL)
		if !ok {
			continue
		}
		if r.Method != op.method {
			allowed = append(allowed, op.method)
			continue
		}
		if err := checkVersion(r.URL.Query()); err != nil {
			return err
		}
		if err := p.check(); err != nil {
			return err
		}
		return f.within(p, func() error { return op.handle(f, w, call{r, who}, p) })
	}
	if allowed != nil {
		return wire.NotAllowed(w.Header(), r, allowed...)
	}
	return &jit.Error{Code: wire.CodeNotFound, Target: r.Method + " " + r.URL.Path, Message: "of Azure Resource Manager, only Microsoft.Security/locations/jitNetworkAccessPolicies is here"}
}

// within does an operation of a path. Where the installation does not manage the path's subscription, it is answered as Resource
// Manager answers for one that is not there. A list then asks nobody; what changes something is refused, and that logged, first.
func (f Face) within(p params, do func() error) error {
	if f.Named.Permit.Subscriptions.Within("/subscriptions/" + p[paramSubscription]) {
		return do()
	}
	gone := wire.SubscriptionNotFound(p[paramSubscription])
	if p[paramName] == "" {
		return gone
	}
	err := do()
	if refused, ok := errors.AsType[*jit.Error](err); ok && refused.Code == network.CodeNotManaged {
		return errors.Join(gone, err) // the first is told; the second may say that it could not be logged
	}
	return err
}

// matchPath gives the parameters of a path that is like the template: literal
// segments in any case, and at most one slash at the end. The location is folded as Resource Manager does.
func matchPath(template string, u *url.URL) (params, bool) {
	want, got := strings.Split(template, "/"), strings.Split(strings.TrimSuffix(u.EscapedPath(), "/"), "/")
	if len(want) != len(got) {
		return nil, false
	}
	p := params{}
	for i, segment := range want {
		text, err := url.PathUnescape(got[i])
		if err != nil {
			return nil, false
		}
		if name, ok := strings.CutPrefix(segment, "{"); ok {
			p[strings.TrimSuffix(name, "}")] = text
		} else if !strings.EqualFold(segment, text) {
			return nil, false
		}
	}
	if location, given := p[paramLocation]; given {
		p[paramLocation] = jit.Location(location)
	}
	return p, true
}

// check refuses parameters that cannot be what they are called. What passes can
// stand in an id, in a header and in a storage key.
func (p params) check() error {
	if !jit.ValidGUID(p[paramSubscription]) {
		return &jit.Error{Code: wire.CodeInvalidSubscription, Target: paramSubscription, Message: "the subscription id is not a GUID"}
	}
	for _, name := range []string{paramGroup, paramLocation, paramName} {
		value, given := p[name]
		if !given {
			continue
		}
		group, resource := "any", value
		if name == paramGroup {
			group, resource = value, "any"
		}
		if _, err := jit.ParseID("/subscriptions/" + p[paramSubscription] + "/resourceGroups/" + group + "/providers/any/any/" + resource); err != nil {
			return &jit.Error{Code: jit.CodeInvalidID, Target: name, Message: fmt.Sprintf("%s is empty, too long or holds a character that Azure Resource Manager does not allow", name)}
		}
	}
	return nil
}

// checkVersion refuses all but the api-versions that are spoken here. The codes
// are Resource Manager's; that it answers so for this type is not verified.
func checkVersion(q url.Values) error {
	v, ok := query.Fold(q, "api-version")
	if !ok {
		return &jit.Error{Code: wire.CodeMissingVersion, Target: "api-version", Message: "the api-version query parameter (?api-version=) is required for all requests; send " + Versions[0]}
	}
	if !slices.ContainsFunc(Versions, func(known string) bool { return strings.EqualFold(known, v) }) {
		return &jit.Error{Code: wire.CodeInvalidVersion, Target: "api-version", Message: fmt.Sprintf("the api-version %.50q is not known here; the supported versions are %s", v, strings.Join(Versions, ", "))}
	}
	return nil
}

// pageSize is how many policies one page of a list holds.
const pageSize = 50

// skipToken is the query parameter that says where a page begins.
const skipToken = "$skipToken"

// nextPage gives the absolute link to the next page, which clients follow as it
// is, with their token.
//
// The host is the one that the client called, by which the platform's front end has
// found this app (see package arrival), and the scheme is X-Forwarded-Proto, which the Functions host sets. A
// client that forges Host misleads nobody but itself, because answers are never
// cached (Cache-Control: no-store).
func nextPage(r *http.Request, after string) string {
	if after == "" {
		return ""
	}
	q := url.Values{}
	for key, values := range r.URL.Query() {
		if !strings.EqualFold(key, skipToken) {
			q[key] = values
		}
	}
	q.Set(skipToken, base64.RawURLEncoding.EncodeToString([]byte(after)))
	next := url.URL{Scheme: arrival.Scheme(r), Host: r.Host, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: q.Encode()}
	return next.String()
}

// pageStart reads where a page begins: after which policy, none for the first page.
func pageStart(q url.Values) (store.PolicyName, error) {
	token, ok := query.Fold(q, skipToken)
	if !ok {
		return store.PolicyName{}, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(token)
	after, ok := store.ParsePolicyName(string(text))
	if err != nil || !ok || len(text) > 1000 {
		return after, &jit.Error{Code: query.CodeInvalid, Target: skipToken, Message: "the $skipToken is not one that a nextLink held; read the list from its beginning"}
	}
	return after, nil
}

// ParsePolicyName reads the id of a named policy in a body.
func ParsePolicyName(id string) (store.PolicyName, error) {
	bad := &jit.Error{Code: jit.CodeInvalidID, Target: "id", Message: "this is not the id of a just-in-time policy"}
	path, err := url.Parse("/api" + id)
	if err != nil || wire.AmbiguousPath(path) {
		return store.PolicyName{}, bad
	}
	at, ok := matchPath(root+"/{subscriptionId}"+typePolicy, path)
	if !ok {
		return store.PolicyName{}, bad
	}
	return at.policy(), at.check()
}

// Canonical writes the beginning of a path to the compatible face as the mux has it.
func Canonical(r *http.Request) *http.Request {
	n := len(root)
	begins := func(path string) bool {
		return len(path) >= n && strings.EqualFold(path[:n], root) && (len(path) == n || path[n] == '/')
	}
	if !begins(r.URL.Path) || strings.HasPrefix(r.URL.Path, root) {
		return r
	}
	if r.URL.RawPath != "" && !begins(r.URL.RawPath) {
		return r // letters in percent signs: nobody writes that
	}
	u := *r.URL
	u.Path = root + u.Path[n:]
	if u.RawPath != "" {
		u.RawPath = root + u.RawPath[n:]
	}
	r = r.Clone(r.Context())
	r.URL = &u
	return r
}
