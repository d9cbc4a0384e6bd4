package coretest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// TestListed is the suite of store.Policies.EachListed.
func TestListed(t *testing.T, open func(*testing.T) Store) {
	const sub = subscriptionOne
	list := func(t *testing.T, s Store, f store.PolicyFilter, after store.PolicyName) (names []store.PolicyName, vms []string) {
		t.Helper()
		err := s.EachListed(t.Context(), f, after, noHead, func(r store.PolicyRecord) error {
			if r.Version != "" {
				t.Errorf("%s is given with a version", r.Policy.VM.Name)
			}
			if n := r.Listing(); len(names) == 0 || names[len(names)-1].Key() != n.Key() {
				names = append(names, n)
			}
			vms = append(vms, r.Policy.VM.Name)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return names, vms
	}
	fill := func(t *testing.T, s Store) []store.PolicyRecord {
		var out []store.PolicyRecord
		for n := range 36 {
			p := policyOf(n, 1)
			p.Location = []string{"westeurope", "northeurope", "West Europe"}[n%3]
			if n%2 == 0 {
				p.Listed = store.Listed{ResourceGroup: []string{"Blue_(1)", "gré|n", nasty[0], strings.Repeat("r", 90)}[n%4], Name: []string{"default", "default-2", "Night's shift", "_"}[n/4%4]}
			}
			if n%7 == 0 {
				p.Policy.VM.Subscription = subscriptionTwo
			}
			out = append(out, must[store.PolicyRecord](t)(s.PutPolicy(t.Context(), p)))
		}
		return out
	}
	t.Run("filters and pages", func(t *testing.T) {
		s := open(t)
		all := fill(t, s)
		filters := []store.PolicyFilter{{}, {Subscription: sub}, {Subscription: strings.ToUpper(subscriptionTwo)}}
		for _, location := range []string{"", "WESTEUROPE", "West Europe", "nowhere", "west"} {
			for _, group := range []string{"", "BLUE_(1)", "blue", "gré|n", nasty[0], strings.Repeat("R", 90), all[1].Policy.VM.ResourceGroup} {
				for _, name := range []string{"", "Default", "night's shift", "def"} {
					filters = append(filters, store.PolicyFilter{Subscription: sub, ResourceGroup: group, Location: location, Name: name})
				}
			}
		}
		for _, f := range filters {
			want := map[string]int{}
			total := 0
			for _, r := range all {
				if f.Matches(r.Listing()) {
					want[r.Listing().Key()]++
					total++
				}
			}
			names, vms := list(t, s, f, store.PolicyName{})
			if len(names) != len(want) || len(vms) != total {
				t.Errorf("%+v gives %d machines under %d names, want %d under %d", f, len(vms), len(names), total, len(want))
			}
			for i, name := range names {
				if want[name.Key()] == 0 {
					t.Errorf("%+v gives %s", f, name)
				}
				if i > 2 && f.Location+f.ResourceGroup != "" {
					continue
				}
				rest, _ := list(t, s, f, name)
				wantSame(t, fmt.Sprintf("%+v after %s", f, name), rest, names[i+1:])
			}
		}
	})
	t.Run("named policies themselves", func(t *testing.T) { testHeads(t, open(t)) })
	t.Run("named policies by their versions", func(t *testing.T) { testHeadVersions(t, open(t)) })
	t.Run("follows", func(t *testing.T) {
		s := open(t)
		f := store.PolicyFilter{Subscription: sub, ResourceGroup: "Other", Location: "westeurope", Name: "night"}
		p := must[store.PolicyRecord](t)(s.PutPolicy(t.Context(), policyOf(1, 1)))
		if _, vms := list(t, s, f, store.PolicyName{}); len(vms) > 0 {
			t.Errorf("the name lists %v before anything has it", vms)
		}
		before := p.Listing()
		p.Listed = store.Listed{ResourceGroup: "other", Location: "westeurope", Name: "Night"}
		p.Policy.Options = &jit.Options{RequireJustification: true}
		p = must[store.PolicyRecord](t)(s.PutPolicy(t.Context(), p))
		err := s.EachListed(t.Context(), f, store.PolicyName{}, noHead, func(r store.PolicyRecord) error {
			want := p
			want.Version = ""
			wantSame(t, "what the name lists", r, want)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		old := store.PolicyFilter{Subscription: sub, ResourceGroup: before.ResourceGroup, Location: before.Location, Name: before.Name}
		if _, vms := list(t, s, old, store.PolicyName{}); len(vms) > 0 {
			t.Errorf("the name of before lists %v", vms)
		}
		stop := errors.New("enough")
		wantError(t, "a walk that its caller ends", s.EachListed(t.Context(), f, store.PolicyName{}, noHead, func(store.PolicyRecord) error { return stop }), stop)
		stale := p
		stale.Version, stale.Listed = "no version that a store gave", store.Listed{}
		_, err = s.PutPolicy(t.Context(), stale)
		wantError(t, "update by a stale version", err, store.ErrConflict)
		// The caller need not know under which name it is listed.
		p.Listed = store.Listed{}
		if err := s.DeletePolicy(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		if _, vms := list(t, s, store.PolicyFilter{Subscription: sub}, store.PolicyName{}); len(vms) > 0 {
			t.Errorf("%v are listed after all are gone", vms)
		}
	})
}

func noHead(store.NamedRecord) error { return nil }

// testHeads is the suite of the records of named policies, with and without machines.
func testHeads(t *testing.T, s Store) {
	name := func(group, location, n string) store.PolicyName {
		return store.PolicyName{Subscription: subscriptionOne, ResourceGroup: group, Location: location, Name: n}
	}
	put := func(n store.PolicyName) store.NamedRecord {
		t.Helper()
		rec := store.NamedRecord{Name: n, Kind: "Basic", Append: true, Order: []string{"b", "a"}, Since: morning, Claim: store.Claim{Until: morning.Add(time.Minute), Makes: "a list"}, Dropped: []jit.ID{nsg(1), nsg(2)}, Draft: true}
		return must[store.NamedRecord](t)(s.PutNamed(t.Context(), rec))
	}
	machine := policyOf(1, 1)
	machine.Form, machine.Since = `{"id":"as it was sent"}`, morning
	machine.Listed = store.Listed{ResourceGroup: "Blue_(1)", Location: "westeurope", Name: "default"}
	must[store.PolicyRecord](t)(s.PutPolicy(t.Context(), machine))
	full, empty, next := put(machine.Listing()), put(name("gré|n", "westeurope", "night")), put(name("blue_(1)", "westeurope", "evening"))
	put(store.PolicyName{Subscription: subscriptionTwo, ResourceGroup: "blue_(1)", Location: "westeurope", Name: "default"})
	walk := func(f store.PolicyFilter, after store.PolicyName) (got []string) {
		t.Helper()
		err := s.EachListed(t.Context(), f, after, func(n store.NamedRecord) error {
			got = append(got, "head "+n.Name.Key())
			if want := map[string]store.NamedRecord{full.Name.Key(): full, empty.Name.Key(): empty, next.Name.Key(): next}[n.Name.Key()]; f.Subscription == subscriptionOne {
				wantSame(t, "the record of "+n.Name.Key(), n, want)
			}
			return nil
		}, func(r store.PolicyRecord) error {
			got = append(got, r.Policy.VM.Name)
			if r.Form != machine.Form || !r.Since.Equal(machine.Since) {
				t.Errorf("%s: form %q since %s", r.Policy.VM.Name, r.Form, r.Since)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	one := store.PolicyFilter{Subscription: subscriptionOne}
	group := store.PolicyFilter{Subscription: subscriptionOne, ResourceGroup: "BLUE_(1)"}
	first := []string{"head " + full.Name.Key(), machine.Policy.VM.Name}
	rest := []string{"head " + next.Name.Key(), "head " + empty.Name.Key()}
	wantSame(t, "all of a subscription", walk(one, store.PolicyName{}), append(first[:2:2], rest...))
	wantSame(t, "those after the first", walk(one, full.Name), rest)
	wantSame(t, "those of a group", walk(group, store.PolicyName{}), append(first[:2:2], rest[0]))
	if err := s.DropNamed(t.Context(), full); err != nil {
		t.Fatal(err)
	}
	wantSame(t, "those of a group after one is dropped", walk(group, store.PolicyName{}), []string{machine.Policy.VM.Name, rest[0]})
}

// testHeadVersions is the suite of writes on condition of a named policy's version: alone, and with one of its machines.
func testHeadVersions(t *testing.T, s Store) {
	ctx := t.Context()
	machine := policyOf(1, 1)
	machine.Location = "westeurope"
	head := store.NamedRecord{Name: machine.Listing(), Since: morning}
	stands := func(what string, wantHead *store.NamedRecord, want *store.PolicyRecord) {
		t.Helper()
		var heads []store.NamedRecord
		n := head.Name
		err := s.EachListed(ctx, store.PolicyFilter{Subscription: n.Subscription, ResourceGroup: n.ResourceGroup, Location: n.Location, Name: n.Name}, store.PolicyName{},
			func(r store.NamedRecord) error { heads = append(heads, r); return nil }, func(store.PolicyRecord) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		var wantHeads []store.NamedRecord
		if wantHead != nil {
			wantHeads = append(wantHeads, *wantHead)
		}
		wantSame(t, what+": the record of the policy", heads, wantHeads)
		got, err := s.Policy(ctx, machine.Policy.VM)
		if want == nil {
			wantError(t, what+": the machine", err, store.ErrNotFound)
			return
		}
		wantSame(t, what+": the machine", must[store.PolicyRecord](t)(got, err), *want)
	}
	other := head
	other.Name.Name = "other"
	unknown := head
	unknown.Version = must[store.NamedRecord](t)(s.PutNamed(ctx, other)).Version
	_, err := s.PutNamed(ctx, unknown)
	wantError(t, "update of what is not there", err, store.ErrConflict)
	wantError(t, "removal without a version", s.DropNamed(ctx, head), store.ErrConflict)
	_, _, err = s.PutListed(ctx, unknown, machine)
	wantError(t, "a machine with a record that is not there", err, store.ErrConflict)
	stands("after refusals", nil, nil)

	first := must[store.NamedRecord](t)(s.PutNamed(ctx, head))
	_, err = s.PutNamed(ctx, head)
	wantError(t, "a second record", err, store.ErrConflict)
	wantError(t, "removal without a version of what is there", s.DropNamed(ctx, head), store.ErrConflict)
	_, _, err = s.PutListed(ctx, head, machine)
	wantError(t, "a machine with a second record", err, store.ErrConflict)
	stands("one record", &first, nil)

	second, stored, err := s.PutListed(ctx, first, machine)
	if err != nil || second.Version == first.Version || stored.Version == "" {
		t.Fatalf("a machine: version %q, then %q, the machine's %q, %v", first.Version, second.Version, stored.Version, err)
	}
	stands("a machine", &second, &stored)
	for what, call := range map[string]func() error{
		"the record by a stale version":            func() error { _, err := s.PutNamed(ctx, first); return err },
		"its removal by a stale version":           func() error { return s.DropNamed(ctx, first) },
		"a machine by the record's stale version":  func() error { _, _, err := s.PutListed(ctx, first, stored); return err },
		"a machine by its own stale version":       func() error { _, _, err := s.PutListed(ctx, second, machine); return err },
		"a removal by the record's stale version":  func() error { _, err := s.DropListed(ctx, first, stored); return err },
		"a removal by the machine's stale version": func() error { _, err := s.DropListed(ctx, second, machine); return err },
	} {
		wantError(t, what, call(), store.ErrConflict)
		stands(what, &second, &stored)
	}

	second.Claim.Makes, stored.ChangedBy = "another list", "bob"
	third, stored, err := s.PutListed(ctx, second, stored)
	if err != nil {
		t.Fatal(err)
	}
	stands("both changed", &third, &stored)
	fourth := must[store.NamedRecord](t)(s.DropListed(ctx, third, stored))
	stands("a machine removed", &fourth, nil)
	_, err = s.DropListed(ctx, fourth, stored)
	wantError(t, "a second removal", err, store.ErrConflict)
	if err := s.DropNamed(ctx, fourth); err != nil {
		t.Fatal(err)
	}
	stands("all removed", nil, nil)
	wantError(t, "a second removal of the record", s.DropNamed(ctx, fourth), store.ErrConflict)
}
