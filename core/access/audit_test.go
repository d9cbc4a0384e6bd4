package access_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portcullis/core/area"
	"portcullis/core/coretest"
	"portcullis/core/defender"
	"portcullis/core/inventory"
	"portcullis/core/jit"
	"portcullis/core/lockdown"
	"portcullis/core/network"
	"portcullis/core/permit"
	"portcullis/core/store"
)

// lastEntries gives the newest entries of the log, newest first.
func (w *world) lastEntries(n int) []store.Entry {
	w.t.Helper()
	entries, _, err := w.mem.Entries(w.t.Context(), store.EntryFilter{}, "", n)
	if err != nil {
		w.t.Fatal(err)
	}
	return entries
}

// TestEveryRefusalIsLogged: whatever is refused for want of a permission stands in the log, each time, with
// who, what and why; a dry run is nothing to log.
func TestEveryRefusalIsLogged(t *testing.T) {
	ctx := t.Context()
	policies := []jit.Policy{policyOf("web", 22, 443)}
	name := store.PolicyName{Subscription: sub, ResourceGroup: "demo", Location: "westeurope", Name: store.DefaultName}
	rows := map[string]struct {
		op store.Operation
		vm string
		do func(*doorway) error
	}{
		"enable":  {store.OpEnable, "web", func(g *doorway) error { _, _, err := g.doors.Enable(ctx, g.who, policies, false); return err }},
		"disable": {store.OpDisable, "web", func(g *doorway) error { _, err := g.doors.Disable(ctx, g.who, []jit.ID{vmID("web")}); return err }},
		"request": {store.OpRequest, "web", func(g *doorway) error {
			_, _, err := g.doors.Request(ctx, g.who, asked(ann, 3389, "203.0.113.27", "web"), "")
			return err
		}},
		"revoke": {store.OpRevoke, "web", func(g *doorway) error { _, err := g.doors.Revoke(ctx, g.who, g.other); return err }},
		"extend": {store.OpExtend, "web", func(g *doorway) error {
			_, err := g.doors.Extend(ctx, g.who, g.other, 2*time.Hour, time.Time{})
			return err
		}},
		"extend one's own": {store.OpExtend, "web", func(g *doorway) error {
			_, err := g.doors.Extend(ctx, g.who, g.own, 2*time.Hour, time.Time{})
			return err
		}},
		"replace a policy": {store.OpEnable, "web", func(g *doorway) error {
			_, err := g.doors.ReplacePolicy(ctx, g.who, name, valid(policies...), defender.Written{}, defender.Precondition{})
			return err
		}},
		"delete a policy": {store.OpDisable, "", // what it lists is not read for who may not delete it
			func(g *doorway) error {
				_, _, err := g.doors.DeletePolicy(ctx, g.who, name, defender.Precondition{})
				return err
			}},
		"import": {store.OpEnable, "web", func(g *doorway) error {
			return g.doors.Import(ctx, g.who, []defender.ToImport{{Name: name, Policies: valid(policies...)}}, false)[0][0].Err
		}},
		"restore": {store.OpEnable, "web", func(g *doorway) error {
			v, err := g.doors.Restore(ctx, g.who, []defender.Held{{Name: name, Policy: valid(policies[0])[0]}}, false, g.now().Add(time.Minute))
			if err != nil {
				return err
			}
			return v[0].Err
		}},
		"lock down": {store.OpLockdown, "", func(g *doorway) error {
			_, err := g.doors.lock.Begin(ctx, g.who, lockdown.Order{Scope: area.Scope{Everything: true}, Reason: "test"})
			return err
		}},
		"lift": {store.OpLift, "", func(g *doorway) error {
			_, err := g.doors.lock.Lift(ctx, g.who, g.held(area.Scope{VM: vmID("web")}), "test", false)
			return err
		}},
		"sweep": {store.OpSweep, "", func(g *doorway) error { _, err := g.doors.SweepNow(ctx, g.who); return err }},
	}
	for what, row := range rows {
		t.Run(what, func(t *testing.T) {
			g := newDoorway(t, holders()["r"])
			g.leap(time.Second)
			before := len(g.log())
			for range 2 {
				if err := row.do(g); code(err) != permit.CodeForbidden {
					t.Fatalf("not refused: %v", err)
				}
			}
			if got := len(g.log()) - before; got != 2 {
				t.Fatalf("%d entries of two refusals", got)
			}
			e := g.lastEntries(1)[0]
			if e.Operation != row.op || e.Result != store.Refused || e.VM.Name != row.vm || e.Requestor != ann.Name ||
				e.Reason != string(permit.CodeForbidden) || e.Message == "" || e.Correlation != "test" {
				t.Errorf("%+v", e)
			}
		})
	}
	t.Run("a dry run", func(t *testing.T) {
		g := newDoorway(t, holders()["r"])
		before := len(g.log())
		if _, _, err := g.doors.Enable(ctx, g.who, policies, true); code(err) != permit.CodeForbidden {
			t.Fatalf("not refused: %v", err)
		}
		if _, err := g.doors.Restore(ctx, g.who, []defender.Held{{Name: name, Policy: valid(policies[0])[0]}}, true, g.now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if len(g.log()) != before {
			t.Error("a dry run was logged")
		}
	})
	t.Run("elsewhere", func(t *testing.T) {
		g := newDoorway(t, holders()["all"])
		g.leap(time.Second)
		far := policies[0]
		far.VM.Subscription = "99999999-9999-9999-9999-999999999999"
		if _, _, err := g.doors.Enable(ctx, g.who, []jit.Policy{far}, false); code(err) != network.CodeNotManaged {
			t.Fatalf("not refused: %v", err)
		}
		if e := g.lastEntries(1)[0]; !e.VM.IsZero() || e.Reason != string(network.CodeNotManaged) || e.Result != store.Refused {
			t.Errorf("%+v", e)
		}
	})
}

// TestPolicyChangesSayBeforeAndAfter: the log tells what a policy said and what it says.
func TestPolicyChangesSayBeforeAndAfter(t *testing.T) {
	w := newWorld(t)
	enable := func(p jit.Policy) string {
		w.leap(time.Second)
		if _, _, err := w.Enable(t.Context(), who("admin"), []jit.Policy{p}, false); err != nil {
			t.Fatal(err)
		}
		return w.lastEntries(1)[0].Message
	}
	p := policyOf("web", 22)
	var got []string
	got = append(got, enable(p))
	p.Ports[0].Maximum, p.ExistingRules = time.Hour, jit.Respect
	p.Ports = append(p.Ports, policyOf("web", 3389).Ports...)
	got = append(got, enable(p))
	w.leap(time.Second)
	if _, err := w.Disable(t.Context(), who("admin"), []jit.ID{vmID("web")}); err != nil {
		t.Fatal(err)
	}
	got = append(got, w.lastEntries(1)[0].Message)
	first, second := "22 TCP from * for 3 h (override existing rules)", "22 TCP from * for 1 h, 3389 TCP from * for 3 h (respect existing rules)"
	if diff := cmp.Diff([]string{"now: " + first, "before: " + first + "; now: " + second, "before: " + second}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestHalfAnEnableIsLogged: where the second of two policies cannot be stored, the log tells of the first.
func TestHalfAnEnableIsLogged(t *testing.T) {
	w := newWorld(t)
	puts := 0
	w.faultStore("PutPolicy", func() error {
		if puts++; puts > 1 {
			return errFault
		}
		return nil
	})
	_, _, err := w.Enable(t.Context(), who("admin"), []jit.Policy{policyOf("web", 22), policyOf("app1", 22)}, false)
	if err == nil {
		t.Fatal("no error")
	}
	if got := w.log(); !slices.Contains(got, "Enable Failed web") || !slices.Contains(got, "Enable Failed app1") {
		t.Errorf("log %q", got)
	}
}

// faultStore makes one operation of the store ask f before it takes effect.
func (w *world) faultStore(op string, f func() error) {
	w.store.Fault = func(_ context.Context, s coretest.Step) error {
		if s.Op == op && !s.After {
			return f()
		}
		return nil
	}
}

// TestVerifyDays: which days a look takes, and what is refused.
func TestVerifyDays(t *testing.T) {
	g := newDoorway(t, holders()["all"])
	day := func(n int) time.Time {
		return noon.UTC().Truncate(24 * time.Hour).Add(time.Duration(n) * 24 * time.Hour)
	}
	rows := map[string]struct {
		from, to time.Time
		days     int
		refused  jit.Code
	}{
		"today":                   {days: 1},
		"from alone":              {from: day(-3).Add(time.Hour), days: 1},
		"to alone is exclusive":   {to: day(0), days: 1},
		"two days":                {from: day(-1).Add(23 * time.Hour), to: day(0).Add(1), days: 2},
		"whole days":              {from: day(-2), to: day(0), days: 2},
		"the most":                {from: day(-31), to: day(0), days: 31},
		"one too many":            {from: day(-31), to: day(0).Add(1), refused: inventory.CodeInvalidQuery},
		"for ever":                {from: time.Unix(0, 0), to: day(0), refused: inventory.CodeInvalidQuery},
		"the wrong way round":     {from: day(0), to: day(-1), refused: inventory.CodeInvalidQuery},
		"nothing between the two": {from: day(0), to: day(0), refused: inventory.CodeInvalidQuery},
	}
	for name, row := range rows {
		got, err := g.doors.Verify(t.Context(), g.who, strings.ToUpper(sub), row.from, row.to)
		if code(err) != row.refused || len(got) != row.days {
			t.Errorf("%s: %d days, %v", name, len(got), err)
			continue
		}
		for _, c := range got {
			if c.Subscription != sub || !c.Day.Equal(c.Day.Truncate(24*time.Hour)) || c.FirstBroken != nil {
				t.Errorf("%s: %+v", name, c)
			}
		}
	}
	if _, err := g.doors.Verify(t.Context(), g.who, sub2, time.Time{}, time.Time{}); code(err) != network.CodeNotManaged {
		t.Errorf("another subscription: %v", err)
	}
	got, err := g.doors.Verify(t.Context(), g.who, "", time.Time{}, time.Time{})
	if err != nil || len(got) != 2 || got[0].Subscription != sub || got[1].Subscription != inventory.NoSubscription || got[0].Entries == 0 {
		t.Errorf("all chains: %+v, %v", got, err)
	}
}
