package table_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/infra/table"
)

// TestLimits holds what the service refuses and the public emulator takes.
func TestLimits(t *testing.T) {
	many := func(n int) []table.Op {
		var ops []table.Op
		for i := range n {
			ops = append(ops, table.Add("p", fmt.Sprint(i), "x"))
		}
		return ops
	}
	rows := map[string]struct {
		ops  []table.Op
		want string
	}{
		"no operations":               {nil, "0 operations"},
		"101 operations":              {many(101), "101 operations"},
		"two partitions":              {[]table.Op{table.Add("p", "1", "x"), table.Add("q", "2", "x")}, "two partitions"},
		"one row twice":               {[]table.Op{table.Add("p", "1", "x"), table.Drop("p", "1")}, "one row twice"},
		"a slash":                     {[]table.Op{table.Add("p", "a/b", "x")}, "character"},
		"a backslash":                 {[]table.Op{table.Add("p", `a\b`, "x")}, "character"},
		"a number sign":               {[]table.Op{table.Add("p", "a#b", "x")}, "character"},
		"a question mark":             {[]table.Op{table.Add("p?", "a", "x")}, "character"},
		"a quote":                     {[]table.Op{table.Add("p", "a'b", "x")}, "character"},
		"a control character":         {[]table.Op{table.Add("p", "a\nb", "x")}, "character"},
		"a long key":                  {[]table.Op{table.Add("p", strings.Repeat("a", 513), "x")}, "too long"},
		"a key that is not text":      {[]table.Op{table.Add("p", "\xff", "x")}, "not text"},
		"over 1 MiB":                  {[]table.Op{table.Add("p", "1", strings.Repeat("a", 530_000))}, "larger"},
		"over 1 MiB of two-byte text": {[]table.Op{table.Add("p", "1", strings.Repeat("é", 530_000))}, "larger"},
		"over 4 MiB":                  {[]table.Op{table.Add("p", "1", strings.Repeat("日", 500_000)), table.Add("p", "2", strings.Repeat("日", 500_000)), table.Add("p", "3", strings.Repeat("日", 500_000))}, "larger"},
		"253 properties":              {[]table.Op{table.Flags("p", "1", 252)}, "253 properties"},
		"no ETag to replace by":       {[]table.Op{table.Replace("p", "1", "")}, "no ETag"},
		"any ETag to replace by":      {[]table.Op{table.Replace("p", "1", "*")}, "no ETag"},
		"no ETag to remove by":        {[]table.Op{table.Remove("p", "1", "")}, "no ETag"},
		"any ETag to remove by":       {[]table.Op{table.Remove("p", "1", "*")}, "no ETag"},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			s, sim := newStore(t)
			err := s.Submit(t.Context(), row.ops)
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got error %v, want one with %q", err, row.want)
			}
			if n := len(sim.Requests()); n != 0 {
				t.Errorf("%d requests were sent all the same", n)
			}
		})
	}
	s, _ := newStore(t)
	for name, ops := range map[string][]table.Op{"100 operations": many(100), "252 properties": {table.Flags("q", "1", 251)}, "a long document": {table.Add("r", "1", strings.Repeat("é", 500_000))}} {
		if err := s.Submit(t.Context(), ops); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLargeGrant stores what is long and refuses what could not be closed.
func TestLargeGrant(t *testing.T) {
	s, _ := newStore(t)
	large := func(n int) store.GrantRecord {
		g := grantRecord(n, 1)
		for i := range 200 {
			window := g.Grant.VMs[0].Ports[0]
			other := jit.GrantVM{VM: vm(1000 + i)}
			for p := range n {
				window.Number = uint16(p)
				other.Ports = append(other.Ports, window)
			}
			g.Grant.VMs = append(g.Grant.VMs, other)
			g.Placements[0].Addresses[other.VM.Key()] = []netip.Addr{address(i)}
		}
		return g
	}
	if _, err := s.InsertGrant(t.Context(), large(100), nil, day); err == nil {
		t.Error("a grant of 20,000 windows was stored")
	}
	if open, err := s.OpenGrants(t.Context()); err != nil || len(open) != 0 {
		t.Errorf("%d open grants, %v", len(open), err)
	}
	g, err := s.InsertGrant(t.Context(), large(10), nil, day)
	if err != nil {
		t.Fatalf("a grant of 2,000 windows: %v", err)
	}
	wantHeaders(t, s, 1)
	g.LastError = strings.Repeat("é", 2000)
	out, err := s.UpdateGrants(t.Context(), closed(g))
	if err != nil {
		t.Fatalf("close: %v", err)
	}
	got, err := s.Grant(t.Context(), g.Grant.ID)
	if diff := cmp.Diff(out[0], got, sameState); err != nil || diff != "" {
		t.Errorf("grant in history (-want +got), %v:\n%s", err, diff)
	}
}

// TestManyFindings has a sweep that found more than one entity holds.
func TestManyFindings(t *testing.T) {
	s, _ := newStore(t)
	r := store.SweepRecord{Started: day, Targets: 5000, Error: "and more"}
	for n := range 5000 {
		r.Findings = append(r.Findings, store.Finding{Kind: store.FindingExposed, Target: nsg(n), VM: vm(n), Message: strings.Repeat("m", 100)})
	}
	if err := s.PutSweep(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	got, err := s.LastSweep(t.Context())
	if err != nil || got.Targets != 5000 || len(got.Findings) == 0 || len(got.Findings) >= 5000 ||
		!strings.Contains(got.Error, fmt.Sprintf("%d more findings", 5000-len(got.Findings))) || !strings.Contains(got.Error, r.Error) {
		t.Errorf("got %d findings, error %q, %v", len(got.Findings), got.Error, err)
	}
}

// TestNewerFormat has rows of a newer app: they are an error, not a guess.
func TestNewerFormat(t *testing.T) {
	ctx := t.Context()
	reads := map[string]func(*table.Store) error{
		"policy": func(s *table.Store) error { _, err := s.Policy(ctx, vm(1)); return err },
		"list":   func(s *table.Store) error { _, err := store.AllPolicies(ctx, s); return err },
		"named": func(s *table.Store) error {
			return s.EachListed(ctx, store.PolicyFilter{Subscription: subscription}, store.PolicyName{}, noHead, func(store.PolicyRecord) error { return nil })
		},
		"grants": func(s *table.Store) error { _, _, err := s.ListGrants(ctx, store.GrantFilter{}, "", 10); return err },
		"grant":  func(s *table.Store) error { _, err := s.Grant(ctx, grantRecord(1, 1).Grant.ID); return err },
		"open":   func(s *table.Store) error { _, err := s.OpenGrants(ctx); return err },
		"state":  func(s *table.Store) error { _, err := s.State(ctx, nsg(0)); return err },
		"known":  func(s *table.Store) error { _, err := s.Known(ctx); return err },
		"key":    func(s *table.Store) error { _, err := s.FindKey(ctx, "ann", "a", day); return err },
		"sweep":  func(s *table.Store) error { _, err := s.LastSweep(ctx); return err },
	}
	for name, read := range reads {
		t.Run(name, func(t *testing.T) {
			s, _ := newStore(t)
			if _, err := s.PutPolicy(ctx, policyRecord(1, 1)); err != nil {
				t.Fatal(err)
			}
			g := grantRecord(1, 1)
			if _, err := s.InsertGrant(ctx, g, []store.Key{key("a", g)}, day); err != nil {
				t.Fatal(err)
			}
			if err := s.PutSweep(ctx, store.SweepRecord{Started: day}); err != nil {
				t.Fatal(err)
			}
			if err := read(s); err != nil {
				t.Fatalf("before: %v", err)
			}
			if err := s.AgeState(ctx, 3); err != nil {
				t.Fatal(err)
			}
			err := read(s)
			if err == nil || errors.Is(err, store.ErrNotFound) || !strings.Contains(err.Error(), "version 3") {
				t.Errorf("got error %v, want one that tells the version", err)
			}
		})
	}
}

// TestPolicyOfBefore reads a policy as it was stored before there were options: it has none. Options
// that no app has stored are an error.
func TestPolicyOfBefore(t *testing.T) {
	const before = `{"V":1,"VM":"/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/web","Ports":[{"N":22,"P":"TCP","S":["*"],"Max":"3h0m0s"}],"Existing":"override","Location":"westeurope","At":null,"ChangedBy":"ann","ChangedAt":"2026-03-02T08:00:00Z"}`
	rec, err := table.PolicyOf(before)
	if err != nil || rec.Policy.Options != nil || !rec.Policy.OwnOptions().IsZero() || len(rec.Policy.Ports) != 1 {
		t.Errorf("got %+v, %v", rec, err)
	}
	with := func(options string) (store.PolicyRecord, error) {
		return table.PolicyOf(strings.Replace(before, `"Existing"`, `"Options":`+options+`,"Existing"`, 1))
	}
	if rec, err := with(`{"NoAny":true}`); err != nil || rec.Policy.OwnOptions() != (jit.Options{ForbidAnySource: true}) {
		t.Errorf("got %+v, %v", rec.Policy, err)
	}
	for _, options := range []string{`{"V4":24}`, `{"V4":99,"V6":64}`, `{"NoAny":1}`, `[]`} {
		if rec, err := with(options); err == nil {
			t.Errorf("%s: got %+v", options, rec.Policy)
		}
	}
}

// TestFilter holds that no text ends its literal.
func TestFilter(t *testing.T) {
	rows := map[string]string{
		"":                       "N eq ''",
		"plain":                  "N eq 'plain'",
		"o'neil":                 "N eq 'o''neil'",
		"'":                      "N eq ''''",
		"''":                     "N eq ''''''",
		"' or PartitionKey ne '": "N eq ''' or PartitionKey ne '''",
		`\' or 1 eq 1`:           `N eq '\'' or 1 eq 1'`,
		"%27":                    "N eq '%27'",
		"\u2019 or 1 eq 1":       "N eq '\u2019 or 1 eq 1'",
	}
	for text, want := range rows {
		if got := table.Equals("N", text); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
	for _, text := range []string{"\x00", "a\nb", strings.Repeat("a", 501), "\xff'"} {
		got := table.Equals("N", text)
		if strings.Contains(got, text) || strings.Count(got, "'") != 2 {
			t.Errorf("%q goes into a filter as it is: %s", text, got)
		}
	}
}

func FuzzKeys(f *testing.F) {
	for _, seed := range []string{"", "a", "019cad8f-ac00-7000-8000-000000000001", "/", "=2F", "é", "\xff", strings.Repeat("x", 101)} {
		f.Add(seed, "b")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if err := table.ValidKey(table.Safe(a)); err != nil {
			t.Errorf("%q: %v", a, err)
		}
		if (a == b) != (table.Safe(a) == table.Safe(b)) {
			t.Errorf("%q and %q share the key %q", a, b, table.Safe(a))
		}
	})
}

// TestCut holds that a document comes back from its pieces.
func TestCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOf(rapid.SampledFrom([]rune("aé日😀\"\\"))).Draw(t, "text")
		max := rapid.IntRange(2, 9).Draw(t, "max")
		pieces := table.Cut(text, max)
		if got := strings.Join(pieces, ""); got != text {
			t.Fatalf("got %q, want %q", got, text)
		}
		for _, p := range pieces {
			if table.Units(p) > max {
				t.Fatalf("piece %q has %d units, the limit is %d", p, table.Units(p), max)
			}
		}
	})
}

