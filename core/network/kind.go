package network

import (
	"maps"
	"slices"
	"strings"
	"time"

	"portcullis/core/jit"
	"portcullis/core/plan"
)

// CodeUnknownTarget: a target is of a kind that this installation does not know.
const CodeUnknownTarget jit.Code = "TargetNotSupported"

// TargetKind is one kind of target: where its rules stand, what they should be, and how
// long its platform takes. All that differs between kinds is in here. The zero value is
// no kind.
type TargetKind struct {
	Type    string // the ARM type of its targets, such as [jit.TypeNSG]
	Noun    string // what people call one, such as "network security group"
	Rules   RuleStore
	Compute func(plan.Input) plan.Plan
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
func SecurityGroups(f RuleStore) TargetKind {
	return TargetKind{Type: jit.TypeNSG, Noun: "network security group", Rules: f, Compute: plan.Compute, Round: 2 * time.Minute, OpenWithin: jit.OpeningTimeout}
}

// AzureFirewalls is the kind of Azure Firewalls, whose writes take minutes.
func AzureFirewalls(f RuleStore) TargetKind {
	return TargetKind{Type: jit.TypeFirewall, Noun: "firewall", Rules: f, Compute: plan.Translate, Maps: true, Round: 10 * time.Minute, OpenWithin: 25 * time.Minute}
}

// Kinds is the kinds of target that an installation knows, by [TargetKind.Type] in lower case.
type Kinds map[string]TargetKind

// KindsOf returns kinds by their types.
func KindsOf(kinds ...TargetKind) Kinds {
	out := Kinds{}
	for _, k := range kinds {
		out[strings.ToLower(k.Type)] = k
	}
	return out
}

// Of returns the kind of a target, or refuses: what is not known is neither opened nor
// taken for closed.
func (k Kinds) Of(target jit.ID) (TargetKind, error) {
	kind, ok := k[strings.ToLower(target.Type)]
	if !ok {
		return TargetKind{}, &jit.Error{Code: CodeUnknownTarget, Target: target.String(), Message: target.Name + " is of the type " + target.Type + ", which this installation does not change"}
	}
	return kind, nil
}

// Noun returns what people call a target's kind.
func (k Kinds) Noun(target jit.ID) string {
	if kind, err := k.Of(target); err == nil {
		return kind.Noun
	}
	return "target"
}

// Maps reports whether the target is of a kind that maps ports.
func (k Kinds) Maps(target jit.ID) bool {
	kind, err := k.Of(target)
	return err == nil && kind.Maps
}

// Slowest returns the longest that f says of the kinds of the targets.
func (k Kinds) Slowest(targets []jit.ID, f func(TargetKind) time.Duration) time.Duration {
	var longest time.Duration
	for _, t := range targets {
		if kind, err := k.Of(t); err == nil {
			longest = max(longest, f(kind))
		}
	}
	return longest
}

// Sorted returns the kinds in the order of their types.
func (k Kinds) Sorted() []TargetKind {
	var out []TargetKind
	for _, key := range slices.Sorted(maps.Keys(k)) {
		out = append(out, k[key])
	}
	return out
}
