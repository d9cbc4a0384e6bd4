package sim_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// replacement is one exact replacement: old has to stand exactly once.
type replacement struct{ old, new string }

// mutation is one way to break the product, and the invariants of which one must
// notice within [mutantSeeds] seeds. Files are named from the root of the module.
type mutation struct {
	name     string
	file     string
	edits    []replacement
	noticed  string // the invariants that notice it first
	elsewise string // why it is made in this form, where the name does not tell
}

// mutantSeeds is how many histories a mutation may survive.
const mutantSeeds = 200

// mutations is the list that keeps the simulation honest. `make mutants` applies
// each by an overlay and demands that TestSim fails with one of the named invariants.
func mutations() []mutation {
	return []mutation{
		{name: "a deny does not outrank foreign allows", file: "core/plan/layout.go", noticed: "I4",
			edits: []replacement{{"				d.below, d.cause = f.Priority, f\n", "				d.cause = f\n"}}},
		{name: "a write without If-Match", file: "core/access/sim/azure_test.go", noticed: "I2 I3 I4 I8",
			elsewise: "the header is infra/nsg's, whose wire tests hold it; here ARM forgets to look at it",
			edits:    []replacement{{"	case g.etag != s.Version:\n", "	case false:\n"}}},
		{name: "a conflict counts as a write", file: "core/access/reconcile.go", noticed: "I1 I3 I6 I8",
			edits: []replacement{{"		case applied == nil:\n", "		case applied == nil || errors.Is(applied, ErrConflict):\n			if applied != nil {\n				return out, nil\n			}\n"}}},
		{name: "the state is not looked at again after a write", file: "core/access/reconcile.go", noticed: "I8 I1 I4",
			edits: []replacement{{"			snap, asked = answer, s.shut(target, r)\n			continue\n", "			_ = answer\n			return out, nil\n"}}},
		{name: "the state is read before the rules", file: "core/access/reconcile.go", noticed: "I8 I3 I1 I4",
			elsewise: "and once only; read again after the write it would do no harm",
			edits: []replacement{
				{"	snap, fresh, err := s.known(work.ctx, target)\n", "	r.out.state, _ = s.Targets.State(ctx, target)\n	snap, fresh, err := s.known(work.ctx, target)\n"},
				{"		out, err := s.compute(work.ctx, snap)\n", "		out, err := outcome{target: snap.Target, at: s.now(), state: r.out.state, current: snap.Rules, plan: kind.Compute(plan.Input{State: r.out.state, Current: snap.Rules, Public: snap.Addresses, Now: s.now()})}, error(nil)\n"},
			}},
		{name: "confirm from a remembered snapshot", file: "core/access/reconcile.go", noticed: "I8 I1 I3 I4",
			edits: []replacement{{"			if sharing := s.shut(target, r); asked < sharing {", "			if sharing := s.shut(target, r); asked < 0 {"}}},
		{name: "complete a due wake-up without recording it", file: "core/access/end.go", noticed: "I1",
			edits: []replacement{{"		return s.due(ctx, rec)\n", "		return nil\n"}}},
		{name: "many are stored as closed before their targets are confirmed", file: "core/access/closer.go", noticed: "I8",
			edits: []replacement{{"			if left[k]--; left[k] > 0 {\n", "			if left[k]--; left[k] > 1000 {\n"}, {"		_, err := s.reconcile(WithUrgency(", "		go s.reconcile(WithUrgency("}, {"Since: urgent[t.Key()]}), t, sweeping)\n", "Since: urgent[t.Key()]}), t, sweeping)\n		var err error\n"}}},
		{name: "open before the rules are confirmed", file: "core/access/open.go", noticed: "I8",
			edits: []replacement{{"	rec, outs, err := s.openTargets(ctx, rec)\n", "	outs, err := []outcome(nil), error(nil)\n"}}},
		{name: "an opening is not logged", file: "core/access/open.go", noticed: "I5",
			edits: []replacement{{"		if err := s.Activity.Append(ctx, entries...); err != nil {\n", "		if err := s.Activity.Append(ctx, entries[:0]...); err != nil {\n"}}},
		{name: "rules are deleted by what they match, not by grant", file: "core/plan/plan.go", noticed: "I3",
			edits: []replacement{{"		if !kept[i] {\n", `		ended := false
		for j, o := range current.rules {
			same := *o
			same.Name, same.Priority, same.Description = r.Name, r.Priority, r.Description
			ended = ended || !kept[j] && same.Equal(*r)
		}
		if !kept[i] || ended {
`}}},
		{name: "the end is not scheduled before the opening", file: "core/access/request.go", noticed: "I1",
			edits: []replacement{{"	if err = s.schedule(ctx, stored.Grant); err != nil {\n", "	if err = error(nil); err != nil {\n"}}},
		{name: "an extension is not scheduled", file: "core/access/end.go", noticed: "I1",
			edits: []replacement{{"if err := s.schedule(ctx, next); err != nil {", "if err := error(nil); err != nil {"}}},
		{name: "the intent is logged after nothing", file: "core/access/request.go", noticed: "I5",
			elsewise: "an intent that no line tells of, and that another round opens",
			edits:    []replacement{{"s.Activity.Append(ctx, grantEntries(who, OpRequest, Succeeded, rec.Grant, now)...)", "s.Activity.Append(ctx)"}}},
		{name: "a wake-up is believed instead of the table", file: "core/access/end.go", noticed: "I3",
			elsewise: "generation and end are both ignored; ignoring the generation alone does nothing, since the table decides",
			edits: []replacement{{"	now := s.now()\n	switch {\n	case rec.Grant.Closed():\n", `	if !rec.Grant.Closed() {
		if rec, err = s.change(ctx, rec, func(g jit.Grant) (jit.Grant, error) { return g.Revoke(s.now(), jit.Expired), nil }); err != nil {
			return err
		}
	}
	now := s.now()
	switch {
	case rec.Grant.Closed():
`}}},
		{name: "a failed closing counts as closed", file: "core/access/end.go", noticed: "I8",
			edits: []replacement{{"			return s.failedClosing(ctx, rec, err)\n", "			_ = err\n"}}},
		{name: "revoke answers before anything is closed", file: "core/access/end.go", noticed: "I8",
			edits: []replacement{{"	return s.settle(ctx, rec, false)\n", "	return rec, nil\n"}}},
		{name: "machines share a rule that asks for more than each", file: "core/plan/allows.go", noticed: "I4 I8",
			edits: []replacement{{"p.shape.equal(&own.shape) && slices.Equal(p.ports, own.ports)", "p.shape.equal(&own.shape)"}}},
		{name: "a rule opens to every destination", file: "core/plan/desired.go", noticed: "I4",
			edits: []replacement{{"	r.Destination = jit.Peers{Prefixes: slices.Clip(l.prefixes[n:])}\n", "	r.Destination = jit.AnyPeer()\n	_ = n\n"}}},
		{name: "superseding is not stored", file: "core/access/open.go", noticed: "I4 I5",
			edits: []replacement{{"s.Grants.UpdateGrants(ctx, append(older, changed)...)", "s.Grants.UpdateGrants(ctx, append(older[:0], changed)...)"}}},
		{name: "a request supersedes those of others", file: "core/jit/grant.go", noticed: "I3",
			edits: []replacement{{"if g.ID == older.ID || !g.SameRequestor(older.RequestorID, older.Requestor) ||", "if g.ID == older.ID ||"}}},
		{name: "a machine is followed by its name", file: "core/access/follow.go", noticed: "I4 I1",
			edits: []replacement{{"another(rec.Interfaces[vm.VM.Key()], m.Interfaces)", "another(nil, m.Interfaces)"}}},
		{name: "an opening that nobody confirms stays", file: "core/jit/grant.go", noticed: "I1",
			edits: []replacement{{"		return now.Before(w.End) && now.Before(g.OpenBy)\n", "		return now.Before(w.End)\n"}}},
		{name: "a window includes its end", file: "core/jit/grant.go", noticed: "I1 I8",
			edits: []replacement{{"	case Initiated:\n		return now.Before(w.End)\n	}\n	return false\n", "	case Initiated:\n		return !now.After(w.End)\n	}\n	return false\n"}}},
		{name: "the group does not admit the firewall", file: "core/plan/allows.go", noticed: "I8 I3",
			edits: []replacement{{"	if w.Sources.IsAny() || !w.Mapped.IsValid() {\n", "	if true {\n"}}},
		{name: "a NAT rule does not end", file: "core/plan/nat.go", noticed: "I1 I8 I4 I6",
			edits: []replacement{{"o.Grant.Desired(vm.VM, *w, now, rivals.of(vm.VM, w))", "(o.Grant.Desired(vm.VM, *w, now, rivals.of(vm.VM, w)) || w.Status != jit.Initiating)"}}},
		{name: "firewalls are not swept", file: "core/access/sweep.go", noticed: "I1 I3 I4 I6 I7",
			edits: []replacement{{"	slow.Go(func() { w.slow(ctx, mapping) })\n", "	_ = mapping\n"}}},
		{name: "the sweep closes nothing", file: "core/access/sweep.go", noticed: "I1",
			edits: []replacement{{"g.Grant.Overdue(now) && count(g) })\n", "false && g.Grant.Overdue(now) && count(g) })\n"}}},
		{name: "the sweep repairs nothing", file: "core/access/sweep.go", noticed: "I3 I4 I1 I6",
			edits: []replacement{{"	w.repair(ctx, slices.DeleteFunc(targets, w.maps))\n", ""}, {"	w.stretch(ctx, targets)\n}\n", "	_ = targets\n}\n"}}},
		{name: "a deny that a verb puts back is not told", file: "core/access/repair.go", noticed: "I5",
			edits: []replacement{{"(sweeping || slices.Contains(out.state.Confirmed, r.Name))", "sweeping"}}},
		{name: "what is confirmed is not noted", file: "core/access/repair.go", noticed: "I5",
			edits: []replacement{{"	if !out.unnoted() {\n", "	if true {\n"}}},
		{name: "a target that is not ours is written and not remembered", file: "core/access/reconcile.go", noticed: "I7 I6",
			edits: []replacement{{"		if !out.state.Known && !remembered {\n", "		if false {\n"}}},
		{name: "a foreign rule is taken for ours", file: "core/plan/name.go", noticed: "I2",
			edits: []replacement{{"return len(name) >= len(Prefix) && strings.EqualFold(name[:len(Prefix)], Prefix)", "return len(name) >= len(Prefix) && (strings.EqualFold(name[:len(Prefix)], Prefix) || strings.HasPrefix(name, \"SecurityCenter\"))"}}},
	}
}

// mutate gives the file's text with the mutation made.
func (m mutation) mutate(text string) (string, string) {
	for _, e := range m.edits {
		if n := strings.Count(text, e.old); n != 1 {
			return "", "the text " + strings.TrimSpace(e.old) + " does not stand exactly once in " + m.file
		}
		text = strings.Replace(text, e.old, e.new, 1)
	}
	return text, ""
}

const root = "../../.."

// TestMutationsMatch keeps the list honest: whoever changes the code changes it too.
func TestMutationsMatch(t *testing.T) {
	for _, m := range mutations() {
		text, err := os.ReadFile(filepath.Join(root, m.file))
		if err != nil {
			t.Fatal(err)
		}
		if _, bad := m.mutate(string(text)); bad != "" {
			t.Errorf("%s: %s", m.name, bad)
		}
	}
}
