package inventory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"portcullis/core/jit"
	"portcullis/core/memo"
	"portcullis/core/network"
	"portcullis/core/parallel"
	"portcullis/core/store"
)

// How long answers of Azure are shown before it is asked again. A new machine appears after surveyLife at the
// latest; policies and windows are always read again.
const (
	surveyLife = 5 * time.Second
	// surveyLifePerMachine is added per machine: the survey of 10,000 machines costs some hundred reads, and ARM grants an
	// app about 25 a second in a subscription.
	surveyLifePerMachine = 2 * time.Millisecond
	rulesLife            = 30 * time.Second
	// rulesWait is how long a listing waits for the rules, which it needs only for findings. After that it uses the
	// findings of the last sweep; the rules are ready for the next call.
	rulesWait = time.Second
)

// machineList is the data for one call.
type machineList struct {
	*Inventory
	who      jit.Caller
	now      time.Time
	surveys  map[string]surveyed // by subscription, in lower case
	failed   map[string]string   // by subscription, as configured
	policies map[string]store.PolicyRecord
	open     []store.GrantRecord
	past     map[string]past
	pastCut  bool
	found    map[string][]store.Finding // of the last sweep, by machine
}

// surveyed is a survey and the time of its request.
type surveyed struct {
	network.Survey
	at time.Time
}

// Machines returns the machines of the managed subscriptions that the caller may read, with their states: every
// machine that a network interface names, classic machines, and machines that are gone but have a policy. The page
// names subscriptions that could not be listed; if there is only one, this is an error.
//
// The cost does not grow with the number of past requests: those of the last 7 days are read once and cached; see
// [MachinePage] for the bound. Request counts and last access cover these 7 days only.
func (s *Inventory) Machines(ctx context.Context, who jit.Caller, q MachineQuery) (MachinePage, error) {
	after, err := parseMachineCursor(q)
	if err != nil {
		return MachinePage{}, err
	}
	inv := &machineList{Inventory: s, who: who, now: s.now(), surveys: map[string]surveyed{}, failed: map[string]string{}, policies: map[string]store.PolicyRecord{}, found: map[string][]store.Finding{}}
	if err := inv.read(ctx, q); err != nil {
		return MachinePage{}, err
	}
	all, err := inv.shown(ctx)
	if err != nil {
		return MachinePage{}, err
	}
	page := MachinePage{Counts: map[MachineState]int{MachineConfigured: 0, MachineNotConfigured: 0, MachineUnsupported: 0}, Incomplete: inv.failed, RequestsCut: inv.pastCut}
	page.ResourceGroups, page.Subscriptions = facets(all)
	all = slices.DeleteFunc(all, func(m MachineView) bool { return !q.matches(m) })
	for _, m := range all {
		page.Counts[m.State]++
	}
	all = slices.DeleteFunc(all, func(m MachineView) bool { return q.State != "" && m.State != q.State })
	q.cut(&page, all, after)
	if err := inv.complete(ctx, page.Machines); err != nil {
		return MachinePage{}, err
	}
	if page.Open, err = s.openTo(ctx, who, inv.open); err != nil {
		return MachinePage{}, err
	}
	page.Incomplete, err = s.incomplete(ctx, who, page.Incomplete)
	return page, err
}

// read reads everything concurrently.
func (inv *machineList) read(ctx context.Context, q MachineQuery) error {
	subscriptions := slices.DeleteFunc(slices.Clone(inv.Subscriptions), func(sub string) bool {
		return q.Subscription != "" && !strings.EqualFold(q.Subscription, sub)
	})
	var policies []store.PolicyRecord
	var grants recent
	var sweep store.SweepRecord
	found, failed := make([]surveyed, len(subscriptions)), make([]error, len(subscriptions))
	reads := []func() error{
		func() error {
			return parallel.Each(subscriptions, func(i int, sub string) error {
				found[i], failed[i] = inv.surveyed(ctx, sub)
				return nil
			})
		},
		func() (err error) { policies, err = store.AllPolicies(ctx, inv.Policies); return err },
		func() (err error) { inv.open, err = inv.Grants.OpenGrants(ctx); return err },
		func() (err error) { grants, err = inv.recent(ctx); return err },
		func() (err error) {
			if sweep, err = inv.Sweeps.LastSweep(ctx); errors.Is(err, store.ErrNotFound) {
				return nil
			}
			return err
		},
	}
	if err := parallel.Each(reads, func(_ int, f func() error) error { return f() }); err != nil {
		return fmt.Errorf("read the inventory: %w", err)
	}
	for i, sub := range subscriptions {
		if failed[i] == nil {
			inv.surveys[strings.ToLower(sub)] = found[i]
			continue
		}
		if len(subscriptions) == 1 {
			return fmt.Errorf("list the machines of subscription %s: %w", sub, failed[i])
		}
		inv.failed[sub] = store.Publicly(failed[i])
	}
	for _, rec := range policies {
		inv.policies[rec.Policy.VM.Key()] = rec
	}
	for _, f := range sweep.Findings {
		if !f.VM.IsZero() {
			inv.found[f.VM.Key()] = append(inv.found[f.VM.Key()], f)
		}
	}
	inv.past, inv.pastCut = grants.counts(inv.open, inv.now.Add(-recentFor)), grants.cut
	return nil
}

