package table_test

import (
	"errors"
	"testing"
	"time"

	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/infra/table"
)

// TestOfBefore has what an app stored that kept no lists: all of it is read, a target's state with what its policies demand, and
// it can be written and removed. After one sweep the lists have it too.
func TestOfBefore(t *testing.T) {
	ctx := t.Context()
	prepare := func(t *testing.T) (*app, *table.Store) {
		s, _ := newStore(t)
		a := newApp(s)
		a.place(1)
		p := ofCrowd(1)
		p.Policy.Options = &jit.Options{RequireJustification: true}
		if _, err := s.PutPolicy(ctx, p); err != nil {
			t.Fatal(err)
		}
		g := asked(1, 1, day)
		if _, err := s.InsertGrant(ctx, g, []store.Key{key("a", g)}, day); err != nil {
			t.Fatal(err)
		}
		if err := s.OfBefore(ctx); err != nil {
			t.Fatal(err)
		}
		return a, s
	}
	listed := func(t *testing.T, s *table.Store) (policies, grants int) {
		t.Helper()
		err := s.EachListed(ctx, store.PolicyFilter{Subscription: subscription}, store.PolicyName{}, func(store.PolicyRecord) error { policies++; return nil })
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := s.ListGrants(ctx, store.GrantFilter{}, "", 10)
		if err != nil {
			t.Fatal(err)
		}
		return policies, len(got)
	}
	open := func(t *testing.T, s *table.Store) store.GrantRecord {
		t.Helper()
		all, err := s.OpenGrants(ctx)
		if err != nil || len(all) != 1 {
			t.Fatalf("%d open grants, %v", len(all), err)
		}
		return all[0]
	}
	t.Run("is read", func(t *testing.T) {
		_, s := prepare(t)
		state, err := s.State(ctx, nsg(1))
		if err != nil || len(state.Policies) != 1 || !state.Policies[0].Policy.OwnOptions().RequireJustification || len(state.Openings) != 1 {
			t.Errorf("state: %+v, %v", state, err)
		}
		p, err := s.Policy(ctx, vm(1))
		if err != nil || !p.Outdated || !open(t, s).Outdated {
			t.Errorf("policy %+v and grant are not told to be of before, %v", p, err)
		}
		if k, err := s.FindKey(ctx, "ann", "a", day); err != nil || k.Grant != open(t, s).Grant.ID {
			t.Errorf("key %+v, %v", k, err)
		}
	})
	t.Run("is asked for", func(t *testing.T) {
		a, _ := prepare(t)
		r := jit.Request{Requestor: "ann", RequestorID: "ann", VMs: []jit.RequestVM{{VM: vm(1), Ports: []jit.RequestPort{{Number: 22, Duration: time.Minute, Sources: jit.AnySource()}}}}}
		_, _, err := a.Request(ctx, jit.Caller{ID: "ann", Name: "ann"}, r, "")
		if refused, ok := errors.AsType[*jit.Error](err); !ok || refused.Code != jit.CodeJustificationRequired {
			t.Errorf("a request without the justification that the policy demands: %v", err)
		}
	})
	t.Run("is swept", func(t *testing.T) {
		a, s := prepare(t)
		if policies, grants := listed(t, s); policies+grants != 0 {
			t.Fatalf("%d policies and %d grants are listed before the sweep", policies, grants)
		}
		if _, err := a.Sweep(ctx, jit.Caller{Name: "timer"}); err != nil {
			t.Fatal(err)
		}
		if policies, grants := listed(t, s); policies != 1 || grants != 1 {
			t.Errorf("%d policies and %d grants are listed after the sweep, want one each", policies, grants)
		}
		if p, err := s.Policy(ctx, vm(1)); err != nil || p.Outdated || open(t, s).Outdated {
			t.Errorf("still of before: %+v, %v", p, err)
		}
	})
	t.Run("is removed", func(t *testing.T) {
		_, s := prepare(t)
		p, err := s.Policy(ctx, vm(1))
		if err == nil {
			err = s.DeletePolicy(ctx, p)
		}
		if err == nil {
			_, err = s.UpdateGrants(ctx, ended(open(t, s)))
		}
		if err != nil {
			t.Fatal(err)
		}
		if policies, grants := listed(t, s); policies != 0 || grants != 1 { // in history
			t.Errorf("%d policies and %d grants are listed", policies, grants)
		}
	})
	t.Run("its key is taken anew", func(t *testing.T) {
		_, s := prepare(t)
		g := asked(2, 2, day.Add(2*time.Hour))
		k := key("a", g)
		k.Expires = day.Add(3 * time.Hour)
		spent, _ := s.FindKey(ctx, "ann", "a", g.Grant.Start)
		k.Version = spent.Version
		if _, err := s.InsertGrant(ctx, g, []store.Key{k}, g.Grant.Start); err != nil {
			t.Fatal(err)
		}
		if n, err := s.DropKeys(ctx, k.Expires, 10); n != 1 || err != nil {
			t.Errorf("%d keys removed, %v", n, err)
		}
	})
}
