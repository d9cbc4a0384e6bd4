package access

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"portcullis/core/jit"
	"portcullis/core/plan"
)

// What a port may answer besides a value. Adapters translate the errors of their
// SDK at the door; callers use errors.Is.
var (
	ErrNotFound = errors.New("not found")
	// ErrConflict: somebody else wrote first. Read again, compute again.
	ErrConflict = errors.New("changed by somebody else")
	// ErrLocked: a management lock forbids the write; it will not pass by itself.
	ErrLocked = errors.New("locked against changes")
	// ErrForbidden: the app's own identity lacks a permission.
	ErrForbidden = errors.New("the app lacks a permission")
)

// Unavailable says that a dependency did not answer, or answered that it cannot
// now. Nothing is known of what it did; the same call may pass later.
type Unavailable struct {
	Dependency string        // "Azure Resource Manager", "Table Storage" or "Service Bus"
	RetryAfter time.Duration // what it asked for; 0 where it said nothing
	Err        error
}

// Error names the dependency and the cause.
func (u *Unavailable) Error() string { return u.Dependency + " is unavailable: " + u.Err.Error() }

// Unwrap gives the cause.
func (u *Unavailable) Unwrap() error { return u.Err }

// Placement says which of a machine's private addresses stand behind a target.
type Placement struct {
	Target jit.ID
	// Addresses are sorted, without duplicates; behind a firewall, that of the primary
	// configuration of each interface comes first, and what is opened leads there.
	Addresses []netip.Addr
	// Inside is what packets come from that a firewall has let through: the prefixes of its
	// subnet, sorted. It translates their sources too, so that the machine's security groups
	// see these and never the caller's. None where the target is a security group.
	Inside []netip.Prefix
}

// Machine is one virtual machine as the network knows it.
type Machine struct {
	VM         jit.ID
	Interfaces []string     // what names its network interfaces for ever, sorted: a new one under an old name differs
	Location   string       // such as westeurope
	Placements []Placement  // sorted by target; none where no security group guards it
	Private    []netip.Addr // every private address, the primary first
	Public     []netip.Addr // every public address, that of the primary configuration first
	Unguarded  []string     // ARM ids of its network interfaces that no security group guards
	// VirtualNetwork is the ARM id, in lower case, of the one network that all its interfaces are in; "" where it is not known.
	VirtualNetwork string
}

// Network knows where machines stand. A machine is known when a network
// interface names it.
type Network interface {
	// Machines gives every machine of a subscription, sorted by id. It is complete or
	// an error: a partial answer would let the sweep take machines for deleted.
	Machines(ctx context.Context, subscription string) ([]Machine, error)
	// Locate gives the named machines by jit.ID.Key; those that do not exist are left out.
	// The answer is read from Azure now, never from a cache.
	Locate(ctx context.Context, vms []jit.ID) (map[string]Machine, error)
}

// Recaller is what a Network implements that finds machines that it has seen before with less
// than a listing.
type Recaller interface {
	// Recall is Locate for who is about to open something. Whether the interfaces that a machine was last seen with
	// are still its own, and which addresses they have, is read from Azure now: an address that became another's is not given.
	// Further interfaces, and what guards a subnet or stands before it, may be ten minutes old.
	Recall(ctx context.Context, vms []jit.ID) (map[string]Machine, error)
}

// Snapshot is the rules of one target as they stood at one moment.
type Snapshot struct {
	Target  jit.ID
	Rules   []jit.Rule // all but the default rules, in both directions
	Version string     // changes with every write by anybody
	Region  string     // where it stands, such as westeurope; "" where it is not known
	Body    []byte     // the adapter's own: what it needs to write back what is not ours, byte for byte
	// Addresses are those at which the target takes connections that it sends on: a firewall's
	// public IPv4 addresses, sorted. None where the target only lets through, as a security group does.
	Addresses []netip.Addr
	// Unconfirmed says that the last write, whosever it was, is under way or has
	// failed: what the target shows may not be what it does.
	Unconfirmed bool
}

// Firewall is one kind of place where rules stand.
type Firewall interface {
	// Rules reads one target, once no write to it is under way any more. ErrNotFound
	// where it does not exist.
	Rules(ctx context.Context, target jit.ID) (Snapshot, error)
	// All reads every target of a subscription as they are shown at the moment,
	// without waiting for writes under way. It is complete or an error.
	All(ctx context.Context, subscription string) ([]Snapshot, error)
	// Apply makes the changes to what the snapshot shows, all or none, and gives the rules as
	// confirmed by the firewall after it has finished. Rules that are not in changes, tags and every other
	// property stay as they were. ErrConflict where the target has changed since the
	// snapshot, also where it is not known whether the write took effect. No changes are no
	// write, but for an Unconfirmed snapshot: what it shows is then written again. ErrNotFound
	// where the target is gone; ErrLocked, ErrForbidden, *Unavailable.
	Apply(ctx context.Context, s Snapshot, c plan.Changes) (Snapshot, error)
}

