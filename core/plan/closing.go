package plan

import (
	"slices"

	"portcullis/core/jit"
	"portcullis/core/label"
)

// Closing returns those of the changes that close windows of grants that are due, and nothing else, for when the others cannot be made: closings
// wait for nothing. No rule moves and none is made. The rules of a grant go only where nothing of it is to be made or changed instead, and their
// marks go with them.
func (p Plan) Closing(current []jit.Rule, due []string) Changes {
	due = slices.DeleteFunc(slices.Clone(due), func(grant string) bool {
		of := func(r jit.Rule) bool { id, ok := label.GrantOf(r.Name); return ok && id == grant }
		return slices.ContainsFunc(p.Refused, func(r Refusal) bool { return r.Grant == grant }) || slices.ContainsFunc(p.Changes.Create, of) || slices.ContainsFunc(p.Changes.Update, of)
	})
	var c Changes
	for _, r := range p.Changes.Delete {
		if grant, ok := label.GrantOf(r.Name); ok && slices.Contains(due, grant) {
			c.Delete = append(c.Delete, r)
		}
	}
	stays := map[string]bool{}
	for _, r := range p.Rules {
		stays[label.MarkOf(r.Name)] = true
	}
	goes := func(mark string) bool {
		return !stays[mark] && slices.ContainsFunc(due, func(grant string) bool { return label.HasGrant(mark, grant) })
	}
	for _, r := range current {
		if note := label.Without(r.Description, goes); label.IsDeny(r.Name) && r.Access == jit.Deny && note != r.Description {
			as := r.Clone()
			as.Description = note
			c.Update = append(c.Update, as)
		}
	}
	return c
}