// TestTimeOrder holds that inverted times sort newest first, and days with them.
func TestTimeOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nano := rapid.Int64Range(0, 1<<63-1)
		a, b := time.Unix(0, nano.Draw(t, "a")), time.Unix(0, nano.Draw(t, "b"))
		if a.Before(b) != (table.Inverted(a) > table.Inverted(b)) {
			t.Fatalf("%s and %s sort as %s and %s", a, b, table.Inverted(a), table.Inverted(b))
		}
		if a.Before(b) && table.Day(a) < table.Day(b) {
			t.Fatalf("the days of %s and %s sort as %s and %s", a, b, table.Day(a), table.Day(b))
		}
		if a.Before(b) != (table.Column(a) < table.Column(b)) {
			t.Fatalf("the columns of %s and %s sort as %s and %s", a, b, table.Column(a), table.Column(b))
		}
	})
}

// TestStamp holds that a time comes back as it was, in UTC.
func TestStamp(t *testing.T) {
	zone := time.FixedZone("", 5*3600+1800)
	for _, want := range []time.Time{{}, day, day.Add(time.Nanosecond).In(zone), time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC)} {
		text, err := json.Marshal(table.Stamp(want))
		if err != nil {
			t.Fatal(err)
		}
		var got table.Stamp
		if err := json.Unmarshal(text, &got); err != nil || !time.Time(got).Equal(want) || time.Time(got).Location() != time.UTC {
			t.Errorf("%s came back as %s, %v", want, time.Time(got), err)
		}
	}
	var got table.Stamp
	for _, text := range []string{`"x"`, `1`, `"2026-03-02"`} {
		if err := json.Unmarshal([]byte(text), &got); err == nil {
			t.Errorf("%s was read as %s", text, time.Time(got))
		}
	}
}