// Pacer is what a Firewall implements whose writes have to wait for their turn.
type Pacer interface {
	// Turn waits until a write to the snapshot's target may be sent, in the order that the context's
	// [Urgency] gives, and keeps the place for the Apply that gets the context that it gives. waited
	// reports whether there was a wait. The place is given back when ctx ends unused.
	Turn(ctx context.Context, s Snapshot) (held context.Context, waited bool, err error)
}

// PolicyRecord is a stored policy.
type PolicyRecord struct {
	Policy     jit.Policy
	Location   string
	Listed     Listed      // which named policy lists it
	Placements []Placement // where the machine stood when last looked at
	ChangedBy  string
	ChangedAt  time.Time
	Version    string // "" for a policy that must not exist yet
	Outdated   bool   // stored by an earlier version of this app: lists may not give it until it is written again
}

// Listed says under which name Defender for Cloud's clients find a machine's
// policy (see [PolicyRecord.Listing]). What is empty is the machine's own resource group,
// its own location, and [DefaultName].
type Listed struct {
	ResourceGroup string
	Location      string
	Name          string
}

// Policies stores policies, one for a machine. Every write is conditional on the
// record's Version: ErrConflict where it is stale, or where a new one exists already.
type Policies interface {
	// Policy gives the policy of a machine; ErrNotFound where it has none.
	Policy(ctx context.Context, vm jit.ID) (PolicyRecord, error)
	// EachPolicy gives f every policy, once and in any order, and holds no more of them than a page. It ends with
	// the first error of f, which it gives back. f may write policies: what is written meanwhile may be
	// given as it was or as it is.
	EachPolicy(ctx context.Context, f func(PolicyRecord) error) error
	// EachListed gives f every policy that the filter selects by its [PolicyRecord.Listing], those of one name one after the
	// other, the names in an order that stays the same, from the one on that comes after the name after, if that is not
	// zero. It reads what it gives and no more, and holds no more than a page; else it is as EachPolicy. The records have no
	// Version: who is about to write one reads it by its machine.
	EachListed(ctx context.Context, f PolicyFilter, after PolicyName, give func(PolicyRecord) error) error
	// PutPolicy stores the policy, its part at each of its placements' targets, and each of those
	// targets as known; parts at other targets go. It gives the record with its new Version.
	PutPolicy(ctx context.Context, p PolicyRecord) (PolicyRecord, error)
	// DeletePolicy removes the policy and its parts. The targets stay known.
	DeletePolicy(ctx context.Context, p PolicyRecord) error
}

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
	Attempts   int                     // closings that failed so far
	LastError  string                  // why the last one did
	Version    string                  // "" for a grant that must not exist yet
	Outdated   bool                    // as of a policy
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

// Targets stores which targets are ours and what bears on each.
type Targets interface {
	// State gives what is stored of one target; State.Known is false where nothing is.
	State(ctx context.Context, target jit.ID) (plan.State, error)
	// Known gives every target that is ours or remembered, sorted.
	Known(ctx context.Context) ([]jit.ID, error)
	// Remember has Known give a target that is not ours, until it is forgotten: what is about
	// to be written there has to be looked after. State.Known stays as it is. What is remembered
	// again is not forgotten by a Forget that began before.
	Remember(ctx context.Context, target jit.ID) error
	// Forget makes a target neither ours nor remembered, if no policy and no grant has a part
	// there and clear says so, which is asked last. Where anything comes to bear on the target, or it
	// is remembered, after the call began, it stays.
	Forget(ctx context.Context, target jit.ID, clear func(context.Context) (bool, error)) error
	// Confirm stores the names of our denies that a round has seen confirmed on a target of ours, sorted, in the
	// place of was, which State gave. ErrConflict where something else is stored.
	Confirm(ctx context.Context, target jit.ID, was, denies []string) error
}

// Wake is a message to be delivered not before At: look whether something of
// the grant has to close.
type Wake struct {
	Grant      string
	Generation int
	At         time.Time
	Attempt    int // raised when the same wake-up has to be sent again
}

// Alarm delivers wake-ups. It is a hint: it may be early, late, twice or lost.
type Alarm interface {
	// Schedule stores the wake-ups durably before it returns.
	Schedule(ctx context.Context, wakes ...Wake) error
}

// Entry is one line of the activity log.
type Entry struct {
	ID            string // names the event: appending it again does nothing
	Time          time.Time
	Operation     Operation
	Result        Result
	VM            jit.ID // zero where the event concerns no one machine
	Target        jit.ID // zero where the event concerns no one target
	Requestor     string // who asked, or "portcullis" for the app itself
	Grant         string
	Ports         []uint16
	Sources       []string
	End           time.Time
	Justification string
	Reason        string // why a window closed, a code, or what was repaired
	Message       string
	Correlation   string // the invocation's id
}

// Operation is what an entry tells of.
type Operation string