// surveyed returns the survey of a subscription, at most surveyLife old, or a little older in a large one.
func (s *Inventory) surveyed(ctx context.Context, sub string) (surveyed, error) {
	life := func(before surveyed) time.Duration {
		return surveyLife + time.Duration(len(before.Machines))*surveyLifePerMachine
	}
	return s.surveys.Get(ctx, strings.ToLower(sub), s.now, life, func(ctx context.Context, _ surveyed) (surveyed, error) {
		out := surveyed{at: s.now()}
		var err error
		if more, ok := s.Network.(network.Surveyor); ok {
			out.Survey, err = more.Survey(ctx, sub)
		} else {
			out.Machines, err = s.Network.Machines(ctx, sub)
		}
		return out, err
	})
}

// shown returns the machines that the caller may see, with the fields that a list needs.
func (inv *machineList) shown(ctx context.Context) ([]MachineView, error) {
	var all []MachineView
	known := map[string]bool{}
	for _, s := range inv.surveys {
		for _, m := range s.Machines {
			known[m.VM.Key()] = true
			all = append(all, inv.view(m, s.Survey))
		}
		for _, vm := range s.Classic {
			known[vm.Key()] = true
			all = append(all, MachineView{VM: vm, State: MachineUnsupported, Reason: ReasonClassic, Tags: s.Tags[vm.Key()]})
		}
	}
	for key, rec := range inv.policies {
		s, listed := inv.surveys[strings.ToLower(rec.Policy.VM.Subscription)]
		if listed && !known[key] && rec.ChangedAt.Before(s.at) {
			m := inv.view(network.Machine{VM: rec.Policy.VM, Location: rec.Location}, network.Survey{})
			m.Findings = []store.Finding{network.Gone(rec.Policy.VM)}
			m.Findings[0].Since = s.at
			all = append(all, m)
		}
	}
	ok := make([]bool, len(all))
	err := parallel.Each(all, func(i int, m MachineView) (err error) {
		ok[i], err = inv.Permit.Reads(ctx, inv.who, m.VM.String())
		return err
	})
	if err != nil {
		return nil, err
	}
	out := all[:0]
	for i, m := range all {
		if ok[i] {
			out = append(out, m)
		}
	}
	return out, nil
}

// view determines a machine's state and sets the fields by which a list is sorted and filtered.
func (inv *machineList) view(m network.Machine, s network.Survey) MachineView {
	key := m.VM.Key()
	v := MachineView{VM: m.VM, Location: m.Location, Targets: store.TargetsOf(m.Placements), Dial: m.Dial(), Public: len(m.Public) > 0, Private: m.Private, Unguarded: m.Unguarded, Tags: s.Tags[key]}
	if len(v.Targets) > 0 {
		v.Connect = ConnectionNSG
	}
	if slices.ContainsFunc(v.Targets, inv.Kinds.Maps) {
		v.Connect = ConnectionFirewall
	}
	managed, firewalled := s.Behind[key]
	rec, configured := inv.policies[key]
	switch {
	case configured:
		v.PublicAddress = rec.Policy.PublicAddress
		v.State, v.Ports, v.ExistingRules = MachineConfigured, rec.Policy.Ports, rec.Policy.ExistingRules
		v.Options, v.InForce = rec.Policy.OwnOptions(), rec.Policy.InForce(inv.Floor)
		p := inv.past[key]
		v.Requests, v.LastAccess, v.LastRequestor = p.count, p.last.start, p.last.requestor
	case len(v.Targets) > 0:
		v.State = MachineNotConfigured
	case firewalled && managed:
		v.State, v.Reason = MachineUnsupported, ReasonFirewallManager
	default:
		v.State, v.Reason = MachineUnsupported, ReasonMissingNSG
	}
	return v
}

