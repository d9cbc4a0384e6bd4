package show

import (
	"net/url"
	"strconv"
	"strings"

	"portcullis/core/inventory"
	"portcullis/core/jit"
)

// Tab is one of the tabs of the list.
type Tab struct {
	Name    string
	Link    string
	Count   int
	Current bool
}

// Column is a column of its table.
type Column struct {
	Name  string
	Link  string // "" where it cannot be sorted by
	Order string // ascending, descending or ""
}

var tabs = []struct {
	state inventory.MachineState
	name  string
}{{inventory.MachineConfigured, "Configured"}, {inventory.MachineNotConfigured, "Not configured"}, {inventory.MachineUnsupported, "Unsupported"}}

var columns = map[inventory.MachineState][]struct {
	name string
	sort inventory.MachineSort
}{
	inventory.MachineConfigured:    {{"Virtual machine", inventory.SortByName}, {"Resource group", inventory.SortByResourceGroup}, {"Connection details", ""}, {"Requests, 7\u00a0days", inventory.SortByRequests}, {"Last access", inventory.SortByLastAccess}},
	inventory.MachineNotConfigured: {{"Virtual machine", inventory.SortByName}, {"Resource group", inventory.SortByResourceGroup}, {"Subscription", inventory.SortBySubscription}, {"Connection details", ""}},
	inventory.MachineUnsupported:   {{"Virtual machine", inventory.SortByName}, {"Resource group", inventory.SortByResourceGroup}, {"Subscription", inventory.SortBySubscription}, {"Why", ""}},
}

// The sizes of a page of the list: the larger is what one call takes, so that a tick for all of a page is as many as can be changed at once.
const (
	pageSize  = 50
	largePage = jit.MaxVMs
)

// ReadList reads the query of the list. What it does not know it takes for left out:
// a link that somebody edited still shows the list.
func ReadList(v url.Values) inventory.MachineQuery {
	q := inventory.MachineQuery{State: inventory.MachineConfigured, Text: strings.TrimSpace(v.Get("text")), ResourceGroup: v.Get("group"), Subscription: v.Get("sub"),
		Sort: inventory.SortByName, Descending: v.Get("order") == "descending", Cursor: v.Get("cursor"), Limit: pageSize}
	if v.Get("size") == strconv.Itoa(largePage) {
		q.Limit = largePage
	}
	for _, t := range tabs {
		if v.Get("tab") == string(t.state) {
			q.State = t.state
		}
	}
	for _, col := range columns[q.State] {
		if col.sort != "" && v.Get("sort") == string(col.sort) {
			q.Sort = col.sort
		}
	}
	return q
}

// ListLink returns the address of the list of a query.
func ListLink(q inventory.MachineQuery) string {
	order, state, sort := "", string(q.State), string(q.Sort)
	if q.Descending {
		order = "descending"
	}
	if q.State == inventory.MachineConfigured {
		state = ""
	}
	size := ""
	if q.Limit == largePage {
		size = strconv.Itoa(largePage)
	}
	if q.Sort == inventory.SortByName {
		sort = ""
	}
	return Link("", "tab", state, "text", q.Text, "group", q.ResourceGroup, "sub", q.Subscription, "sort", sort, "order", order, "size", size, "cursor", q.Cursor)
}

// ListAgain returns the address of the list that a form says it came from. What else it says is not followed.
func ListAgain(link string) string {
	u, err := url.Parse(link)
	if err != nil {
		return Root
	}
	return ListLink(ReadList(u.Query()))
}

// Place is where a page stands in the list of a query, with links to those around it, "" for none.
type Place struct {
	First, Last, Of int
	Previous, Next  string
	Size            int    // machines that a page has at most
	Other           int    // the other size there is; 0 where all are shown already
	OtherLink       string // to the list by pages of that size
}

// PlaceOf returns where a page of the list of a query stands.
func PlaceOf(q inventory.MachineQuery, page inventory.MachinePage) Place {
	p := Place{First: page.Before + 1, Last: page.Before + len(page.Machines), Of: page.Counts[q.State], Size: q.Limit}
	at := func(cursor string) string { n := q; n.Cursor = cursor; return ListLink(n) }
	if page.Before > 0 {
		p.Previous = at(page.Previous)
	}
	if page.Next != "" {
		p.Next = at(page.Next)
	}
	if p.Of > pageSize {
		n := q
		n.Cursor, n.Limit = "", pageSize+largePage-q.Limit
		p.Other, p.OtherLink = n.Limit, ListLink(n)
	}
	return p
}

// ColumnsOf returns the columns of the list of a query, each with the link that sorts by it.
func ColumnsOf(q inventory.MachineQuery) []Column {
	var out []Column
	for _, col := range columns[q.State] {
		c := Column{Name: col.name}
		if col.sort != "" {
			next := q
			next.Sort, next.Cursor = col.sort, ""
			// What is counted or dated is looked at from the top.
			next.Descending = col.sort == inventory.SortByRequests || col.sort == inventory.SortByLastAccess
			if q.Sort == col.sort {
				next.Descending = !q.Descending
				c.Order = "ascending"
				if q.Descending {
					c.Order = "descending"
				}
			}
			c.Link = ListLink(next)
		}
		out = append(out, c)
	}
	return out
}

// TabsOf returns the tabs of the list of a query, which is one of them.
func TabsOf(q inventory.MachineQuery, counts map[inventory.MachineState]int) []Tab {
	var out []Tab
	for _, t := range tabs {
		other := q
		other.State, other.Sort, other.Descending, other.Cursor = t.state, inventory.SortByName, false, ""
		out = append(out, Tab{t.name, ListLink(other), counts[t.state], t.state == q.State})
	}
	return out
}
