package table_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/roster"
	"portcullis/core/store"
	"portcullis/infra/table"
)

// written is one operation as it went over the wire.
type written struct {
	method, row, ifMatch string
}

// tap reads transactions as they go over the wire.
type tap struct {
	mu      sync.Mutex
	batches [][]written
	direct  []string // writes outside of transactions
}

var (
	operation = regexp.MustCompile(`(?m)^(POST|PUT|DELETE|MERGE|PATCH|GET) (\S+) HTTP/1\.1\r?$`)
	rowInURL  = regexp.MustCompile(`RowKey='([^']*)'`)
	rowInBody = regexp.MustCompile(`"RowKey":"([^"]*)"`)
	condition = regexp.MustCompile(`(?mi)^If-Match: (.*?)\r?$`)
)

func (p *tap) Do(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodGet {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		p.mu.Lock()
		if strings.HasSuffix(r.URL.Path, "$batch") {
			p.batches = append(p.batches, operations(string(body)))
		} else {
			p.direct = append(p.direct, r.Method+" "+r.URL.Path)
		}
		p.mu.Unlock()
	}
	return http.DefaultClient.Do(r)
}

func operations(body string) []written {
	var out []written
	at := operation.FindAllStringSubmatchIndex(body, -1)
	for i, m := range at {
		end := len(body)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		w := written{method: body[m[2]:m[3]]}
		text := body[m[0]:end]
		row := rowInBody.FindStringSubmatch(text)
		if row == nil {
			path, err := url.PathUnescape(body[m[4]:m[5]])
			if err != nil {
				path = body[m[4]:m[5]]
			}
			row = rowInURL.FindStringSubmatch(path)
		}
		if row != nil {
			w.row = row[1]
		}
		if c := condition.FindStringSubmatch(text); c != nil {
			w.ifMatch = c[1]
		}
		out = append(out, w)
	}
	return out
}