// The operations.
const (
	OpEnable  Operation = "Enable"
	OpDisable Operation = "Disable"
	OpRequest Operation = "Request"
	OpOpen    Operation = "Open"
	OpExtend  Operation = "Extend"
	OpRevoke  Operation = "Revoke"
	OpClose   Operation = "Close"
	OpRepair  Operation = "Repair"
	OpSweep   Operation = "Sweep"
)

// Result is how an operation ended.
type Result string

// The results.
const (
	Succeeded Result = "Succeeded"
	Refused   Result = "Refused"
	Failed    Result = "Failed"
)

// EntryFilter selects entries; zero fields select all.
type EntryFilter struct {
	Subscription string
	VM           string // jit.ID.Key of a machine
	Requestor    string
	Operation    Operation
	From, To     time.Time // time in [From, To)
}

// Activity is the append-only activity log.
type Activity interface {
	// Append adds entries, each once by its ID, in the order of their times.
	Append(ctx context.Context, entries ...Entry) error
	// Entries gives at most limit entries, newest first, and the cursor for the next page, "" at the end.
	Entries(ctx context.Context, f EntryFilter, cursor string, limit int) ([]Entry, string, error)
}

// Verifier is an activity log that can tell whether it is whole: the entries of one
// subscription and UTC day are a chain, in which each names the one before it.
type Verifier interface {
	// Verify looks through the chain of a subscription ("" for the entries that concern none)
	// and the UTC day of the time. What is broken is an answer and not an error. A chain that
	// nothing was ever appended to is whole.
	Verify(ctx context.Context, subscription string, day time.Time) (VerifyResult, error)
}

// VerifyResult is what a look through one chain gave.
type VerifyResult struct {
	Entries     int          // entries that stand in the chain
	Head        string       // the hash of the last entry, in hexadecimal; "" for an empty chain. Kept elsewhere, it proves later that nothing before it changed
	FirstBroken *BrokenEntry // nil where the chain is whole
}

// BrokenEntry is the first place at which a chain is not as it was appended.
type BrokenEntry struct {
	Seq     int // its place in the chain, from 1
	Break   Break
	ID      string    // of the entry that stands there; "" where none does
	Time    time.Time // its time; zero where none does
	Message string
}

// Break says how a chain is broken.
type Break string

// The ways.
const (
	BreakChanged     Break = "Changed"     // the entry is not what was appended
	BreakRemoved     Break = "Removed"     // there is no entry here, but there are later ones
	BreakReordered   Break = "Reordered"   // the entry stands in another's place
	BreakInserted    Break = "Inserted"    // the entry was never appended
	BreakTruncated   Break = "Truncated"   // the last entries are gone
	BreakHeadMissing Break = "HeadMissing" // what names the last entry is gone
)

// Finding is something that a sweep found and people should know.
type Finding struct {
	Kind    FindingKind
	Target  jit.ID
	VM      jit.ID
	Grant   string
	Rule    string
	Message string // what it is and what to do
	Since   time.Time
}

// FindingKind says what was found.
type FindingKind string

// The kinds of finding.
const (
	FindingExposed       FindingKind = "Exposed"       // a foreign rule opens a protected port
	FindingUnguarded     FindingKind = "Unguarded"     // a protected machine has an interface without a security group
	FindingOverdue       FindingKind = "Overdue"       // a window is past its end and not confirmed closed
	FindingOpeningFailed FindingKind = "OpeningFailed" // an opening was never confirmed and has been undone
	FindingRepaired      FindingKind = "Repaired"      // our rules were not as they should be, and are again
	FindingRefused       FindingKind = "Refused"       // a rule of ours has no place
	FindingBlocked       FindingKind = "Blocked"       // a foreign deny stands above an open window
	FindingReachable     FindingKind = "Reachable"     // a management port that no policy names is open to the Internet
	FindingVMGone        FindingKind = "VirtualMachineGone"
	FindingLost          FindingKind = "StateLost" // rules of ours on a target of which nothing is stored
	FindingBroken        FindingKind = "Broken"    // a target could not be read or written
	FindingUnchecked     FindingKind = "Unchecked" // something that may matter could not be looked at
)

// SweepRecord is what one sweep did. It is the heartbeat.
type SweepRecord struct {
	Started   time.Time
	Ended     time.Time // zero while it runs
	Completed time.Time // when the last one that came to every target ended
	Next      string    // key of the target to go on from; "" where it came to all
	Targets   int       // of ours
	Changed   int       // put right, beyond closings
	Closed    int       // grants settled
	Findings  []Finding
	Error     string // what could not be done, "" for nothing
}

// Sweeps stores the last sweep.
type Sweeps interface {
	// PutSweep replaces the last sweep.
	PutSweep(ctx context.Context, r SweepRecord) error
	// LastSweep gives it; ErrNotFound before the first.
	LastSweep(ctx context.Context) (SweepRecord, error)
}

// Pinger is what a dependency implements that can tell whether it answers.
type Pinger interface {
	// Ping gives nil, or why the dependency cannot be used now.
	Ping(ctx context.Context) error
}
