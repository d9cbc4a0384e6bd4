package handlers

import (
	"errors"
	"net/http"

	"portcullis/core/store"
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

func toSweep(r store.SweepRecord) sweepAnswer {
	out := sweepAnswer{Started: stamp(r.Started), Ended: stamp(r.Ended), Targets: r.Targets, Changed: r.Changed, Closed: r.Closed, Error: r.Error, Findings: []finding{}}
	for _, f := range r.Findings {
		out.Findings = append(out.Findings, toFinding(f))
	}
	return out
}

func toFinding(f store.Finding) finding {
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
	rec, err := s.app.Inventory.LastSweep(r.Context(), r.who)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	write(w, http.StatusOK, toSweep(rec))
	return nil
}

// sweepNow runs a sweep: POST /api/sweep.
func (s *server) sweepNow(w http.ResponseWriter, r call) error {
	if err := decodeNothing(r.Request); err != nil {
		return err
	}
	rec, err := s.app.Sweeper.SweepNow(r.Context(), r.who)
	if err != nil {
		return err
	}
	write(w, http.StatusOK, toSweep(rec))
	return nil
}
