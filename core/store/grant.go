package store

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"portcullis/core/jit"
	"portcullis/core/plan"
)

// GrantPlacement is where a grant opens: one target, and for each of the
// grant's machines behind it the addresses there.
type GrantPlacement struct {
	Target    jit.ID
	Addresses map[string][]netip.Addr // by jit.ID.Key of the machine
	Confirmed bool                    // the target has confirmed the opening; noted only while others are waited for
}

// GrantRecord is a stored grant.
type GrantRecord struct {
	Grant      jit.Grant
	Placements []GrantPlacement        // sorted by target
	Connect    map[string][]netip.Addr // what to dial, by jit.ID.Key of the machine: public addresses, else private ones
	Interfaces map[string][]string     // Machine.Interfaces when it was granted, by jit.ID.Key of the machine
	Failed     string                  // why its opening failed; "" unless it did
	Attempts   int                     // closings that failed so far
	LastError  string                  // why the last one did
	Version    string                  // "" for a grant that must not exist yet
}

// Key makes a request idempotent: one requestor's key names one grant until it expires.
type Key struct {
	Requestor string    // the requestor's id
	Value     string    // the client's Idempotency-Key, or a digest of the request
	Digest    string    // of the request's content: the same key with other content is an error
	Grant     string    // the grant it made
	Expires   time.Time // from then on the key names nothing
	Version   string    // "" for a key that must not exist yet; else that of the expired one whose place it takes
}

// Grants stores grants. A grant is open until every window is confirmed closed
// (jit.Grant.Closed); then it is history. Writes are conditional as for [Policies].
type Grants interface {
	// InsertGrant stores a new grant, its part at each placement's target, and the keys,
	// all or none. ErrConflict where one of the keys is in force at now for another grant.
	InsertGrant(ctx context.Context, g GrantRecord, keys []Key, now time.Time) (GrantRecord, error)
	// UpdateGrants replaces grants and their parts, all or none; those that are closed
	// leave their targets and become history. It gives the records with their new Versions.
	// Grants of more than 24 targets together may be written one after the other, and one of more than 46 in
	// several steps, the grant itself first; writing such a grant again completes it.
	UpdateGrants(ctx context.Context, gs ...GrantRecord) ([]GrantRecord, error)
	// NoteConfirmed stores which placements of an open grant have confirmed it, and nothing else: in all but that the record is
	// to be as it is stored. It is conditional as an update, and gives the record with its new Version.
	NoteConfirmed(ctx context.Context, g GrantRecord) (GrantRecord, error)
	// Grant gives one grant, open or history; ErrNotFound.
	Grant(ctx context.Context, id string) (GrantRecord, error)
	// OpenGrants gives every grant that is not closed, oldest first.
	OpenGrants(ctx context.Context) ([]GrantRecord, error)
}

// KeyStore looks up idempotency keys.
type KeyStore interface {
	// FindKey gives the key in force at now; ErrNotFound. Where one stands that has expired, it may come with the
	// error: a new key with its Version takes its place without a conflict.
	FindKey(ctx context.Context, requestor, value string, now time.Time) (Key, error)
	// DropKeys removes keys that have expired at the time given, those that expired first before others and at most most
	// of them, and tells how many. It removes no key that is in force then, whoever claims it anew meanwhile. It may be called again
	// after an error, and by many at once.
	DropKeys(ctx context.Context, expired time.Time, most int) (int, error)
}

// GrantFilter selects grants; zero fields select all.
type GrantFilter struct {
	VM        string // jit.ID.Key of a machine
	Status    string // Initiating, Initiated or Revoked
	Requestor string
	From, To  time.Time // start in [From, To)
}

// History lists grants, open ones and history.
type History interface {
	// ListGrants gives at most limit grants, newest first, and the cursor for the next
	// page, "" at the end. A cursor is opaque; one that it did not give is an *jit.Error.
	ListGrants(ctx context.Context, f GrantFilter, cursor string, limit int) ([]jit.Grant, string, error)
}

func (g GrantRecord) Targets() []jit.ID {
	var ids []jit.ID
	for _, p := range g.Placements {
		ids = append(ids, p.Target)
	}
	return Distinct(ids)
}

// Dial returns what to dial for a window of the grant: the firewall that maps it, and where none does
// the machine's own addresses.
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

// At returns the grant as it bears on one of its placements: the machines behind
// the target only.
func (g GrantRecord) At(p GrantPlacement) plan.Opening {
	part := g.Grant
	part.VMs = slices.DeleteFunc(slices.Clone(part.VMs), func(vm jit.GrantVM) bool { return len(p.Addresses[vm.VM.Key()]) == 0 })
	return plan.Opening{Grant: part, Addresses: p.Addresses}
}

// Progress says how far the opening of a grant is on one target.
type Progress struct {
	Target    jit.ID
	Confirmed bool // the target has confirmed the rules of the grant
}

// Progress returns how far a grant's opening is, by target, as it is stored: so it is the
// same on every instance and after a crash. Of a grant that is open, or over, it gives nothing:
// its status says more. What is not noted as confirmed may be confirmed already.
func (g GrantRecord) Progress() []Progress {
	if g.Grant.Status() != jit.Initiating {
		return nil
	}
	var out []Progress
	for _, p := range g.Placements {
		if len(p.Addresses) > 0 { // else nothing opens there any more
			out = append(out, Progress{Target: p.Target, Confirmed: p.Confirmed})
		}
	}
	return out
}
