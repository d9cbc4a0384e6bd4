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

// Life is how long an answer of ARM is remembered that permits, and so how long it may take
// until a right that was taken away is missed here.
const Life = time.Minute

// RefusalLife is how long an answer of ARM is remembered that refuses, and so how long it may take
// until a right that was given is seen here. Who was just given a role asks at once.
const RefusalLife = 5 * time.Second

// ForbiddenLife is how long it is remembered that ARM lets the app itself not ask.
const ForbiddenLife = 10 * time.Second

// timeout bounds one read from ARM, all of its pages and the SDK's retries included.
const timeout = 30 * time.Second

// What may be remembered: answers, and the bytes that they take in all.
const (
	maxCallers, maxCallerBytes = 4096, 8 << 20
	maxRoles, maxRoleBytes     = 1024, 4 << 20
	maxDenials, maxDenialBytes = 256, 8 << 20
)

// Config says which Resource Manager to speak to and how.
type Config struct {
	arm.Connection
	// Tenants are those whose tokens are accepted. Where they are several, a token may do something in subscriptions of its own alone.
	Tenants []string
	// Now is the clock by which answers grow old; nil is time.Now.
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

// New gives an authority that asks ARM as cred. It asks nothing yet.
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

// Missing implements [permit.Authority]. A caller whose id is not "tid/oid" with two GUIDs
// and a scope outside of subscriptions have no permissions, nor has who is of another tenant than the subscription. The error is
// [store.ErrForbidden] where the app's own identity may not read role assignments, and
// *[store.Unavailable] where ARM does not answer.
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
			return refused, nil // what is remembered refuses, and no less for not being asked again
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

// lives says how old what is remembered may be: of what grants, and of what denies.
type lives struct{ grants, denials time.Duration }

// after gives how old the answers may be once they refuse: those that the refusal
// comes from are asked for again where they are older than [RefusalLife].
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

// objectID gives the object id of a caller's id, which is in lower case.
func objectID(caller string) (string, bool) {
	tid, oid, _ := strings.Cut(caller, "/")
	return oid, jit.ValidGUID(tid) && jit.ValidGUID(oid)
}

// rights gives what bears on the caller at the scope, from answers that are not older than said.
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
				return nil // whose groups the caller is in says nothing
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

// sideBySide does all at the same time, as far as the width of [parallel.Each] goes, and joins the errors.
func sideBySide(all ...func() error) error {
	return parallel.Each(all, func(_ int, f func() error) error { return f() })
}
