package network

import (
	"maps"
	"slices"
	"strings"
	"time"

	"portcullis/core/jit"
	"portcullis/core/plan"
)

// CodeUnknownTarget: this installation does not support the target's type.
const CodeUnknownTarget jit.Code = "TargetNotSupported"

// TargetKind is one kind of target: where its rules are, how to compute them, and how long its platform takes.
// Everything that differs between kinds is here. The zero value is no kind.
type TargetKind struct {
	Type    string // the ARM type of its targets, such as [jit.TypeNSG]
	Noun    string // its display name, such as "network security group"
	Rules   RuleStore
	Compute func(plan.Input) plan.Plan
	// Maps says that a target accepts connections at its own addresses and forwards them. Every window then needs a
	// port there. Such a target lets nothing in except through a window, so policies close nothing there.
	Maps bool
	// Round bounds one round on one target, far above what a read and a write take. It may exceed what a Functions
	// host allows an invocation, since no invocation has to wait for it.
	Round time.Duration
	// OpenWithin is how long an opening there may stay unconfirmed: more than two rounds, since it may have to wait
	// for one that is in progress.
	OpenWithin time.Duration
	// WriteGap is what is left between two writes to one target where another instance waits for the end of
	// the first: longer than [RuleStore.Rules] takes to see that no write is under way any more. 0 is none.
	WriteGap time.Duration
}

// SecurityGroups returns the kind for network security groups, whose writes take seconds.
func SecurityGroups(f RuleStore) TargetKind {
	return TargetKind{Type: jit.TypeNSG, Noun: "network security group", Rules: f, Compute: plan.Compute, Round: 2 * time.Minute, OpenWithin: jit.OpeningTimeout, WriteGap: 700 * time.Millisecond}
}

// WithRoom returns the kind with the priorities that windows take there.
func (k TargetKind) WithRoom(r plan.Room) TargetKind {
	k.Compute = r.Compute
	return k
}

// AzureFirewalls returns the kind for Azure Firewalls, whose writes take minutes.
func AzureFirewalls(f RuleStore) TargetKind {
	return TargetKind{Type: jit.TypeFirewall, Noun: "firewall", Rules: f, Compute: plan.Translate, Maps: true, Round: 10 * time.Minute, OpenWithin: 25 * time.Minute, WriteGap: 6 * time.Second}
}

// Kinds is the supported kinds of target, by [TargetKind.Type] in lower case.
type Kinds map[string]TargetKind

// KindsOf returns the kinds by their types.
func KindsOf(kinds ...TargetKind) Kinds {
	out := Kinds{}
	for _, k := range kinds {
		out[strings.ToLower(k.Type)] = k
	}
	return out
}

// Of returns the kind of a target, or refuses: an unsupported target is neither opened nor assumed closed.
func (k Kinds) Of(target jit.ID) (TargetKind, error) {
	kind, ok := k[strings.ToLower(target.Type)]
	if !ok {
		return TargetKind{}, &jit.Error{Code: CodeUnknownTarget, Target: target.String(), Message: target.Name + " is of the type " + target.Type + ", which this installation does not change"}
	}
	return kind, nil
}

// Noun returns the display name of a target's kind.
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

// Slowest returns the longest duration that f returns for the kinds of the targets.
func (k Kinds) Slowest(targets []jit.ID, f func(TargetKind) time.Duration) time.Duration {
	var longest time.Duration
	for _, t := range targets {
		if kind, err := k.Of(t); err == nil {
			longest = max(longest, f(kind))
		}
	}
	return longest
}

// Sorted returns the kinds, sorted by type.
func (k Kinds) Sorted() []TargetKind {
	var out []TargetKind
	for _, key := range slices.Sorted(maps.Keys(k)) {
		out = append(out, k[key])
	}
	return out
}
