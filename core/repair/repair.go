// Package repair tells which changes of rules undo what others have done to ours, for the log. It is given what was computed, and decides nothing:
// a change is made whether or not it is a repair.
package repair

import (
	"slices"
	"strings"

	"portcullis/core/jit"
	"portcullis/core/label"
	"portcullis/core/plan"
	"portcullis/core/roster"
)

// Of tells, in words, which changes of a plan undo what others have done to rules of ours. A rule that is created,
// changed or deleted because somebody asked for it, or because its time has come, is no repair. Two changes may be
// either: a deny that no round has seen confirmed yet, and one that has lost destinations. They count as repairs in a
// sweep only, in which nobody asks for a change.
func Of(p plan.Plan, state roster.State, current []jit.Rule, sweeping bool) []string {
	var what []string
	for _, r := range p.Changes.Create {
		if confirmed(state, r.Name) || r.Access == jit.Deny && (sweeping || state.Stood(r.Name)) {
			what = append(what, "restored "+r.Name)
		}
	}
	before := map[string]jit.Rule{}
	for _, r := range current {
		before[strings.ToLower(r.Name)] = r
	}
	for _, r := range p.Changes.Update {
		if b := before[strings.ToLower(r.Name)]; (sweeping || tampered(b, r)) && !(r.Access == jit.Deny && plan.Redescribed(b, r)) {
			what = append(what, "corrected "+r.Name)
		}
	}
	for _, r := range p.Changes.Delete {
		if !stored(state, r.Name) && (sweeping || r.Access == jit.Allow) {
			what = append(what, "removed "+r.Name)
		}
	}
	return what
}

// confirmed reports whether the rule is of a grant with windows that are confirmed open.
func confirmed(state roster.State, rule string) bool {
	return ofGrant(state, rule, func(w jit.Window) bool { return w.Status == jit.Initiated })
}

// stored reports whether the rule is of a grant that is not closed yet: its deletion is then a closing, which has
// an entry of its own.
func stored(state roster.State, rule string) bool {
	return ofGrant(state, rule, func(jit.Window) bool { return true })
}

func ofGrant(state roster.State, rule string, is func(jit.Window) bool) bool {
	id, ok := label.GrantOf(rule)
	return ok && slices.ContainsFunc(state.Openings, func(o roster.Opening) bool {
		return o.Grant.ID == id && slices.ContainsFunc(o.Grant.VMs, func(vm jit.GrantVM) bool { return slices.ContainsFunc(vm.Ports, is) })
	})
}

// tampered reports whether a rule of ours was changed in what no verb changes in a
// rule that keeps its name: all but the priority, the destination and the description.
//
// The destination of a NAT rule is an address of the firewall, which no verb changes.
func tampered(was, want jit.Rule) bool {
	want.Priority, want.Description = was.Priority, was.Description
	if !want.Translated.IsValid() {
		want.Destination = was.Destination
	}
	return !was.Equal(want)
}
