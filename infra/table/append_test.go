package table_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/infra/table"
	"portcullis/local/tablesim"
)

// manyWriters appends one entry by each of n callers at once, spread over some stores, each as a
// process of its own has one, and gives what the service was asked.
func manyWriters(t *testing.T, n, processes int) (counts, time.Duration) {
	t.Helper()
	sim, url := simulator(t)
	stores := make([]*table.Store, processes)
	for i := range stores {
		s, err := table.New(url, token{}, impatient())
		if err == nil {
			err = s.Setup(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		stores[i] = s
	}
	sim.ResetStats()
	began := time.Now()
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i, e := range told(n) {
		wg.Go(func() { errs[i] = stores[i%processes].Append(t.Context(), e) })
	}
	wg.Wait()
	took := time.Since(began)
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	asked := sim.Stats().Operations
	if got := verify(t, stores[0], subscription); got.FirstBroken != nil || got.Entries != n {
		t.Errorf("%+v, %+v", got, got.FirstBroken)
	}
	return asked, took
}

// TestManyWriters measures 32 callers at once: of one process they share transactions, of
// as many processes every one writes alone and in turn.
func TestManyWriters(t *testing.T) {
	for _, processes := range []int{1, 4, 32} {
		t.Run(fmt.Sprint(processes), func(t *testing.T) {
			asked, took := manyWriters(t, 32, processes)
			t.Logf("32 appends by %d processes: %d transactions, %d reads, %v", processes, asked[tablesim.Batch], asked[tablesim.GetEntity], took.Round(time.Millisecond))
			if processes == 1 && asked[tablesim.Batch] > 33 {
				t.Errorf("%d transactions for 32 entries of one process", asked[tablesim.Batch])
			}
			if asked[tablesim.Batch] < processes {
				t.Errorf("%d transactions of %d processes", asked[tablesim.Batch], processes)
			}
		})
	}
}

// TestBatches: many entries of one call are few transactions, in the order of their times.
func TestBatches(t *testing.T) {
	s, sim := newStore(t)
	entries := told(120)
	slices.Reverse(entries)
	if err := s.Append(t.Context(), entries...); err != nil {
		t.Fatal(err)
	}
	if got := sim.Stats().Operations; got[tablesim.Batch] != 3 || got[tablesim.GetEntity] != 1 {
		t.Errorf("%v", got)
	}
	f := forger{t, s.ActivityTable()}
	for i, e := range f.chain(subscription) {
		if want := fmt.Sprintf("event %d", i+1); doc(e)["ID"] != want {
			t.Fatalf("place %d has %v, want %s", i+1, doc(e)["ID"], want)
		}
	}
}

// TestAppendRefused: what cannot be stored is refused alone, and whoever appends with it is not.
func TestAppendRefused(t *testing.T) {
	s, _ := newStore(t)
	big := told(1)[0]
	big.Message = string(make([]byte, 1<<20))
	bad := map[string]store.Entry{"no id": {Time: day}, "no time": {ID: "x"}, "too large": big, "an id of nothing": {ID: "y", Time: day, VM: jit.ID{Subscription: "x", Name: "y"}}}
	var wg sync.WaitGroup
	for name, e := range bad {
		wg.Go(func() {
			if err := s.Append(t.Context(), e); err == nil {
				t.Errorf("%s is appended", name)
			}
		})
	}
	for _, e := range told(3) {
		wg.Go(func() {
			if err := s.Append(t.Context(), e); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := verify(t, s, subscription); got.FirstBroken != nil || got.Entries != 3 {
		t.Errorf("%+v", got)
	}
}

// losing drops the answers of transactions once they have taken effect, as the network may.
type losing struct{ left atomic.Int32 }

func (l *losing) Do(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultClient.Do(r)
	if err == nil && r.Method == http.MethodPost && l.left.Add(-1) >= 0 {
		_ = resp.Body.Close()
		return nil, errors.New("the answer is lost")
	}
	return resp, err
}

// TestLostAppend: an append whose answer is lost may be told again by anybody, and stands once.
func TestLostAppend(t *testing.T) {
	_, url := simulator(t)
	first, err := table.New(url, token{}, impatient())
	if err == nil {
		err = first.Setup(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	lost := &losing{}
	lost.left.Store(1)
	options := impatient()
	options.Transport = lost
	s, err := table.New(url, token{}, options)
	if err != nil {
		t.Fatal(err)
	}
	entries := told(5)
	if err := s.Append(t.Context(), entries[:3]...); !isUnavailable(err) {
		t.Fatalf("lost: %v", err)
	}
	for _, again := range [][]store.Entry{entries[:3], entries[1:4], entries} {
		if err := s.Append(t.Context(), again...); err != nil {
			t.Fatal(err)
		}
	}
	if got := verify(t, s, subscription); got.FirstBroken != nil || got.Entries != 5 {
		t.Errorf("%+v, %+v", got, got.FirstBroken)
	}
}

func isUnavailable(err error) bool {
	_, ok := errors.AsType[*store.Unavailable](err)
	return ok
}

// TestVerifyMeanwhile: entries that are appended while the chain is looked through break nothing.
func TestVerifyMeanwhile(t *testing.T) {
	sim, url := simulator(t)
	s, other := must(table.New(url, token{}, impatient())), must(table.New(url, token{}, impatient()))
	if err := s.Setup(t.Context()); err != nil {
		t.Fatal(err)
	}
	sim.SetMaxPage(7)
	var wg sync.WaitGroup
	entries := told(120)
	for i := range 4 {
		wg.Go(func() {
			for n := i; n < len(entries); n += 4 {
				if err := []*table.Store{s, other}[i%2].Append(t.Context(), entries[n]); err != nil {
					t.Error(err)
				}
			}
		})
	}
	looks := 0
	for seen := 0; seen < len(entries) && looks < 1000; looks++ {
		got := verify(t, s, subscription)
		if got.FirstBroken != nil {
			t.Fatalf("after %d looks: %+v", looks, got.FirstBroken)
		}
		seen = got.Entries
	}
	wg.Wait()
	if got := verify(t, s, subscription); got.FirstBroken != nil || got.Entries != len(entries) {
		t.Errorf("%+v, %+v", got, got.FirstBroken)
	}
}
