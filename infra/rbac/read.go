package rbac

import (
	"context"
	"errors"
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/authorization/armauthorization/v2"

	"portcullis/core/jit"
	"portcullis/infra/arm"
)

// Bounds of one list. A subscription holds at most 4000 role assignments and a management group 500, as Azure
// documents; above the bounds nothing is permitted.
const (
	maxPages = 200
	maxItems = 20000
)

var errTooMany = errors.New("more assignments than can be judged")

// clients are the SDK's clients for one subscription.
type clients struct {
	sub         string
	assignments *armauthorization.RoleAssignmentsClient
	definitions *armauthorization.RoleDefinitionsClient
	deny        *armauthorization.DenyAssignmentsClient
}

// subscription returns the clients for a subscription, created on first use.
func (a *Authority) subscription(id string) (*clients, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c, ok := a.subs[id]; ok {
		return c, nil
	}
	f, err := armauthorization.NewClientFactory(id, a.cred, &a.options)
	if err != nil {
		return nil, fmt.Errorf("make clients for subscription %s: %w", id, err)
	}
	if len(a.subs) >= maxDenials { // callers choose the ids, so this map must be bounded
		clear(a.subs)
	}
	c := &clients{id, f.NewRoleAssignmentsClient(), f.NewRoleDefinitionsClient(), f.NewDenyAssignmentsClient()}
	a.subs[id] = c
	return c, nil
}

// assignedTo returns the filter for assignments to an object id and to its groups. An object id is a GUID, so it
// cannot contain a quote.
func assignedTo(oid string) *string {
	filter := "assignedTo('" + oid + "')"
	return &filter
}

// held reads the role assignments of the object id. A subscription that does not exist grants nothing.
func (c *clients) held(ctx context.Context, oid string) ([]assignment, int, error) {
	var out []assignment
	size := 512
	pager := c.assignments.NewListForSubscriptionPager(&armauthorization.RoleAssignmentsClientListForSubscriptionOptions{Filter: assignedTo(oid)})
	doing := "list the role assignments of a caller in subscription " + c.sub
	err := all(ctx, doing, pager, func(page armauthorization.RoleAssignmentsClientListForSubscriptionResponse) (int, error) {
		for _, a := range page.Value {
			if g, ok := toAssignment(a); ok {
				out = append(out, g)
				size += 128 + g.scope.size()
			}
		}
		return len(page.Value), nil
	})
	return out, size, err
}

// denied reads the ids, in lower case, of the deny assignments of the object id.
func (c *clients) denied(ctx context.Context, oid string) (map[string]bool, int, error) {
	out := map[string]bool{}
	size := 512
	pager := c.deny.NewListPager(&armauthorization.DenyAssignmentsClientListOptions{Filter: assignedTo(oid)})
	doing := "list the deny assignments of a caller in subscription " + c.sub
	err := all(ctx, doing, pager, func(page armauthorization.DenyAssignmentsClientListResponse) (int, error) {
		for _, d := range page.Value {
			if d != nil {
				id := lower(arm.Value(d.ID))
				out[id] = true
				size += 64 + len(id)
			}
		}
		return len(page.Value), nil
	})
	return out, size, err
}

// denials reads every deny assignment that applies to the subscription.
func (c *clients) denials(ctx context.Context) ([]denial, int, error) {
	var out []denial
	size := 128
	err := all(ctx, "list the deny assignments of subscription "+c.sub, c.deny.NewListPager(nil), func(page armauthorization.DenyAssignmentsClientListResponse) (int, error) {
		for _, raw := range page.Value {
			d, err := toDenial(raw)
			if err != nil {
				return 0, err
			}
			out = append(out, d)
			size += d.size()
		}
		return len(page.Value), nil
	})
	return out, size, err
}

