package lockdown

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"portcullis/core/area"
	"portcullis/core/jit"
	"portcullis/core/store"
)

// Standing is a hold as a caller may see it.
type Standing struct {
	store.Hold      // without who and why for who may not lift it
	MayLift    bool // the caller may
}

// Standing returns the holds that stand and that the caller may see, oldest first: those that he may lift, his own, and those of a scope in which he
// may read something. Of a hold of another person only those know who may lift it.
func (s *Service) Standing(ctx context.Context, who jit.Caller) ([]Standing, error) {
	set, err := s.Asker.Look(ctx)
	if err != nil {
		return nil, err
	}
	out := []Standing{}
	for _, h := range set.Holds {
		view, sees, err := s.view(ctx, who, h)
		if err != nil {
			return nil, err
		}
		if sees {
			out = append(out, view)
		}
	}
	return out, nil
}

// view returns a hold as the caller sees it, and whether he does.
func (s *Service) view(ctx context.Context, who jit.Caller, h store.Hold) (Standing, bool, error) {
	err := s.may(ctx, who, h.Scope)
	if err == nil {
		return Standing{h, true}, true, nil
	}
	if jit.Refused(err) == nil {
		return Standing{}, false, err
	}
	h.By, h.Actor, h.Reason = "", jit.Actor{}, ""
	sees, err := s.sees(ctx, who, h.Scope)
	return Standing{Hold: h}, sees, err
}

func (s *Service) sees(ctx context.Context, who jit.Caller, scope area.Scope) (bool, error) {
	switch {
	case who.ID == "":
		return false, nil
	case scope.Person != "":
		return scope.Covers(who.ID, jit.ID{}), nil
	case scope.Everything:
		for _, sub := range s.Subscriptions {
			if sees, err := s.Sees(ctx, who, "/subscriptions/"+sub, store.PolicyFilter{Subscription: sub}); sees || err != nil {
				return sees, err
			}
		}
		return false, nil
	case !scope.VM.IsZero():
		return s.Permit.Reads(ctx, who, scope.Azure())
	}
	return s.Sees(ctx, who, scope.Azure(), store.PolicyFilter{Subscription: scope.Subscription, ResourceGroup: scope.ResourceGroup})
}

// Lift lifts a hold, for those who may set it, and returns it as it was. The log comes first: what cannot be logged stays held. Who may
// not see it is told that there is none. A refusal is logged, but for a dry run's, which writes nothing.
func (s *Service) Lift(ctx context.Context, who jit.Caller, id, reason string, dryRun bool) (store.Hold, error) {
	h, reason, err := s.mayLift(ctx, who, id, reason)
	if refused := jit.Refused(err); refused != nil && refused.Code != CodeHoldNotFound && !dryRun {
		err = s.Refusals.Tell(ctx, store.EntryBy(who, store.OpLift).Asked("", reason), nil, err)
	}
	if err != nil || dryRun {
		return h, err
	}
	e := store.EntryBy(who, store.OpLift).Asked("", reason)
	e.ID, e.Time, e.Result, e.VM = "lift/"+id, s.now(), store.Succeeded, h.Scope.VM
	e.Message = fmt.Sprintf("%s is not locked down any more: it was since %s, by %s (%s)", h.Scope, h.At.UTC().Format("2006-01-02T15:04:05Z"), h.By, h.Reason)
	if err := s.Activity.Append(ctx, e); err != nil {
		return store.Hold{}, fmt.Errorf("write the activity log: %w", err)
	}
	for range store.Attempts {
		set, err := s.Asker.Look(ctx)
		if err != nil {
			return store.Hold{}, err
		}
		i := slices.IndexFunc(set.Holds, func(h store.Hold) bool { return h.ID == id })
		if i < 0 {
			return h, nil // somebody else has just lifted it
		}
		set.Holds = slices.Delete(set.Holds, i, i+1)
		if err := s.replace(ctx, set); !errors.Is(err, store.ErrConflict) {
			return h, err
		}
	}
	return store.Hold{}, busy()
}

// mayLift returns a hold that the caller may lift, and why he does.
func (s *Service) mayLift(ctx context.Context, who jit.Caller, id, reason string) (store.Hold, string, error) {
	reason, err := area.Reason(reason)
	if err != nil {
		return store.Hold{}, "", err
	}
	set, err := s.Asker.Look(ctx)
	if err != nil {
		return store.Hold{}, reason, err
	}
	missing := &jit.Error{Code: CodeHoldNotFound, Target: "id", Message: "there is no hold with this id; it may have been lifted"}
	i := slices.IndexFunc(set.Holds, func(h store.Hold) bool { return h.ID == id })
	if i < 0 {
		return store.Hold{}, reason, missing
	}
	view, sees, err := s.view(ctx, who, set.Holds[i])
	switch {
	case err != nil:
		return store.Hold{}, reason, err
	case view.MayLift:
		return view.Hold, reason, nil
	case !sees:
		return store.Hold{}, reason, missing
	}
	return store.Hold{}, reason, s.may(ctx, who, view.Scope)
}
