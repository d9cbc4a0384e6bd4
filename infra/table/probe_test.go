package table_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portcullis/core/store"
	"portcullis/infra/table"
	"portcullis/local/tablesim"
)

// TestTryRefuses: a table that may not be written, is down or refuses to be read is an error, and nothing is told of its clock where
// nothing came.
func TestTryRefuses(t *testing.T) {
	s, sim := newStore(t)
	sim.SetDown(true)
	_, err := s.Try(t.Context())
	if _, down := errors.AsType[*store.Unavailable](err); !down {
		t.Errorf("down: %v", err)
	}
	sim.SetDown(false)
	sim.FailNext(1, tablesim.NotApplied, tablesim.Batch)
	if _, err := s.Try(t.Context()); err == nil {
		t.Error("a write that failed is none")
	}
	forbidden := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("x-ms-error-code", "AuthorizationPermissionMismatch")
		w.WriteHeader(http.StatusForbidden)
	}))
	t.Cleanup(forbidden.Close)
	other, err := table.New(forbidden.URL, token{}, impatient())
	if err != nil {
		t.Fatal(err)
	}
	if at, err := other.Try(t.Context()); !errors.Is(err, store.ErrForbidden) || at.IsZero() {
		t.Errorf("forbidden: %v %v", at, err)
	}
}

// TestTry: a look is one read and one write on the condition of what was read, from the first on; that another one was first is no error.
func TestTry(t *testing.T) {
	s, sim := newStore(t)
	for range 3 {
		sim.ResetStats()
		at, err := s.Try(t.Context())
		if err != nil || time.Since(at).Abs() > time.Minute {
			t.Errorf("%v %v", at, err)
		}
		if diff := cmp.Diff(counts{tablesim.GetEntity: 1, tablesim.Batch: 1}, sim.Stats().Operations); diff != "" {
			t.Errorf("a look costs (-want +got):\n%s", diff)
		}
	}

	between := true // another instance looks between our read and our write
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sim.ServeHTTP(w, r)
		if r.Method == http.MethodGet && between {
			between = false
			if _, err := s.Try(r.Context()); err != nil {
				t.Error(err)
			}
		}
	}))
	t.Cleanup(slow.Close)
	second, err := table.New(slow.URL, token{}, impatient())
	if err != nil {
		t.Fatal(err)
	}
	sim.ResetStats()
	if _, err := second.Try(t.Context()); err != nil || between {
		t.Errorf("where another was first: %v", err)
	}
	if n := sim.Stats().EntitiesWritten; n != 1 {
		t.Errorf("%d of the two writes took effect, want the first", n)
	}
}

// TestAnswered: the last wake-up that came elsewhere is found again; before the first there is none.
func TestAnswered(t *testing.T) {
	s, _ := newStore(t)
	if wake, _, err := s.Answered(t.Context()); !errors.Is(err, store.ErrNotFound) || wake != "" {
		t.Errorf("%q %v", wake, err)
	}
	for i, name := range []string{"doctor-a", "doctor-b"} {
		came := day.Add(time.Duration(i) * time.Second)
		if err := s.Answer(t.Context(), name, came); err != nil {
			t.Fatal(err)
		}
		if wake, at, err := s.Answered(t.Context()); err != nil || wake != name || !at.Equal(came) {
			t.Errorf("%q %v %v", wake, at, err)
		}
	}
}
