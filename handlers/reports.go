package handlers

import (
	"net/http"

	"portcullis/handlers/wire"
)

// compliance shows the last sweep's findings, and how old they are: GET /api/compliance.
func (s *server) compliance(w http.ResponseWriter, r call) error {
	last, err := s.app.Inventory.LastSweep(r.Context(), r.who)
	if err != nil {
		return err
	}
	wire.Write(w, http.StatusOK, wire.ToCompliance(last, s.app.Now()))
	return nil
}

// sweepNow runs a sweep: POST /api/sweep[?dryRun=true].
func (s *server) sweepNow(w http.ResponseWriter, r call) error {
	if err := wire.DecodeNothing(r.Request); err != nil {
		return err
	}
	sweep, dryRun := s.app.Sweeper.SweepNow, r.query.Flag("dryRun")
	if dryRun {
		sweep = s.app.Sweeper.PreviewNow
	}
	rec, err := sweep(r.Context(), r.who)
	if err != nil {
		return err
	}
	answer := wire.ToSweep(rec)
	answer.DryRun = dryRun
	wire.Write(w, http.StatusOK, answer)
	return nil
}
