package jit

import "time"

// The bounds of approvals.
const (
	MaxApprovers = 5                // how many distinct people a policy may ask for
	MaxApprovals = 20               // how many approvals are stored with a grant: some may not count any more
	StartGrace   = 15 * time.Minute // how long after its start a scheduled grant may still be opened, such as after an outage
	DefaultWait  = time.Hour        // how long a grant waits for approval
	MaxWait      = 24 * time.Hour
)

// Wait is what a grant waits for before it is opened, and what has come of that. The zero value is for a grant that is opened at once.
type Wait struct {
	Approvers int        // how many distinct people must approve; 0 for nobody
	Opens     time.Time  // it is not opened before; zero for as soon as it may be
	Approvals []Approval // the earliest first, at most [MaxApprovals], of each person one
	Denied    Approval   // who has denied it, and why; zero for nobody
	Released  time.Time  // when its wait was over and its opening began; zero while it waits
}

// Approval is what one person has decided about a grant that waits.
type Approval struct {
	ID     string // the person's directory and object id, as of [Caller]
	Name   string
	At     time.Time
	By     Right
	Named  string // of [ByPolicy]: the object id that the policy names, the person's own or that of a group
	Reason string // why it was denied, as typed; "" for an approval
}

// Right is by what somebody may approve. It decides how it can be found out later that the right is still there.
type Right string

// The rights.
const (
	ByWrite  Right = "Write"  // a role assignment that holds the write action on the machines
	ByRole   Right = "Role"   // the app role Portcullis.Approver, which only a token of the person shows
	ByPolicy Right = "Policy" // the policies name the person, or a group of the person's token
)

// Waits reports whether the window waits to be opened, whatever the time.
func (w Window) Waits() bool { return w.Status == AwaitingApproval || w.Status == Scheduled }

// Waiting reports whether the grant waits to be opened, whatever the time: nothing of it stands anywhere.
func (g Grant) Waiting() bool { return g.any(Window.Waits) }

// Waits reports whether the grant waits to be opened at now. Its wait ends at OpenBy, exclusively.
func (g Grant) Waits(now time.Time) bool { return g.Waiting() && now.Before(g.OpenBy) }

// Pending reports whether somebody has to go on with the grant at now: it waits, or has waited and is not confirmed open yet.
func (g Grant) Pending(now time.Time) bool {
	return g.Waits(now) || !g.Wait.Released.IsZero() && g.Status() == Initiating && g.AnyLive(now)
}

// waits reports whether a window of the grant waits to be opened at now.
func (g Grant) waits(w Window, now time.Time) bool { return w.Waits() && now.Before(g.OpenBy) }

// Begins returns since when the windows of the grant count: when its wait was over, when it is to begin, or when it was asked for.
func (g Grant) Begins() time.Time {
	switch {
	case !g.Wait.Released.IsZero():
		return g.Wait.Released
	case !g.Wait.Opens.IsZero():
		return g.Wait.Opens
	}
	return g.Start
}

// Unreleased reports whether the grant had something to wait for, and that was not over: it waits, or has ended before it was opened.
func (g Grant) Unreleased() bool {
	return g.Wait.Released.IsZero() && (g.Wait.Approvers > 0 || !g.Wait.Opens.IsZero())
}

// Approved returns the grant as approved by one more person; the oldest approval goes where there are more than are stored.
func (g Grant) Approved(a Approval) Grant {
	kept := g.Wait.Approvals[max(0, len(g.Wait.Approvals)+1-MaxApprovals):]
	g.Wait.Approvals = append(kept[:len(kept):len(kept)], a)
	return g
}

// Wakes returns when something of the grant is due: the ends of its windows, or, while it waits, its start and the end of the wait.
func (g Grant) Wakes() []time.Time {
	switch g.Status() {
	case AwaitingApproval:
		return []time.Time{g.OpenBy}
	case Scheduled:
		return []time.Time{g.Wait.Opens, g.OpenBy}
	}
	return g.Ends()
}
