package rbac_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"portcullis/core/jit"
	"portcullis/core/permit"
	"portcullis/infra/arm/armtest"
	"portcullis/infra/rbac"
	"portcullis/local/armsim"
)

const (
	tenant = "00000000-0000-0000-0000-00000000d1d0"
	ann    = "00000000-0000-0000-0000-00000000aaaa"
	bob    = "00000000-0000-0000-0000-00000000bbbb"
	team   = "00000000-0000-0000-0000-00000000cccc"
	unit   = "00000000-0000-0000-0000-00000000dddd"
	sub    = "11111111-1111-1111-1111-11111111abcd"
	other  = "22222222-2222-2222-2222-22222222abcd"

	root  = "/"
	corp  = "/providers/Microsoft.Management/managementGroups/corp"
	inSub = "/subscriptions/" + sub
	demo  = inSub + "/resourceGroups/demo"
	web   = demo + "/providers/Microsoft.Compute/virtualMachines/web"

	read     = permit.ActionRead
	write    = permit.ActionWrite
	initiate = permit.ActionInitiate
	readVM   = permit.ActionReadVM
)

func caller(oid string) jit.Caller {
	return jit.Caller{ID: tenant + "/" + oid, Name: "ann@example.com"}
}

// clock stands still until it is advanced.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// authority returns the adapter for a loopback server, without retries.
func authority(t *testing.T, server *httptest.Server, c *clock) *rbac.Authority {
	t.Helper()
	cfg := rbac.Config{Connection: armtest.Connection(server), Now: c.Now}
	cfg.Options.Retry.MaxRetries = -1
	a, err := rbac.New(armtest.Credential("app"), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// rig is the adapter in front of the Resource Manager stand-in.
type rig struct {
	*rbac.Authority
	t     *testing.T
	arm   *armsim.Server
	clock *clock
	made  int
}

func newRig(t *testing.T) *rig {
	t.Helper()
	c := &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	server, h := armtest.Serve(t, armsim.Config{Now: c.Now, Groups: map[string][]string{ann: {team}, team: {unit}}}, nil)
	return &rig{Authority: authority(t, h, c), t: t, arm: server, clock: c}
}

type object = armtest.Object

func (r *rig) put(scope, kind, name string, properties object) string {
	r.t.Helper()
	text, err := json.Marshal(object{"properties": properties})
	if err != nil {
		r.t.Fatal(err)
	}
	id := strings.TrimSuffix(scope, "/") + "/providers/Microsoft.Authorization/" + kind + "/" + name
	if err := r.arm.Put(id, text); err != nil {
		r.t.Fatal(err)
	}
	return id
}

func (r *rig) next() string {
	r.made++
	return fmt.Sprintf("33333333-3333-3333-3333-%012d", r.made)
}

// grant is a role assignment with a role of its own.
type grant struct {
	at      string // "" for the subscription
	to      string // "" for ann
	actions []string
	not     []string
	more    []object // further permissions of the role
	cond    any      // condition
	role    string   // id of the definition, if it is not the role's own
}

// role stores a definition that can be assigned everywhere, and returns its id.
func (r *rig) role(permissions ...object) string {
	name := r.next()
	r.put(root, "roleDefinitions", name, object{"roleName": name, "type": "CustomRole", "assignableScopes": []string{"/"}, "permissions": permissions})
	return inSub + "/providers/Microsoft.Authorization/roleDefinitions/" + name
}

func (r *rig) grant(g grant) (assignment, definition string) {
	r.t.Helper()
	id := g.role
	if id == "" {
		id = r.role(append([]object{{"actions": g.actions, "notActions": g.not}}, g.more...)...)
	}
	return r.put(or(g.at, inSub), "roleAssignments", r.next(), object{"principalId": or(g.to, ann), "roleDefinitionId": id, "condition": g.cond}), id
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// deny is a deny assignment.
type deny struct {
	at      string // "" for the subscription
	to      []object
	except  []object
	actions []string
	not     []string
	cond    any
	exact   bool
}

func who(oid string) object { return object{"id": oid, "type": "User"} }

// all is the principal that stands for everybody.
func all() object {
	return object{"id": "00000000-0000-0000-0000-000000000000", "type": "SystemDefined", "displayName": "All Principals"}
}

func (r *rig) deny(d deny) (id string) {
	r.t.Helper()
	return r.put(or(d.at, inSub), "denyAssignments", r.next(), object{
		"denyAssignmentName": "d", "principals": d.to, "excludePrincipals": d.except, "doNotApplyToChildScopes": d.exact,
		"permissions": []object{{"actions": d.actions, "notActions": d.not, "condition": d.cond}},
	})
}

// missing calls the adapter, and fails the test on an error.
func (r *rig) missing(oid, at string, actions ...string) string {
	r.t.Helper()
	got, err := r.Missing(r.t.Context(), caller(oid), at, actions...)
	if err != nil {
		r.t.Fatal(err)
	}
	return got
}

// calls returns the calls that ARM received since the last time, by what they read, sorted.
func (r *rig) calls() []string {
	var out []string
	for _, c := range r.arm.Requests() {
		_, kind, _ := strings.Cut(c.Path, "/providers/Microsoft.Authorization/")
		kind, _, _ = strings.Cut(kind, "/")
		out = append(out, kind)
	}
	r.arm.Reset()
	slices.Sort(out)
	return out
}

// answering is an ARM that answers every call with f.
func answering(t *testing.T, c *clock, f http.HandlerFunc) *rbac.Authority {
	h := httptest.NewServer(f)
	t.Cleanup(h.Close)
	return authority(t, h, c)
}
