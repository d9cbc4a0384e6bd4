package access

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"portcullis/core/jit"
)

// Imported is what became of one machine of an imported policy.
type Imported struct {
	VM       jit.ID
	Enabled  bool
	Err      error      // why not
	Leftover []Leftover // rules of Defender's that still stand for it
}

// Leftover is a rule that Defender for Cloud made and that we leave alone.
type Leftover struct {
	Target jit.ID
	Rule   jit.Rule
}

// defenderRules are the beginnings of the names that Defender for Cloud gives its
// rules: today's, and those of before 2023 (release notes, "Revised JIT rule naming conventions").
var defenderRules = []string{"MicrosoftDefenderForCloud-JITRule", "SecurityCenter-JITRule"}

func defenders(name string) bool {
	return slices.ContainsFunc(defenderRules, func(prefix string) bool {
		return len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
	})
}

// Import adds machines to a named policy, each by itself: one that is refused, or
// that the caller may not enable, does not keep the others out. Machines that
// the policy lists already get the imported ports; none is dropped. For those that are
// enabled it tells of the rules that Defender for Cloud has left, and touches none of them.
func (g *Guard) Import(ctx context.Context, who Caller, name PolicyName, policies []jit.Policy) []Imported {
	out := make([]Imported, len(policies))
	_ = each(policies, func(i int, p jit.Policy) error {
		out[i] = Imported{VM: p.VM}
		if out[i].Err = g.may(ctx, who, VerbEnable, p.VM.String()); out[i].Err != nil {
			return nil
		}
		rec, err := g.Service.importMachine(ctx, who, name, p)
		if err == nil {
			out[i].Enabled = true
			out[i].Leftover, err = g.Service.leftovers(ctx, rec)
		}
		out[i].Err = err
		return nil
	})
	return out
}

// importMachine enables one machine as a part of a named policy.
func (s *Service) importMachine(ctx context.Context, who Caller, name PolicyName, p jit.Policy) (PolicyRecord, error) {
	if err := s.checkNamed(name, []jit.Policy{p}); err != nil {
		return PolicyRecord{}, err
	}
	r, err := s.replacing(ctx, who, name, []jit.Policy{p})
	if err != nil {
		return PolicyRecord{}, err
	}
	r.dropped = nil // the others stay
	if len(r.changed) == 0 {
		_, err := s.reconcileAll(ctx, targetsOfRecords(r.kept), false)
		return r.kept[0], err
	}
	if err := s.previewReplacement(ctx, r); err != nil {
		return PolicyRecord{}, err
	}
	before := targetsOfRecords(keep(r.before.Machines, func(m PolicyRecord) bool { return m.Policy.VM.Equal(p.VM) }))
	rec, err := s.putListed(ctx, name, r.changed[0])
	if err != nil {
		return PolicyRecord{}, err
	}
	_, err = s.reconcileAll(ctx, distinct(append(before, targetsOf(rec.Placements)...)), false)
	if logged := s.Activity.Append(ctx, s.policyEntries(who, OpEnable, []PolicyRecord{rec}, err)...); err == nil {
		err = logged
	}
	return rec, err
}

// leftovers gives the rules of Defender's that bear on a machine.
func (s *Service) leftovers(ctx context.Context, rec PolicyRecord) ([]Leftover, error) {
	var out []Leftover
	for _, p := range rec.Placements {
		snap, err := s.Firewall.Rules(ctx, p.Target)
		if err != nil {
			return out, fmt.Errorf("read the rules of %s: %w", p.Target.Name, err)
		}
		for _, rule := range snap.Rules {
			if defenders(rule.Name) && bearsOn(rule.Destination, p.Addresses) {
				out = append(out, Leftover{Target: p.Target, Rule: rule})
			}
		}
	}
	return out, nil
}

func bearsOn(to jit.Peers, addresses []netip.Addr) bool {
	return to.Any || slices.ContainsFunc(to.Prefixes, func(p netip.Prefix) bool { return slices.ContainsFunc(addresses, p.Contains) })
}
