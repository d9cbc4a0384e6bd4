package store

import (
	"slices"
	"time"

	"portcullis/core/jit"
)

// Intent is why a grant was marked to close, or that somebody has approved it, stored in the write that does that, until the activity log
// has its entries. So a closing waits for no log, nothing is opened before the log says who approved it, and whoever goes on knows what is left to log.
type Intent struct {
	Operation   Operation
	Result      Result
	Requestor   string
	Actor       jit.Actor
	Correlation string
	Message     string
	At          time.Time
	Generation  int // of the grant, as marked
}

// Intend returns the grant with one more intent: that who has just done an operation on it.
func (g GrantRecord) Intend(who jit.Caller, op Operation, result Result, message string, now time.Time) GrantRecord {
	g.Intents = append(slices.Clone(g.Intents), Intent{Operation: op, Result: result, Requestor: who.Name, Actor: who.Actor(), Correlation: who.Correlation,
		Message: message, At: now, Generation: g.Grant.Generation})
	return g
}

// Intended returns the entries of the grant's intents. They are the same, by their ids and times, whoever makes them and however often.
func (g GrantRecord) Intended() []Entry {
	var out []Entry
	for _, n := range g.Intents {
		marked := g.Grant
		marked.Generation = n.Generation
		for _, e := range GrantEntries(jit.Caller{Name: n.Requestor, Correlation: n.Correlation}, n.Operation, n.Result, marked, n.At) {
			e.Actor, e.Message = n.Actor, n.Message
			if n.Operation == OpApprove { // of one generation there are several, by different people
				e.ID += "/" + n.Actor.Object
			}
			out = append(out, e)
		}
	}
	return out
}
