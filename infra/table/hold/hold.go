// Package hold stores holds and lock-downs as rows of the partition with the live state.
//
// The row hold|all has every hold and the version of the set. The row hold|gate|<version> stands as long as that set does: replacing a set removes
// its gate in the same transaction. A write that was decided by a set has its gate in its own transaction, which fails where the gate is gone
// (docs/decisions/051-holds-are-proven-by-the-write.md). So asking costs nothing, and no instance writes by what it remembers of holds that
// do not stand any more. A version is random: tables that are put back never have the gate of another set.
//
// It decides nothing of what a hold covers.
package hold

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"portcullis/core/area"
	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/infra/table/entity"
)

var _ store.Holds = (*Book)(nil)

// Book is the holds and lock-downs in one partition of a table.
type Book struct {
	Table     entity.Table
	Partition string
}

// The rows.
const (
	rows     = "hold|"
	rowAll   = rows + "all"
	gateRows = rows + "gate|"
	downRows = rows + "down|"
)

type setDoc struct {
	V       int
	Version string
	Holds   []holdDoc
}

type holdDoc struct {
	ID     string
	Scope  scopeDoc
	By     actorDoc
	Reason string
	At     entity.Stamp
}

type downDoc struct {
	V           int
	ID          string
	Scope       scopeDoc
	By          actorDoc
	Correlation string `json:",omitempty"`
	Reason      string
	At          entity.Stamp
	Hold        string   `json:",omitempty"`
	Grants      []string `json:",omitempty"`
	Found       int
	Logged      bool `json:",omitempty"`
}

type scopeDoc struct {
	Person        string `json:",omitempty"`
	VM            string `json:",omitempty"`
	Subscription  string `json:",omitempty"`
	ResourceGroup string `json:",omitempty"`
	Everything    bool   `json:",omitempty"`
}

type actorDoc struct {
	Name    string
	Tenant  string `json:",omitempty"`
	Object  string `json:",omitempty"`
	Kind    string `json:",omitempty"`
	Client  string `json:",omitempty"`
	SignIn  string `json:",omitempty"`
	Address string `json:",omitempty"`
}

type gateDoc struct{ V int }

// Gate returns the operation that has a write fail with [store.ErrConflict] unless the set of that version stands, in whichever transaction it rides.
func (b *Book) Gate(version string) entity.Op {
	return entity.Op{Kind: entity.Keep, Row: entity.Row{Partition: b.Partition, Key: gateRows + entity.Safe(version), Doc: gateDoc{V: entity.Version}}}
}

// Explain returns [store.ErrHeldAnew] for a write that has failed because the gate of its version is gone, and else its error.
func (b *Book) Explain(ctx context.Context, version string, failed error) error {
	if version == "" || !errors.Is(failed, store.ErrConflict) && !errors.Is(failed, store.ErrNotFound) {
		return failed
	}
	if _, _, err := b.Table.Get(ctx, b.Partition, gateRows+entity.Safe(version)); errors.Is(err, store.ErrNotFound) {
		return store.ErrHeldAnew
	}
	return failed
}

// Holds is one read; the very first one also stores that there are none.
func (b *Book) Holds(ctx context.Context) (store.HoldSet, error) {
	for range store.Attempts {
		set, _, err := b.read(ctx)
		if !errors.Is(err, store.ErrNotFound) {
			return set, err
		}
		set = store.HoldSet{Version: rand.Text()}
		row, err := b.rowOf(set)
		if err == nil {
			_, err = b.Table.Submit(ctx, []entity.Op{{Kind: entity.Add, Row: row}, {Kind: entity.Add, Row: b.Gate(set.Version).Row}})
		}
		if !errors.Is(err, store.ErrConflict) {
			return set, wrap(err)
		}
	}
	return store.HoldSet{}, wrap(store.ErrConflict)
}

func wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("holds: %w", err)
}

func (b *Book) read(ctx context.Context) (store.HoldSet, azcore.ETag, error) {
	r, etag, err := b.Table.Get(ctx, b.Partition, rowAll)
	if err != nil {
		return store.HoldSet{}, "", wrap(err)
	}
	set, err := setOf(r)
	return set, etag, err
}

// PutHolds is a read and one transaction.
func (b *Book) PutHolds(ctx context.Context, set store.HoldSet) (store.HoldSet, error) {
	if len(set.Holds) > store.MaxHolds {
		return set, fmt.Errorf("store %d holds: more than %d", len(set.Holds), store.MaxHolds)
	}
	stands, etag, err := b.read(ctx)
	if errors.Is(err, store.ErrNotFound) || err == nil && stands.Version != set.Version {
		return set, wrap(store.ErrConflict)
	}
	if err != nil {
		return set, err
	}
	next := store.HoldSet{Version: rand.Text(), Holds: set.Holds}
	row, err := b.rowOf(next)
	if err == nil {
		_, err = b.Table.Submit(ctx, []entity.Op{{Kind: entity.Replace, ETag: etag, Row: row}, {Kind: entity.Drop, Row: b.Gate(set.Version).Row}, {Kind: entity.Add, Row: b.Gate(next.Version).Row}})
	}
	if errors.Is(err, store.ErrNotFound) {
		err = store.ErrConflict
	}
	return next, wrap(err)
}

func (b *Book) rowOf(set store.HoldSet) (entity.Row, error) {
	d := setDoc{V: entity.Version, Version: set.Version}
	for _, h := range set.Holds {
		scope, err := scopeDocOf(h.Scope)
		if err != nil {
			return entity.Row{}, err
		}
		d.Holds = append(d.Holds, holdDoc{ID: h.ID, Scope: scope, By: actorDocOf(h.By, h.Actor), Reason: h.Reason, At: entity.Stamp(h.At)})
	}
	return entity.Row{Partition: b.Partition, Key: rowAll, Doc: d}.Sign(), nil
}

