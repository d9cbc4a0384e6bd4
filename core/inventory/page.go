package inventory

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"portcullis/core/jit"
)

// CodeInvalidQuery is the code for an invalid list query.
const CodeInvalidQuery jit.Code = "InvalidQueryParameter"

// The bounds of a page of machines.
const (
	defaultMachines = 100
	maxMachines     = 1000
)

// machineCursor is the position of the last machine of a page, in the order that it names.
type machineCursor struct {
	Sort       MachineSort
	Descending bool
	Value, Key string
}

func badCursor() error {
	return &jit.Error{Code: "InvalidSkipToken", Target: "cursor", Message: "this is not a continuation of this list; start again without it"}
}

// parseMachineCursor checks the query and parses its cursor; nil if it has none.
func parseMachineCursor(q MachineQuery) (*machineCursor, error) {
	switch q.Sort {
	case "", SortByName, SortByResourceGroup, SortBySubscription, SortByState, SortByRequests, SortByLastAccess:
	default:
		return nil, &jit.Error{Code: CodeInvalidQuery, Target: "sort", Message: fmt.Sprintf("machines are not sorted by %q", q.Sort)}
	}
	switch q.State {
	case "", MachineConfigured, MachineNotConfigured, MachineUnsupported:
	default:
		return nil, &jit.Error{Code: CodeInvalidQuery, Target: "state", Message: "state is one of configured, notConfigured, unsupported"}
	}
	if q.Cursor == "" {
		return nil, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(q.Cursor)
	if err != nil || len(text) > 2048 {
		return nil, badCursor()
	}
	var c machineCursor
	if err := json.Unmarshal(text, &c); err != nil || c.Sort != q.order() || c.Descending != q.Descending || c.Key == "" {
		return nil, badCursor()
	}
	return &c, nil
}

func (q MachineQuery) order() MachineSort { return cmp.Or(q.Sort, SortByName) }

// value returns a machine's sort key as text that sorts in the order of the values.
func (q MachineQuery) value(m MachineView) string {
	switch q.order() {
	case SortByResourceGroup:
		return strings.ToLower(m.VM.ResourceGroup)
	case SortBySubscription:
		return strings.ToLower(m.VM.Subscription)
	case SortByState:
		return string(m.State)
	case SortByRequests:
		return fmt.Sprintf("%09d", m.Requests)
	case SortByLastAccess:
		if m.LastAccess.IsZero() {
			return ""
		}
		return m.LastAccess.UTC().Format(time.RFC3339)
	}
	return strings.ToLower(m.VM.Name)
}

func (q MachineQuery) compare(a, b machineCursor) int {
	byValue := cmp.Compare(a.Value, b.Value)
	if q.Descending {
		byValue = -byValue
	}
	return cmp.Or(byValue, cmp.Compare(a.Key, b.Key))
}

// placed is a machine and where it stands in the list.
type placed struct {
	machineCursor
	MachineView
}

// cut sorts machines and sets the page to those after the cursor.
func (q MachineQuery) cut(page *MachinePage, all []MachineView, after *machineCursor) {
	list := make([]placed, 0, len(all))
	for _, m := range all {
		list = append(list, placed{machineCursor{Sort: q.order(), Descending: q.Descending, Value: q.value(m), Key: m.VM.Key()}, m})
	}
	slices.SortFunc(list, func(a, b placed) int { return q.compare(a.machineCursor, b.machineCursor) })
	from := 0
	if after != nil {
		if from = slices.IndexFunc(list, func(p placed) bool { return q.compare(p.machineCursor, *after) > 0 }); from < 0 {
			from = len(list)
		}
	}
	limit := max(1, min(cmp.Or(q.Limit, defaultMachines), maxMachines))
	to := min(from+limit, len(list))
	page.Machines = make([]MachineView, 0, to-from)
	for _, p := range list[from:to] {
		page.Machines = append(page.Machines, p.MachineView)
	}
	if page.Before = from; from > limit {
		page.Previous = list[from-limit-1].text()
	}
	if to < len(list) {
		page.Next = list[to-1].text()
	}
}

// text writes the cursor as callers hold it.
func (c machineCursor) text() string {
	text, err := json.Marshal(c)
	if err != nil {
		return "" // cannot be: strings and a bool
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// matches reports whether the query selects the machine, ignoring its state.
func (q MachineQuery) matches(m MachineView) bool {
	return (q.VM == "" || m.VM.Key() == strings.ToLower(q.VM)) &&
		(q.ResourceGroup == "" || strings.EqualFold(q.ResourceGroup, m.VM.ResourceGroup)) &&
		(q.Subscription == "" || strings.EqualFold(q.Subscription, m.VM.Subscription)) &&
		(q.Text == "" || q.holds(m))
}

// mostWords bounds the words of a text that are looked for; those after them are left out.
const mostWords = 20

// wordsOf returns the words of a text, each of which has to be found.
func wordsOf(text string) []string {
	words := strings.Fields(strings.ToLower(text))
	return words[:min(len(words), mostWords)]
}

func (q MachineQuery) holds(m MachineView) bool {
	return !slices.ContainsFunc(wordsOf(q.Text), func(word string) bool { return !m.says(word) })
}

// says reports whether a machine's name, resource group or addresses hold a word, in lower case. A word with a slash is (a part of) an id,
// or the address of a page about the machine, which goes on behind the id. A word with an equals sign, which no name has, is a tag.
func (m MachineView) says(word string) bool {
	if i := strings.Index(word, "/subscriptions/"); i >= 0 {
		word = strings.TrimRight(word[i:], "/")
		id := strings.ToLower(m.VM.String())
		if strings.HasPrefix(word+"/", id+"/") {
			return true
		}
		_, err := jit.ParseID(word) // of another machine, whose name may only begin as this one's does
		return err != nil && strings.Contains(id, word)
	}
	if name, value, is := strings.Cut(word, "="); is {
		return m.tagged(name, value)
	}
	if strings.Contains(word, "/") {
		return strings.Contains(strings.ToLower(m.VM.String()), word)
	}
	if strings.Contains(strings.ToLower(m.VM.Name), word) || strings.Contains(strings.ToLower(m.VM.ResourceGroup), word) {
		return true
	}
	return slices.ContainsFunc(slices.Concat(m.Dial, m.Private), func(a netip.Addr) bool { return strings.Contains(a.String(), word) })
}

// tagged reports whether a machine has a tag with a value, "" for any, in any case.
func (m MachineView) tagged(name, value string) bool {
	for n, v := range m.Tags {
		if strings.EqualFold(n, name) && (value == "" || strings.EqualFold(v, value)) {
			return true
		}
	}
	return false
}

// facets returns the distinct resource groups and subscriptions of machines.
func facets(all []MachineView) (groups, subscriptions []string) {
	byGroup, bySub := map[string]string{}, map[string]string{}
	for _, m := range all {
		byGroup[strings.ToLower(m.VM.ResourceGroup)] = m.VM.ResourceGroup
		bySub[strings.ToLower(m.VM.Subscription)] = m.VM.Subscription
	}
	return valuesOf(byGroup), valuesOf(bySub)
}

func valuesOf(byKey map[string]string) []string {
	out := []string{}
	for _, v := range byKey {
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b string) int {
		return cmp.Or(strings.Compare(strings.ToLower(a), strings.ToLower(b)), strings.Compare(a, b))
	})
	return out
}
