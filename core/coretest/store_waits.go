package coretest

import (
	"testing"
	"time"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// grantWaits checks a grant that waits for approval and for its start, and is then opened or denied: while it waits it bears on no target, it is
// listed by its status, and all that it waits for is kept.
func grantWaits(t *testing.T, s Store) {
	list := func(status jit.Status) []jit.Grant {
		t.Helper()
		grants, _, err := s.ListGrants(t.Context(), store.GrantFilter{Status: status.String()}, "", 10)
		if err != nil {
			t.Fatal(err)
		}
		return grants
	}
	held := func(g store.GrantRecord, status jit.Status) store.GrantRecord {
		g.Placements, g.Connect, g.Interfaces, g.Replaces = nil, nil, nil, nil
		g.Grant = g.Grant.Each(func(_ jit.ID, w jit.Window) jit.Window {
			w.Status, w.Fixed = status, w.Number == 22
			return w
		})
		return g
	}
	full := grantOf(morning, 1, 1)
	waiting := held(full, jit.AwaitingApproval)
	waiting.Grant.Wait = jit.Wait{Approvers: 2, Opens: morning.Add(time.Hour)}
	kept := must[store.GrantRecord](t)(s.InsertGrant(t.Context(), waiting, nil, morning))
	wantSame(t, "what an insert gives", kept, waiting)
	wantState(t, s, 1)
	wantSame(t, "listed", list(jit.AwaitingApproval), []jit.Grant{waiting.Grant})
	wantSame(t, "listed as open", list(jit.Initiating), []jit.Grant(nil))

	approval := jit.Approval{ID: "tid/bob", Name: "Bob \"B\"", At: morning.Add(time.Minute), By: jit.ByPolicy, Named: "00000000-0000-0000-0000-00000000000a"}
	kept.Grant = kept.Grant.Approved(approval).Approved(jit.Approval{ID: "tid/eve", Name: "eve", At: morning.Add(2 * time.Minute), By: jit.ByWrite})
	approved := must[[]store.GrantRecord](t)(s.UpdateGrants(t.Context(), kept))[0]
	wantSame(t, "approved", must[store.GrantRecord](t)(s.Grant(t.Context(), waiting.Grant.ID)), kept)
	wantSame(t, "approved, listed", list(jit.AwaitingApproval), []jit.Grant{kept.Grant})

	scheduled := held(approved, jit.Scheduled)
	scheduled = must[[]store.GrantRecord](t)(s.UpdateGrants(t.Context(), scheduled))[0]
	wantSame(t, "scheduled", list(jit.Scheduled), []jit.Grant{scheduled.Grant})

	opening := full
	opening.Version, opening.Grant.Wait, opening.Grant.Generation = scheduled.Version, scheduled.Grant.Wait, 2
	opening.Grant.Wait.Released = morning.Add(time.Hour)
	opening = must[[]store.GrantRecord](t)(s.UpdateGrants(t.Context(), opening))[0]
	wantSame(t, "opening", must[[]store.GrantRecord](t)(s.OpenGrants(t.Context())), []store.GrantRecord{opening})
	state, err := s.State(t.Context(), nsg(1))
	if err != nil || len(state.Openings) != 1 || !state.Openings[0].Grant.Begins().Equal(morning.Add(time.Hour)) {
		t.Errorf("what bears on the target: %+v, %v", state.Openings, err)
	}

	denied := held(grantOf(morning.Add(time.Second), 2, 1), jit.AwaitingApproval)
	denied.Grant.Wait.Approvers = 1
	denied = must[store.GrantRecord](t)(s.InsertGrant(t.Context(), denied, nil, morning))
	denied.Grant.Wait.Denied = jit.Approval{ID: "tid/bob", Name: "bob", At: morning.Add(time.Minute), By: jit.ByRole, Reason: "not today – \"no\""}
	denied.Grant = denied.Grant.Revoke(morning.Add(time.Minute), jit.Denied).Settled(morning.Add(time.Minute))
	must[[]store.GrantRecord](t)(s.UpdateGrants(t.Context(), denied))
	wantSame(t, "denied", list(jit.Revoked), []jit.Grant{denied.Grant})
}
