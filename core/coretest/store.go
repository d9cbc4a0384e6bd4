package coretest

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"portcullis/core/jit"
	"portcullis/core/reach"
	"portcullis/core/roster"
	"portcullis/core/store"
)

// TestStore runs the suite of every storage port. open returns an empty store for each subtest, closed when the
// subtest ends.
func TestStore(t *testing.T, open func(*testing.T) Store) {
	t.Run("Policies", func(t *testing.T) { TestPolicies(t, open) })
	t.Run("Listed", func(t *testing.T) { TestListed(t, open) })
	t.Run("Grants", func(t *testing.T) { TestGrants(t, open) })
	t.Run("Keys", func(t *testing.T) { TestKeys(t, open) })
	t.Run("History", func(t *testing.T) { TestHistory(t, open) })
	t.Run("Targets", func(t *testing.T) { TestTargets(t, open) })
	t.Run("Activity", func(t *testing.T) { TestActivity(t, open) })
	t.Run("Verifier", func(t *testing.T) { TestVerifier(t, open) })
	t.Run("Sweeps", func(t *testing.T) { TestSweeps(t, open) })
	t.Run("Stream", func(t *testing.T) { TestStream(t, open) })
	t.Run("Outbox", func(t *testing.T) { TestOutbox(t, open) })
	t.Run("Holds", func(t *testing.T) { TestHolds(t, open) })
	t.Run("Reviews", func(t *testing.T) { TestReviews(t, open) })
}

// The world of the suites: a Monday morning in two subscriptions.
var (
	morning = time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
	// sameStore compares what a store returns with what was stored: an empty list equals nil.
	sameStore = cmp.Options{
		cmpopts.EquateEmpty(),
		cmp.Comparer(func(a, b jit.Sources) bool { return a.Equal(b) }),
		cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{}, netip.Prefix{}),
		cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) }),
		cmpopts.IgnoreFields(store.PolicyRecord{}, "Version"),
		cmpopts.IgnoreFields(store.GrantRecord{}, "Version", "Tell", "Decided"),
		cmpopts.IgnoreFields(store.Letter{}, "Version"),
	}
)

const (
	subscriptionOne = "11111111-1111-1111-1111-111111111111"
	subscriptionTwo = "22222222-2222-2222-2222-222222222222"
)

func machine(n int) jit.ID {
	return jit.ID{Subscription: subscriptionOne, ResourceGroup: "Group-1", Type: jit.TypeVM, Name: fmt.Sprintf("Machine%03d", n)}
}

func nsg(n int) jit.ID {
	return jit.ID{Subscription: subscriptionOne, ResourceGroup: "Group-1", Type: jit.TypeNSG, Name: fmt.Sprintf("Guard%03d", n)}
}

func at(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}) }

