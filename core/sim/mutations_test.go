//go:build mutation

package sim_test

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// replacement is one exact replacement: old must occur exactly once in the function.
type replacement struct {
	old, new string
	in       string // the function, if it is another one of the same package than the mutation names
}

// mutation is one way to break the product, and the invariants of which one must detect it within [mutantSeeds]
// seeds.
type mutation struct {
	name     string
	at       string // the function that is changed, in whatever file it stands: its package's directory, a colon, and Type.Method or Function
	edits    []replacement
	noticed  string // the invariants that detect it first
	elsewise string // why it has this form, if the name does not say
}

// mutantSeeds is how many histories a mutation may survive undetected.
const mutantSeeds = 200

// mutations checks the simulation itself. `make mutants` applies each by an overlay and requires that TestSim
// fails with one of the named invariants.
func mutations() []mutation {
	return []mutation{
		{name: "what is for later begins at once", at: "core/pending:Desk.release", noticed: "I16",
			edits: []replacement{{old: "scheduled && now.Before(rec.Grant.Wait.Opens) || waiting", new: "scheduled && false || waiting"}, {old: "	if rec.Grant.Wait.Opens.After(now) {\n", new: "	if false {\n"}}},
		{name: "a start that is late lasts as long as one in time", at: "core/decide:Request", noticed: "I16",
			edits: []replacement{{old: "			w.Fixed = w.Fixed || !r.Opens.IsZero()\n", new: ""}}},
		{name: "the sweep does not go on with what is for later", at: "core/sweep:sweep.pend", noticed: "I16",
			edits: []replacement{{old: "return g.Grant.Pending(now) })", new: "return g.Grant.Pending(now) && g.Grant.Wait.Approvers > 0 })"}}},
		{name: "who owes a review may break the glass again", at: "core/glass:Rule.void", noticed: "I15",
			edits: []replacement{{old: "	return rec.Failed != \"\" && rec.Grant.NeverOpened(now), nil\n", new: "	_ = rec\n	return true, nil\n"}}},
		{name: "break-glass lasts as long as the policy lets", at: "core/glass:Rule.Within", noticed: "I15",
			edits: []replacement{{old: "		return p.AtMost(r.Most), ok\n", new: "		return p, ok\n"}}},
		{name: "a drill has the end of what it drills", at: "core/jit:Grant.Drilled", noticed: "I15",
			edits: []replacement{{old: "		w.End, w.Reason = g.Start, DrillOnly\n", new: "		w.Reason = DrillOnly\n"}}},
		{name: "what the receiver of the log did not take counts as sent", at: "core/stream:look.flush", noticed: "I17",
			edits: []replacement{{old: "	for _, q := range l.waiting[:n] {\n", new: "	for _, q := range l.waiting {\n"}}},
		{name: "the log streams from where it ended when the process began", at: "core/stream:look.chain", noticed: "I17",
			edits: []replacement{{old: "	at := was\n", new: "	at := was\n	if at.Entries == 0 {\n		at.Head = head.Head\n	}\n"}}},
		{name: "a deny does not outrank foreign allows", at: "core/plan:layout.next", noticed: "I4",
			edits: []replacement{{old: "			d.cause, d.below = f, f.Priority\n", new: "			d.cause = f\n"}}},
		{name: "who is in an application security group is not asked", at: "core/reach:Names.member", noticed: "I4",
			edits: []replacement{{old: "	case slices.ContainsFunc(p.sure, is):\n		return Yes\n", new: "	case slices.ContainsFunc(p.sure, is):\n		return No\n"}}},
		{name: "a write without If-Match", at: "core/sim:azure.accept", noticed: "I2 I3 I4 I8",
			elsewise: "the header is infra/nsg's, whose wire tests hold it; here ARM forgets to look at it",
			edits:    []replacement{{old: "	case g.etag != s.Version:\n", new: "	case false:\n"}}},
		{name: "an approver counts twice", at: "core/pending:Desk.mayApprove", noticed: "I10",
			edits: []replacement{{old: "return sameObject(a.ID, b.ID)", new: "return false"}}},
		{name: "who asked approves", at: "core/pending:Desk.mayDecide", noticed: "I10",
			edits: []replacement{{old: "	case own || sameObject(who.ID, rec.Grant.RequestorID):\n", new: "	case false && own:\n"}}},
		{name: "fewer approvers than are asked for are enough", at: "core/pending:Desk.release", noticed: "I10",
			edits: []replacement{{old: "	case len(names) < wanted.approvers && waiting:\n", new: "	case len(names) < 1 && waiting:\n"}, {old: "	case len(names) < wanted.approvers:\n", new: "	case len(names) < 1:\n"}, {in: "Desk.letGo", old: "	if next.Grant.Wait.Approvers > approvers {", new: "	if next.Grant.Wait.Approvers > 9 {"}}},
		{name: "what needs approval is stored to be opened at once", at: "core/access:Service.waiting", noticed: "I10",
			edits: []replacement{{old: "	rec.Grant = decide.Wait(rec.Grant, s.Wait, now)\n", new: ""}}},
		{name: "a conflict counts as a write", at: "core/round:work.put", noticed: "I1 I3 I6 I8",
			edits: []replacement{{old: "	case err == nil:\n", new: "	case errors.Is(err, store.ErrConflict):\n		w.left = false\n		w.answer(ctx, w.queue, func(a *ask) bool {\n			a.out = out\n			return a.place <= w.place\n		})\n		return nil\n	case err == nil:\n"}}},
		{name: "the state is not looked at again after a write", at: "core/round:work.put", noticed: "I8 I1 I4 I5",
			edits: []replacement{{old: "		w.wrote(out.Plan.Changes, what)\n", new: "		w.left = false\n		w.answer(ctx, w.queue, func(a *ask) bool {\n			a.out = out\n			return a.place <= w.place\n		})\n"}}},
		{name: "the state is read before the rules", at: "core/round:work.prepare", noticed: "I8 I3 I1 I4",
			elsewise: "and once only; read again after the write it would do no harm",
			edits: []replacement{
				{old: "		out, err := w.Compute(s.ctx, w.snap.Standing)\n", new: "		state, err := w.Targets.State(s.ctx, w.target)\n		if err == nil && looks == 1 {\n			w.snap, err = w.Read(s.ctx, s.priority, w.target)\n			w.asOf = place\n		}\n		out := Outcome{Target: w.target, At: w.now(), State: state, Current: w.snap.Rules, Plan: w.kind.Compute(plan.Input{State: state, Current: w.snap.Rules, Public: w.snap.Addresses, Now: w.now()})}\n"},
				{in: "work.put", old: "		w.wrote(out.Plan.Changes, what)\n", new: "		w.left = false\n		w.answer(ctx, w.queue, func(a *ask) bool {\n			a.out = out\n			return a.place <= w.place\n		})\n"},
			}},
		{name: "confirm from a remembered snapshot", at: "core/round:work.fetch", noticed: "I8 I1 I3 I4",
			edits: []replacement{{old: "			w.asOf = -1\n", new: "			w.asOf = last\n"}}},
		{name: "complete a due wake-up without recording it", at: "core/round:Rounds.Wake", noticed: "I1",
			edits: []replacement{{old: "		return s.due(ctx, rec)\n", new: "		return nil\n"}}},
		{name: "many are stored as closed before their targets are confirmed", at: "core/round:Rounds.ask", noticed: "I8",
			edits: []replacement{{old: "s.settle(ctx, nowhere)", new: "s.settle(ctx, held)"}}},
		{name: "an opening is answered before its rule stands", at: "core/round:Outcome.satisfies", noticed: "I8",
			edits: []replacement{{old: "return refused || !out.changes(", new: "return true || !out.changes("}, {old: "		refused := ", new: "		_ = "}}},
		{name: "a closing is answered before its rule is gone", at: "core/round:Outcome.satisfies", noticed: "I8 I5",
			edits: []replacement{{old: "		return !out.changes(func(r jit.Rule) bool { return ofGrantID(r, a.Grant) }) && !plan.Unmarked(", new: "		return true || !plan.Unmarked("}}},
		{name: "a request is stored whatever is held by then", at: "core/access:Service.intend", noticed: "I14",
			edits: []replacement{{old: "		rec.Decided = version\n", new: "		_ = version\n"}}},
		{name: "the sweep completes no lock-down", at: "core/sweep:Sweeper.Sweep", noticed: "I14 I5",
			edits: []replacement{{old: "	w.lockedDown(ctx)\n", new: ""}}},
		{name: "open before the rules are confirmed", at: "core/access:Service.try", noticed: "I8",
			edits: []replacement{{old: "	rec, outs, err := s.openTargets(ctx, rec)\n", new: "	outs, err := []round.Outcome(nil), error(nil)\n"}}},
		{name: "an open window yields its place to a deny", at: "core/plan:layout.orKept", noticed: "I3",
			edits: []replacement{{old: "	if n == 0 {\n", new: "	if true {\n"}}},
		{name: "a window that has lost its place is still said to be open", at: "core/round:work.endAll", noticed: "I3",
			edits: []replacement{{old: "	if len(list) == 0 || w.unended != nil {\n", new: "	if true {\n"}}},
		{name: "a repetition undoes what another try has completed", at: "core/access:Service.abandon", noticed: "I3",
			elsewise: "and it undoes although this process has not stored the grant, or others are still trying",
			edits:    []replacement{{old: "		case g.Grant.AnyOpen(now):\n", new: "		case false:\n"}, {in: "tries.end", old: "	if of.n > 0 {\n		return false\n	}\n", new: "	return !confirmed\n"}}},
		{name: "the line of a closing depends on who tells", at: "core/store:windowEntries", noticed: "I5",
			edits: []replacement{{old: "fmt.Sprintf(\"%s/0/%s", new: "now.String() + fmt.Sprintf(\"%s/0/%s"}}},
		{name: "a window that was never confirmed has no line", at: "core/store:StoodEntries", noticed: "I5",
			edits: []replacement{{old: "return stood(g.VMs[vm].VM, g.VMs[vm].Ports[w])", new: "return false && stood(g.VMs[vm].VM, g.VMs[vm].Ports[w])"}}},
		{name: "what one person has open already does not count", at: "core/limit:Together", noticed: "I9",
			edits: []replacement{{old: "			if len(held) == 0 {\n", new: "			if true {\n"}}},
		{name: "a narrower policy leaves what is open", at: "core/protect:Protection.Narrow", noticed: "I4",
			edits: []replacement{{old: "	if len(policies) == 0 {", new: "	if len(policies) >= 0 {"}}},
		{name: "an opening is not logged", at: "core/access:Service.confirm", noticed: "I5",
			edits: []replacement{{old: "		if err := s.Activity.Append(ctx, entries...); err != nil {\n", new: "		if err := s.Activity.Append(ctx, entries[:0]...); err != nil {\n"}}},
		{name: "rules are deleted by what they match, not by grant", at: "core/plan:diff", noticed: "I3",
			edits: []replacement{{old: "		if !kept[i] {\n", new: `		ended := false
		for j, o := range current.rules {
			same := *o
			same.Name, same.Priority, same.Description = r.Name, r.Priority, r.Description
			ended = ended || !kept[j] && same.Equal(*r)
		}
		if !kept[i] || ended {
`}}},
		{name: "the end is not scheduled before the opening", at: "core/access:Service.intend", noticed: "I1",
			edits: []replacement{{old: "	if err = s.schedule(ctx, stored.Grant); err != nil {\n", new: "	if err = error(nil); err != nil {\n"}}},
		{name: "an extension is not scheduled", at: "core/access:Service.lengthen", noticed: "I1",
			edits: []replacement{{old: "if err := s.schedule(ctx, next); err != nil {", new: "if err := error(nil); err != nil {"}}},
		{name: "the intent is logged after nothing", at: "core/access:Service.intend", noticed: "I5",
			elsewise: "an intent that no line tells of, and that another round opens",
			edits:    []replacement{{old: "s.Activity.Append(ctx, store.GrantEntries(who, store.OpRequest, store.Succeeded, rec.Grant, now)...)", new: "s.Activity.Append(ctx)"}}},
		{name: "a wake-up is believed instead of the table", at: "core/round:Rounds.Wake", noticed: "I3",
			elsewise: "generation and end are both ignored; ignoring the generation alone does nothing, since the table decides",
			edits: []replacement{{old: "	now := s.now()\n	switch {\n	case rec.Grant.Closed():\n", new: `	if !rec.Grant.Closed() {
		if rec, err = store.ChangeGrant(ctx, s.Grants, rec, func(g store.GrantRecord) (store.GrantRecord, bool, error) {
			g.Grant = g.Grant.Revoke(s.now(), jit.Expired)
			return g, true, nil
		}); err != nil {
			return err
		}
	}
	now := s.now()
	switch {
	case rec.Grant.Closed():
`}}},
		{name: "a failed closing counts as closed", at: "core/round:Rounds.answered", noticed: "I8",
			edits: []replacement{{old: "		if k.cause == nil {\n", new: "		if k.cause = nil; true {\n"}}},
		{name: "revoke answers before anything is closed", at: "core/access:Service.Revoke", noticed: "I8",
			edits: []replacement{{old: "	rec, err = s.Rounds.Close(ctx, rec, round.Want{})\n", new: "	_ = round.Want{}\n"}}},
		{name: "who revoked is not stored with the mark", at: "core/access:Service.Revoke", noticed: "I5",
			edits: []replacement{{old: "		return g.Intend(who, store.OpRevoke, store.Succeeded, \"\", now), true, nil\n", new: "		_ = who\n		return g, true, nil\n"}}},
		{name: "machines share a rule that asks for more than each", at: "core/plan:addMachine", noticed: "I4 I8",
			edits: []replacement{{old: "p.shape == own.shape && slices.Equal(p.ports, own.ports)", new: "p.shape == own.shape"}}},
		{name: "a rule opens to every destination", at: "core/plan:finish", noticed: "I4",
			edits: []replacement{{old: "	r.Destination = jit.PeersOf(addrs...)\n", new: "	r.Destination = jit.AnyPeer()\n"}}},
		{name: "superseding is not stored", at: "core/access:Service.storeOpen", noticed: "I4 I5",
			edits: []replacement{{old: "s.Grants.UpdateGrants(ctx, append(older, rec)...)", new: "s.Grants.UpdateGrants(ctx, append(older[:0], rec)...)"}}},
		{name: "a request supersedes those of others", at: "core/jit:Grant.supersedes", noticed: "I3",
			edits: []replacement{{old: "if g.ID == older.ID || !g.SameRequestor(older.RequestorID, older.Requestor) ||", new: "if g.ID == older.ID ||"}}},
		{name: "a machine is followed by its name", at: "core/sweep:sweep.moved", noticed: "I4 I1",
			edits: []replacement{{old: "another(rec.Interfaces[vm.VM.Key()], m.Interfaces)", new: "another(nil, m.Interfaces)"}}},
		{name: "an opening that nobody confirms stays", at: "core/jit:Grant.Live", noticed: "I1",
			edits: []replacement{{old: "		return now.Before(w.End) && now.Before(g.OpenBy)\n", new: "		return now.Before(w.End)\n"}}},
		{name: "a window includes its end", at: "core/jit:Grant.Live", noticed: "I1 I8",
			edits: []replacement{{old: "	case Initiated:\n		return now.Before(w.End)\n	}\n	return false\n", new: "	case Initiated:\n		return !now.After(w.End)\n	}\n	return false\n"}}},
		{name: "the group does not admit the firewall", at: "core/plan:arriving", noticed: "I8 I3",
			edits: []replacement{{old: "	if w.Sources.IsAny() || !w.Mapped.IsValid() {\n", new: "	if true {\n"}}},
		{name: "a NAT rule does not end", at: "core/plan:translations", noticed: "I1 I8 I4 I6",
			edits: []replacement{{old: "o.Grant.Desired(vm.VM, w, now, rivals[rivalOf(vm.VM, w)])", new: "(o.Grant.Desired(vm.VM, w, now, rivals[rivalOf(vm.VM, w)]) || w.Status != jit.Initiating)"}}},
		{name: "firewalls are not swept", at: "core/sweep:Sweeper.Sweep", noticed: "I1 I3 I4 I6 I7",
			edits: []replacement{{old: "w.firewalls(ctx, mapping); ", new: "_ = mapping; "}}},
		{name: "the sweep closes nothing", at: "core/sweep:sweep.settle", noticed: "I1",
			edits: []replacement{{old: "	closed := make([]store.GrantRecord, len(due))\n", new: "	due = nil\n	closed := make([]store.GrantRecord, len(due))\n"}}},
		{name: "the sweep repairs nothing", at: "core/sweep:sweep.repairEach", noticed: "I3 I4 I1 I6",
			edits: []replacement{{old: "	outs := make([]round.Outcome, len(targets))\n", new: "	targets = nil\n	outs := make([]round.Outcome, len(targets))\n"}}},
		{name: "a deny that a verb puts back is not told", at: "core/repair:Of", noticed: "I5",
			edits: []replacement{{old: "(sweeping || state.Stood(r.Name))", new: "sweeping"}}},
		{name: "what is confirmed is not noted", at: "core/round:Rounds.note", noticed: "I5",
			edits: []replacement{{old: "	if !out.Unnoted() {\n", new: "	if true {\n"}}},
		{name: "a target that is not ours is written and not remembered", at: "core/round:work.put", noticed: "I7 I6",
			edits: []replacement{{old: "	if !out.State.Known && !w.remembered {\n", new: "	if false {\n"}}},
		{name: "a window whose rule is missing is opened again", at: "core/plan:Input.certain", noticed: "I13",
			elsewise: "older tables are put back, and what they say is believed",
			edits:    []replacement{{old: "case marked && !again && !in.LeaveRemoved:", new: "case !again:"}}},
		{name: "a deny that nothing stored knows goes", at: "core/plan:Input.guarding", noticed: "I4",
			elsewise: "older tables are put back, and a machine that was protected since is not",
			edits:    []replacement{{old: "	all = closed\n", new: "	all = closed\n	ours.rules = nil\n"}}},
		{name: "a foreign rule is taken for ours", at: "core/label:Owned", noticed: "I2",
			edits: []replacement{{old: "return len(name) >= len(Prefix) && strings.EqualFold(name[:len(Prefix)], Prefix)", new: "return len(name) >= len(Prefix) && (strings.EqualFold(name[:len(Prefix)], Prefix) || strings.HasPrefix(name, \"SecurityCenter\"))"}}},
	}
}

