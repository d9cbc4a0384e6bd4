package access

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"portcullis/core/jit"
	"portcullis/core/parallel"
	"portcullis/core/round"
	"portcullis/core/store"
)

// Narrowed is the windows that a change of policies ends, or ends earlier.
type Narrowed struct {
	// Grants are as they are then, each with only those windows: what ends now is to close or closed, anything else ends earlier.
	Grants []jit.Grant
	Hidden int // how many such windows more there are, at machines that the caller may not read; 0 before [Narrowed.Among]
	marked []store.GrantRecord
}

// At returns what concerns the machines of f.
func (n Narrowed) At(f func(vm jit.ID) bool) Narrowed {
	var out Narrowed
	for _, g := range n.Grants {
		if g.VMs = keep(g.VMs, func(vm jit.GrantVM) bool { return f(vm.VM) }); len(g.VMs) > 0 {
			out.Grants = append(out.Grants, g)
		}
	}
	return out
}

// Among leaves what may be shown, and counts the rest.
func (n Narrowed) Among(shown func(vm jit.ID) bool) Narrowed {
	out := n.At(shown)
	closed, shortened := n.Windows()
	here, earlier := out.Windows()
	out.Hidden = n.Hidden + closed + shortened - here - earlier
	return out
}

// Windows counts the windows that close, and those that end earlier.
func (n Narrowed) Windows() (closes, shortens int) {
	for _, g := range n.Grants {
		for _, vm := range g.VMs {
			for _, w := range vm.Ports {
				if w.Status == jit.Revoking || w.Status == jit.Revoked {
					closes++
				} else {
					shortens++
				}
			}
		}
	}
	return closes, shortens
}

// String says on one line what ends, such as "closes 2 windows"; "" for nothing.
func (n Narrowed) String() string {
	closes, shortens := n.Windows()
	var says []string
	for _, part := range []struct {
		verb  string
		count int
	}{{"closes", closes}, {"shortens", shortens}} {
		switch {
		case part.count == 1:
			says = append(says, part.verb+" 1 window")
		case part.count > 1:
			says = append(says, fmt.Sprintf("%s %d windows", part.verb, part.count))
		}
	}
	if n.Hidden > 0 {
		says = append(says, fmt.Sprintf("ends %d more, at machines that you may not read", n.Hidden))
	}
	return strings.Join(says, " and ")
}

// With joins what two changes end.
func (n Narrowed) With(o Narrowed) Narrowed {
	return Narrowed{Grants: slices.Concat(n.Grants, o.Grants), Hidden: n.Hidden + o.Hidden, marked: slices.Concat(n.marked, o.marked)}
}

// Noted adds to the entries of machines what their change ends.
func (n Narrowed) Noted(entries []store.Entry) []store.Entry {
	for i, e := range entries {
		if says := n.At(e.VM.Equal).String(); says != "" {
			entries[i].Message += "; " + says
		}
	}
	return entries
}

// ending changes a grant, and reports whether it has.
type ending func(jit.Grant) (jit.Grant, bool)

// narrowing returns the policies of records, with the options that are stored where they state none.
func narrowing(records []store.PolicyRecord, known map[string]store.PolicyRecord) []jit.Policy {
	var out []jit.Policy
	for _, rec := range records {
		if rec.Policy.Options == nil {
			rec.Policy.Options = known[rec.Policy.VM.Key()].Policy.Options
		}
		out = append(out, rec.Policy)
	}
	return out
}

// narrowed is [jit.Grant.Narrowed] by each of the policies.
func (s *Service) narrowed(g jit.Grant, policies []jit.Policy) (jit.Grant, bool) {
	changed := false
	for _, p := range policies {
		next, some := g.Narrowed(p, s.Floor, s.now())
		g, changed = next, changed || some
	}
	return g, changed
}

