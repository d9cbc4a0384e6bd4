package portal

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"portcullis/core/jit"
	"portcullis/core/permit"
	"portcullis/core/store"
	"portcullis/handlers/portal/found"
	"portcullis/handlers/portal/show"
	"portcullis/handlers/portal/words"
)

// findingsView is what the last sweep found.
type findingsView struct {
	Ran       bool
	Counted   bool // the counts and the error are the caller's to see
	Ended     time.Time
	Completed time.Time
	Targets   int
	Changed   int
	Closed    int
	Error     string
	Warnings  []string // why there may be more to find
	Filter    found.Filter
	Kinds     []findingKind
	Found     int // findings, of any filter
	Shown     int // of this one
	Mine      int // causes of it that need who looks
	Others    int // and that need somebody else
	Causes    []found.Cause
	More      int // causes that are not drawn
	CSV       string
}

// findingKind is a kind of which something was found.
type findingKind struct {
	Kind  store.FindingKind
	Title string
}

// mostCauses is how many causes one page draws: each has its own text, so who has more looks for some, or takes the table.
const mostCauses = 60

// findings draws the last sweep, or writes what it found as CSV: GET /api/portal/findings?text=&kind=&format=csv.
func (s *server) findings(w http.ResponseWriter, c call) error {
	rec, err := s.App.Inventory.LastSweep(c.Context(), c.who)
	if err != nil {
		return err
	}
	q := c.URL.Query()
	f := found.Filter{Text: strings.TrimSpace(q.Get("text")), Kind: store.FindingKind(q.Get("kind"))}
	chosen := f.Select(rec.Findings)
	if q.Get("format") == "csv" {
		download(w, "portcullis-findings", c.now)
		return found.Write(w, chosen)
	}
	view := findingsView{Ran: rec.Ran, Counted: rec.Counted, Ended: rec.Ended, Completed: rec.Completed, Targets: rec.Targets, Changed: rec.Changed, Closed: rec.Closed, Error: words.Sentence(rec.Error),
		Filter: f, Found: len(rec.Findings), Shown: len(chosen), CSV: show.Link("findings", "format", "csv", "text", f.Text, "kind", string(f.Kind))}
	for _, warning := range rec.Warnings {
		view.Warnings = append(view.Warnings, words.Sentence(warning))
	}
	for _, k := range store.FindingKinds() {
		if slices.ContainsFunc(rec.Findings, func(f store.Finding) bool { return f.Kind == k }) {
			view.Kinds = append(view.Kinds, findingKind{k, words.OfFinding(k).Title})
		}
	}
	if view.Causes, err = s.causes(c, chosen); err != nil {
		return err
	}
	view.Mine, view.Others = found.NeedMe(view.Causes)
	view.More = max(0, len(view.Causes)-mostCauses)
	view.Causes = view.Causes[:len(view.Causes)-view.More]
	s.render(w, c, http.StatusOK, "findings", "Findings", view)
	return nil
}

// download says that what follows is a table to be kept, with the time in its name.
func download(w http.ResponseWriter, name string, now time.Time) {
	w.Header().Set("Content-Type", found.TableType)
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+"-"+now.Format("20060102T150405Z")+`.csv"`)
}

// causes gives findings by cause, with whether the caller can do something about each. No right is asked for twice.
func (s *server) causes(c call, list []store.Finding) ([]found.Cause, error) {
	causes := found.ByCause(list)
	known := map[string]bool{}
	return causes, found.ForMe(causes, func(v permit.Verb, id jit.ID) (bool, error) {
		key := string(v) + " " + id.Key()
		if ok, asked := known[key]; asked {
			return ok, nil
		}
		ok, err := s.mayAbout(c, v, id)
		known[key] = ok
		return ok, err
	})
}

// mayAbout reports whether the caller may do something to a machine or a target, or, of neither, to every managed subscription.
func (s *server) mayAbout(c call, v permit.Verb, id jit.ID) (bool, error) {
	if v == permit.VerbReview && c.who.Roles.Approver {
		v = permit.VerbRead
	}
	if !id.IsZero() {
		return s.may(c, v, id)
	}
	for _, sub := range s.App.Inventory.Subscriptions {
		err := s.App.Access.Permit.May(c.Context(), c.who, v, "/subscriptions/"+sub)
		if jit.Refused(err) != nil {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	return len(s.App.Inventory.Subscriptions) > 0, nil
}
