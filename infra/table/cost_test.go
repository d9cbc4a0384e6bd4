package table_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portcullis/core/access"
	"portcullis/infra/table"
	"portcullis/local/tablesim"
)

type counts = map[tablesim.Operation]int

// TestCosts holds what every call costs, in operations of the service.
func TestCosts(t *testing.T) {
	ctx := t.Context()
	type world struct {
		s      *table.Store
		policy access.PolicyRecord
		grant  access.GrantRecord // open, at one target
		wide   access.GrantRecord // open, at 130 targets
	}
	rows := []struct {
		name string
		call func(world) error
		want counts
	}{
		{"policy", func(w world) error { _, err := w.s.Policy(ctx, vm(1)); return err }, counts{tablesim.GetEntity: 1}},
		{"all policies", func(w world) error { _, err := access.AllPolicies(ctx, w.s); return err }, counts{tablesim.QueryEntities: 1}},
		{"new policy", func(w world) error { _, err := w.s.PutPolicy(ctx, policyRecord(2, 2)); return err }, counts{tablesim.Batch: 1}},
		{"policy again", func(w world) error { _, err := w.s.PutPolicy(ctx, w.policy); return err }, counts{tablesim.Batch: 1}},
		{"policy moves", func(w world) error {
			w.policy.Placements = policyRecord(1, 2).Placements
			_, err := w.s.PutPolicy(ctx, w.policy)
			return err
		}, counts{tablesim.GetEntity: 1, tablesim.Batch: 1}},
		{"delete policy", func(w world) error { return w.s.DeletePolicy(ctx, w.policy) }, counts{tablesim.Batch: 1}},
		{"new grant", func(w world) error {
			g := grantRecord(3, 1)
			_, err := w.s.InsertGrant(ctx, g, []access.Key{key("a", g), key("b", g)}, day)
			return err
		}, counts{tablesim.Batch: 1}},
		{"new grant by an expired key", func(w world) error {
			g := grantRecord(3, 1)
			_, err := w.s.InsertGrant(ctx, g, []access.Key{key("used", g)}, day.Add(time.Hour))
			return err
		}, counts{tablesim.Batch: 2, tablesim.GetEntity: 2}},
		{"new grant at 48 targets", func(w world) error {
			g := grantRecord(3, 48)
			_, err := w.s.InsertGrant(ctx, g, []access.Key{key("a", g), key("b", g)}, day)
			return err
		}, counts{tablesim.Batch: 1}},
		{"new grant at 130 targets", func(w world) error {
			_, err := w.s.InsertGrant(ctx, grantRecord(3, 130), nil, day)
			return err
		}, counts{tablesim.Batch: 3}},
		{"update", func(w world) error { _, err := w.s.UpdateGrants(ctx, w.grant); return err }, counts{tablesim.Batch: 1}},
		{"update of what moves", func(w world) error {
			w.grant.Placements = grantRecord(1, 2).Placements
			_, err := w.s.UpdateGrants(ctx, w.grant)
			return err
		}, counts{tablesim.GetEntity: 1, tablesim.Batch: 1}},
		{"close", func(w world) error { _, err := w.s.UpdateGrants(ctx, closed(w.grant)); return err }, counts{tablesim.Batch: 2}},
		{"close at 130 targets", func(w world) error { _, err := w.s.UpdateGrants(ctx, closed(w.wide)); return err }, counts{tablesim.Batch: 3, tablesim.GetEntity: 1}},
		{"open grant", func(w world) error { _, err := w.s.Grant(ctx, w.grant.Grant.ID); return err }, counts{tablesim.GetEntity: 1}},
		{"open grants", func(w world) error { _, err := w.s.OpenGrants(ctx); return err }, counts{tablesim.QueryEntities: 1}},
		{"key", func(w world) error { _, err := w.s.FindKey(ctx, "ann", "used", day); return err }, counts{tablesim.GetEntity: 1}},
		{"state", func(w world) error { _, err := w.s.State(ctx, nsg(0)); return err }, counts{tablesim.QueryEntities: 1}},
		{"state of nothing", func(w world) error { _, err := w.s.State(ctx, nsg(999)); return err }, counts{tablesim.QueryEntities: 1, tablesim.GetEntity: 1}},
		{"confirm", func(w world) error { return w.s.Confirm(ctx, nsg(0), nil, []string{"a"}) }, counts{tablesim.GetEntity: 1, tablesim.Batch: 1}},
		{"remember", func(w world) error { return w.s.Remember(ctx, nsg(999)) }, counts{tablesim.GetEntity: 1, tablesim.Batch: 1}},
		{"known", func(w world) error { _, err := w.s.Known(ctx); return err }, counts{tablesim.QueryEntities: 1}},
		{"list", func(w world) error { _, _, err := w.s.ListGrants(ctx, access.GrantFilter{}, "", 10); return err }, counts{tablesim.QueryEntities: 2}},
		{"list of open grants", func(w world) error {
			_, _, err := w.s.ListGrants(ctx, access.GrantFilter{Status: "Initiated"}, "", 10)
			return err
		}, counts{tablesim.QueryEntities: 1}},
		{"list of history", func(w world) error {
			_, _, err := w.s.ListGrants(ctx, access.GrantFilter{Status: "Revoked"}, "", 10)
			return err
		}, counts{tablesim.QueryEntities: 1}},
		// The first entry of a chain costs a read of its head; from then on the process knows where it ends.
		{"append, to two chains", func(w world) error {
			return w.s.Append(ctx, access.Entry{ID: "1", Time: day}, access.Entry{ID: "2", Time: day}, access.Entry{ID: "3", Time: day.Add(24 * time.Hour)})
		}, counts{tablesim.Batch: 2, tablesim.GetEntity: 2}},
		{"append, and again", func(w world) error {
			if err := w.s.Append(ctx, access.Entry{ID: "1", Time: day}); err != nil {
				return err
			}
			return w.s.Append(ctx, access.Entry{ID: "2", Time: day}, access.Entry{ID: "3", Time: day})
		}, counts{tablesim.Batch: 2, tablesim.GetEntity: 1}},
		{"append what is there", func(w world) error {
			if err := w.s.Append(ctx, access.Entry{ID: "1", Time: day}); err != nil {
				return err
			}
			return w.s.Append(ctx, access.Entry{ID: "1", Time: day})
		}, counts{tablesim.Batch: 2, tablesim.GetEntity: 3}},
		{"verify", func(w world) error { _, err := w.s.Verify(ctx, subscription, day); return err }, counts{tablesim.GetEntity: 2, tablesim.QueryEntities: 2}},
		{"entries", func(w world) error { _, _, err := w.s.Entries(ctx, access.EntryFilter{}, "", 10); return err }, counts{tablesim.QueryEntities: 1}},
		{"sweep", func(w world) error { return w.s.PutSweep(ctx, access.SweepRecord{Started: day}) }, counts{tablesim.Batch: 1}},
		{"ping", func(w world) error { return w.s.Ping(ctx) }, counts{tablesim.GetEntity: 1}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			s, sim := store(t)
			w := world{s: s}
			var err error
			if w.policy, err = s.PutPolicy(ctx, policyRecord(1, 1)); err != nil {
				t.Fatal(err)
			}
			g := grantRecord(1, 1)
			if w.grant, err = s.InsertGrant(ctx, g, []access.Key{key("used", g)}, day); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(row.name, "130") {
				if w.wide, err = s.InsertGrant(ctx, grantRecord(2, 130), nil, day); err != nil {
					t.Fatal(err)
				}
			}
			sim.ResetStats()
			if err := row.call(w); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(row.want, sim.Stats().Operations); diff != "" {
				t.Errorf("operations (-want +got):\n%s", diff)
			}
		})
	}
}

