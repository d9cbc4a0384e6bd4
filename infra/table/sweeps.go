package table

import (
	"context"
	"errors"
	"fmt"
	"time"

	"portcullis/core/store"
	"portcullis/infra/table/entity"
)

// sweepDoc is what one sweep did.
type sweepDoc struct {
	V        int
	Started  entity.Stamp
	Ended    entity.Stamp
	Done     entity.Stamp
	Next     string `json:",omitempty"`
	Targets  int
	Changed  int
	Closed   int
	Findings []findingDoc
	Error    string
}

type findingDoc struct {
	Kind    string
	Target  string
	VM      string
	Grant   string
	Rule    string
	Message string
	Since   entity.Stamp
}

// PutSweep is one write of one row, whatever stands there. Findings that do not
// fit in it are left out, which the record's Error then says: the heartbeat must not
// fail because there is much to tell.
func (s *Store) PutSweep(ctx context.Context, r store.SweepRecord) error {
	d := sweepDoc{V: entity.Version, Started: entity.Stamp(r.Started), Ended: entity.Stamp(r.Ended), Done: entity.Stamp(r.Completed), Next: r.Next, Targets: r.Targets, Changed: r.Changed, Closed: r.Closed, Error: r.Error}
	for _, f := range r.Findings {
		target, err := entity.IDText(f.Target)
		if err != nil {
			return fmt.Errorf("store the sweep: %w", err)
		}
		vm, err := entity.IDText(f.VM)
		if err != nil {
			return fmt.Errorf("store the sweep: %w", err)
		}
		d.Findings = append(d.Findings, findingDoc{Kind: string(f.Kind), Target: target, VM: vm, Grant: f.Grant, Rule: f.Rule, Message: f.Message, Since: entity.Stamp(f.Since)})
	}
	o := entity.Op{Kind: entity.Put, Row: entity.Row{Partition: live, Key: rowSweep, Doc: d}}
	for {
		_, err := s.state.Submit(ctx, []entity.Op{o})
		if !errors.Is(err, entity.ErrTooLarge) || len(d.Findings) == 0 {
			return err
		}
		d.Findings = d.Findings[:len(d.Findings)/2]
		d.Error = fmt.Sprintf("%d more findings are not stored; %s", len(r.Findings)-len(d.Findings), r.Error)
		o.Row.Doc = d
	}
}

// LastSweep reads one row.
func (s *Store) LastSweep(ctx context.Context) (store.SweepRecord, error) {
	row, _, err := s.state.Get(ctx, live, rowSweep)
	if err != nil {
		return store.SweepRecord{}, fmt.Errorf("last sweep: %w", err)
	}
	var d sweepDoc
	if err := row.Read(&d); err != nil {
		return store.SweepRecord{}, err
	}
	r := store.SweepRecord{Started: time.Time(d.Started), Ended: time.Time(d.Ended), Completed: time.Time(d.Done), Next: d.Next, Targets: d.Targets, Changed: d.Changed, Closed: d.Closed, Error: d.Error}
	for _, f := range d.Findings {
		target, err := entity.IDOf(f.Target)
		if err != nil {
			return r, fmt.Errorf("read entity %s: %w", row.Key, err)
		}
		vm, err := entity.IDOf(f.VM)
		if err != nil {
			return r, fmt.Errorf("read entity %s: %w", row.Key, err)
		}
		r.Findings = append(r.Findings, store.Finding{Kind: store.FindingKind(f.Kind), Target: target, VM: vm, Grant: f.Grant, Rule: f.Rule, Message: f.Message, Since: time.Time(f.Since)})
	}
	return r, nil
}
