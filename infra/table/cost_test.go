package table_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portcullis/core/store"
	"portcullis/infra/table"
	"portcullis/local/tablesim"
)

type counts = map[tablesim.Operation]int

// TestCosts holds what every call costs, in operations of the service.
func TestCosts(t *testing.T) {
	ctx := t.Context()
	type world struct {
		s      *table.Store
		policy store.PolicyRecord
		grant  store.GrantRecord // open, at one target
		wide   store.GrantRecord // open, at 130 targets
	}
	rows := []struct {
		name string
		call func(world) error
		want counts
	}{
		{"policy", func(w world) error { _, err := w.s.Policy(ctx, vm(1)); return err }, counts{tablesim.GetEntity: 1}},
		{"all policies", func(w world) error { _, err := store.AllPolicies(ctx, w.s); return err }, counts{tablesim.QueryEntities: 1}},
		{"named policy", func(w world) error {
			return w.s.EachListed(ctx, filterOf(w.policy.Listing()), store.PolicyName{}, noHead, func(store.PolicyRecord) error { return nil })
		}, counts{tablesim.QueryEntities: 1}},
		{"policies of a group at any location", func(w world) error {
			f := filterOf(w.policy.Listing())
			f.Location, f.Name = "", ""
			return w.s.EachListed(ctx, f, store.PolicyName{}, noHead, func(store.PolicyRecord) error { return nil })
		}, counts{tablesim.QueryEntities: 3}}, // to find its one location, the range there, and that there is no other
		{"new policy", func(w world) error { _, err := w.s.PutPolicy(ctx, policyRecord(2, 2)); return err }, counts{tablesim.Batch: 1}},
		{"policy again", func(w world) error { _, err := w.s.PutPolicy(ctx, w.policy); return err }, counts{tablesim.Batch: 1}},
		{"policy moves", func(w world) error {
			w.policy.Placements = policyRecord(1, 2).Placements
			_, err := w.s.PutPolicy(ctx, w.policy)
			return err
		}, counts{tablesim.GetEntity: 1, tablesim.Batch: 1}},
		{"policy under another name", func(w world) error {
			w.policy.Listed.Name = "night"
			_, err := w.s.PutPolicy(ctx, w.policy)
			return err
		}, counts{tablesim.GetEntity: 1, tablesim.Batch: 1}},
		{"grant that is told to two channels", func(w world) error {
			letter := store.Letter{Channel: "webhook", Message: store.Message{Kind: store.EventOpen, Subject: w.grant.Grant.ID, Seq: 1}}
			w.grant.Tell = []store.Letter{letter, letter}
			w.grant.Tell[1].Channel = "slack"
			_, err := w.s.UpdateGrants(ctx, w.grant)
			return err
		}, counts{tablesim.Batch: 1}},
		{"letters to a channel", func(w world) error { _, _, err := w.s.Letters(ctx, "webhook", "", 200); return err }, counts{tablesim.QueryEntities: 1}},
		{"delete policy", func(w world) error { return w.s.DeletePolicy(ctx, w.policy) }, counts{tablesim.Batch: 1}},
		{"new named policy", func(w world) error {
			_, err := w.s.PutNamed(ctx, store.NamedRecord{Name: w.policy.Listing()})
			return err
		}, counts{tablesim.Batch: 1}},
		{"a named policy's machine and record", func(w world) error {
			_, _, err := w.s.PutListed(ctx, store.NamedRecord{Name: w.policy.Listing()}, w.policy)
			return err
		}, counts{tablesim.Batch: 1}}, // the record is a row of the transaction
		{"a named policy's machine that goes, and record", func(w world) error {
			_, err := w.s.DropListed(ctx, store.NamedRecord{Name: w.policy.Listing()}, w.policy)
			return err
		}, counts{tablesim.Batch: 1}},
		{"new grant", func(w world) error {
			g := grantRecord(3, 1)
			_, err := w.s.InsertGrant(ctx, g, []store.Key{key("a", g), key("b", g)}, day)
			return err
		}, counts{tablesim.Batch: 1}},
		{"new grant by an expired key", func(w world) error {
			g := grantRecord(3, 1)
			_, err := w.s.InsertGrant(ctx, g, []store.Key{key("used", g)}, day.Add(time.Hour))
			return err
		}, counts{tablesim.Batch: 2, tablesim.GetEntity: 2}},
		{"new grant by a key that was found expired", func(w world) error {
			g := grantRecord(3, 1)
			k := key("used", g)
			spent, err := w.s.FindKey(ctx, k.Requestor, k.Value, day.Add(time.Hour))
			if !errors.Is(err, store.ErrNotFound) {
				return err
			}
			k.Version = spent.Version
			_, err = w.s.InsertGrant(ctx, g, []store.Key{k}, day.Add(time.Hour))
			return err
		}, counts{tablesim.Batch: 1, tablesim.GetEntity: 1}},
		{"no key has expired", func(w world) error { _, err := w.s.DropKeys(ctx, day, 5000); return err }, counts{tablesim.QueryEntities: 1}},
		{"new grant at 46 targets", func(w world) error {
			g := grantRecord(3, 46)
			_, err := w.s.InsertGrant(ctx, g, []store.Key{key("a", g), key("b", g)}, day)
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
		{"note of what is confirmed, at 130 targets", func(w world) error {
			w.wide.Placements[7].Confirmed = true
			_, err := w.s.NoteConfirmed(ctx, w.wide)
			return err
		}, counts{tablesim.Batch: 1}},
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
		{"list", func(w world) error { _, _, err := w.s.ListGrants(ctx, store.GrantFilter{}, "", 10); return err }, counts{tablesim.QueryEntities: 2}},
		{"list of open grants", func(w world) error {
			_, _, err := w.s.ListGrants(ctx, store.GrantFilter{Status: "Initiated"}, "", 10)
			return err
		}, counts{tablesim.QueryEntities: 1}},
		{"list of history", func(w world) error {
			_, _, err := w.s.ListGrants(ctx, store.GrantFilter{Status: "Revoked"}, "", 10)
			return err
		}, counts{tablesim.QueryEntities: 1}},
		// The first entry of a chain costs a read of its head; from then on the process knows where it ends.
		{"append, to two chains", func(w world) error {
			return w.s.Append(ctx, store.Entry{ID: "1", Time: day}, store.Entry{ID: "2", Time: day}, store.Entry{ID: "3", Time: day.Add(24 * time.Hour)})
		}, counts{tablesim.Batch: 2, tablesim.GetEntity: 2}},
		{"heads of a day", func(w world) error { _, _, err := w.s.Heads(ctx, day); return err }, counts{tablesim.QueryEntities: 1}},
		{"append, and again", func(w world) error {
			if err := w.s.Append(ctx, store.Entry{ID: "1", Time: day}); err != nil {
				return err
			}
			return w.s.Append(ctx, store.Entry{ID: "2", Time: day}, store.Entry{ID: "3", Time: day})
		}, counts{tablesim.Batch: 2, tablesim.GetEntity: 1}},
		{"append what is there", func(w world) error {
			if err := w.s.Append(ctx, store.Entry{ID: "1", Time: day}); err != nil {
				return err
			}
			return w.s.Append(ctx, store.Entry{ID: "1", Time: day})
		}, counts{tablesim.Batch: 2, tablesim.GetEntity: 3}},
		{"verify", func(w world) error { _, err := w.s.Verify(ctx, subscription, day); return err }, counts{tablesim.GetEntity: 2, tablesim.QueryEntities: 2}},
		{"entries", func(w world) error { _, _, err := w.s.Entries(ctx, store.EntryFilter{}, "", 10); return err }, counts{tablesim.QueryEntities: 1}},
		{"sweep", func(w world) error { return w.s.PutSweep(ctx, store.SweepRecord{Started: day}) }, counts{tablesim.Batch: 1}},
		{"ping", func(w world) error { return w.s.Ping(ctx) }, counts{tablesim.GetEntity: 1}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			s, sim := newStore(t)
			w := world{s: s}
			var err error
			if w.policy, err = s.PutPolicy(ctx, policyRecord(1, 1)); err != nil {
				t.Fatal(err)
			}
			g := grantRecord(1, 1)
			if w.grant, err = s.InsertGrant(ctx, g, []store.Key{key("used", g)}, day); err != nil {
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
	s, sim := newStore(t)
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
	first, cursor, err := s.ListGrants(t.Context(), store.GrantFilter{}, "", 5)
	if err != nil || len(first) != 5 {
		t.Fatalf("%d grants, %v", len(first), err)
	}
	if read := sim.Stats().EntitiesRead; read > 6 {
		t.Errorf("a page of 5 read %d entities", read)
	}
	sim.ResetStats()
	if _, _, err := s.ListGrants(t.Context(), store.GrantFilter{}, cursor, 5); err != nil {
		t.Fatal(err)
	}
	if read := sim.Stats().EntitiesRead; read > 6 {
		t.Errorf("the next page of 5 read %d entities", read)
	}
	sim.ResetStats()
	f := store.GrantFilter{From: day.Add(-3 * 24 * time.Hour), To: day.Add(-24 * time.Hour)}
	got, _, err := s.ListGrants(t.Context(), f, "", 100)
	if err != nil || len(got) != 2 {
		t.Fatalf("%d grants, %v", len(got), err)
	}
	if visited := sim.Stats().EntitiesVisited; visited > 4 {
		t.Errorf("two days cost a look at %d entities", visited)
	}
}

// TestListOfOpenReadsWhatItNeeds has more open grants than a page holds.
func TestListOfOpenReadsWhatItNeeds(t *testing.T) {
	s, sim := newStore(t)
	const open = 60
	for n := range open {
		g := grantRecord(n, 1)
		g.Grant.Start = day.Add(time.Duration(n) * time.Minute)
		if _, err := s.InsertGrant(t.Context(), g, nil, day); err != nil {
			t.Fatal(err)
		}
	}
	cursor, seen := "", 0
	for page := range open / 5 {
		sim.ResetStats()
		got, next, err := s.ListGrants(t.Context(), store.GrantFilter{}, cursor, 5)
		if err != nil || len(got) != 5 {
			t.Fatalf("page %d: %d grants, %v", page, len(got), err)
		}
		for _, g := range got {
			if want := day.Add(time.Duration(open-1-seen) * time.Minute); !g.Start.Equal(want) {
				t.Errorf("grant %d began at %s, want %s", seen, g.Start, want)
			}
			seen++
		}
		if stats := sim.Stats(); stats.EntitiesVisited > 6 {
			t.Errorf("page %d of 5 looked at %d entities", page, stats.EntitiesVisited)
		}
		cursor = next
	}
	if cursor != "" {
		t.Error("there is more after the last grant")
	}
	sim.ResetStats()
	f := store.GrantFilter{From: day.Add(10 * time.Minute), To: day.Add(13 * time.Minute)}
	if got, _, err := s.ListGrants(t.Context(), f, "", 100); err != nil || len(got) != 3 || sim.Stats().EntitiesVisited != 3 {
		t.Errorf("three minutes gave %d grants, %v, and a look at %d entities", len(got), err, sim.Stats().EntitiesVisited)
	}
}

func filterOf(n store.PolicyName) store.PolicyFilter {
	return store.PolicyFilter{Subscription: n.Subscription, ResourceGroup: n.ResourceGroup, Location: n.Location, Name: n.Name}
}

// TestNamedPolicyReadsItsOwn has many named policies: one of them costs what it holds, and so does a part of the list.
func TestNamedPolicyReadsItsOwn(t *testing.T) {
	s, sim := newStore(t)
	for n := range 90 { // three machines under each of thirty names, at three locations
		p := policyRecord(n, 1)
		p.Location = []string{"westeurope", "northeurope", "westus"}[n/3%3]
		p.Listed = store.Listed{ResourceGroup: fmt.Sprint("group", n/9), Location: p.Location, Name: "default"}
		if _, err := s.PutPolicy(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	for name, row := range map[string]struct {
		filter               store.PolicyFilter
		machines, operations int
	}{
		"a name":                {store.PolicyFilter{Subscription: subscription, ResourceGroup: "GROUP4", Location: "westus", Name: "default"}, 3, 1},
		"a group at a location": {store.PolicyFilter{Subscription: subscription, ResourceGroup: "group4", Location: "westus"}, 3, 1},
		"a location":            {store.PolicyFilter{Subscription: subscription, Location: "westus"}, 30, 1},
		"a group":               {store.PolicyFilter{Subscription: subscription, ResourceGroup: "group4"}, 9, 7},
		"a subscription":        {store.PolicyFilter{Subscription: subscription}, 90, 1},
		"another subscription":  {store.PolicyFilter{Subscription: "22222222-2222-2222-2222-222222222222"}, 0, 1},
	} {
		sim.ResetStats()
		got := 0
		if err := s.EachListed(t.Context(), row.filter, store.PolicyName{}, noHead, func(store.PolicyRecord) error { got++; return nil }); err != nil {
			t.Fatal(err)
		}
		stats := sim.Stats()
		finding := 0 // a group is looked for at each location, each of which is found by one row
		if name == "a group" {
			finding = 3
		}
		if got != row.machines || total(stats.Operations) != row.operations || stats.EntitiesVisited != row.machines+finding {
			t.Errorf("%s: %d machines, %d operations, %d entities looked at; want %d, %d, %d", name, got, total(stats.Operations), stats.EntitiesVisited, row.machines, row.operations, row.machines+finding)
		}
	}
}

// TestExpiredKeysGo holds what it costs to remove them: a query for each 1,000, a transaction for each 50, and no look at
// those that are in force.
func TestExpiredKeysGo(t *testing.T) {
	s, sim := newStore(t)
	const expired, inForce = 120, 30
	for n := range expired + inForce {
		g := grantRecord(n, 1)
		k := key(fmt.Sprint(n), g)
		if n >= expired {
			k.Expires = day.Add(24 * time.Hour)
		}
		if _, err := s.InsertGrant(t.Context(), g, []store.Key{k}, day); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range []struct {
		most, want int
		cost       counts
	}{
		{70, 70, counts{tablesim.QueryEntities: 1, tablesim.Batch: 2}},
		{5000, 50, counts{tablesim.QueryEntities: 1, tablesim.Batch: 1}},
		{5000, 0, counts{tablesim.QueryEntities: 1}},
	} {
		sim.ResetStats()
		n, err := s.DropKeys(t.Context(), day.Add(time.Hour), row.most)
		stats := sim.Stats()
		if err != nil || n != row.want || stats.EntitiesVisited != row.want || stats.EntitiesWritten != 2*row.want {
			t.Errorf("%d keys removed, %v; %d entities looked at, %d written; want %d keys", n, err, stats.EntitiesVisited, stats.EntitiesWritten, row.want)
		}
		if diff := cmp.Diff(row.cost, stats.Operations); diff != "" {
			t.Errorf("operations (-want +got):\n%s", diff)
		}
	}
	for n := range expired + inForce {
		_, err := s.FindKey(t.Context(), "ann", fmt.Sprint(n), day)
		if found := err == nil; found != (n >= expired) {
			t.Errorf("key %d is there: %t", n, found)
		}
	}
}

func noHead(store.NamedRecord) error { return nil }
