package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/google/uuid"
)

// maxPages bounds a list; more than that is not judged.
const maxPages = 200

// everybody is the principal of a deny assignment that stands for all.
const everybody = "00000000-0000-0000-0000-000000000000"

// grant is a role or deny assignment: what it is at and whom it names.
type grant struct {
	id, scope string
	names     []string
}

func (g grant) any(ids ...string) bool {
	return slices.ContainsFunc(g.names, func(id string) bool { return slices.Contains(ids, id) })
}

// assigned compares what assignedTo() finds for the caller with the whole list. It only reads.
func (l *live) assigned(ctx context.Context) error {
	oid, groups, err := l.caller(ctx)
	if err != nil {
		l.skip("assignedTo()", err.Error())
		return nil
	}
	for _, kind := range []string{"roleAssignments", "denyAssignments"} {
		every, err := l.grants(ctx, kind, "")
		if err == nil {
			var found []grant
			if found, err = l.grants(ctx, kind, "assignedTo('"+oid+"')"); err == nil {
				l.compare(kind, oid, groups, every, found)
				continue
			}
		}
		var refused refusal
		if !errors.As(err, &refused) {
			return err
		}
		l.skip(kind+" by assignedTo()", refused.Error())
	}
	return nil
}

// compare notes how many of those that bear on the caller were found. Whose are the groups is known from the token alone.
func (l *live) compare(kind, oid string, groups []string, every, found []grant) {
	share := func(fact, none string, keep func(grant) bool) {
		all, seen := 0, 0
		for _, g := range every {
			if !keep(g) {
				continue
			}
			all++
			if slices.ContainsFunc(found, func(f grant) bool { return f.id == g.id }) {
				seen++
			}
		}
		if all == 0 {
			l.skip(fact, none)
			return
		}
		l.note(fact, fmt.Sprintf("%d of %d", all, all), fmt.Sprintf("%d of %d", seen, all))
	}
	subscription := strings.ToLower(l.subscription) + "/"
	mine := append([]string{oid}, groups...)
	none := "there is none"
	share(kind+" by assignedTo(): to the caller itself", none, func(g grant) bool { return g.any(oid) })
	if len(groups) == 0 {
		l.skip("  to groups of the caller", "the token names no groups")
	} else {
		share("  to groups of the caller", none, func(g grant) bool { return g.any(groups...) && !g.any(oid) })
	}
	share("  of these, below the subscription", none, func(g grant) bool {
		return g.any(mine...) && strings.HasPrefix(strings.ToLower(g.scope), subscription)
	})
	strangers := 0
	for _, g := range found {
		if !g.any(append(mine, everybody)...) {
			strangers++
		}
	}
	fact := "  to others: none, if the token names all groups"
	if len(groups) == 0 {
		l.note(fact, "", fmt.Sprint(strangers))
	} else {
		l.note(fact, "0", fmt.Sprint(strangers))
	}
	if kind == "denyAssignments" {
		l.toEverybody(found, every)
	}
}

// toEverybody notes how many of those that stand for all were found.
func (l *live) toEverybody(found, every []grant) {
	count := func(list []grant) (n int) {
		for _, g := range list {
			if g.any(everybody) {
				n++
			}
		}
		return n
	}
	if all := count(every); all > 0 {
		l.note("  to everybody", "", fmt.Sprintf("%d of %d", count(found), all))
		return
	}
	l.skip("  to everybody", "there is none")
}

// caller reads object id and groups from the token that Resource Manager is called with. It is our own, so that its
// signature says nothing to us.
func (l *live) caller(ctx context.Context) (oid string, groups []string, err error) {
	token, err := l.cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{l.in.Services[cloud.ResourceManager].Audience + "/.default"}})
	if err != nil {
		return "", nil, fmt.Errorf("no token: %w", err)
	}
	var claims struct {
		OID    string   `json:"oid"`
		Groups []string `json:"groups"`
	}
	if parts := strings.Split(token.Token, "."); len(parts) == 3 {
		if text, err := base64.RawURLEncoding.DecodeString(parts[1]); err == nil && json.Unmarshal(text, &claims) != nil {
			claims.OID = ""
		}
	}
	if uuid.Validate(claims.OID) != nil || len(claims.OID) != len(everybody) {
		return "", nil, errors.New("the token names no object id")
	}
	for _, id := range claims.Groups {
		groups = append(groups, strings.ToLower(id))
	}
	return strings.ToLower(claims.OID), groups, nil
}

// refusal is an answer that says no.
type refusal struct{ answer }

func (r refusal) Error() string { return r.String() }

// grants reads every page of a list at the subscription.
func (l *live) grants(ctx context.Context, kind, filter string) ([]grant, error) {
	next := l.subscription + "/providers/Microsoft.Authorization/" + kind + "?api-version=2022-04-01"
	if filter != "" {
		next += "&$filter=" + url.QueryEscape(filter)
	}
	var out []grant
	for range maxPages {
		a, err := l.call(ctx, http.MethodGet, next, nil, nil)
		if err != nil {
			return nil, err
		}
		if a.status != http.StatusOK {
			return nil, refusal{a}
		}
		value, _ := a.doc["value"].([]any)
		for _, raw := range value {
			out = append(out, toGrant(raw))
		}
		if next = a.text("nextLink"); next == "" {
			return out, nil
		}
	}
	return nil, fmt.Errorf("%s: more than %d pages", kind, maxPages)
}

// toGrant reads whom an assignment names: one principal of a role, any number of a deny assignment.
func toGrant(raw any) grant {
	doc, _ := raw.(map[string]any)
	a := answer{doc: doc}
	g := grant{id: strings.ToLower(a.text("id")), scope: a.text("properties", "scope")}
	if id := a.text("properties", "principalId"); id != "" {
		g.names = append(g.names, strings.ToLower(id))
	}
	properties, _ := doc["properties"].(map[string]any)
	principals, _ := properties["principals"].([]any)
	for _, raw := range principals {
		if p, _ := raw.(map[string]any); p != nil {
			id, _ := p["id"].(string)
			g.names = append(g.names, strings.ToLower(id))
		}
	}
	return g
}
