package store

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"portcullis/core/jit"
	"portcullis/core/roster"
)

// GrantPlacement is where a grant opens: one target, and the addresses there of each of the grant's machines.
type GrantPlacement struct {
	Target    jit.ID
	Addresses map[string][]netip.Addr // by jit.ID.Key of the machine
	Confirmed bool                    // the target has confirmed the opening; stored only while other targets are still pending
}

// GrantRecord is a stored grant.
type GrantRecord struct {
	Grant      jit.Grant
	Placements []GrantPlacement        // sorted by target
	Connect    map[string][]netip.Addr // what to dial, by jit.ID.Key of the machine: public addresses, else private ones
	Interfaces map[string][]string     // Machine.Interfaces at the time of the grant, by jit.ID.Key of the machine
	Failed     string                  // why its opening failed; "" if it did not
	Attempts   int                     // failed closings so far
	LastError  string                  // the error of the last failed closing
	Intents    []Intent                // why it is marked to close, as far as the log may lack that
	Replaces   []Replaced              // as it was decided: windows whose place it takes although they end later
	Told       Told                    // what was told of it
	Tell       []Letter                // what a write of the record is to put into the outbox, in the same transaction; no read returns any
	Decided    string                  // the [HoldSet.Version] by which a write that opens or extends was decided; "" asks for none. No read returns any
	Settles    string                  // of a new grant: the version of a review that its requestor does not owe any more (see [Reviews]); never stored
	Version    string                  // "" for a grant that must not exist yet
}

// Key makes a request idempotent: a requestor's key names one grant until it expires.
type Key struct {
	Requestor string    // the requestor's id
	Value     string    // the client's Idempotency-Key, or a digest of the request
	Digest    string    // of the request's content; the same key with other content is an error
	Grant     string    // the id of the grant
	Expires   time.Time // from this time on the key names nothing
	Version   string    // "" for a key that must not exist yet; otherwise that of the expired key it replaces
}

// Grants stores grants. A grant is open until every window is confirmed closed (jit.Grant.Closed); then it is
// history. Writes are conditional as for [Policies]. InsertGrant and UpdateGrants put what a record tells into the outbox with the
// grant, all or none, and return records without it. Where a record says by which holds it was decided, they write nothing and return
// ErrHeldAnew unless that set stands at the very moment of the write.
type Grants interface {
	// InsertGrant stores a new grant, its part at each placement's target, the keys, and the review that a break-glass owes, all or
	// none. ErrConflict if one of the keys names another grant at now, or its requestor owes a review that it does not settle.
	InsertGrant(ctx context.Context, g GrantRecord, keys []Key, now time.Time) (GrantRecord, error)
	// UpdateGrants replaces grants and their parts, all or none. Closed grants leave their targets and become history.
	// It returns the records with their new Versions. Grants of more than 24 targets together may be written one by
	// one, and a grant of more than 45 targets in several steps, the grant itself first; writing such a grant again
	// completes it.
	UpdateGrants(ctx context.Context, gs ...GrantRecord) ([]GrantRecord, error)
	// NoteConfirmed stores only which placements of an open grant are confirmed; all other fields of the record must
	// be as stored. It is conditional like an update, and returns the record with its new Version.
	NoteConfirmed(ctx context.Context, g GrantRecord) (GrantRecord, error)
	// Grant returns one grant, open or history; ErrNotFound.
	Grant(ctx context.Context, id string) (GrantRecord, error)
	// OpenGrants returns every grant that is not closed, oldest first.
	OpenGrants(ctx context.Context) ([]GrantRecord, error)
}

// KeyStore looks up idempotency keys.
type KeyStore interface {
	// FindKey returns the key that is valid at now; ErrNotFound. With that error it may return an expired key: a new
	// key with its Version replaces it without a conflict.
	FindKey(ctx context.Context, requestor, value string, now time.Time) (Key, error)
	// DropKeys removes at most most keys that have expired at the given time, the earliest expired first, and returns
	// how many it removed. It never removes a key that is still valid then, even one claimed anew at the same time. It
	// may be repeated after an error and called concurrently.
	DropKeys(ctx context.Context, expired time.Time, most int) (int, error)
}

// GrantFilter selects grants; zero fields select all.
type GrantFilter struct {
	VM        string    // jit.ID.Key of a machine
	Status    string    // AwaitingApproval, Scheduled, Initiating, Initiated or Revoked
	Requestor string    // the name, without regard to case
	Object    string    // id of who asked
	From, To  time.Time // start in [From, To)
}

// History lists open and closed grants.
type History interface {
	// ListGrants returns at most limit grants, newest first, and the cursor for the next page, "" at the end. A cursor
	// is opaque; one that it did not issue is a *jit.Error.
	ListGrants(ctx context.Context, f GrantFilter, cursor string, limit int) ([]jit.Grant, string, error)
}

func (g GrantRecord) Targets() []jit.ID {
	var ids []jit.ID
	for _, p := range g.Placements {
		ids = append(ids, p.Target)
	}
	return Distinct(ids)
}

// Dial returns the addresses to dial for a window of the grant: the firewall that maps it, or else the machine's
// own addresses.
func (g GrantRecord) Dial(vm jit.ID, w jit.Window) []netip.AddrPort {
	if w.Mapped.IsValid() {
		return []netip.AddrPort{w.Mapped}
	}
	var out []netip.AddrPort
	for _, a := range g.Connect[vm.Key()] {
		out = append(out, netip.AddrPortFrom(a, w.Number))
	}
	return out
}

// At returns the part of the grant at one of its placements: only the machines behind that target.
func (g GrantRecord) At(p GrantPlacement) roster.Opening {
	part := g.Grant
	part.VMs = slices.DeleteFunc(slices.Clone(part.VMs), func(vm jit.GrantVM) bool { return len(p.Addresses[vm.VM.Key()]) == 0 })
	return roster.Opening{Grant: part, Addresses: p.Addresses}
}

// Progress is how far the opening of a grant has got on one target.
type Progress struct {
	Target    jit.ID
	Confirmed bool // the target has confirmed the grant's rules
}

// Progress returns the progress of a grant's opening by target. It comes from the stored record, so it is the same
// on every instance and after a crash. It is nil once the grant is open or over, since its status says more. A
// target that is not noted as confirmed may be confirmed already.
func (g GrantRecord) Progress() []Progress {
	if g.Grant.Status() != jit.Initiating {
		return nil
	}
	var out []Progress
	for _, p := range g.Placements {
		if len(p.Addresses) > 0 { // without addresses nothing opens there any more
			out = append(out, Progress{Target: p.Target, Confirmed: p.Confirmed})
		}
	}
	return out
}
