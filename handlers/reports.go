package handlers

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"portcullis/core/access"
)

type sweepAnswer struct {
	Started  string    `json:"startedAt"`
	Ended    string    `json:"endedAt"`
	Targets  int       `json:"targets"`
	Changed  int       `json:"targetsChanged"`
	Closed   int       `json:"requestsClosed"`
	Error    string    `json:"error,omitempty"`
	Findings []finding `json:"findings"`
}

type finding struct {
	Kind    string `json:"kind"`
	Target  string `json:"target,omitempty"`
	VM      string `json:"virtualMachine,omitempty"`
	Grant   string `json:"request,omitempty"`
	Rule    string `json:"rule,omitempty"`
	Message string `json:"message"`
	Since   string `json:"since"`
}

func toSweep(r access.SweepRecord) sweepAnswer {
	out := sweepAnswer{Started: stamp(r.Started), Ended: stamp(r.Ended), Targets: r.Targets, Changed: r.Changed, Closed: r.Closed, Error: r.Error, Findings: []finding{}}
	for _, f := range r.Findings {
		out.Findings = append(out.Findings, toFinding(f))
	}
	return out
}

func toFinding(f access.Finding) finding {
	out := finding{Kind: string(f.Kind), Grant: f.Grant, Rule: f.Rule, Message: f.Message, Since: stamp(f.Since)}
	if !f.Target.IsZero() {
		out.Target = f.Target.String()
	}
	if !f.VM.IsZero() {
		out.VM = f.VM.String()
	}
	return out
}

// compliance shows the last sweep's findings: GET /api/compliance.
func (s *server) compliance(w http.ResponseWriter, r call) error {
	rec, err := s.guard.LastSweep(r.Context(), r.who)
	if err != nil && !errors.Is(err, access.ErrNotFound) {
		return err
	}
	write(w, http.StatusOK, toSweep(rec))
	return nil
}

// sweepNow runs a sweep: POST /api/sweep.
func (s *server) sweepNow(w http.ResponseWriter, r call) error {
	rec, err := s.guard.Sweep(r.Context(), r.who)
	if err != nil {
		return err
	}
	write(w, http.StatusOK, toSweep(rec))
	return nil
}

type healthAnswer struct {
	Status       string            `json:"status"`
	Version      string            `json:"version"`
	Dependencies map[string]string `json:"dependencies"`
	LastSweep    string            `json:"lastSweepEndedAt,omitempty"`
	SweepAge     int               `json:"lastSweepAgeSeconds"`
	Overdue      int               `json:"oldestOverdueClosingSeconds"`
}

// healthTimeout bounds what the health function waits for a dependency.
const healthTimeout = 5 * time.Second

// health says which dependency answers, when the last sweep ended and how old the
// oldest overdue closing is: GET /api/health. 503 where a dependency does not answer.
func (s *server) health(w http.ResponseWriter, r call) error {
	ctx, cancel := context.WithTimeout(r.Context(), healthTimeout)
	defer cancel()
	out := healthAnswer{Status: "ok", Version: s.Version, Dependencies: map[string]string{}, SweepAge: -1}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for name, d := range s.Dependencies {
		wg.Go(func() {
			state := "ok"
			if err := d.Ping(ctx); err != nil {
				state = "unavailable"
				s.Log.Warn("dependency does not answer", "invocation", invocation(r.Context()), "dependency", name, "error", err.Error())
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
	if rec, err := s.guard.Service.Sweeps.LastSweep(ctx); err == nil && !rec.Completed.IsZero() {
		out.LastSweep, out.SweepAge = stamp(rec.Completed), int(s.guard.Service.Now().Sub(rec.Completed).Seconds())
	}
	if age, err := s.guard.Service.Overdue(ctx); err == nil {
		out.Overdue = int(age.Seconds())
	}
	write(w, status, out)
	return nil
}
