package handlers

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"portcullis/core/store"
	"portcullis/handlers/arrival"
	"portcullis/handlers/wire"
)

// healthAnswer is what who is signed in learns; everybody else learns [healthStatus].
// What is not known is null, and Unknown says why: 0 seconds means that nothing is overdue.
type healthAnswer struct {
	Status       string            `json:"status" api:"health"`
	Version      string            `json:"version"`
	Dependencies map[string]string `json:"dependencies"`
	LastSweep    *string           `json:"lastSweepEndedAt" api:"time"`
	SweepAge     *int              `json:"lastSweepAgeSeconds"`
	Overdue      *int              `json:"oldestOverdueClosingSeconds"`
	Unknown      map[string]string `json:"unknown,omitempty"` // why, by the field that is null
	// UnknownSettings is the names, never the values, of settings that this version does not know.
	UnknownSettings []string `json:"unknownSettings"`
}

type healthStatus struct {
	Status string `json:"status" api:"health"`
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

// health says whether every dependency answers, and to who is signed in which one does, when the last
// sweep ended and how old the oldest overdue closing is: GET /api/health. 503 where a dependency does not
// answer. What it says was found out at most healthLife ago.
func (s *server) health(w http.ResponseWriter, r call) error {
	answer, status := s.lookedAtHealth(r)
	if _, err := s.Caller(r.Request); err != nil {
		wire.Write(w, status, healthStatus{answer.Status})
		return nil
	}
	wire.Write(w, status, answer)
	return nil
}

func (s *server) lookedAtHealth(r call) (healthAnswer, int) {
	s.seen.mu.Lock()
	defer s.seen.mu.Unlock()
	now := s.app.Now()
	if age := now.Sub(s.seen.at); s.seen.status == 0 || age < 0 || age >= healthLife {
		s.seen.answer, s.seen.status = s.lookAtHealth(r)
		s.seen.at = s.app.Now() // since its end: one that hangs would be over at once for all who waited for it, and each would look again
	}
	return s.seen.answer, s.seen.status
}

// lookAtHealth asks all dependencies, and the table for what it knows, at the same time: one that hangs
// hides nothing that another one knows. It does not end with the caller, since others wait for it.
func (s *server) lookAtHealth(r call) (healthAnswer, int) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), healthTimeout)
	defer cancel()
	out := healthAnswer{Status: "ok", Version: s.Version, Dependencies: map[string]string{}, Unknown: map[string]string{}, UnknownSettings: append([]string{}, s.UnknownSettings...)}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for name, d := range s.Dependencies {
		wg.Go(func() {
			state := "ok"
			if err := s.app.Rounds.Recovered("the look at "+name, func() error { return d.Ping(ctx) }); err != nil {
				state = "unavailable"
				s.Log.Warn("dependency does not answer", "invocation", arrival.Invocation(r.Context()), "dependency", name, "error", err.Error())
			}
			mu.Lock()
			defer mu.Unlock()
			out.Dependencies[name] = state
		})
	}
	var sweep store.SweepRecord
	var overdue time.Duration
	var noSweep, noOverdue error
	wg.Go(func() {
		noSweep = s.app.Rounds.Recovered("the look at the last sweep", func() (err error) { sweep, err = s.app.Inventory.Sweeps.LastSweep(ctx); return err })
	})
	wg.Go(func() {
		noOverdue = s.app.Rounds.Recovered("the look at what is overdue", func() (err error) { overdue, err = s.app.Inventory.Overdue(ctx); return err })
	})
	wg.Wait()
	status := http.StatusOK
	for _, state := range out.Dependencies {
		if state != "ok" {
			out.Status, status = "unavailable", http.StatusServiceUnavailable
		}
	}
	out.sweep(sweep, noSweep, s.app.Now())
	if noOverdue != nil {
		out.Unknown["oldestOverdueClosingSeconds"] = unreadable
	} else {
		out.Overdue = seconds(overdue)
	}
	return out, status
}

// unreadable is why something is not known that is in the table. The cause is not told: it may hold names.
const unreadable = "it could not be read from Table Storage in time"

// sweep tells of the last sweep that ended.
func (h *healthAnswer) sweep(rec store.SweepRecord, err error, now time.Time) {
	why := ""
	switch {
	case errors.Is(err, store.ErrNotFound) || err == nil && rec.Completed.IsZero():
		why = "no sweep has ended yet"
	case err != nil:
		why = unreadable
	}
	if why != "" {
		h.Unknown["lastSweepEndedAt"], h.Unknown["lastSweepAgeSeconds"] = why, why
		return
	}
	ended := wire.Stamp(rec.Completed)
	h.LastSweep, h.SweepAge = &ended, seconds(now.Sub(rec.Completed))
}

// seconds gives whole seconds; clocks that differ a little make nothing end in the future.
func seconds(d time.Duration) *int {
	n := max(int(d.Seconds()), 0)
	return &n
}
