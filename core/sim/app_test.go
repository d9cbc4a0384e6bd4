package sim_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"portcullis/core"
	"portcullis/core/access"
	"portcullis/core/coretest"
	"portcullis/core/defender"
	"portcullis/core/jit"
	"portcullis/core/lockdown"
	"portcullis/core/network"
	"portcullis/core/pending"
	"portcullis/core/plan"
	"portcullis/core/protect"
	"portcullis/core/round"
	"portcullis/core/store"
	"portcullis/core/sweep"
)

var (
	errCrashed   = errors.New("this instance is dead")
	errInjected  = errors.New("an injected fault")
	errThrottled = errors.New("429 TooManyRequests")
)

// app is one instance of the service: a process that shares only the stores with others. Once it is dead, every
// call of a port fails, so its goroutines end.
type app struct {
	*access.Service
	*protect.Protection
	*round.Rounds
	*sweep.Sweeper
	*defender.Named
	lock *lockdown.Service
	*pending.Approvals
	desk *pending.Desk
	run  *run
	name string
	skew time.Duration
	died chan struct{}
}

// call is one call of a port that waits for the scheduler.
type call struct {
	app    *app
	op     string
	step   coretest.Step
	resume chan error
}

func (c *call) key() string {
	return fmt.Sprintf("%s %s %s %s %v", c.app.name, c.op, c.step.Op, c.step.Of, c.step.After)
}

// String returns a short form: only the end of ids.
func (c *call) String() string {
	of := c.step.Of[strings.LastIndex(c.step.Of, "/")+1:]
	after := ""
	if c.step.After {
		after = " (after)"
	}
	return c.app.name + ": " + c.op + " " + c.step.Op + " " + of[max(0, len(of)-12):] + after
}

func (r *run) newApp(name string) *app {
	a := &app{run: r, name: name, died: make(chan struct{})}
	if r.skewed {
		a.skew = time.Duration(r.rng.IntN(121)-60) * time.Second
	}
	store := tables{Faulty: &coretest.Faulty{Store: r.table, Fault: a.stop}, app: a}
	ports := port{a}
	rooms := core.New(core.Ports{
		Network: ports, Kinds: network.KindsOf(network.SecurityGroups(only{ports, jit.TypeNSG}), network.AzureFirewalls(only{ports, jit.TypeFirewall})), Policies: store, Grants: store, Keys: store, History: store, Targets: store,
		Activity: store, Holds: store, Sweeps: store, Reviews: store, BreakGlass: glassMost, Alarm: ports, Subscriptions: []string{sub, other}, Floor: r.floor(), Authority: everybody{}, Wait: 30 * time.Minute, Ahead: furthest,
		Now: func() time.Time { return time.Now().Add(a.skew) }, NewID: r.newID,
		Stream: a.streamer(store),
	})
	a.Service, a.Protection, a.Rounds, a.Sweeper, a.Named = rooms.Verbs, rooms.Protection, rooms.Rounds, rooms.Sweeper, rooms.Named
	a.lock = rooms.Lockdown
	a.Approvals, a.desk = rooms.Approvals, rooms.Desk
	return a
}

// floor is what the installation demands of every request.
func (r *run) floor() jit.Options {
	if r.demands {
		return demand
	}
	return jit.Options{}
}

func (a *app) dead() bool {
	select {
	case <-a.died:
		return true
	default:
		return false
	}
}

type opKey struct{}

// opOf returns the verb that a call belongs to; a round's calls belong to the verb that began it.
func opOf(ctx context.Context) string {
	name, _ := ctx.Value(opKey{}).(string)
	return name
}

// turn names a call for the scheduler. Which of several waiters begins a round depends on Go's scheduler, so a
// round's calls, recognised by their deadline, have no verb's name.
func turn(ctx context.Context, op string) string {
	if _, bounded := ctx.Deadline(); bounded && (op == "Rules" || op == "State" || op == "Apply" || op == "Append" || op == "Remember" || op == "Confirm") {
		return "round"
	}
	return opOf(ctx)
}

// tables is the table as one instance sees it.
type tables struct {
	*coretest.Faulty
	app *app
}

// Append names its subject, which coretest's does not.
func (s tables) Append(ctx context.Context, entries ...store.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	step := coretest.Step{Op: "Append", Of: entries[0].ID}
	if err := s.app.stop(ctx, step); err != nil {
		return err
	}
	if err := s.Store.Append(ctx, entries...); err != nil {
		return err
	}
	step.After = true
	return s.app.stop(ctx, step)
}