// mutate returns the files that the mutation changes, by name, after the change.
func (m mutation) mutate() (map[string]string, error) {
	dir, name, _ := strings.Cut(m.at, ":")
	out := map[string]string{}
	for _, e := range m.edits {
		in := cmp.Or(e.in, name)
		file, text, from, to, err := function(filepath.Join(root, filepath.FromSlash(dir)), in, out)
		if err != nil {
			return nil, err
		}
		if n := strings.Count(text[from:to], e.old); n != 1 {
			return nil, fmt.Errorf("%q stands %d times in %s of %s", strings.TrimSpace(e.old), n, in, file)
		}
		out[file] = text[:from] + strings.Replace(text[from:to], e.old, e.new, 1) + text[to:]
	}
	return out, nil
}

// function finds a function in a directory: its file, the file's text (from changed if it is there), and its
// position.
func function(dir, name string, changed map[string]string) (file, text string, from, to int, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return "", "", 0, 0, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", "", 0, 0, err
		}
		if now, ok := changed[file]; ok {
			text = []byte(now)
		}
		set := token.NewFileSet()
		parsed, err := parser.ParseFile(set, file, text, 0)
		if err != nil {
			return "", "", 0, 0, err
		}
		for _, d := range parsed.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && nameOf(f) == name {
				return file, string(text), set.Position(f.Pos()).Offset, set.Position(f.End()).Offset, nil
			}
		}
	}
	return "", "", 0, 0, fmt.Errorf("%s has no function %s", dir, name)
}

// nameOf returns a function's name as [mutation] has it.
func nameOf(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return f.Name.Name
	}
	of := f.Recv.List[0].Type
	if star, ok := of.(*ast.StarExpr); ok {
		of = star.X
	}
	if id, ok := of.(*ast.Ident); ok {
		return id.Name + "." + f.Name.Name
	}
	return f.Name.Name
}

// TestMutationsMatch checks that every mutation applies, before a run costs an hour.
func TestMutationsMatch(t *testing.T) {
	for _, m := range mutations() {
		if _, err := m.mutate(); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
	}
}
