package store

import (
	"context"
	"fmt"
	"time"

	"portcullis/core/jit"
)

// EventKind is what a message tells.
type EventKind string

// The events.
const (
	EventWaiting       EventKind = "WaitingForApproval"
	EventApproved      EventKind = "Approved"
	EventDenied        EventKind = "Denied"
	EventOpen          EventKind = "Open"       // with what to dial
	EventReminder      EventKind = "EndsSoon"   // ten minutes are left
	EventEnded         EventKind = "Ended"      // confirmed closed
	EventCouldNotClose EventKind = "NotClosed"  // past its end, and three tries to close it have failed
	EventBreakGlass    EventKind = "BreakGlass" // asked for without approval: it opens now
	EventDrill         EventKind = "BreakGlassDrill"
	EventRepaired      EventKind = "Repaired" // rules of ours were put right
	EventLockdown      EventKind = "LockedDown"
)

// EventKinds returns every kind.
func EventKinds() []EventKind {
	return []EventKind{EventWaiting, EventApproved, EventDenied, EventOpen, EventReminder, EventEnded, EventCouldNotClose, EventBreakGlass, EventDrill, EventRepaired, EventLockdown}
}

// Message tells an event to people. It holds what was true when the event happened.
type Message struct {
	Kind          EventKind
	At            time.Time
	Subject       string    // the id of the grant that it tells of, or names what else it tells of; messages of one subject are told in order
	Began         time.Time // when the subject came into being
	Seq           int       // from 1, of the messages of the subject
	Grant         string    // "" for an event that concerns no grant
	Requestor     string
	Justification string
	Windows       []ToldWindow // at most [MaxToldWindows]
	More          int          // windows that are left out
	By            string       // who decided; "" where nobody did
	Reason        string       // why, in a word: why windows ended
	Text          string       // why, in a sentence; "" for none
}

// MaxToldWindows bounds the windows of a message.
const MaxToldWindows = 20

// ToldWindow is one window as a message tells it.
type ToldWindow struct {
	VM      jit.ID
	Port    uint16
	End     time.Time
	Sources []string // at most [MaxToldSources]
	Dial    []string // what to dial, host:port, at most [MaxToldSources]; of windows that are open
}

// MaxToldSources bounds the sources, and the addresses to dial, of one window of a message.
const MaxToldSources = 5

// ID identifies the event: a message that is told twice has the same.
func (m Message) ID() string { return fmt.Sprintf("%s/%d", m.Subject, m.Seq) }

// Letter is a message on its way to one channel.
type Letter struct {
	Message
	Channel   string
	Tries     int
	Next      time.Time // not before; zero for at once
	GaveUp    bool      // it is not tried any more, and stands until somebody has been told of it
	LastError string    // of the last try, without anything secret
	Version   string    // "" for one that is not stored yet
}

// Told is what was told of a grant.
type Told struct {
	Seq      int       // how many messages
	Windows  string    // for each window, in the order of its machines and ports: '-' nothing, 'o' that it is open, 'e' that it has ended
	Reminded time.Time // the latest end of which a reminder was told
	Stuck    bool      // that it could not be closed
}

// Outbox stores letters until they are delivered. Those of a grant are stored by [Grants], with what they tell of (see
// [GrantRecord.Tell]).
type Outbox interface {
	// PutLetters stores letters that tell of no grant. One that stands already, by subject, number and channel, is replaced.
	PutLetters(ctx context.Context, letters ...Letter) error
	// Letters returns at most limit letters to a channel: the oldest subjects first, the letters of a subject in their order;
	// and the cursor for the next ones, "" at the end.
	Letters(ctx context.Context, channel, cursor string, limit int) ([]Letter, string, error)
	// PutOff stores Tries, Next, GaveUp and LastError of a letter, and returns it with its new Version. ErrConflict if somebody
	// else has written or dropped it.
	PutOff(ctx context.Context, l Letter) (Letter, error)
	// DropLetter removes a letter. ErrConflict if somebody else has written or dropped it.
	DropLetter(ctx context.Context, l Letter) error
}
