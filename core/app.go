// Package core puts its rooms together: [New] makes of the ports what the doors call.
package core

import (
	"cmp"
	"context"
	"time"

	"portcullis/core/access"
	"portcullis/core/admission"
	"portcullis/core/defender"
	"portcullis/core/doctor"
	"portcullis/core/gather"
	"portcullis/core/glass"
	"portcullis/core/guard"
	"portcullis/core/hold"
	"portcullis/core/inventory"
	"portcullis/core/jit"
	"portcullis/core/limit"
	"portcullis/core/lockdown"
	"portcullis/core/network"
	"portcullis/core/pending"
	"portcullis/core/permit"
	"portcullis/core/protect"
	"portcullis/core/refusal"
	"portcullis/core/round"
	"portcullis/core/seen"
	"portcullis/core/store"
	"portcullis/core/stream"
	"portcullis/core/sweep"
	"portcullis/core/tell"
)

// Ports are what core needs from outside. Every field must be set, but for Reviews, BreakGlass, Floor, Quota, CloseLost and LeaveRemoved, for Authority where
// nobody asks what a caller may do, for Doctor where nobody asks for it, and for Courier and Stream.
type Ports struct {
	Network       network.Network
	Kinds         network.Kinds // see [network.KindsOf]
	Policies      store.Policies
	Grants        store.Grants
	Keys          store.KeyStore
	History       store.History
	Targets       store.Targets
	Alarm         store.Alarm
	Activity      store.Activity
	Sweeps        store.Sweeps
	Holds         store.Holds
	Reviews       store.Reviews // of break-glass; nil where nobody may break the glass
	BreakGlass    time.Duration // how long a window of break-glass lasts at most; 0 where nobody may break the glass
	Authority     permit.Authority
	Subscriptions network.Subscriptions // those that the sweep looks at
	Doctor        doctor.Outside        // what only the doctor needs
	Floor         jit.Options           // what this installation demands of every request, whatever the policies do
	CloseLost     bool                  // the sweep closes windows whose owner has lost the right to ask for them
	LeaveRemoved  bool                  // an allow that others have removed is not put back once: its window closes
	Wait          time.Duration         // how long a request waits for approval; 0: [jit.DefaultWait]
	Ahead         time.Duration         // how far ahead a request may begin; 0: at once alone
	Quota         limit.Quota           // what one requestor may have of one target; the zero value is no bound
	Now           func() time.Time
	NewID         func() string  // a new UUID each time, in the order of time (version 7)
	Courier       *tell.Courier  // tells people what happens to windows; nil tells nobody
	Stream        *stream.Stream // sends the activity log out of the account; nil leaves it where it is
	// Panicked is told of a panic in background work, of what it was for, and the stack; nil tells nobody. What was left is the sweep's.
	Panicked func(of string, stack []byte)
	// Uncounted is told that the number of refusals could not be written to the activity log, which is tried again; nil tells nobody.
	Uncounted func(error)
	// TurnedAway is told of each call that was refused before it was looked at, and whether its caller had a valid token; nil tells nobody.
	TurnedAway func(identified bool)
}

// App is the rooms. What people and scripts may call is behind their permissions: Access, Approvals, Inventory, Named, of
// Sweeper SweepNow, of Doctor Look, and Lockdown. Rounds, Sweeper.Sweep and Doctor.Woken are for triggers, and so is Desk; Verbs and Protection, without permissions, are for tests.
type App struct {
	Access     *guard.Verbs
	Verbs      *access.Service
	Protection *protect.Protection
	Inventory  *inventory.Inventory
	Named      *defender.Named
	Sweeper    *sweep.Sweeper
	Rounds     *round.Rounds
	Doctor     *doctor.Doctor
	Refusals   *refusal.Log
	Approvals  *pending.Approvals
	Desk       *pending.Desk // goes on with what waits to be opened
	Courier    *tell.Courier // nil where nobody is told
	Lockdown   *lockdown.Service
	Admission  *admission.Lanes
	holds      *hold.Asker
	Floor      jit.Options // what this installation demands of every request
	Now        func() time.Time
}