// policyOf returns a policy record of machine n that uses every field, at the given security groups.
func policyOf(n int, guards ...int) store.PolicyRecord {
	p := store.PolicyRecord{
		Policy: jit.Policy{VM: machine(n), ExistingRules: jit.Respect, LeavesRoom: true, PublicAddress: netip.MustParseAddr("203.0.113.20"), Ports: []jit.PortRule{
			{Number: 22, Protocol: jit.TCP, Sources: jit.AnySource(), Maximum: 3 * time.Hour},
			{Number: 3389, Protocol: jit.AnyProtocol, Sources: jit.SourcesOf(netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8::/32")), Maximum: 5 * time.Minute, Mapped: 33890},
		}},
		Location: "westeurope", ChangedBy: "o'neil@example.com", ChangedAt: morning.Add(time.Nanosecond),
	}
	for _, g := range guards {
		p.Placements = append(p.Placements, store.Placement{Target: nsg(g), Addresses: []netip.Addr{at(n), netip.MustParseAddr("2001:db8::1")}, Site: siteOf(n, g)})
	}
	return p
}

// siteOf returns what is known of where machine n is behind a security group: of the first its groups, of the second that it is in none, of the
// third nothing.
func siteOf(n, guard int) reach.Site {
	s := reach.Site{Network: reach.Network{Inside: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16"), netip.MustParsePrefix("fd00::/48")}, Whole: guard == 1}}
	switch guard {
	case 1:
		s.Groups = map[netip.Addr][]string{at(n): {"/subscriptions/s/asg/db", "/subscriptions/s/asg/web"}}
	case 2:
		s.Groups = map[netip.Addr][]string{at(n): {}, netip.MustParseAddr("2001:db8::1"): {}}
	case 3:
		s = reach.Site{}
	}
	return s
}

// grantOf returns an open grant record of machine n at the given security groups.
// Its id is a UUID of version 7 with the time of its start.
func grantOf(start time.Time, n int, guards ...int) store.GrantRecord {
	g := store.GrantRecord{
		Grant: jit.Grant{ID: idAt(start, n), RequestorID: "tid/oid", Requestor: "o'neil@example.com", Justification: "règle №1 – \"quoted\" <b>", Start: start, OpenBy: start.Add(jit.OpeningTimeout), Generation: 1,
			VMs: []jit.GrantVM{{VM: machine(n), Ports: []jit.Window{
				{Number: 22, Protocol: jit.TCP, Sources: jit.SourcesOf(netip.MustParsePrefix("203.0.113.7/32")), End: start.Add(time.Hour), Length: time.Hour, Status: jit.Initiating,
					Mapped: netip.MustParseAddrPort("203.0.113.20:40022"), Via: jit.SourcesOf(netip.MustParsePrefix("10.0.9.0/26"))},
				{Number: 3389, Protocol: jit.AnyProtocol, Sources: jit.AnySource(), End: start.Add(2 * time.Hour), Length: 90*time.Minute + 500*time.Millisecond, Status: jit.Initiating},
			}}}},
		Connect:    map[string][]netip.Addr{machine(n).Key(): {netip.MustParseAddr("198.51.100.9")}},
		Interfaces: map[string][]string{machine(n).Key(): {"nic-1", "nic-2"}},
		Replaces:   []store.Replaced{{Grant: idAt(start.Add(-time.Minute), n), VM: machine(n), Port: 3389, End: start.Add(3 * time.Hour)}},
	}
	for _, guard := range guards {
		g.Placements = append(g.Placements, store.GrantPlacement{Target: nsg(guard), Addresses: map[string][]netip.Addr{machine(n).Key(): {at(n)}}})
	}
	return g
}

func idAt(t time.Time, n int) string {
	ms := t.UnixMilli()
	return fmt.Sprintf("%08x-%04x-7000-8000-%012x", ms>>16, ms&0xffff, n)
}

// closedAt returns the record with its grant closed.
func closedAt(r store.GrantRecord, now time.Time) store.GrantRecord {
	r.Grant = r.Grant.Revoke(now, jit.UserRequested).Settled(now)
	return r
}

// must ends the test at an unexpected error in its set-up.
func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func wantError(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got error %v, want %v", what, got, want)
	}
}

func wantSame(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got, sameStore); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// TestPolicies is the suite of store.Policies.
func TestPolicies(t *testing.T, open func(*testing.T) Store) {
	t.Run("unknown", func(t *testing.T) {
		s := open(t)
		_, err := s.Policy(t.Context(), machine(1))
		wantError(t, "policy that nobody put", err, store.ErrNotFound)
		all := must[[]store.PolicyRecord](t)(store.AllPolicies(t.Context(), s))
		wantSame(t, "all policies of an empty store", all, []store.PolicyRecord(nil))
		stale := policyOf(1, 1)
		wantError(t, "delete without a version", s.DeletePolicy(t.Context(), stale), store.ErrConflict)
		stale.Version = "no version that a store gave"
		_, err = s.PutPolicy(t.Context(), stale)
		wantError(t, "update of what is not there", err, store.ErrConflict)
	})
	t.Run("conflicts", func(t *testing.T) {
		s := open(t)
		first := must[store.PolicyRecord](t)(s.PutPolicy(t.Context(), policyOf(1, 1)))
		_, err := s.PutPolicy(t.Context(), policyOf(1, 1))
		wantError(t, "second creation", err, store.ErrConflict)
		changed := first
		changed.Location = "northeurope"
		second := must[store.PolicyRecord](t)(s.PutPolicy(t.Context(), changed))
		if second.Version == first.Version || second.Version == "" {
			t.Errorf("version %q did not change from %q", second.Version, first.Version)
		}
		_, err = s.PutPolicy(t.Context(), first)
		wantError(t, "update by a stale version", err, store.ErrConflict)
		moved := first
		moved.Placements = policyOf(1, 2).Placements
		_, err = s.PutPolicy(t.Context(), moved)
		wantError(t, "move by a stale version", err, store.ErrConflict)
		wantError(t, "delete by a stale version", s.DeletePolicy(t.Context(), first), store.ErrConflict)
		wantSame(t, "policy after refusals", must[store.PolicyRecord](t)(s.Policy(t.Context(), machine(1))), changed)
		if known := must[[]jit.ID](t)(s.Known(t.Context())); len(known) != 1 {
			t.Errorf("known targets after a refused move: %v", known)
		}
		if err := s.DeletePolicy(t.Context(), second); err != nil {
			t.Fatal(err)
		}
		wantError(t, "second delete", s.DeletePolicy(t.Context(), second), store.ErrConflict)
		_, err = s.PutPolicy(t.Context(), second)
		wantError(t, "update of what was deleted", err, store.ErrConflict)
	})
	t.Run("casing", func(t *testing.T) {
		s := open(t)
		put := must[store.PolicyRecord](t)(s.PutPolicy(t.Context(), policyOf(1, 1)))
		upper := machine(1)
		upper.ResourceGroup, upper.Name = "GROUP-1", "MACHINE001"
		got := must[store.PolicyRecord](t)(s.Policy(t.Context(), upper))
		wantSame(t, "policy by another casing", got, put)
		again := policyOf(1, 1)
		again.Policy.VM = upper
		_, err := s.PutPolicy(t.Context(), again)
		wantError(t, "creation by another casing", err, store.ErrConflict)
	})
	t.Run("round trip", func(t *testing.T) {
		s := open(t)
		want := []store.PolicyRecord{policyOf(1, 1, 2), policyOf(2, 2), policyOf(3)}
		want[1].Listed = store.Listed{ResourceGroup: "Other-Group", Location: "northeurope", Name: "night's shift"}
		want[0].Policy.Options = &jit.Options{ForbidAnySource: true, WidestIPv4: 24, WidestIPv6: 64, RequireJustification: true, Approvers: 2, ApprovedBy: must[jit.People](t)(jit.PeopleOf("00000000-0000-0000-0000-00000000000b", "00000000-0000-0000-0000-00000000000a"))}
		want[1].Policy.Ports[0].Approvers = jit.MaxApprovers
		want[2].Policy.Options = &jit.Options{RequireJustification: true}
		for _, n := range []int{1, 0, 2} {
			got := must[store.PolicyRecord](t)(s.PutPolicy(t.Context(), want[n]))
			wantSame(t, "what a write gives", got, want[n])
			read := must[store.PolicyRecord](t)(s.Policy(t.Context(), want[n].Policy.VM))
			wantSame(t, "what a read gives", read, want[n])
			if read.Version != got.Version {
				t.Errorf("a read gives version %q, the write gave %q", read.Version, got.Version)
			}
		}
		wantSame(t, "all policies, sorted", must[[]store.PolicyRecord](t)(store.AllPolicies(t.Context(), s)), want)
	})
	t.Run("each", func(t *testing.T) {
		s := open(t)
		for n := range 7 {
			must[store.PolicyRecord](t)(s.PutPolicy(t.Context(), policyOf(n+1, 1)))
		}
		stop, calls := errors.New("enough"), 0
		wantError(t, "a walk that its caller ends", s.EachPolicy(t.Context(), func(store.PolicyRecord) error {
			if calls++; calls == 5 {
				return stop
			}
			return nil
		}), stop)
		if calls != 5 {
			t.Errorf("a walk that was to end after 5 policies gave %d", calls)
		}
		seen := map[string]int{}
		wantError(t, "a walk that moves what it is given", s.EachPolicy(t.Context(), func(p store.PolicyRecord) error {
			seen[p.Policy.VM.Key()]++
			p.Placements = policyOf(1, 2).Placements
			_, err := s.PutPolicy(t.Context(), p)
			return err
		}), nil)
		for key, n := range seen {
			if n != 1 {
				t.Errorf("%s was given %d times", key, n)
			}
		}
		for _, p := range must[[]store.PolicyRecord](t)(store.AllPolicies(t.Context(), s)) {
			if seen[p.Policy.VM.Key()] != 1 || len(p.Placements) != 1 || !p.Placements[0].Target.Equal(nsg(2)) {
				t.Errorf("%s was not moved: %v", p.Policy.VM.Name, p.Placements)
			}
		}
		if len(seen) != 7 {
			t.Errorf("%d policies of 7 were given", len(seen))
		}
	})
	t.Run("parts follow", func(t *testing.T) {
		s := open(t)
		p := must[store.PolicyRecord](t)(s.PutPolicy(t.Context(), policyOf(1, 1, 2)))
		p.Placements = policyOf(1, 2, 3).Placements
		p = must[store.PolicyRecord](t)(s.PutPolicy(t.Context(), p))
		wantState(t, s, 1, 2, 3, 4)
		// The caller may name fewer targets than the last write did: their parts are removed all the same.
		p.Placements = nil
		if err := s.DeletePolicy(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		wantState(t, s, 1, 2, 3, 4)
		wantSame(t, "targets stay known", must[[]jit.ID](t)(s.Known(t.Context())), []jit.ID{nsg(1), nsg(2), nsg(3)})
	})
	t.Run("one winner", func(t *testing.T) {
		s := open(t)
		put := must[store.PolicyRecord](t)(s.PutPolicy(t.Context(), policyOf(1, 1)))
		for round := range 5 {
			won := race(8, func(n int) (store.PolicyRecord, error) {
				mine := put
				mine.ChangedBy = fmt.Sprintf("writer %d of round %d", n, round)
				return s.PutPolicy(t.Context(), mine)
			})
			if len(won.values) != 1 || won.odd != nil {
				t.Fatalf("%d writers won, errors besides conflicts: %v", len(won.values), won.odd)
			}
			wantSame(t, "what is stored", must[store.PolicyRecord](t)(s.Policy(t.Context(), machine(1))), won.values[0])
			put = won.values[0]
		}
	})
}

// wantState compares the store's state of targets with its records.
func wantState(t *testing.T, s Store, guards ...int) {
	t.Helper()
	policies := must[[]store.PolicyRecord](t)(store.AllPolicies(t.Context(), s))
	grants := must[[]store.GrantRecord](t)(s.OpenGrants(t.Context()))
	known := map[string]bool{}
	for _, id := range must[[]jit.ID](t)(s.Known(t.Context())) {
		known[id.Key()] = true
	}
	for _, n := range guards {
		got := must[roster.State](t)(s.State(t.Context(), nsg(n)))
		wantSame(t, "state of "+nsg(n).Name, got, StateOf(nsg(n), known[nsg(n).Key()], policies, grants))
	}
}

// TestSweeps is the suite of store.Sweeps.
func TestSweeps(t *testing.T, open func(*testing.T) Store) {
	t.Run("none yet", func(t *testing.T) {
		_, err := open(t).LastSweep(t.Context())
		wantError(t, "last sweep of an empty store", err, store.ErrNotFound)
	})
	t.Run("replaces", func(t *testing.T) {
		s := open(t)
		first := store.SweepRecord{Started: morning, Targets: 3, Error: "it's \"broken\""}
		second := store.SweepRecord{Started: morning.Add(time.Minute), Ended: morning.Add(2 * time.Minute), Completed: morning.Add(-time.Hour), Next: "it's/a key", Targets: 4, Changed: 2, Closed: 1, Findings: []store.Finding{
			{Kind: store.FindingExposed, Target: nsg(1), VM: machine(1), Rule: "allow-all", Port: 22, Message: "close it", Since: morning},
			{Kind: store.FindingOverdue, Grant: idAt(morning, 1), Message: "é 'x'", Since: morning.Add(time.Millisecond)},
		}}
		for _, want := range []store.SweepRecord{first, second, first} {
			if err := s.PutSweep(t.Context(), want); err != nil {
				t.Fatal(err)
			}
			wantSame(t, "last sweep", must[store.SweepRecord](t)(s.LastSweep(t.Context())), want)
		}
	})
	t.Run("ping", func(t *testing.T) {
		if err := open(t).Ping(t.Context()); err != nil {
			t.Errorf("ping: %v", err)
		}
	})
}
