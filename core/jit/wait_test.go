package jit_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portcullis/core/jit"
)

func waiting(status jit.Status) jit.Grant {
	g := grantOf("g", now, jit.Window{End: now.Add(3 * time.Hour), Length: time.Hour, Status: status}, jit.Window{End: now.Add(2 * time.Hour), Fixed: true, Length: 2 * time.Hour, Status: status})
	g.OpenBy = now.Add(time.Hour)
	return g
}

// TestWaitingGrant: what waits is open at no time, is due at the end of its wait and not before, and says how the wait has ended.
func TestWaitingGrant(t *testing.T) {
	until := now.Add(time.Hour)
	for _, tt := range []struct {
		status jit.Status
		reason jit.Reason
		text   string
	}{
		{jit.AwaitingApproval, jit.ApprovalExpired, "AwaitingApproval"},
		{jit.Scheduled, jit.OpeningFailed, "Scheduled"},
	} {
		t.Run(tt.text, func(t *testing.T) {
			g := waiting(tt.status)
			if g.Status().String() != tt.text || !g.Waiting() || g.Closed() {
				t.Errorf("reads as %s, waiting %t, closed %t", g.Status(), g.Waiting(), g.Closed())
			}
			for _, at := range []time.Time{now.Add(-time.Hour), now, until.Add(-1), until, now.Add(3 * time.Hour), now.Add(4 * time.Hour)} {
				over := !at.Before(until)
				since, due := g.DueSince(at)
				ending, marked := g.Ending(at)
				got := fmt.Sprint(g.AnyLive(at), g.AnyOpen(at), g.Waits(at), g.Overdue(at), due, marked, ending.Reason())
				want := fmt.Sprint(false, false, !over, over, over, over, map[bool]jit.Reason{true: tt.reason}[over])
				if got != want {
					t.Errorf("at %s: live, open, waits, overdue, due, marked, reason: got %s, want %s", at.Sub(now), got, want)
				}
				if due && !since.Equal(until) {
					t.Errorf("at %s: due since %s", at.Sub(now), since)
				}
				if opened := g.Opened(at); opened.AnyOpen(at) {
					t.Errorf("at %s: opened", at.Sub(now))
				}
				if g.Desired(vm("web"), g.VMs[0].Ports[0], at, nil) {
					t.Errorf("at %s: desired", at.Sub(now))
				}
			}
			for _, w := range g.Settled(until).VMs[0].Ports {
				if w.Status != jit.Revoked || w.Reason != tt.reason || !w.Unconfirmed || !w.End.Equal(until) {
					t.Errorf("settled: %+v", w)
				}
			}
			for _, w := range g.Revoke(now.Add(time.Minute), jit.Denied).Settled(now.Add(time.Minute)).VMs[0].Ports {
				if w.Status != jit.Revoked || w.Reason != jit.Denied || !w.Unconfirmed || !w.End.Equal(now.Add(time.Minute)) {
					t.Errorf("denied: %+v", w)
				}
			}
			older := grantOf("a", now.Add(-time.Minute), jit.Window{End: now.Add(time.Hour), Status: jit.Initiated})
			if _, found := older.Superseded(g, now); found {
				t.Error("a request that waits takes the place of a window")
			}
		})
	}
}

