package rbac

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azarm "github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"

	"portcullis/core/jit"
	"portcullis/core/parallel"
	"portcullis/core/permit"
	"portcullis/infra/arm"
)

var _ permit.Authority = (*Authority)(nil)

// Life is how long a permitting answer of ARM is cached, and so how long a removed right may still work.
const Life = time.Minute

// RefusalLife is how long a refusing answer of ARM is cached, and so how long a new right may not work yet. People
// try at once after getting a role.
const RefusalLife = 5 * time.Second

// ForbiddenLife is how long it is cached that the app itself may not read role assignments.
const ForbiddenLife = 10 * time.Second

// timeout bounds one read from ARM, including all of its pages and the SDK's retries.
const timeout = 30 * time.Second

// Bounds on the cache: entries, and their total bytes.
const (
	maxCallers, maxCallerBytes = 4096, 8 << 20
	maxRoles, maxRoleBytes     = 1024, 4 << 20
	maxDenials, maxDenialBytes = 256, 8 << 20
)

// Config configures access to a Resource Manager.
type Config struct {
	arm.Connection
	// Tenants are those whose tokens are accepted. If there are several, a token acts only in subscriptions of its own.
	Tenants []string
	// Now is the clock by which cached answers expire; nil is time.Now.
	Now func() time.Time
}

// Authority is the adapter. It is safe for concurrent use.
type Authority struct {
	cred    azcore.TokenCredential
	options azarm.ClientOptions

	callers *cache[[]assignment]    // by caller and subscription
	denied  *cache[map[string]bool] // the same
	roles   *cache[[]permission]    // by subscription and name
	denials *cache[[]denial]        // by subscription
	homes   *cache[string]          // tenants, by subscription
	several bool                    // tokens of several tenants are accepted

	mu   sync.Mutex
	subs map[string]*clients // by subscription, in lower case
}

// New returns an authority that calls ARM with cred. It makes no call.
func New(cred azcore.TokenCredential, cfg Config) (*Authority, error) {
	if cred == nil {
		return nil, errors.New("new rbac authority: no credential")
	}
	o, err := cfg.ClientOptions()
	if err != nil {
		return nil, fmt.Errorf("new rbac authority: %w", err)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Authority{
		cred: cred, options: o, subs: map[string]*clients{},
		callers: newCache[[]assignment](maxCallers, maxCallerBytes, cfg.Now),
		denied:  newCache[map[string]bool](maxCallers, maxCallerBytes, cfg.Now),
		roles:   newCache[[]permission](maxRoles, maxRoleBytes, cfg.Now),
		denials: newCache[[]denial](maxDenials, maxDenialBytes, cfg.Now),
		homes:   newCache[string](maxDenials, maxDenialBytes, cfg.Now), several: len(cfg.Tenants) > 1,
	}, nil
}

// Missing implements [permit.Authority]. A caller whose id is not "tid/oid" with two GUIDs or who is of another tenant
// than the subscription, and a scope outside of subscriptions, have no permissions. The error is [store.ErrForbidden]
// if the app's own identity may not read role assignments, and *[store.Unavailable] if ARM does not answer.
func (a *Authority) Missing(ctx context.Context, who jit.Caller, id string, actions ...string) (string, error) {
	if len(actions) == 0 || slices.Contains(actions, "") {
		return "", errors.New("no action to look for")
	}
	at, ok := parseScope(id)
	caller := lower(who.ID)
	oid, identified := objectID(caller)
	if !ok || !identified || at.subscription() == "" {
		return actions[0], nil
	}
	tenant, _, _ := strings.Cut(caller, "/")
	if ok, err := a.native(ctx, tenant, at.subscription()); !ok || err != nil {
		return actions[0], err
	}
	oldest, refused := lives{Life, Life}, ""
	for {
		r, err := a.rights(ctx, caller, oid, at, oldest)
		if err != nil && refused != "" && ctx.Err() == nil {
			return refused, nil // the cached answer refuses, and that still holds if it cannot be refreshed
		}
		if err != nil {
			return "", err
		}
		refused = r.missing(at, actions)
		younger := oldest.after(r, at, refused)
		if refused == "" || younger == oldest {
			return refused, nil
		}
		oldest = younger
	}
}

// lives is how old cached answers may be: those that grant, and those that deny.
type lives struct{ grants, denials time.Duration }

// after returns how old the answers behind a refusal may be: they are read again if they are older than
// [RefusalLife].
func (l lives) after(r rights, at scope, refused string) lives {
	if refused == "" {
		return l
	}
	action := lower(refused)
	if r.denies(at, action) {
		l.denials = RefusalLife
	}
	if !r.grants(at, action) {
		l.grants = RefusalLife
	}
	return l
}

// objectID returns the object id in a caller's id, which is in lower case.
func objectID(caller string) (string, bool) {
	tid, oid, _ := strings.Cut(caller, "/")
	return oid, jit.ValidGUID(tid) && jit.ValidGUID(oid)
}

// rights returns what applies to the caller at the scope, from answers no older than stated.
func (a *Authority) rights(ctx context.Context, caller, oid string, at scope, oldest lives) (rights, error) {
	sub := at.subscription()
	c, err := a.subscription(sub)
	if err != nil {
		return rights{}, err
	}
	key := caller + " " + sub
	var held []assignment
	var denials []denial
	err = sideBySide(
		func() (err error) {
			held, err = a.callers.get(ctx, key, oldest.grants, func(ctx context.Context) ([]assignment, int, error) { return c.held(ctx, oid) })
			return err
		},
		func() (err error) {
			denials, err = a.denials.get(ctx, sub, oldest.denials, c.denials)
			return err
		})
	if err != nil {
		return rights{}, err
	}
	r := rights{roles: map[string][]permission{}}
	for _, g := range held {
		if g.scope.covers(at) {
			r.assignments = append(r.assignments, g)
			r.roles[g.role] = nil
		}
	}
	denials = slices.DeleteFunc(slices.Clone(denials), func(d denial) bool { return !d.covers(at) })
	var assigned map[string]bool
	err = sideBySide(
		func() error { return a.define(ctx, c, sub, r.roles, oldest.grants) },
		func() (err error) {
			if !slices.ContainsFunc(denials, func(d denial) bool { return d.others(oid) }) {
				return nil // the caller's groups do not matter
			}
			assigned, err = a.denied.get(ctx, key, oldest.denials, func(ctx context.Context) (map[string]bool, int, error) { return c.denied(ctx, oid) })
			return err
		})
	if err != nil {
		return rights{}, err
	}
	r.denials = slices.DeleteFunc(denials, func(d denial) bool { return !d.applies(oid, assigned) })
	return r, nil
}

// define reads the definitions of the roles.
func (a *Authority) define(ctx context.Context, c *clients, sub string, roles map[string][]permission, oldest time.Duration) error {
	var mu sync.Mutex
	var reads []func() error
	for name := range roles {
		reads = append(reads, func() error {
			permissions, err := a.roles.get(ctx, sub+" "+name, oldest, func(ctx context.Context) ([]permission, int, error) { return c.role(ctx, name) })
			mu.Lock()
			defer mu.Unlock()
			roles[name] = permissions
			return err
		})
	}
	return sideBySide(reads...)
}

// sideBySide runs all concurrently, up to the width of [parallel.Each], and joins the errors.
func sideBySide(all ...func() error) error {
	return parallel.Each(all, func(_ int, f func() error) error { return f() })
}