// stop holds a call until the scheduler admits it, and returns the fault chosen for it. Reads stop only before
// they take effect, since anything that could happen between their effect and their response could also happen
// before the next call.
func (a *app) stop(ctx context.Context, s coretest.Step) error {
	if s.After && !writes(s.Op) {
		return nil
	}
	if a.dead() {
		return errCrashed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	c := &call{app: a, op: turn(ctx, s.Op), step: s, resume: make(chan error, 1)}
	a.run.park(c)
	select {
	case err := <-c.resume:
		return err
	case <-a.died:
		a.run.leave(c)
		return errCrashed
	case <-ctx.Done():
		a.run.leave(c)
		return ctx.Err()
	}
}

func writes(op string) bool {
	switch op {
	case "Apply", "PutPolicy", "DeletePolicy", "PutNamed", "DropNamed", "PutListed", "DropListed", "InsertGrant", "UpdateGrants", "Append", "PutSweep", "Schedule", "Forget", "Remember", "Confirm", "PutHolds", "PutLockdown", "DropLockdown", "WriteReview", "DropReview", "PutStream", "Send":
		return true
	}
	return false
}

// await waits for an event in Azure.
func (a *app) await(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-a.died:
		return errCrashed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// port is the firewall, the network and the alarm as one instance sees them.
type port struct{ *app }

func (p port) Rules(ctx context.Context, _ network.Priority, target jit.ID) (network.Snapshot, error) {
	if err := p.stop(ctx, coretest.Step{Op: "Rules", Of: target.Name}); err != nil {
		return network.Snapshot{}, err
	}
	if err := p.run.azure.settled(ctx, p.app, target.Name); err != nil {
		return network.Snapshot{}, err
	}
	return p.run.azure.read(target)
}

func (p port) All(ctx context.Context, _ network.Priority, subscription string) ([]network.Snapshot, error) {
	if err := p.stop(ctx, coretest.Step{Op: "All", Of: subscription}); err != nil {
		return nil, err
	}
	return p.run.azure.list(subscription), nil
}

// only is the port for one kind of target.
type only struct {
	port
	kind string
}

func (o only) All(ctx context.Context, p network.Priority, subscription string) ([]network.Snapshot, error) {
	list, err := o.port.All(ctx, p, subscription)
	return slices.DeleteFunc(list, func(s network.Snapshot) bool { return s.Target.Type != o.kind }), err
}

func (p port) Apply(ctx context.Context, _ network.Priority, s network.Snapshot, c plan.Changes) (network.Snapshot, error) {
	if c.Empty() && !s.Unconfirmed {
		return s, nil
	}
	if err := p.stop(ctx, coretest.Step{Op: "Apply", Of: s.Target.Name}); err != nil {
		return network.Snapshot{}, err
	}
	w, err := p.run.azure.accept(s, c, p.run.supersede)
	if errors.Is(err, errInvalid) {
		p.run.violate("I2", "%s sent a body that ARM refuses: %v", p.name, err)
	}
	if err != nil {
		p.run.seen.Conflicts++
		p.run.note("  ARM to %s: %v", p.name, err)
		return network.Snapshot{}, err
	}
	p.run.note("  ARM accepts a PUT of %s by %s: %s", s.Target.Name, p.name, lazy(func() string { return changesText(c) }))
	p.run.reopens(s.Target, c)
	p.run.made(p.app, s.Target, c)
	p.run.mended(opOf(ctx), s.Target, c)
	if err := p.await(ctx, w.done); err != nil {
		if errors.Is(err, errCrashed) {
			return network.Snapshot{}, err
		}
		return network.Snapshot{}, fmt.Errorf("%w: %w", store.ErrConflict, err)
	}
	if w.err != nil {
		return network.Snapshot{}, w.err
	}
	if err := p.stop(ctx, coretest.Step{Op: "Apply", Of: s.Target.Name, After: true}); err != nil {
		if !errors.Is(err, errCrashed) {
			err = fmt.Errorf("%w, its reply was lost: %w", store.ErrConflict, err)
		}
		return network.Snapshot{}, err
	}
	return w.answer, nil
}

func changesText(c plan.Changes) string {
	var out []string
	for i, rules := range [][]jit.Rule{c.Create, c.Update, c.Delete} {
		for _, r := range rules {
			out = append(out, fmt.Sprintf("%c%d:%s", "+~-"[i], r.Priority, r.Name))
		}
	}
	return strings.Join(out, " ")
}

func (p port) Machines(ctx context.Context, subscription string) ([]network.Machine, error) {
	if err := p.stop(ctx, coretest.Step{Op: "Machines", Of: subscription}); err != nil {
		return nil, err
	}
	z := p.run.azure
	z.mu.Lock()
	defer z.mu.Unlock()
	var out []network.Machine
	for _, m := range z.machines() {
		if !m.gone && m.id.Subscription == subscription {
			out = append(out, m.known(z))
		}
	}
	return out, nil
}

func (p port) Locate(ctx context.Context, vms []jit.ID) (map[string]network.Machine, error) {
	if err := p.stop(ctx, coretest.Step{Op: "Locate"}); err != nil {
		return nil, err
	}
	z := p.run.azure
	z.mu.Lock()
	defer z.mu.Unlock()
	out := map[string]network.Machine{}
	for _, vm := range vms {
		if m := z.vms[vm.Name]; m != nil && !m.gone {
			out[vm.Key()] = m.known(z)
		}
	}
	return out, nil
}

func (p port) Schedule(ctx context.Context, wakes ...store.Wake) error {
	if len(wakes) == 0 {
		return nil
	}
	step := coretest.Step{Op: "Schedule", Of: wakes[0].Grant}
	if err := p.stop(ctx, step); err != nil {
		return err
	}
	p.run.bus.add(wakes)
	step.After = true
	return p.stop(ctx, step)
}

// newID returns version 7 UUIDs that are the same in every run.
func (r *run) newID() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids++
	var id uuid.UUID
	ms := uint64(time.Now().UnixMilli())
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	id[6], id[8] = 0x70, 0x80
	id[12], id[13], id[14], id[15] = byte(r.ids>>24), byte(r.ids>>16), byte(r.ids>>8), byte(r.ids)
	return id.String()
}
