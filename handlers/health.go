package handlers

import (
	"context"
	"net/http"
	"sync"
	"time"
)

type healthAnswer struct {
	Status       string            `json:"status"`
	Version      string            `json:"version"`
	Dependencies map[string]string `json:"dependencies"`
	LastSweep    string            `json:"lastSweepEndedAt,omitempty"`
	SweepAge     int               `json:"lastSweepAgeSeconds"`
	Overdue      int               `json:"oldestOverdueClosingSeconds"`
	// Unknown is the names, never the values, of settings that this version does not know.
	Unknown []string `json:"unknownSettings"`
}

// healthTimeout bounds what the health function waits for a dependency.
const healthTimeout = 5 * time.Second

// healthLife is how long one answer serves everybody. Health needs no token, and each
// look costs a read of Resource Manager, whose bucket the closings drink from: nobody outside may
// empty it by asking.
const healthLife = 5 * time.Second

// healthSeen is the last answer. Its zero value is none.
type healthSeen struct {
	mu     sync.Mutex // held while somebody looks, so that all who ask meanwhile share it
	at     time.Time
	answer healthAnswer
	status int
}

// health says which dependency answers, when the last sweep ended and how old the
// oldest overdue closing is: GET /api/health. 503 where a dependency does not answer.
// What it says is at most healthLife old.
func (s *server) health(w http.ResponseWriter, r call) error {
	s.seen.mu.Lock()
	defer s.seen.mu.Unlock()
	now := s.app.Now()
	if age := now.Sub(s.seen.at); s.seen.status == 0 || age < 0 || age >= healthLife {
		s.seen.answer, s.seen.status = s.lookAtHealth(r)
		s.seen.at = now
	}
	write(w, s.seen.status, s.seen.answer)
	return nil
}

// lookAtHealth asks all dependencies. It does not end with the caller, since others wait for it.
func (s *server) lookAtHealth(r call) (healthAnswer, int) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), healthTimeout)
	defer cancel()
	out := healthAnswer{Status: "ok", Version: s.Version, Dependencies: map[string]string{}, SweepAge: -1, Unknown: append([]string{}, s.UnknownSettings...)}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for name, d := range s.Dependencies {
		wg.Go(func() {
			state := "ok"
			if err := d.Ping(ctx); err != nil {
				state = "unavailable"
				s.Log.Warn("dependency does not answer", "invocation", Invocation(r.Context()), "dependency", name, "error", err.Error())
			}
			mu.Lock()
			defer mu.Unlock()
			out.Dependencies[name] = state
		})
	}
	wg.Wait()
	status := http.StatusOK
	for _, state := range out.Dependencies {
		if state != "ok" {
			out.Status, status = "unavailable", http.StatusServiceUnavailable
		}
	}
	if rec, err := s.app.Inventory.Sweeps.LastSweep(ctx); err == nil && !rec.Completed.IsZero() {
		out.LastSweep, out.SweepAge = stamp(rec.Completed), int(s.app.Now().Sub(rec.Completed).Seconds())
	}
	if age, err := s.app.Inventory.Overdue(ctx); err == nil {
		out.Overdue = int(age.Seconds())
	}
	return out, status
}
