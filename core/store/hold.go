package store

import (
	"context"
	"errors"
	"time"

	"portcullis/core/area"
	"portcullis/core/jit"
)

// ErrHeldAnew: holds were set or lifted since the writer asked for them. Ask again before the write is tried again.
var ErrHeldAnew = errors.New("the holds have changed")

// Hold keeps new windows in a scope from opening until it is lifted.
type Hold struct {
	ID     string // a UUID: that of the lock-down that set it
	Scope  area.Scope
	By     string // the name of who set it
	Actor  jit.Actor
	Reason string
	At     time.Time
}

// HoldSet is the holds that stand at a moment.
type HoldSet struct {
	Version string // names this set and no other, also after tables were put back; see [GrantRecord.Decided]
	Holds   []Hold // in the order in which they were set, at most MaxHolds
}

// MaxHolds bounds how many holds stand together.
const MaxHolds = 100

// Lockdown is a lock-down as it was ordered. It stands until it is dropped, so that whoever completes it knows what is left to close.
type Lockdown struct {
	ID          string // a UUID
	Scope       area.Scope
	By          string // the name of who ordered it
	Actor       jit.Actor
	Correlation string
	Reason      string
	At          time.Time
	Hold        string   // the id of the hold that it set or found, which may be lifted since; "" for none
	Grants      []string // ids of the grants with something open in its scope, at most MaxLockedDown
	Found       int      // how many there were
	Logged      bool     // the activity log has its entry
}

// Ordered returns the lock-down that has set a hold, as far as the hold knows it.
func (h Hold) Ordered() Lockdown {
	return Lockdown{ID: h.ID, Scope: h.Scope, By: h.By, Actor: h.Actor, Reason: h.Reason, At: h.At, Hold: h.ID}
}

// caller returns who has ordered it.
func (l Lockdown) caller() jit.Caller {
	return jit.Caller{ID: l.Actor.Tenant + "/" + l.Actor.Object, Name: l.By, Correlation: l.Correlation, Kind: l.Actor.Kind, Client: l.Actor.Client, SignIn: l.Actor.SignIn, Address: l.Actor.Address}
}

// Mark returns a grant with its windows in the scope marked to close, with who has ordered that, and whether there were any.
func (l Lockdown) Mark(g GrantRecord, now time.Time) (GrantRecord, bool) {
	next, found := l.Scope.LockDown(g.Grant, now)
	if !found {
		return g, false
	}
	g.Grant = next
	return g.Intend(l.caller(), OpRevoke, Succeeded, "locked down: "+l.Reason, now), true
}

// Entry returns the entry of the activity log. It is the same whoever makes it, and the log takes it once.
func (l Lockdown) Entry() Entry {
	e := EntryBy(l.caller(), OpLockdown).Asked("", l.Reason)
	e.ID, e.Time, e.Since, e.Result, e.VM = "lockdown/"+l.ID, l.At, l.At, Succeeded, l.Scope.VM
	e.Message = l.Scope.String() + " is locked down"
	if l.Hold != "" {
		e.Message += ", and nothing may open there until that is lifted"
	}
	return e
}

// MaxLockedDown bounds the grants that a stored lock-down names. All of them are closed; of those beyond it is not told how far it is.
const MaxLockedDown = 10_000

// Holds stores holds and lock-downs.
type Holds interface {
	// Holds returns the holds that stand now.
	Holds(ctx context.Context) (HoldSet, error)
	// PutHolds replaces the set of that Version, and returns the new one: from then on no write that was decided by an older set takes effect.
	// ErrConflict if another set stands.
	PutHolds(ctx context.Context, set HoldSet) (HoldSet, error)
	// PutLockdown stores a lock-down, over what stands of it.
	PutLockdown(ctx context.Context, l Lockdown) error
	// Lockdowns returns the lock-downs that are stored, oldest first by their ids, and the holds that stand.
	Lockdowns(ctx context.Context) (HoldSet, []Lockdown, error)
	// DropLockdown removes a lock-down. It holds nothing and lifts nothing.
	DropLockdown(ctx context.Context, id string) error
}
