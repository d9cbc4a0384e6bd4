package wire

import (
	"portcullis/core/area"
	"portcullis/core/jit"
	"portcullis/core/lockdown"
	"portcullis/core/store"
	"portcullis/handlers/api"
)

// The bodies and answers of lock-downs.
type (
	// LockdownBody is the body of POST /api/lockdown.
	LockdownBody   api.LockdownBody
	LiftBody       = api.LiftBody
	LockdownAnswer = api.LockdownAnswer
	HoldsAnswer    = api.HoldsAnswer
	Hold           = api.Hold
)

// Order reads what is to be locked down.
func (b LockdownBody) Order() (lockdown.Order, error) {
	said := b.Scope
	if said == nil {
		said = &api.LockdownScope{}
	}
	scope, err := area.Parse(said.Person, said.VM, said.ResourceGroup, said.Subscription, said.Everything)
	if err != nil {
		return lockdown.Order{}, jit.Below(err, "scope")
	}
	reason, err := area.Reason(b.Reason)
	return lockdown.Order{Scope: scope, Reason: reason, Hold: b.Hold}, err
}

func toScope(s area.Scope) api.LockdownScope {
	out := api.LockdownScope{Person: s.Person, Everything: s.Everything}
	switch {
	case !s.VM.IsZero():
		out.VM = s.VM.String()
	case s.ResourceGroup != "":
		out.ResourceGroup = s.Azure()
	default:
		out.Subscription = s.Subscription
	}
	return out
}

// ToLockdown writes how far a lock-down is.
func ToLockdown(p lockdown.Progress) LockdownAnswer {
	out := LockdownAnswer{ID: p.ID, Scope: toScope(p.Scope), Reason: p.Reason, By: p.By, Started: Stamp(p.At), Hold: p.Hold, Held: p.Held, Found: p.Found, Marked: p.Marked, Closed: p.Closed,
		Untraced: p.Untraced, Failed: []api.LockdownFailure{}, Hidden: p.Hidden, Done: p.Done()}
	for _, f := range p.Failed {
		out.Failed = append(out.Failed, api.LockdownFailure{Request: f.Grant, Message: f.Reason})
	}
	return out
}

// ToLockdownPreview writes what a lock-down would close.
func ToLockdownPreview(p lockdown.Preview) LockdownAnswer {
	return LockdownAnswer{DryRun: true, Scope: toScope(p.Scope), Reason: p.Reason, Found: p.Found, Failed: []api.LockdownFailure{}, Targets: &p.Targets, Windows: ToEnded(p.Ends)}
}

// ToHold writes a hold.
func ToHold(h store.Hold, mayLift bool) Hold {
	return Hold{ID: h.ID, Scope: toScope(h.Scope), Since: Stamp(h.At), By: h.By, Reason: h.Reason, MayLift: mayLift}
}