// role reads the permissions of a definition; none if it does not exist.
func (c *clients) role(ctx context.Context, name string) ([]permission, int, error) {
	res, err := c.definitions.Get(ctx, "subscriptions/"+c.sub, name, nil)
	if notFound(err) {
		return nil, 64, nil
	}
	if err != nil {
		return nil, 0, translate("read the role definition "+name, err)
	}
	var out []permission
	if res.Properties != nil {
		for _, p := range res.Properties.Permissions {
			if p != nil {
				out = append(out, permission{texts(p.Actions, ""), texts(p.NotActions, "*")})
			}
		}
	}
	return out, 64 + sizeOf(out), nil
}

// all reads every page of a list; add returns how many items a page has. A list that does not exist is empty.
func all[P any](ctx context.Context, doing string, pager *runtime.Pager[P], add func(P) (int, error)) error {
	items := 0
	for pages := 0; pager.More(); pages++ {
		page, err := pager.NextPage(ctx)
		if pages == 0 && notFound(err) {
			return nil
		}
		if err != nil {
			return translate(doing, err)
		}
		n, err := add(page)
		if items += n; err == nil && (items > maxItems || pages >= maxPages) {
			err = errTooMany
		}
		if err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
	}
	return nil
}

// toAssignment returns an assignment if it can grant something.
func toAssignment(a *armauthorization.RoleAssignment) (assignment, bool) {
	if a == nil || a.Properties == nil || arm.Value(a.Properties.Condition) != "" {
		return assignment{}, false
	}
	at, ok := parseScope(arm.Value(a.Properties.Scope))
	name, known := roleName(arm.Value(a.Properties.RoleDefinitionID))
	return assignment{at, name}, ok && known
}

// roleName returns the name of the definition with the id. It is the same at every scope.
func roleName(id string) (string, bool) {
	const path = "/providers/microsoft.authorization/roledefinitions/"
	id = lower(id)
	if len(id) < len(path)+36 {
		return "", false
	}
	cut := len(id) - 36
	return id[cut:], id[cut-len(path):cut] == path && jit.ValidGUID(id[cut:])
}

// everybody is the object id of the principal that stands for all principals.
const everybody = "00000000-0000-0000-0000-000000000000"

// toDenial parses a deny assignment. What it leaves open counts as denied.
func toDenial(raw *armauthorization.DenyAssignment) (denial, error) {
	if raw == nil || raw.Properties == nil {
		return denial{}, errors.New("a deny assignment without properties")
	}
	p := raw.Properties
	d := denial{id: lower(arm.Value(raw.ID)), exact: arm.Value(p.DoNotApplyToChildScopes), everybody: len(p.Principals) == 0}
	at, ok := parseScope(arm.Value(p.Scope))
	d.scope, d.everywhere = at, !ok
	for _, who := range p.Principals {
		if who == nil || lower(arm.Value(who.Type)) == "systemdefined" || arm.Value(who.ID) == "" || arm.Value(who.ID) == everybody {
			d.everybody = true
			continue
		}
		d.principals = append(d.principals, lower(arm.Value(who.ID)))
	}
	for _, who := range p.ExcludePrincipals {
		if who != nil && arm.Value(who.ID) != "" {
			d.excluded = append(d.excluded, lower(arm.Value(who.ID)))
		}
	}
	for _, q := range p.Permissions {
		if q != nil {
			d.denied = append(d.denied, permission{texts(q.Actions, "*"), texts(q.NotActions, "")})
		}
	}
	return d, nil
}

func (d denial) size() int {
	n := 128 + len(d.id) + d.scope.size() + sizeOf(d.denied)
	for _, list := range [][]string{d.principals, d.excluded} {
		for _, id := range list {
			n += 16 + len(id)
		}
	}
	return n
}

func sizeOf(permissions []permission) int {
	n := 0
	for _, p := range permissions {
		n += 64
		for _, list := range [][]string{p.actions, p.notActions} {
			for _, action := range list {
				n += 16 + len(action)
			}
		}
	}
	return n
}

// texts returns a list in lower case, with a replacement for null.
func texts(list []*string, null string) []string {
	var out []string
	for _, s := range list {
		if s == nil {
			s = &null
		}
		out = append(out, lower(*s))
	}
	return out
}
