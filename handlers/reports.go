package handlers

import (
	"errors"
	"net/http"

	"portcullis/core/store"
	"portcullis/handlers/wire"
)

// compliance shows the last sweep's findings: GET /api/compliance.
func (s *server) compliance(w http.ResponseWriter, r call) error {
	rec, err := s.app.Inventory.LastSweep(r.Context(), r.who)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	wire.Write(w, http.StatusOK, wire.ToSweep(rec))
	return nil
}

// sweepNow runs a sweep: POST /api/sweep.
func (s *server) sweepNow(w http.ResponseWriter, r call) error {
	if err := wire.DecodeNothing(r.Request); err != nil {
		return err
	}
	rec, err := s.app.Sweeper.SweepNow(r.Context(), r.who)
	if err != nil {
		return err
	}
	wire.Write(w, http.StatusOK, wire.ToSweep(rec))
	return nil
}