// without ends what is open at machines whose policies go.
func (s *Service) without(vms []jit.ID) ending {
	return func(g jit.Grant) (jit.Grant, bool) {
		before := g
		for _, vm := range vms {
			g = g.RevokeVM(vm, s.now(), jit.PolicyRemoved)
		}
		if _, changed := jit.Differing(before, g, anyVM); !changed {
			return before, false
		}
		return g, true
	}
}

func anyVM(jit.ID) bool { return true }

// Narrow brings what is open at the machines of policies within them: windows that could not be requested now are marked to
// close, and those that are longer than the policies allow now end earlier (see [jit.Grant.Narrowed]). Call it once the policies are stored: a request that was decided
// before then is among what is open, or finds them when it opens. Then reconcile the targets, and call [Service.Settle].
// Repeating it does what an error has left.
func (s *Service) Narrow(ctx context.Context, policies []jit.Policy) (Narrowed, error) {
	if len(policies) == 0 {
		return Narrowed{}, nil
	}
	var vms []jit.ID
	for _, p := range policies {
		vms = append(vms, p.VM)
	}
	return s.narrow(ctx, vms, func(g jit.Grant) (jit.Grant, bool) { return s.narrowed(g, policies) })
}

// PreviewNarrow returns what [Service.Narrow] would end, and writes nothing.
func (s *Service) PreviewNarrow(ctx context.Context, policies []jit.Policy) (Narrowed, error) {
	if len(policies) == 0 {
		return Narrowed{}, nil
	}
	out, _, err := s.previewNarrow(ctx, func(g jit.Grant) (jit.Grant, bool) { return s.narrowed(g, policies) })
	return out, err
}

// narrow stores what end makes of each open grant. The wake-ups for new ends come before the ends. What is to close already at the
// machines is settled with the rest.
func (s *Service) narrow(ctx context.Context, vms []jit.ID, end ending) (Narrowed, error) {
	var out Narrowed
	open, err := s.Grants.OpenGrants(ctx)
	if err != nil {
		return out, fmt.Errorf("read the open grants: %w", err)
	}
	among := func(vm jit.ID) bool { return slices.ContainsFunc(vms, vm.Equal) }
	for _, rec := range open {
		if !slices.ContainsFunc(rec.Grant.Machines(), among) {
			continue
		}
		var part Narrowed
		rec, err := s.changeRecord(ctx, rec, func(g store.GrantRecord) (store.GrantRecord, bool, error) {
			before := g.Grant
			next, changed := end(before)
			if part = (Narrowed{}); !changed {
				return g, false, nil
			}
			differing, _ := jit.Differing(before, next, among)
			part.Grants = []jit.Grant{differing}
			g.Grant = next
			if _, shortens := part.Windows(); shortens > 0 {
				return g, true, s.schedule(ctx, next)
			}
			return g, true, nil
		})
		if err != nil {
			return out, err
		}
		out = out.With(part)
		if rec.Grant.Overdue(s.now()) {
			out.marked = append(out.marked, rec)
		}
	}
	return out, nil
}

// previewNarrow returns what narrow would end, and the targets of those grants.
func (s *Service) previewNarrow(ctx context.Context, end ending) (Narrowed, []jit.ID, error) {
	var out Narrowed
	var targets []jit.ID // where the windows stand, which need not be where the policies do
	open, err := s.Grants.OpenGrants(ctx)
	if err != nil {
		return out, nil, fmt.Errorf("read the open grants: %w", err)
	}
	for _, rec := range open {
		next, _ := end(rec.Grant)
		if part, changed := jit.Differing(rec.Grant, next, anyVM); changed {
			out.Grants, targets = append(out.Grants, part), append(targets, rec.Targets()...)
		}
	}
	return out, targets, nil
}

// Settle waits until what was marked to close is closed. What ends earlier has its rules' descriptions brought in order with the targets.
func (s *Service) Settle(ctx context.Context, n Narrowed) error {
	errs := make([]error, len(n.marked))
	_ = parallel.AtOnce(n.marked, func(i int, g store.GrantRecord) error {
		_, errs[i] = s.Rounds.Close(ctx, g, round.Want{})
		return nil
	})
	return errors.Join(errs...)
}
