package table

import (
	"context"
	"errors"
	"fmt"

	"portcullis/core/store"
	"portcullis/infra/table/entity"
	"portcullis/infra/table/record"
)

// PutSweep is one write of one row, whatever stands there. Findings that do not
// fit in it are left out, which the record's Error then says: the heartbeat must not
// fail because there is much to tell.
func (s *Store) PutSweep(ctx context.Context, r store.SweepRecord) error {
	d, err := record.Sweep(r)
	if err != nil {
		return fmt.Errorf("store the sweep: %w", err)
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
	return record.ReadSweep(row)
}