// New puts the rooms together.
func New(p Ports) *App {
	p.Grants, p.Alarm = p.Courier.Grants(p.Grants), p.Courier.Alarm(p.Alarm)
	p.Targets = &gather.Targets{Targets: p.Targets}
	admins := &network.Admins{}
	refusals := &refusal.Log{Activity: p.Activity, Subscriptions: p.Subscriptions, Now: p.Now, NewID: p.NewID, Failed: p.Uncounted}
	lanes := lanesOf(&p, refusals)
	holds := &hold.Asker{Holds: p.Holds}
	may := &permit.Permit{Authority: p.Authority, Subscriptions: p.Subscriptions}
	rounds := &round.Rounds{Rules: &seen.Rules{Kinds: p.Kinds, Now: p.Now}, Kinds: p.Kinds, Targets: p.Targets, Grants: p.Grants, Alarm: p.Alarm, Activity: p.Activity, Now: p.Now, Panicked: p.Panicked, LeaveRemoved: p.LeaveRemoved}
	verbs := &access.Service{
		Rounds: rounds, Network: p.Network, Kinds: p.Kinds, Policies: p.Policies, Grants: p.Grants, Keys: p.Keys, Targets: p.Targets, Alarm: p.Alarm,
		Activity: p.Activity, Holds: holds, Refusals: refusals, Subscriptions: p.Subscriptions, Floor: p.Floor, Glass: p.glass(), Quota: p.Quota, Admins: admins, Now: p.Now, NewID: p.NewID,
		Wait: cmp.Or(p.Wait, jit.DefaultWait), Ahead: p.Ahead,
	}
	desk := deskOf(verbs, may)
	protection := &protect.Protection{
		Rounds: rounds, Network: p.Network, Kinds: p.Kinds, Policies: p.Policies, Grants: p.Grants, Alarm: p.Alarm, Activity: p.Activity,
		Refusals: refusals, Subscriptions: p.Subscriptions, Floor: p.Floor, Admins: admins, Now: p.Now, NewID: p.NewID,
	}
	doors := &guard.Verbs{Service: verbs, Protection: protection, Permit: may}
	looks := &inventory.Inventory{
		Permit: may, Network: p.Network, Kinds: p.Kinds, Rules: rounds.All, Policies: p.Policies, Grants: p.Grants, History: p.History,
		Activity: p.Activity, Sweeps: p.Sweeps, Subscriptions: p.Subscriptions, Floor: p.Floor, Now: p.Now,
	}
	doc := &doctor.Doctor{
		Outside: p.Doctor, Permit: may, Authority: p.Authority, Subscriptions: p.Subscriptions, Targets: p.Targets, Sweeps: p.Sweeps, Alarm: p.Alarm,
		Overdue: looks.Overdue, Now: p.Now, NewID: p.NewID,
	}
	noting := p.Courier.Noting(p.Activity)
	rounds.Activity = p.Courier.Noting(doc.Noting(p.Activity))
	app := &App{
		Access: doors, Verbs: verbs, Protection: protection, Rounds: rounds, Refusals: refusals, Admission: lanes, Floor: p.Floor, Now: p.Now, Courier: p.Courier,
		Inventory: looks, Doctor: doc, holds: holds,
		Approvals: &pending.Approvals{Desk: desk}, Desk: desk,
		Lockdown: &lockdown.Service{
			Permit: may, Rounds: rounds, Grants: p.Grants, Holds: p.Holds, Asker: holds, Activity: noting, Refusals: refusals, Subscriptions: p.Subscriptions, Sees: looks.SeesIn,
			Now: p.Now, NewID: p.NewID,
		},
		Named: &defender.Named{Guard: doors, Protection: protection, Permit: may, History: p.History},
		Sweeper: &sweep.Sweeper{
			Permit: may, Rounds: rounds, Network: p.Network, Kinds: p.Kinds, Policies: p.Policies, Grants: p.Grants, Keys: p.Keys, Targets: p.Targets, Alarm: p.Alarm,
			Activity: noting, Refusals: refusals, Sweeps: p.Sweeps, Holds: p.Holds, Subscriptions: p.Subscriptions, Floor: p.Floor, Admins: admins, CloseLost: p.CloseLost, Glass: p.glass(), Now: p.Now, NewID: p.NewID, Pending: desk,
		},
	}
	p.goesOut(app.Sweeper)
	return app
}

// goesOut has a sweep send what is to leave the app: messages, and the activity log.
func (p *Ports) goesOut(s *sweep.Sweeper) {
	if p.Courier != nil {
		s.Teller = p.Courier
	}
	if p.Stream != nil {
		s.Streamer = p.Stream
	}
}

// Ready reads what calls would have to wait for else: an instance that is about to serve calls it, and may serve though it fails.
func (a *App) Ready(ctx context.Context) error {
	_, err := a.holds.Look(ctx)
	return err
}

// deskOf gives the desk at which grants wait, to which their wake-ups come.
func deskOf(verbs *access.Service, may *permit.Permit) *pending.Desk {
	desk := &pending.Desk{Service: verbs, Permit: may}
	verbs.Rounds.Pending = desk.Due
	return desk
}

// glass returns the rule of break-glass.
func (p *Ports) glass() glass.Rule {
	return glass.Rule{Reviews: p.Reviews, Grants: p.Grants, Most: p.BreakGlass}
}

// lanesOf gives the lanes, which know whom the ports' authority permits something from now on.
func lanesOf(p *Ports, refusals *refusal.Log) *admission.Lanes {
	lanes := admission.New(p.Now, func(who jit.Caller) {
		if who.ID != "" {
			refusals.TurnedAway(who)
		}
		if p.TurnedAway != nil {
			p.TurnedAway(who.ID != "")
		}
	})
	if p.Authority != nil {
		p.Authority = lanes.Watch(p.Authority)
	}
	return lanes
}
