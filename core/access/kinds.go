package access

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"portcullis/core/jit"
	"portcullis/core/plan"
)

// CodeUnknownTarget: a target is of a kind that this installation does not know.
const CodeUnknownTarget jit.Code = "TargetNotSupported"

// Kind is one kind of target: where its rules stand, what they should be, and how
// long its platform takes. All that differs between kinds is in here. The zero value is
// no kind.
type Kind struct {
	Type     string // the ARM type of its targets, such as [jit.TypeNSG]
	Noun     string // what people call one, such as "network security group"
	Firewall Firewall
	Compute  func(plan.Input) plan.Plan
	// Maps says that a target takes connections at addresses of its own and sends them on, so
	// that every window needs a port there, and that it lets nothing in but for a window:
	// policies close nothing there.
	Maps bool
	// Round bounds one round on one target: far above what a read and a write take.
	// It may be more than a Functions host allows an invocation: no invocation has to wait for it.
	Round time.Duration
	// OpenWithin is how long an opening there may stay unconfirmed: two rounds and more, since
	// it may have to wait for one that is under way.
	OpenWithin time.Duration
}

// SecurityGroups is the kind of network security groups, whose writes take seconds.
func SecurityGroups(f Firewall) Kind {
	return Kind{Type: jit.TypeNSG, Noun: "network security group", Firewall: f, Compute: plan.Compute, Round: 2 * time.Minute, OpenWithin: jit.OpeningTimeout}
}

// Firewalls is the kind of Azure Firewalls, whose writes take minutes.
func Firewalls(f Firewall) Kind {
	return Kind{Type: jit.TypeFirewall, Noun: "firewall", Firewall: f, Compute: plan.Translate, Maps: true, Round: 10 * time.Minute, OpenWithin: 25 * time.Minute}
}

// KindsOf gives kinds as [Service.Kinds] holds them.
func KindsOf(kinds ...Kind) map[string]Kind {
	out := map[string]Kind{}
	for _, k := range kinds {
		out[strings.ToLower(k.Type)] = k
	}
	return out
}

// kind gives the kind of a target, or refuses: what is not known is neither opened nor
// taken for closed.
func (s *Service) kind(target jit.ID) (Kind, error) {
	k, ok := s.Kinds[strings.ToLower(target.Type)]
	if !ok {
		return Kind{}, &jit.Error{Code: CodeUnknownTarget, Target: target.String(), Message: target.Name + " is of the type " + target.Type + ", which this installation does not change"}
	}
	return k, nil
}

// noun gives what people call a target's kind.
func (s *Service) noun(target jit.ID) string {
	if k, err := s.kind(target); err == nil {
		return k.Noun
	}
	return "target"
}

// maps reports whether the target is of a kind that maps ports.
func (s *Service) maps(target jit.ID) bool {
	k, err := s.kind(target)
	return err == nil && k.Maps
}

// slowest gives the longest that f says of the kinds of the targets.
func (s *Service) slowest(targets []jit.ID, f func(Kind) time.Duration) time.Duration {
	var longest time.Duration
	for _, t := range targets {
		if k, err := s.kind(t); err == nil {
			longest = max(longest, f(k))
		}
	}
	return longest
}

// kinds gives the kinds in the order of their types.
func (s *Service) kinds() []Kind {
	var out []Kind
	for _, key := range slices.Sorted(maps.Keys(s.Kinds)) {
		out = append(out, s.Kinds[key])
	}
	return out
}

// all reads every target of every kind in a subscription, sorted. It is complete or an error.
func (s *Service) all(ctx context.Context, subscription string) ([]Snapshot, error) {
	var out []Snapshot
	for _, k := range s.kinds() {
		snaps, err := s.list(ctx, k, subscription)
		if err != nil {
			return nil, fmt.Errorf("list every %s: %w", k.Noun, err)
		}
		out = append(out, snaps...)
	}
	slices.SortFunc(out, func(a, b Snapshot) int { return strings.Compare(a.Target.Key(), b.Target.Key()) })
	return out, nil
}

// shown reads one target as it is shown at the moment, for who only looks: a write that is
// under way, which may take minutes, is not waited for where the kind maps.
func (s *Service) shown(ctx context.Context, target jit.ID) (Snapshot, error) {
	k, err := s.kind(target)
	if err != nil {
		return Snapshot{}, err
	}
	if !k.Maps {
		return s.read(ctx, target)
	}
	list, err := s.list(ctx, k, target.Subscription)
	if err != nil {
		return Snapshot{}, err
	}
	i := slices.IndexFunc(list, func(s Snapshot) bool { return s.Target.Equal(target) })
	if i < 0 {
		return Snapshot{}, fmt.Errorf("%s: %w", target.Name, ErrNotFound)
	}
	return list[i], nil
}
