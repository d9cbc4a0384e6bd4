package record

import (
	"fmt"
	"time"

	"portcullis/core/store"
	"portcullis/infra/table/entity"
)

// SweepDoc is what one sweep did, as it is stored.
type SweepDoc struct {
	V        int
	Started  entity.Stamp
	Ended    entity.Stamp
	Done     entity.Stamp
	Next     string `json:",omitempty"`
	Targets  int
	Changed  int
	Closed   int
	Findings []FindingDoc
	Error    string
}

// FindingDoc is one thing that a sweep found, as it is stored.
type FindingDoc struct {
	Kind    string
	Target  string
	VM      string
	Grant   string
	Rule    string
	Port    uint16 `json:",omitempty"`
	Message string
	Since   entity.Stamp
}

// Sweep returns the document of a sweep.
func Sweep(r store.SweepRecord) (SweepDoc, error) {
	d := SweepDoc{V: entity.Version, Started: entity.Stamp(r.Started), Ended: entity.Stamp(r.Ended), Done: entity.Stamp(r.Completed), Next: r.Next, Targets: r.Targets, Changed: r.Changed, Closed: r.Closed, Error: r.Error}
	for _, f := range r.Findings {
		target, err := entity.IDText(f.Target)
		if err != nil {
			return d, err
		}
		vm, err := entity.IDText(f.VM)
		if err != nil {
			return d, err
		}
		d.Findings = append(d.Findings, FindingDoc{Kind: string(f.Kind), Target: target, VM: vm, Grant: f.Grant, Rule: f.Rule, Port: f.Port, Message: f.Message, Since: entity.Stamp(f.Since)})
	}
	return d, nil
}

// ReadSweep reads the document of a sweep.
func ReadSweep(row entity.Stored) (store.SweepRecord, error) {
	var d SweepDoc
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
		r.Findings = append(r.Findings, store.Finding{Kind: store.FindingKind(f.Kind), Target: target, VM: vm, Grant: f.Grant, Rule: f.Rule, Port: f.Port, Message: f.Message, Since: time.Time(f.Since)})
	}
	return r, nil
}