func setOf(r entity.Stored) (store.HoldSet, error) {
	var d setDoc
	if err := r.Read(&d); err != nil {
		return store.HoldSet{}, err
	}
	set := store.HoldSet{Version: d.Version}
	for _, h := range d.Holds {
		scope, err := scopeOf(h.Scope)
		if err != nil {
			return set, fmt.Errorf("read hold %s: %w", h.ID, err)
		}
		actor, err := actorOf(h.By)
		if err != nil {
			return set, fmt.Errorf("read hold %s: %w", h.ID, err)
		}
		set.Holds = append(set.Holds, store.Hold{ID: h.ID, Scope: scope, By: h.By.Name, Actor: actor, Reason: h.Reason, At: time.Time(h.At)})
	}
	return set, nil
}

// PutLockdown is one write.
func (b *Book) PutLockdown(ctx context.Context, l store.Lockdown) error {
	scope, err := scopeDocOf(l.Scope)
	if err != nil {
		return err
	}
	d := downDoc{V: entity.Version, ID: l.ID, Scope: scope, By: actorDocOf(l.By, l.Actor), Correlation: l.Correlation, Reason: l.Reason, At: entity.Stamp(l.At), Hold: l.Hold, Grants: l.Grants, Found: l.Found, Logged: l.Logged}
	_, err = b.Table.Submit(ctx, []entity.Op{{Kind: entity.Put, Row: entity.Row{Partition: b.Partition, Key: downRow(l.ID), Doc: d}}})
	if err != nil {
		return fmt.Errorf("store lock-down %s: %w", l.ID, err)
	}
	return nil
}

func downRow(id string) string { return downRows + entity.Safe(id) }

// Lockdowns is one query, in which the holds come along.
func (b *Book) Lockdowns(ctx context.Context) (store.HoldSet, []store.Lockdown, error) {
	found, _, err := b.Table.Query(ctx, entity.In(b.Partition).Under(rows), 0, 0)
	if err != nil {
		return store.HoldSet{}, nil, fmt.Errorf("read the lock-downs: %w", err)
	}
	var set store.HoldSet
	var out []store.Lockdown
	for _, r := range found {
		switch {
		case r.Key == rowAll:
			set, err = setOf(r)
		case strings.HasPrefix(r.Key, downRows):
			var l store.Lockdown
			l, err = downOf(r)
			out = append(out, l)
		}
		if err != nil {
			return store.HoldSet{}, nil, err
		}
	}
	if set.Version == "" {
		set, err = b.Holds(ctx)
	}
	return set, out, err
}

func downOf(r entity.Stored) (store.Lockdown, error) {
	var d downDoc
	if err := r.Read(&d); err != nil {
		return store.Lockdown{}, err
	}
	scope, err := scopeOf(d.Scope)
	if err != nil {
		return store.Lockdown{}, fmt.Errorf("read lock-down %s: %w", d.ID, err)
	}
	actor, err := actorOf(d.By)
	if err != nil {
		return store.Lockdown{}, fmt.Errorf("read lock-down %s: %w", d.ID, err)
	}
	return store.Lockdown{ID: d.ID, Scope: scope, By: d.By.Name, Actor: actor, Correlation: d.Correlation, Reason: d.Reason, At: time.Time(d.At), Hold: d.Hold, Grants: d.Grants, Found: d.Found, Logged: d.Logged}, nil
}

// DropLockdown is one write.
func (b *Book) DropLockdown(ctx context.Context, id string) error {
	_, err := b.Table.Submit(ctx, []entity.Op{{Kind: entity.Drop, Row: entity.Row{Partition: b.Partition, Key: downRow(id)}}})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("drop lock-down %s: %w", id, err)
	}
	return nil
}

func scopeDocOf(s area.Scope) (scopeDoc, error) {
	d := scopeDoc{Person: s.Person, Subscription: s.Subscription, ResourceGroup: s.ResourceGroup, Everything: s.Everything}
	if s.VM.IsZero() {
		return d, nil
	}
	var err error
	d.VM, err = entity.IDText(s.VM)
	return d, err
}

// scopeOf reads a scope. One that covers nothing is an error: a hold must not be lost in silence.
func scopeOf(d scopeDoc) (area.Scope, error) {
	s := area.Scope{Person: d.Person, Subscription: d.Subscription, ResourceGroup: d.ResourceGroup, Everything: d.Everything}
	if d.VM != "" {
		var err error
		if s.VM, err = entity.IDOf(d.VM); err != nil {
			return s, err
		}
	}
	if s.Key() == "" {
		return s, errors.New("its scope is none that this version knows")
	}
	return s, nil
}

func actorDocOf(name string, a jit.Actor) actorDoc {
	d := actorDoc{Name: name, Tenant: a.Tenant, Object: a.Object, Kind: string(a.Kind), Client: a.Client, SignIn: a.SignIn}
	if a.Address.IsValid() {
		d.Address = a.Address.String()
	}
	return d
}

func actorOf(d actorDoc) (jit.Actor, error) {
	a := jit.Actor{Tenant: d.Tenant, Object: d.Object, Kind: jit.CallerKind(d.Kind), Client: d.Client, SignIn: d.SignIn}
	if d.Address == "" {
		return a, nil
	}
	var err error
	a.Address, err = netip.ParseAddr(d.Address)
	return a, err
}
