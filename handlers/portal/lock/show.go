package lock

import (
	"time"

	"portcullis/core/lockdown"
	"portcullis/handlers/portal/form"
)

// Page is the page of lock-downs.
type Page struct {
	Holds   []Hold
	Unknown string // why it cannot be told what is held
	Form    Form
	Preview *Preview // nil before it was asked for
	Lacks   string   // the permission that somebody lacks to lock anything down, "" for none
}

// Hold is a scope that is held.
type Hold struct {
	ID      string
	Scope   string
	Since   time.Time
	By, Why string // "" for who may not lift it
	MayLift bool
	Reason  string // of a lift, as it was typed
	Wrong   form.Wrongs
}

// HoldsOf returns holds as they are shown.
func HoldsOf(list []lockdown.Standing) []Hold {
	var out []Hold
	for _, h := range list {
		out = append(out, Hold{ID: h.ID, Scope: h.Scope.String(), Since: h.At, By: h.By, Why: h.Reason, MayLift: h.MayLift})
	}
	return out
}

// Progress is how far a lock-down is.
type Progress struct {
	ID, Scope, Reason, By string
	At                    time.Time
	Held                  bool
	Found, Marked, Closed int
	Failed                []lockdown.Failure
	Hidden, Untraced      int
	Done                  bool
	Stamp                 string // of all the above
}

// ProgressOf returns it as it is shown.
func ProgressOf(p lockdown.Progress) Progress {
	return Progress{ID: p.ID, Scope: p.Scope.String(), Reason: p.Reason, By: p.By, At: p.At, Held: p.Held, Found: p.Found, Marked: p.Marked, Closed: p.Closed, Failed: p.Failed, Hidden: p.Hidden, Untraced: p.Untraced, Done: p.Done()}
}
