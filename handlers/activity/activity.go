// Package activity answers the activity log: lists of entries, downloads of all that match, and whether the log is as it was written.
//
// It writes nothing to the log, and decides nothing about who may read it: package inventory does.
package activity

import (
	"log/slog"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"portcullis/core/inventory"
	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/handlers/query"
	"portcullis/handlers/wire"
)

// Face answers the calls. Every field must be set.
type Face struct {
	Inventory *inventory.Inventory
	Log       *slog.Logger
	Now       func() time.Time
}

// List lists the activity log, newest first, a page or, as CSV or JSON lines,
// all of it: GET /api/activity[?format=csv].
func (f Face) List(w http.ResponseWriter, r *http.Request, who jit.Caller, q query.Values) error {
	filter, err := filterOf(q)
	if err != nil {
		return err
	}
	switch q["format"] {
	case "csv":
		return f.export(w, r, who, filter, newCSV)
	case "jsonl":
		return f.export(w, r, who, filter, newLines)
	}
	limit, err := q.Limit()
	if err != nil {
		return err
	}
	entries, cursor, err := f.Inventory.Entries(r.Context(), who, filter, q["cursor"], limit)
	if err != nil {
		return err
	}
	page := wire.List[wire.Entry]{Value: []wire.Entry{}, NextLink: q.Next(r.URL.Path, cursor)}
	for _, e := range entries {
		page.Value = append(page.Value, wire.ToEntry(e))
	}
	wire.Write(w, http.StatusOK, page)
	return nil
}

func filterOf(q query.Values) (store.EntryFilter, error) {
	f := store.EntryFilter{Requestor: q["requestor"], Operation: store.Operation(q["operation"]), Result: store.Result(q["result"])}
	var err error
	if f.VM, err = q.VM(); err != nil {
		return f, err
	}
	if f.Object, err = q.GUID("requestorObjectId"); err != nil {
		return f, err
	}
	if f.From, err = q.Time("from"); err != nil {
		return f, err
	}
	if f.To, err = q.Time("to"); err != nil {
		return f, err
	}
	f.Subscription, err = q.GUID("subscription")
	return f, err
}

// Verify looks whether the activity log is as it was written: GET /api/activity/verify.
func (f Face) Verify(w http.ResponseWriter, r *http.Request, who jit.Caller, q query.Values) error {
	sub := strings.ToLower(q["subscription"])
	if sub != "" && sub != inventory.NoSubscription && !jit.ValidGUID(sub) {
		return &jit.Error{Code: query.CodeInvalid, Target: "subscription", Message: "subscription is neither a GUID nor none"}
	}
	from, err := q.Time("from")
	if err != nil {
		return err
	}
	to, err := q.Time("to")
	if err != nil {
		return err
	}
	stated, err := statedOf(q)
	if err != nil {
		return err
	}
	chains, err := f.Inventory.Verify(r.Context(), who, sub, from, to, stated...)
	if err != nil {
		return err
	}
	out := wire.VerifyAnswer{Whole: true, Value: []wire.Chain{}}
	for _, c := range chains {
		told := wire.Chain{Subscription: c.Subscription, Day: c.Day.Format("2006-01-02"), Whole: c.FirstBroken == nil, Entries: c.Entries, Head: c.Head}
		if b := c.FirstBroken; b != nil {
			out.Whole = false
			told.FirstBroken = &wire.BrokenEntry{Seq: b.Seq, Break: string(b.Break), ID: b.ID, Time: wire.Stamp(b.Time), Message: b.Message}
		}
		out.Value = append(out.Value, told)
	}
	wire.Write(w, http.StatusOK, out)
	return nil
}

var hashForm = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)

// statedOf reads the head that the caller holds the chain to, none where he names none.
func statedOf(q query.Values) ([]store.Head, error) {
	entries, hash := q["entries"], q["head"]
	if entries == "" && hash == "" {
		return nil, nil
	}
	n, err := strconv.Atoi(entries)
	if err != nil || n < 1 || strconv.Itoa(n) != entries {
		return nil, &jit.Error{Code: query.CodeInvalid, Target: "entries", Message: "entries is how many the chain had when its head was stated, from 1, and goes with head"}
	}
	if !hashForm.MatchString(hash) {
		return nil, &jit.Error{Code: query.CodeInvalid, Target: "head", Message: "head is the hash of the last of these entries, 64 hexadecimal digits, and goes with entries"}
	}
	return []store.Head{{Entries: n, Hash: strings.ToLower(hash)}}, nil
}