// TestConditionsOnTheWire holds that no row that has an owner is ever written
// without a condition: the SDK makes "*" of an ETag that is missing.
func TestConditionsOnTheWire(t *testing.T) {
	_, url := simulator(t)
	p := &tap{}
	options := impatient()
	options.Transport = p
	s, err := table.New(url, token{}, options)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Setup(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.direct = nil
	everything(t, s)
	if len(p.direct) != 0 {
		t.Errorf("writes outside of a transaction: %v", p.direct)
	}
	kinds := map[string]int{}
	for _, batch := range p.batches {
		owner := slices.ContainsFunc(batch, func(w written) bool {
			return (strings.HasPrefix(w.row, "policy|") || strings.HasPrefix(w.row, "grant|")) && (w.method == "POST" || w.ifMatch != "") ||
				strings.HasPrefix(w.row, "target|") && w.method == "DELETE" && w.ifMatch != "" && w.ifMatch != "*"
		})
		// A key goes with its row by age, which has the condition for both.
		aged := slices.ContainsFunc(batch, func(w written) bool {
			return strings.HasPrefix(w.row, "age|") && w.method == "DELETE" && w.ifMatch != "" && w.ifMatch != "*"
		})
		for _, w := range batch {
			owned := strings.HasPrefix(w.row, "part|") || strings.HasPrefix(w.row, "open|") || strings.HasPrefix(w.row, "named|") || strings.HasPrefix(w.row, "age|") && w.method == "DELETE" || strings.HasPrefix(w.row, "target|") && w.method == "PUT"
			unconditional := w.method != "POST" && (w.ifMatch == "" || w.ifMatch == "*")
			kinds[fmt.Sprintf("%s %s %t", w.method, strings.SplitN(w.row, "|", 2)[0], unconditional)]++
			switch {
			case w.row == "" || w.method == "MERGE" || w.method == "PATCH" || w.method == "GET":
				t.Errorf("an operation that we never make: %+v", w)
			case owned && unconditional && !owner:
				t.Errorf("%+v without its owner in the transaction", w)
			case strings.HasPrefix(w.row, "key|") && w.method == "DELETE" && aged:
			case unconditional && !owned && w.row != "sweep" && w.row != "at":
				t.Errorf("%+v has no condition", w)
			}
		}
	}
	for _, kind := range []string{"POST policy false", "PUT policy false", "DELETE policy false", "POST grant false", "PUT grant false", "DELETE grant false",
		"PUT part true", "DELETE part true", "PUT target true", "DELETE target false", "POST key false", "PUT key false", "PUT sweep true", "POST e false", "POST id false", "POST head false", "PUT head false", "PUT at true",
		"PUT open true", "DELETE open true", "PUT named true", "DELETE named true", "POST age false", "DELETE age false", "DELETE age true", "DELETE key true"} {
		if kinds[kind] == 0 {
			t.Errorf("the test did not see %q; it saw %v", kind, kinds)
		}
	}
}

// everything makes every kind of write once.
func everything(t *testing.T, s *table.Store) {
	t.Helper()
	ctx := t.Context()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	p, err := s.PutPolicy(ctx, policyRecord(1, 2))
	check(err)
	p.Placements = p.Placements[:1]
	p, err = s.PutPolicy(ctx, p)
	check(err)
	check(s.DeletePolicy(ctx, p))
	for n, now := range []time.Time{day, day.Add(2 * time.Hour)} {
		g := grantRecord(n, 60)
		if n == 1 {
			g.Grant.Start = now // which its id does not tell
		}
		k := key("a", g)
		k.Expires = now.Add(time.Hour)
		g, err := s.InsertGrant(ctx, g, []store.Key{k}, now)
		check(err)
		out, err := s.UpdateGrants(ctx, g)
		check(err)
		_, err = s.UpdateGrants(ctx, closed(out[0]))
		check(err)
	}
	_, err = s.DropKeys(ctx, day.Add(48*time.Hour), 10)
	check(err)
	check(s.Forget(ctx, nsg(1), cleared))
	check(s.Remember(ctx, nsg(1)))
	check(s.Remember(ctx, nsg(1)))
	for _, names := range [][]string{{"a"}, {"b"}, nil} {
		state, err := s.State(ctx, nsg(1))
		check(err)
		check(s.Confirm(ctx, nsg(1), state.Confirmed, names))
	}
	check(s.Forget(ctx, nsg(1), cleared))
	check(s.Append(ctx, store.Entry{ID: "1", Time: day}))
	check(s.Append(ctx, store.Entry{ID: "2", Time: day}))
	check(s.PutSweep(ctx, store.SweepRecord{Started: day}))
}

// TestLikeMemory makes random calls of the adapter and of the reference: both must
// answer alike, and every target's state must be what the policies and grants say.
func TestLikeMemory(t *testing.T) {
	var n int
	_, url := simulator(t)
	rapid.Check(t, func(rt *rapid.T) {
		options := impatient()
		n++
		options = options.Prefixed(fmt.Sprint("T", n))
		s, err := table.New(url, token{}, options)
		if err != nil {
			rt.Fatal(err)
		}
		if err := s.Setup(t.Context()); err != nil {
			rt.Fatal(err)
		}
		m := &pair{stores: [2]coretest.Store{s, coretest.NewMemory()}}
		for i := range m.versions {
			m.versions[i] = map[string]string{}
		}
		for range rapid.IntRange(1, 25).Draw(rt, "calls") {
			m.step(t.Context(), rt)
		}
		m.compare(t.Context(), rt)
	})
}

// pair is the adapter and the reference with the versions that each has given.
type pair struct {
	stores   [2]coretest.Store
	versions [2]map[string]string
	closed   [4]bool // an id is used once
}

func targetsOf(rt *rapid.T) []int {
	return rapid.SliceOfNDistinct(rapid.IntRange(0, 3), 0, 3, rapid.ID[int]).Draw(rt, "targets")
}

func (m *pair) step(ctx context.Context, rt *rapid.T) {
	n := rapid.IntRange(0, 3).Draw(rt, "n")
	kind := rapid.IntRange(0, 6).Draw(rt, "kind")
	p, g := policyRecord(n, 0), grantRecord(n, 0)
	for _, target := range targetsOf(rt) {
		p.Placements = append(p.Placements, store.Placement{Target: nsg(target)})
		g.Placements = append(g.Placements, store.GrantPlacement{Target: nsg(target), Addresses: grantRecord(n, 1).Placements[0].Addresses})
	}
	slices.SortFunc(g.Placements, func(a, b store.GrantPlacement) int { return cmp.Compare(a.Target.Key(), b.Target.Key()) })
	if rapid.Bool().Draw(rt, "revoke") {
		g.Grant = g.Grant.Revoke(day, jit.UserRequested)
	}
	if kind == 4 {
		g = closed(g)
	}
	if kind == 2 && m.closed[n] {
		return
	}
	fresh := rapid.IntRange(0, 3).Draw(rt, "stale") != 0
	k := key(fmt.Sprint(rapid.IntRange(0, 2).Draw(rt, "key")), g)
	var errs [2]error
	for i, s := range m.stores {
		known := m.versions[i]
		version := known[fmt.Sprint(kind/2, n)]
		if !fresh {
			version = known[fmt.Sprint("old", kind/2, n)]
		}
		switch kind {
		case 0:
			p.Version = version
			var out store.PolicyRecord
			if out, errs[i] = s.PutPolicy(ctx, p); errs[i] == nil {
				known[fmt.Sprint("old", 0, n)], known[fmt.Sprint(0, n)] = version, out.Version
			}
		case 1:
			p.Version = version
			if errs[i] = s.DeletePolicy(ctx, p); errs[i] == nil {
				known[fmt.Sprint(0, n)] = ""
			}
		case 2:
			g.Version = ""
			var out store.GrantRecord
			if out, errs[i] = s.InsertGrant(ctx, g, []store.Key{k}, day); errs[i] == nil {
				known[fmt.Sprint(1, n)], known[fmt.Sprint(2, n)] = out.Version, out.Version
			}
		case 3, 4:
			g.Version = known[fmt.Sprint(1, n)]
			if !fresh {
				g.Version = known[fmt.Sprint("old", 1, n)]
			}
			var out []store.GrantRecord
			if out, errs[i] = s.UpdateGrants(ctx, g); errs[i] == nil {
				known[fmt.Sprint("old", 1, n)], known[fmt.Sprint(1, n)] = g.Version, out[0].Version
			}
		case 5:
			errs[i] = s.Forget(ctx, nsg(n), cleared)
		case 6:
			errs[i] = s.Remember(ctx, nsg(n))
		}
	}
	if (errs[0] == nil) != (errs[1] == nil) {
		rt.Fatalf("kind %d: the adapter says %v, the reference %v", kind, errs[0], errs[1])
	}
	m.closed[n] = m.closed[n] || kind == 4 && errs[0] == nil
}

func (m *pair) compare(ctx context.Context, rt *rapid.T) {
	type view struct {
		policies []store.PolicyRecord
		grants   []store.GrantRecord
		list     []jit.Grant
		known    []jit.ID
		states   []roster.State
	}
	var views [2]view
	for i, s := range m.stores {
		v := &views[i]
		var errs [4]error
		v.policies, errs[0] = store.AllPolicies(ctx, s)
		v.grants, errs[1] = s.OpenGrants(ctx)
		v.list, _, errs[2] = s.ListGrants(ctx, store.GrantFilter{}, "", 100)
		v.known, errs[3] = s.Known(ctx)
		for _, err := range errs {
			if err != nil {
				rt.Fatal(err)
			}
		}
		for n := range 4 {
			state, err := s.State(ctx, nsg(n))
			if err != nil {
				rt.Fatal(err)
			}
			// One that is only remembered is known too; the two stores agree on which.
			known := slices.ContainsFunc(v.known, nsg(n).Equal) && (state.Known || len(state.Policies)+len(state.Openings) > 0)
			if want := coretest.StateOf(nsg(n), known, v.policies, v.grants); !gocmp.Equal(want, state, sameState) {
				rt.Fatalf("state of %s is not what the headers say:\n%s", nsg(n).Name, gocmp.Diff(want, state, sameState))
			}
			v.states = append(v.states, state)
		}
		for j := range v.policies {
			v.policies[j].Version = ""
		}
	}
	if diff := gocmp.Diff(views[1], views[0], sameState, gocmp.AllowUnexported(view{})); diff != "" {
		rt.Fatalf("-reference +adapter:\n%s", diff)
	}
}