// TestWakes: what waits is woken at its start and at the end of the wait, and not at the ends of windows that are not open.
func TestWakes(t *testing.T) {
	later := waiting(jit.Scheduled)
	later.Wait.Opens = now.Add(30 * time.Minute)
	both := waiting(jit.AwaitingApproval)
	both.Wait.Opens = now.Add(30 * time.Minute)
	for name, tt := range map[string]struct {
		g    jit.Grant
		want []time.Time
	}{
		"for approval":                       {waiting(jit.AwaitingApproval), []time.Time{now.Add(time.Hour)}},
		"for approval, and then for a start": {both, []time.Time{now.Add(time.Hour)}},
		"for a start":                        {later, []time.Time{now.Add(30 * time.Minute), now.Add(time.Hour)}},
		"open":                               {grantOf("g", now, open(now.Add(2*time.Hour)), open(now.Add(time.Hour))), []time.Time{now.Add(time.Hour), now.Add(2 * time.Hour)}},
	} {
		if d := cmp.Diff(tt.want, tt.g.Wakes()); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

// TestBegins: windows count from the opening of a grant that has waited, so a newer opening takes the place of an older one whoever asked first.
func TestBegins(t *testing.T) {
	end := now.Add(2 * time.Hour)
	direct := grantOf("b", now.Add(time.Minute), open(end))
	waited := grantOf("a", now, opening(end))
	waited.Wait.Released, waited.OpenBy = now.Add(time.Hour), end
	if !waited.Begins().Equal(now.Add(time.Hour)) || !waiting(jit.Scheduled).Begins().Equal(now) {
		t.Error("begins at another time")
	}
	if _, found := direct.Superseded(waited, now.Add(time.Hour)); !found {
		t.Error("the later opening does not take the place of the earlier one")
	}
	if _, found := waited.Superseded(direct, now.Add(time.Hour)); found {
		t.Error("the earlier opening takes the place of the later one")
	}
}

// TestApprovedIsBounded: the oldest goes, so that what is stored stays small; the receiver is not changed.
func TestApprovedIsBounded(t *testing.T) {
	g := waiting(jit.AwaitingApproval)
	for i := range jit.MaxApprovals + 2 {
		before := slices.Clone(g.Wait.Approvals)
		next := g.Approved(jit.Approval{ID: fmt.Sprint(i)})
		if d := cmp.Diff(before, g.Wait.Approvals); d != "" {
			t.Fatal(d)
		}
		g = next
	}
	if n := len(g.Wait.Approvals); n != jit.MaxApprovals || g.Wait.Approvals[0].ID != "2" || g.Wait.Approvals[n-1].ID != fmt.Sprint(jit.MaxApprovals+1) {
		t.Errorf("got %d, from %s", n, g.Wait.Approvals[0].ID)
	}
}

const idA, idB, idC = "aaaaaaaa-0000-0000-0000-000000000001", "bbbbbbbb-0000-0000-0000-000000000002", "cccccccc-0000-0000-0000-000000000003"

func people(t *testing.T, ids ...string) jit.People {
	t.Helper()
	p, err := jit.PeopleOf(ids...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPeople(t *testing.T) {
	for name, ids := range map[string][]string{"no id": {idA, ""}, "a name": {"alice@contoso.com"}, "with a space": {" " + idA}, "two in one": {idA + " " + idB}} {
		got, err := jit.PeopleOf(ids...)
		if wantCode(t, err, jit.CodeInvalidApprovers); got.Named() {
			t.Errorf("%s: named %s", name, got)
		}
	}
	anyone, ab, bc := people(t), people(t, idB, "AAAAAAAA-0000-0000-0000-000000000001", idA), people(t, idB, idC)
	if d := cmp.Diff([]string{idA, idB}, ab.IDs()); d != "" || !ab.Has("AAAAAAAA-0000-0000-0000-000000000001") || ab.Has(idC) || ab.Has("") {
		t.Errorf("%s; %s", d, ab)
	}
	if anyone.Named() || anyone.Has(idA) || anyone.Has("") || anyone != (jit.People{}) {
		t.Error("nobody in particular is somebody")
	}
	nobody := ab.And(people(t, idC))
	for name, tt := range map[string]struct {
		got   jit.People
		named bool
		want  []string
	}{
		"anyone and some": {anyone.And(ab), true, []string{idA, idB}}, "some and anyone": {ab.And(anyone), true, []string{idA, idB}}, "anyone twice": {anyone.And(anyone), false, nil},
		"both": {ab.And(bc), true, []string{idB}}, "nobody is in both": {nobody, true, nil}, "nobody and anyone": {nobody.And(anyone), true, nil}, "nobody and some": {nobody.And(ab), true, nil},
	} {
		if tt.got.Named() != tt.named || !slices.Equal(tt.got.IDs(), tt.want) {
			t.Errorf("%s: named %t, %v", name, tt.got.Named(), tt.got.IDs())
		}
	}
}

// TestApproversOfPolicies: the stricter counts, what is out of bounds is refused, and clients that cannot state it take nothing off.
func TestApproversOfPolicies(t *testing.T) {
	for _, n := range []int{-1, jit.MaxApprovers + 1} {
		wantCode(t, jit.Options{Approvers: n}.Validate(), jit.CodeInvalidApprovers)
		p := jit.Policy{VM: vm("web"), Ports: jit.DefaultPorts()}
		p.Ports[1].Approvers = n
		_, err := p.Validate()
		wantCode(t, err, jit.CodeInvalidApprovers)
		if r := jit.Refused(err); r.Target != "ports[1].approvers" {
			t.Errorf("target %s", r.Target)
		}
	}
	var many []string
	for i := range jit.MaxPeople + 1 {
		many = append(many, fmt.Sprintf("aaaaaaaa-0000-0000-0000-%012d", i))
	}
	wantCode(t, jit.Options{ApprovedBy: people(t, many...)}.Validate(), jit.CodeInvalidApprovers)
	wantCode(t, jit.Options{ApprovedBy: people(t, many[1:]...)}.Validate(), "")
	a, b := jit.Options{Approvers: 2, ApprovedBy: people(t, idA, idB)}, jit.Options{Approvers: 1, ApprovedBy: people(t, idB, idC)}
	want := jit.Options{Approvers: 2, ApprovedBy: people(t, idB)}
	if a.With(b) != want || b.With(a) != want || a.With(jit.Options{}) != a || a.Validate() != nil {
		t.Errorf("got %+v", a.With(b))
	}
	if text := a.String(); text != "to be approved by 2, approvers "+idA+" "+idB {
		t.Errorf("says %q", text)
	}
	stored := jit.Policy{VM: vm("web"), Ports: jit.DefaultPorts()}
	stored.Ports[0].Approvers = 3
	if got := (jit.Policy{VM: vm("web"), Ports: jit.DefaultPorts()}).WithPins(stored); got.Ports[0].Approvers != 3 || got.Ports[1].Approvers != 0 {
		t.Errorf("got %+v", got.Ports)
	}
}
