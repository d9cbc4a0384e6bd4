package audit

import (
	"slices"
	"strings"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// Filter is what is looked for: parts of names, in any case. Nothing looked for is everything.
type Filter struct {
	Who     string // a part of a name, or of an object id
	Machine string // a part of the name of a machine or target, or of a resource group
	Sweeps  bool   // sweeps by themselves, too, which are most lines of a quiet day
}

// names reports whether one of the texts holds the part that is looked for.
func names(part string, texts ...string) bool {
	part = strings.ToLower(part)
	return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(strings.ToLower(text), part) })
}

// Entry reports whether a line of the log is looked for.
func (f Filter) Entry(e store.Entry) bool {
	return (f.Sweeps || e.Operation != store.OpSweep) && names(f.Who, e.Requestor, e.Actor.Object) && f.machine(e.VM, e.Target)
}

func (f Filter) machine(ids ...jit.ID) bool {
	return f.Machine == "" || slices.ContainsFunc(ids, func(id jit.ID) bool { return !id.IsZero() && names(f.Machine, id.Name, id.ResourceGroup) })
}

// The bounds of what one page looks through and shows.
const (
	looks    = 20  // reads
	PageSize = 100 // lines in one of them
	enough   = 50  // lines, after which the page ends with the read that has brought them
)

// Page is lines of the log that are looked for.
type Page struct {
	Entries []store.Entry
	Next    string // where the log goes on, "" at its end
	Looked  int    // lines that were looked through
}

// Read reads lines until there are enough, the log ends, or enough was looked through.
func (f Filter) Read(cursor string, read func(cursor string) ([]store.Entry, string, error)) (Page, error) {
	page := Page{Next: cursor}
	for range looks {
		entries, next, err := read(page.Next)
		if err != nil {
			return Page{}, err
		}
		page.Next, page.Looked = next, page.Looked+len(entries)
		for _, e := range entries {
			if f.Entry(e) {
				page.Entries = append(page.Entries, e)
			}
		}
		if next == "" || len(page.Entries) >= enough {
			break
		}
	}
	return page, nil
}
