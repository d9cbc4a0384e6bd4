package rbac_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/infra/arm/armtest"
	"portcullis/infra/rbac"
)

const elsewhere = "00000000-0000-0000-0000-00000000e15e" // another tenant

// newHomes is the adapter of an installation that accepts tokens of some tenants, before Resource Manager's answers of which tenant subscriptions
// are: a tenant's GUID, or a status. It counts how often that is read.
func newHomes(t *testing.T, accepted []string, homes map[string]string) (*rig, *int) {
	t.Helper()
	r := newRig(t)
	asked := 0
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		id, rest, _ := strings.Cut(strings.TrimPrefix(req.URL.Path, "/subscriptions/"), "/")
		if rest != "" {
			r.arm.ServeHTTP(w, req)
			return
		}
		asked++
		switch home := homes[id]; {
		case jit.ValidGUID(home) || home == "none":
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprintf(w, `{"id":"/subscriptions/%s","tenantId":%q}`, id, strings.ToUpper(home))
		case home == "503":
			w.WriteHeader(http.StatusServiceUnavailable)
		case home == "403":
			w.WriteHeader(http.StatusForbidden)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(h.Close)
	cfg := rbac.Config{Connection: armtest.Connection(h), Tenants: accepted, Now: r.clock.Now}
	cfg.Options.Retry.MaxRetries = -1
	a, err := rbac.New(armtest.Credential("app"), cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.Authority = a
	return r, &asked
}

// TestTenantOfTheSubscription: where tokens of several tenants are accepted, one may do something in subscriptions of its own tenant alone,
// whatever role assignments name its object id. A tenant that cannot be read is not guessed: nobody may do anything.
func TestTenantOfTheSubscription(t *testing.T) {
	both := []string{elsewhere, tenant}
	for name, tc := range map[string]struct {
		home    string
		from    string
		refused bool
		err     error
	}{
		"another tenant's token":        {home: tenant, from: elsewhere, refused: true},
		"a subscription of another":     {home: elsewhere, from: tenant, refused: true},
		"a subscription of a third":     {home: "00000000-0000-0000-0000-000000000003", from: tenant, refused: true},
		"not to be seen":                {home: "404", from: tenant, err: store.ErrForbidden},
		"not to be read":                {home: "403", from: tenant, err: store.ErrForbidden},
		"Resource Manager is down":      {home: "503", from: tenant, err: errDown},
		"an answer that names none":     {home: "none", from: tenant, err: errAny},
		"its own":                       {home: tenant, from: tenant},
		"the other's own":               {home: elsewhere, from: elsewhere},
		"a guest, whose token is of it": {home: tenant, from: tenant},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := newHomes(t, both, map[string]string{sub: tc.home})
			r.grant(grant{actions: list("*")}) // to ann's object id
			missing, err := r.Missing(t.Context(), jit.Caller{ID: tc.from + "/" + ann}, web, write)
			down, _ := errors.AsType[*store.Unavailable](err)
			switch {
			case tc.err == errDown && down == nil, tc.err == errAny && err == nil, tc.err == store.ErrForbidden && !errors.Is(err, store.ErrForbidden):
				t.Errorf("missing %q, %v", missing, err)
			case tc.err == nil && (err != nil || (missing != "") != tc.refused):
				t.Errorf("missing %q, %v", missing, err)
			}
		})
	}
}

var errDown, errAny = errors.New("down"), errors.New("any")

// TestTenantCalls: a subscription's tenant is read once a minute for all callers, and not at all where tokens of one tenant are accepted.
func TestTenantCalls(t *testing.T) {
	for name, tc := range map[string]struct {
		accepted []string
		want     int
	}{"one tenant": {[]string{tenant}, 0}, "two tenants": {[]string{elsewhere, tenant}, 1}} {
		r, asked := newHomes(t, tc.accepted, map[string]string{sub: tenant})
		r.grant(grant{actions: list("*")})
		for range 3 {
			r.missing(ann, web, write)
			r.missing(bob, web, write)
		}
		if *asked != tc.want {
			t.Errorf("%s: asked %d times, want %d", name, *asked, tc.want)
		}
		r.clock.advance(rbac.Life)
		r.missing(ann, web, write)
		if *asked != 2*tc.want {
			t.Errorf("%s: a minute later asked %d times, want %d", name, *asked, 2*tc.want)
		}
	}
}
