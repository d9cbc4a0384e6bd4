package table

import (
	"context"
	"errors"
	"fmt"
	"time"

	"portcullis/core/store"
)

// sweepDoc is what one sweep did.
type sweepDoc struct {
	V        int
	Started  stamp
	Ended    stamp
	Done     stamp
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
	Since   stamp
}

// PutSweep is one write of one row, whatever stands there. Findings that do not
// fit in it are left out, which the record's Error then says: the heartbeat must not
// fail because there is much to tell.
func (s *Store) PutSweep(ctx context.Context, r store.SweepRecord) error {
	d := sweepDoc{V: version, Started: stamp(r.Started), Ended: stamp(r.Ended), Done: stamp(r.Completed), Next: r.Next, Targets: r.Targets, Changed: r.Changed, Closed: r.Closed, Error: r.Error}
	for _, f := range r.Findings {
		target, err := idText(f.Target)
		if err != nil {
			return fmt.Errorf("store the sweep: %w", err)
		}
		vm, err := idText(f.VM)
		if err != nil {
			return fmt.Errorf("store the sweep: %w", err)
		}
		d.Findings = append(d.Findings, findingDoc{Kind: string(f.Kind), Target: target, VM: vm, Grant: f.Grant, Rule: f.Rule, Message: f.Message, Since: stamp(f.Since)})
	}
	o := op{kind: put, row: row{partition: live, key: rowSweep, doc: d}}
	for {
		_, err := s.submit(ctx, s.state, []op{o})
		if !errors.Is(err, errTooLarge) || len(d.Findings) == 0 {
			return err
		}
		d.Findings = d.Findings[:len(d.Findings)/2]
		d.Error = fmt.Sprintf("%d more findings are not stored; %s", len(r.Findings)-len(d.Findings), r.Error)
		o.row.doc = d
	}
}

// LastSweep reads one row.
func (s *Store) LastSweep(ctx context.Context) (store.SweepRecord, error) {
	row, _, err := s.get(ctx, s.state, live, rowSweep)
	if err != nil {
		return store.SweepRecord{}, fmt.Errorf("last sweep: %w", err)
	}
	var d sweepDoc
	if err := row.read(&d); err != nil {
		return store.SweepRecord{}, err
	}
	r := store.SweepRecord{Started: time.Time(d.Started), Ended: time.Time(d.Ended), Completed: time.Time(d.Done), Next: d.Next, Targets: d.Targets, Changed: d.Changed, Closed: d.Closed, Error: d.Error}
	for _, f := range d.Findings {
		target, err := idOf(f.Target)
		if err != nil {
			return r, fmt.Errorf("read entity %s: %w", row.key, err)
		}
		vm, err := idOf(f.VM)
		if err != nil {
			return r, fmt.Errorf("read entity %s: %w", row.key, err)
		}
		r.Findings = append(r.Findings, store.Finding{Kind: store.FindingKind(f.Kind), Target: target, VM: vm, Grant: f.Grant, Rule: f.Rule, Message: f.Message, Since: time.Time(f.Since)})
	}
	return r, nil
}