// TestListReadsWhatItNeeds has a log of many days: a page must not read it all.
func TestListReadsWhatItNeeds(t *testing.T) {
	s, sim := store(t)
	for n := range 40 {
		g := grantRecord(n, 1)
		g.Grant.Start = day.Add(-time.Duration(n) * 24 * time.Hour)
		g, err := s.InsertGrant(t.Context(), g, nil, day)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.UpdateGrants(t.Context(), closed(g)); err != nil {
			t.Fatal(err)
		}
	}
	sim.ResetStats()
	first, cursor, err := s.ListGrants(t.Context(), access.GrantFilter{}, "", 5)
	if err != nil || len(first) != 5 {
		t.Fatalf("%d grants, %v", len(first), err)
	}
	if read := sim.Stats().EntitiesRead; read > 6 {
		t.Errorf("a page of 5 read %d entities", read)
	}
	sim.ResetStats()
	if _, _, err := s.ListGrants(t.Context(), access.GrantFilter{}, cursor, 5); err != nil {
		t.Fatal(err)
	}
	if read := sim.Stats().EntitiesRead; read > 6 {
		t.Errorf("the next page of 5 read %d entities", read)
	}
	sim.ResetStats()
	f := access.GrantFilter{From: day.Add(-3 * 24 * time.Hour), To: day.Add(-24 * time.Hour)}
	got, _, err := s.ListGrants(t.Context(), f, "", 100)
	if err != nil || len(got) != 2 {
		t.Fatalf("%d grants, %v", len(got), err)
	}
	if visited := sim.Stats().EntitiesVisited; visited > 4 {
		t.Errorf("two days cost a look at %d entities", visited)
	}
}
