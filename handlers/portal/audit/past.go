package audit

import (
	"context"
	"net/url"
	"strings"
	"time"

	"portcullis/core/inventory"
	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/handlers/portal/form"
	"portcullis/handlers/portal/show"
	"portcullis/handlers/portal/words"
)

// Past reads what was. Find, which only pictures need, gives a request as far as the caller may read it; every other field must be set.
type Past struct {
	Inventory *inventory.Inventory
	Find      func(ctx context.Context, who jit.Caller, id string) (store.GrantRecord, error)
}

// Report is one row for each window of a time.
type Report struct {
	Who, VM, From, To string // as they were typed
	Since, Until      time.Time
	Rows              []Window
	Cut               bool // there are more
	Unread            bool // of the log there is more than was read: it may say of openings and closings that are not in the rows
	CSV               string
	Wrong             form.Wrongs // what cannot be read: then there are no rows
}

const (
	reportLength = 7 * 24 * time.Hour // where no beginning is given
	pageSize     = 1000
	// What one report reads at most, in pages.
	reportGrants  = 2  // of requests
	reportEntries = 10 // of the log, of each operation
	// What one picture is made from at most, in pages.
	pictureGrants = 1
	pictureEarly  = 50 // requests of earlier
)

// Report gives the windows that were asked for in a time: from and to, both optional, of who and vm, parts of names.
func (p Past) Report(ctx context.Context, who jit.Caller, q url.Values, now time.Time) (Report, error) {
	out := Report{Who: strings.TrimSpace(q.Get("who")), VM: strings.TrimSpace(q.Get("vm")), From: q.Get("from"), To: q.Get("to"), Wrong: form.Wrongs{}}
	var err error
	if out.Since, err = words.ReadTime(out.From); err != nil {
		out.Wrong.Put("from", err)
	}
	if out.Until, err = words.ReadTime(out.To); err != nil {
		out.Wrong.Put("to", err)
	}
	if out.Until.IsZero() {
		out.Until = now
	}
	if out.Since.IsZero() {
		out.Since = out.Until.Add(-reportLength)
	}
	if !out.Wrong.Any() && !out.Since.Before(out.Until) {
		out.Wrong.Put("to", &jit.Error{Message: "this is not after the time that it begins with"})
	}
	out.CSV = show.Link("report", "who", out.Who, "vm", out.VM, "from", out.From, "to", out.To, "format", "csv")
	if out.Wrong.Any() {
		return out, nil
	}
	return out, p.fill(ctx, who, &out, now)
}

// Unopened says why a row has no time of its opening.
func (r Report) Unopened(w Window) string {
	switch {
	case r.Unread:
		return "not looked up"
	case w.State == "failed":
		return "never"
	case w.State == "open" || w.State == "closing" || w.State == "closed":
		return "the log does not say when"
	}
	return "not yet"
}

// fill reads the windows of a report, and what the log tells of them: an approval is waited for as long as the longest window at most, and a closing is
// logged soon after. What has to wait for its start ends long after it was asked for.
func (p Past) fill(ctx context.Context, who jit.Caller, out *Report, now time.Time) error {
	grants, more, err := p.grants(ctx, who, store.GrantFilter{From: out.Since, To: out.Until}, reportGrants)
	if err != nil {
		return err
	}
	out.Cut = more
	last := out.Until
	for _, g := range grants {
		if end := g.End(); end.After(last) {
			last = end
		}
	}
	var log []store.Entry
	for _, op := range Operations() {
		f := store.EntryFilter{Operation: op, From: out.Since, To: last.Add(2 * jit.MaxMaximum)}
		entries, more, err := pagesOf(reportEntries, func(cursor string) ([]store.Entry, string, error) {
			return p.Inventory.Entries(ctx, who, f, cursor, pageSize)
		})
		if err != nil {
			return err
		}
		out.Cut, out.Unread = out.Cut || more, out.Unread || more
		log = append(log, entries...)
	}
	out.Rows = Filter{Who: out.Who, Machine: out.VM}.Windows(grants, log, now)
	return nil
}

// Grants gives the requests whose windows may reach into the time from then until now, of one machine or of all where vm is zero, and whether there are more
// than a picture holds.
func (p Past) Grants(ctx context.Context, who jit.Caller, vm jit.ID, from time.Time) ([]jit.Grant, bool, error) {
	filter := store.GrantFilter{From: from.Add(-jit.MaxMaximum)} // no window is longer than the longest maximum
	if !vm.IsZero() {
		filter.VM = vm.Key()
	}
	grants, more, err := p.grants(ctx, who, filter, pictureGrants)
	if err != nil || more {
		return grants, more, err
	}
	known := map[string]bool{}
	for _, g := range grants {
		known[g.ID] = true
	}
	early, more, err := p.early(ctx, who, filter, known)
	return append(grants, early...), more, err
}

// early gives the requests that were opened in the time of a filter, as the log has it, and are none of those that are known: they were asked for before it, and
// had to wait for somebody's approval or for their start.
func (p Past) early(ctx context.Context, who jit.Caller, filter store.GrantFilter, known map[string]bool) ([]jit.Grant, bool, error) {
	opened, next, err := p.Inventory.Entries(ctx, who, store.EntryFilter{VM: filter.VM, Operation: store.OpOpen, From: filter.From}, "", pageSize)
	if err != nil {
		return nil, false, err
	}
	more := next != ""
	var out []jit.Grant
	finds := 0
	for _, e := range opened {
		if e.Grant == "" || known[e.Grant] {
			continue
		}
		if finds == pictureEarly {
			return out, true, nil
		}
		known[e.Grant], finds = true, finds+1
		rec, err := p.Find(ctx, who, e.Grant)
		if jit.Refused(err) != nil {
			continue // it is not for the caller to see
		}
		if err != nil {
			return nil, false, err
		}
		out = append(out, rec.Grant)
	}
	return out, more, nil
}

func (p Past) grants(ctx context.Context, who jit.Caller, f store.GrantFilter, pages int) ([]jit.Grant, bool, error) {
	return pagesOf(pages, func(cursor string) ([]jit.Grant, string, error) {
		return p.Inventory.ListGrants(ctx, who, f, cursor, pageSize)
	})
}

// pagesOf reads pages of a list, and whether there are more than these.
func pagesOf[T any](most int, list func(cursor string) ([]T, string, error)) ([]T, bool, error) {
	var out []T
	cursor := ""
	for range most {
		page, next, err := list(cursor)
		if err != nil {
			return nil, false, err
		}
		out = append(out, page...)
		if cursor = next; next == "" {
			return out, false, nil
		}
	}
	return out, true, nil
}
