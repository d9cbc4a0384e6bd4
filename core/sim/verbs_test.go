package sim_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"portcullis/core/access"
	"portcullis/core/jit"
	"portcullis/core/store"
)

// asked is a request that somebody may send again.
type asked struct {
	request jit.Request
	key     string
}

func (r *run) any() *app { return r.apps[r.pick(len(r.apps))] }

func caller(name string) jit.Caller { return jit.Caller{Name: name, Correlation: "sim"} }

var (
	sourcePool = [][]string{{"203.0.113.7"}, {"203.0.113.8"}, {"203.0.113.0/24"}, {"198.51.100.5"}, {"203.0.113.7", "2001:db8::7"}, {"2001:db8::/64"}, {"*"}, {"203.0.113.7"}}
	users      = []string{"ann", "bob"}
)

func sources(list ...string) jit.Sources {
	s, err := jit.ParseSources(list...)
	if err != nil {
		panic("the caller has introduced a bug: " + err.Error())
	}
	return s
}

// someVMs returns one to three protected machines.
func (r *run) someVMs() []jit.ID {
	var out []jit.ID
	for range 1 + r.pick(3) {
		id := vmID(protected[r.pick(len(protected))])
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

// verb starts a verb on an instance.
func (r *run) verb() {
	if len(r.standing()) > 0 && r.chance(25) {
		r.lift(r.any())
		return
	}
	if r.glass && r.chance(12) {
		r.review(r.any())
		return
	}
	if r.later && r.chance(8) && r.outage() {
		return
	}
	if r.chance(25) && r.decide(r.any()) {
		return
	}
	switch n := r.pick(100); {
	case n < 40:
		r.request(r.any(), r.newRequest())
	case n < 48 && len(r.asked) > 0:
		r.request(r.any(), r.asked[r.pick(len(r.asked))]) // a retried POST
	case n < 53:
		q := r.newRequest() // a double click
		r.request(r.any(), q)
		r.request(r.any(), q)
	case n < 65:
		r.revoke(r.any())
	case n < 75:
		r.extend(r.any())
	case n < 83:
		r.enable(r.any(), r.someVMs(), r.chance(20))
	case n < 87:
		r.disable(r.any(), r.someVMs())
	case n < 91:
		r.stale(r.any())
	case n < 97:
		r.lockdown(r.any())
	default:
		r.sweep(r.any())
	}
}

func (r *run) newRequest() asked {
	who := users[r.pick(len(users))]
	q := jit.Request{RequestorID: "sim/" + who, Requestor: who, Justification: "work"}
	pool := sourcePool
	if r.demands {
		pool = piecePool
	}
	from := sources(pool[r.pick(len(pool))]...)
	length := time.Duration(1+r.pick(40)) * time.Minute
	for _, vm := range r.someVMs() {
		ports := []jit.RequestPort{{Number: 22, Duration: length, Sources: from}}
		switch n := r.pick(10); {
		case n < 2: // with other values than the first port
			ports = append(ports, jit.RequestPort{Number: 3389, Duration: time.Duration(1+r.pick(40)) * time.Minute, Sources: sources(pool[r.pick(len(pool))]...)})
		case n < 4: // with the same values
			ports = append(ports, jit.RequestPort{Number: 3389, Duration: length, Sources: from})
		}
		q.VMs = append(q.VMs, jit.RequestVM{VM: vm, Ports: ports})
	}
	if r.later {
		q.Opens = r.someStart()
	}
	if r.glass {
		q.BreakGlass = r.brokenGlass()
	}
	a := asked{request: q}
	if r.chance(40) {
		a.key = fmt.Sprint("key-", len(r.asked))
	}
	r.asked = append(r.asked, a)
	return a
}

func (r *run) request(a *app, q asked) {
	var got store.GrantRecord
	o := r.begin(a, "request", func(ctx context.Context) (err error) {
		checked, err := r.validated(ctx, a, q)
		if err != nil {
			return err
		}
		got, _, err = a.Request(ctx, caller(q.request.Requestor), checked, q.key)
		if err == nil && got.Grant.Status() == jit.Initiating { // also one that was sent before
			got, err = a.Open(ctx, caller(q.request.Requestor), got)
		}
		return err
	})
	r.note("  %s asks %s with key %q", q.request.Requestor, lazy(func() string { return requestText(q.request) }), q.key)
	o.after = func(o *op) {
		if o.err != nil {
			r.owes(o.err)
			r.refused(o, store.OpRequest, q.request.Requestor)
			return
		}
		l := r.table.grants[got.Grant.ID]
		if got.Grant.BreakGlass != jit.NoBreakGlass {
			r.seen.Broken++
		}
		if got.Grant.Status() == jit.Initiated && (l == nil || !l.opened) {
			r.violate("I8", "%s was told that grant %s is open, and it never was", o.name, got.Grant.ID)
		}
	}
}

func requestText(q jit.Request) string {
	var out []string
	for _, vm := range q.VMs {
		for _, p := range vm.Ports {
			out = append(out, fmt.Sprintf("%s:%d from %s for %s", vm.VM.Name, p.Number, p.Sources, p.Duration))
		}
	}
	return strings.Join(out, "; ")
}

// refused is I5 for refusals: those of a request or an extension are in the log. A key used for something else,
// and a request that is already being handled, concern a grant that has its entries.
func (r *run) refused(o *op, operation store.Operation, who string) {
	bad, ok := errors.AsType[*jit.Error](o.err)
	if ok {
		r.seen.Refused++
	}
	if !ok || errors.Is(o.err, errInjected) || bad.Code == access.CodeKeyReused || bad.Code == store.CodeConcurrent {
		return
	}
	for _, e := range r.table.told {
		if e.Operation == operation && e.Result != store.Succeeded && e.Requestor == who && !e.Time.Before(o.began.Add(-skewMax)) {
			return
		}
		if e.Operation == store.OpOpen && e.Result == store.Failed && e.Requestor == who && !e.Time.Before(o.began.Add(-skewMax)) {
			return // it was stored first, and then refused by the firewall
		}
	}
	if _, down := errors.AsType[*store.Unavailable](o.err); down {
		return
	}
	r.violate("I5", "the log does not tell that %s was refused: %v", o.name, o.err)
}

// someGrant returns a grant that exists or existed, more likely a newer one.
func (r *run) someGrant() (string, *ledger) {
	ids := slices.Sorted(maps.Keys(r.table.grants))
	if len(ids) == 0 {
		return "", nil
	}
	i := len(ids) - 1
	if r.chance(60) {
		i -= min(r.pick(len(ids)), r.pick(len(ids)))
	}
	return ids[i], r.table.grants[ids[i]]
}

// regret revokes a grant while the write that opens it waits.
func (r *run) regret() {
	calls := r.waiting()
	i := slices.IndexFunc(calls, func(c *call) bool { return c.step.Op == "Apply" && !c.step.After })
	ids := slices.Sorted(maps.Keys(r.table.grants))
	if i < 0 || len(ids) == 0 || len(r.flying) > 5 {
		return
	}
	id := ids[len(ids)-1]
	if l := r.table.grants[id]; l.rec.Grant.Status() == jit.Initiating && r.chance(50) {
		a := r.any()
		r.starved, r.favored, r.patience = calls[i], a.name+" ", 60
		r.close(a, id, l)
		r.check()
	}
}

func (r *run) revoke(a *app) {
	if id, l := r.someGrant(); l != nil {
		r.close(a, id, l)
	}
}

func (r *run) close(a *app, id string, l *ledger) {
	r.revoked[id] = true
	var got store.GrantRecord
	o := r.begin(a, "revoke", func(ctx context.Context) (err error) {
		got, err = a.Revoke(ctx, caller("ann"), id)
		return err
	})
	r.note("  of %s", id)
	o.after = func(o *op) {
		if o.err == nil && len(got.Intents) > 0 {
			return // it was told that the log lags, and that the grant still closes (decision 029)
		}
		if o.err == nil && !got.Grant.Closed() {
			r.violate("I8", "%s ended well, and grant %s is not closed: %s", o.name, id, grantText(got.Grant))
		}
		if o.err == nil && !l.lost && !l.rec.Grant.Closed() {
			r.violate("I8", "%s was told that grant %s is closed, and it is not: %s", o.name, id, grantText(l.rec.Grant))
		}
	}
}

func (r *run) extend(a *app) {
	id, l := r.someGrant()
	if l == nil {
		return
	}
	length := time.Duration(1+r.pick(60)) * time.Minute
	o := r.begin(a, "extend", func(ctx context.Context) error {
		_, err := a.Extend(ctx, caller("bob"), id, length, time.Time{})
		return err
	})
	r.note("  %s to %s", id, length)
	o.after = func(o *op) {
		if bad, ok := errors.AsType[*jit.Error](o.err); ok && bad.Code != access.CodeRequestNotFound {
			r.refused(o, store.OpExtend, "bob")
		}
	}
}

func (r *run) enable(a *app, vms []jit.ID, dry bool) {
	var ps []jit.Policy
	for _, vm := range vms {
		p := jit.Policy{VM: vm}
		protocol, maximum := jit.TCP, time.Hour
		if r.chance(25) {
			protocol, maximum = jit.AnyProtocol, 40*time.Minute
		}
		p.Ports = append(p.Ports, jit.PortRule{Number: 22, Protocol: protocol, Sources: jit.AnySource(), Maximum: maximum})
		if r.chance(60) {
			from := jit.AnySource()
			if r.chance(20) {
				from = sources("203.0.113.0/24", "2001:db8::/32")
			}
			p.Ports = append(p.Ports, jit.PortRule{Number: 3389, Protocol: jit.TCP, Sources: from, Maximum: 30 * time.Minute})
		}
		if r.chance(15) {
			p.ExistingRules = jit.Respect
		}
		switch n := r.pick(12); {
		case n < 2:
			p.Options = &jit.Options{Approvers: 1 + r.pick(3)/2}
		case n < 4:
			p.Options = &jit.Options{}
		}
		ps = append(ps, p)
	}
	o := r.begin(a, "enable", func(ctx context.Context) error {
		checked, err := jit.ValidatePolicies(ps)
		if err != nil {
			return err
		}
		_, _, err = a.Enable(ctx, caller("admin"), checked, dry)
		return err
	})
	o.after = func(o *op) {
		for _, vm := range vms {
			if rec, ok := r.table.policies[vm.Name]; ok && o.err == nil && !dry && r.table.putBy[vm.Name] == o.name {
				r.guarded[vm.Name] = rec.Version
				r.assure(vm.Name)
				r.withinPolicy(vm)
			}
		}
	}
}

func (r *run) disable(a *app, vms []jit.ID) {
	for _, vm := range vms {
		r.disabled[vm.Name] = true
	}
	r.begin(a, "disable", func(ctx context.Context) error { _, err := a.Disable(ctx, caller("admin"), vms); return err })
	r.note("  %v", lazy(func() string { return fmt.Sprint(vms) }))
}

// stale delivers a wake-up that nobody scheduled: a replay, or one of another generation.
func (r *run) stale(a *app) {
	id, l := r.someGrant()
	if l == nil {
		return
	}
	generation := max(1, l.rec.Grant.Generation-r.pick(2))
	r.begin(a, "stale", func(ctx context.Context) error { return a.Wake(ctx, id, generation) })
	r.note("  %s generation %d", id, generation)
}

// wake delivers what is due.
func (r *run) wake() bool {
	now := time.Now()
	if r.skewed {
		now = now.Add(time.Duration(r.pick(121)-60) * time.Second)
	}
	w, ok := r.bus.due(now)
	if !ok {
		return false
	}
	if r.lossy && r.chance(30) {
		r.note("BUS loses %v", w)
		return true
	}
	r.seen.Wakes++
	for range 1 + min(1, r.pick(5)/4) {
		a := r.any()
		o := r.begin(a, "wake", func(ctx context.Context) error { return a.Wake(ctx, w.Grant, w.Generation) })
		r.note("  %s generation %d", w.Grant, w.Generation)
		o.after = func(o *op) {
			if o.err != nil {
				if r.chance(80) {
					r.bus.again(w)
				}
				return
			}
			r.heeded(o, w)
		}
	}
	return true
}

// heeded is I1 without delay: if nothing fails, a wake-up handled without an error has closed what was over when
// it arrived.
func (r *run) heeded(o *op, w store.Wake) {
	l := r.table.grants[w.Grant]
	if l == nil || l.lost || r.faults || r.foreign || r.churn || r.skewed || len(r.flying) > 0 || r.bus.handedOn(w.Grant) {
		return // somebody else may be closing it, or has scheduled another wake-up
	}
	for _, vm := range l.rec.Grant.VMs {
		for _, p := range vm.Ports {
			if p.Status != jit.Revoked && !o.began.Before(p.End) {
				r.violate("I1", "%s came at the end of %s:%d of grant %s and did not close it", o.name, vm.VM.Name, p.Number, w.Grant)
			}
		}
	}
}