// complete adds windows and findings to the machines of a page.
func (inv *machineList) complete(ctx context.Context, page []MachineView) error {
	windows := inv.windows()
	snaps, err := inv.standingRules(ctx, page)
	if err != nil {
		return err
	}
	for i := range page {
		m := &page[i]
		if m.State != MachineConfigured {
			continue
		}
		m.Windows = windows[m.VM.Key()]
		inv.dial(m, snaps)
		m.Findings = append(m.Findings, inv.found[m.VM.Key()]...)
		m.Findings = mergeFindings(m.Findings, inv.exposed(m.VM, snaps))
	}
	return nil
}

// dial sets the address to dial for a machine behind a firewall: the address that its policy pins, else the
// firewall's own addresses, if they are known.
func (inv *machineList) dial(m *MachineView, snaps map[string]network.Standing) {
	for _, t := range m.Targets {
		if snap, ok := snaps[t.Key()]; ok && inv.Kinds.Maps(t) && len(snap.Addresses) > 0 {
			m.Dial, m.Public = snap.Addresses, true
			if slices.Contains(snap.Addresses, m.PublicAddress) {
				m.Dial = []netip.Addr{m.PublicAddress}
			}
			return
		}
	}
}

// windows returns the windows that are neither closed nor waiting to be opened, by machine, the earliest end first.
func (inv *machineList) windows() map[string][]MachineWindow {
	out := map[string][]MachineWindow{}
	for _, rec := range inv.open {
		g := rec.Grant
		for _, vm := range g.VMs {
			for _, w := range vm.Ports {
				if w.Status != jit.Revoked && !w.Waits() {
					out[vm.VM.Key()] = append(out[vm.VM.Key()], MachineWindow{Window: w, Grant: g.ID, Requestor: g.Requestor, Justification: g.Justification,
						Start: g.Begins(), Own: g.SameRequestor(inv.who.ID, inv.who.Name)})
				}
			}
		}
	}
	for _, list := range out {
		slices.SortStableFunc(list, func(a, b MachineWindow) int {
			return cmp.Or(a.End.Compare(b.End), cmp.Compare(a.Grant, b.Grant), cmp.Compare(a.Number, b.Number))
		})
	}
	return out
}

// standingRules returns the rules of the targets in the subscriptions of the page's configured machines, at most
// rulesLife old, by target. It leaves out what does not arrive in time.
func (inv *machineList) standingRules(ctx context.Context, page []MachineView) (map[string]network.Standing, error) {
	var subs []string
	for _, m := range page {
		if m.State == MachineConfigured {
			subs = append(subs, strings.ToLower(m.VM.Subscription))
		}
	}
	slices.Sort(subs)
	subs = slices.Compact(subs)
	bounded, cancel := context.WithTimeout(ctx, rulesWait)
	defer cancel()
	found := make([]map[string]network.Standing, len(subs))
	_ = parallel.Each(subs, func(i int, sub string) (err error) {
		found[i], err = inv.standing.Get(bounded, sub, inv.Inventory.now, memo.Always[map[string]network.Standing](rulesLife), func(ctx context.Context, _ map[string]network.Standing) (map[string]network.Standing, error) {
			snaps, err := inv.Rules(ctx, sub)
			byTarget := make(map[string]network.Standing, len(snaps))
			for _, snap := range snaps {
				byTarget[snap.Target.Key()] = snap
			}
			return byTarget, err
		})
		return err
	})
	out := map[string]network.Standing{}
	for _, snaps := range found {
		maps.Copy(out, snaps)
	}
	return out, ctx.Err()
}

// exposed returns the exposures of a machine apart from its windows.
func (inv *machineList) exposed(vm jit.ID, snaps map[string]network.Standing) []store.Finding {
	at := func(t jit.ID) ([]jit.Rule, bool) { s, ok := snaps[t.Key()]; return s.Rules, ok && !inv.Kinds.Maps(t) }
	var out []store.Finding
	s := inv.surveys[strings.ToLower(vm.Subscription)]
	i, ok := slices.BinarySearchFunc(s.Machines, vm.Key(), func(m network.Machine, key string) int { return strings.Compare(m.VM.Key(), key) })
	if !ok {
		return nil
	}
	m := s.Machines[i]
	for _, nic := range m.Unguarded {
		out = append(out, network.Unguarded(vm, nic))
	}
	out = append(out, network.Shared(m)...)
	for _, e := range network.Reachable(m, inv.policies[vm.Key()].Policy, at) {
		out = append(out, network.Reached(m, e))
	}
	for i := range out {
		out[i].Since = inv.now
	}
	return out
}

// mergeFindings appends the findings that old does not contain.
func mergeFindings(old, fresh []store.Finding) []store.Finding {
	for _, f := range fresh {
		if !slices.ContainsFunc(old, func(o store.Finding) bool { return o.Kind == f.Kind && o.Message == f.Message }) {
			old = append(old, f)
		}
	}
	return old
}
