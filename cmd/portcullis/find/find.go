// Package find finds the one machine that somebody means by what was typed: a pasted resource id, a name, or words of its name, resource
// group, subscription, location or addresses, or tags as name=value, in any order.
//
// A whole name wins over parts of others. Where several machines are meant it is an [*Ambiguous], and where none is an [*Unknown] with the
// names that come nearest. It never guesses: what is found is opened.
package find

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/agnivade/levenshtein"

	"portcullis/cmd/portcullis/exit"
	"portcullis/handlers/api"
)

// Lister lists machines: by a query as GET /api/machines takes it, at most so many; 0 for all.
type Lister interface {
	AllMachines(ctx context.Context, q url.Values, most int) (api.MachinesAnswer, error)
}

// Unknown says that no machine is meant.
type Unknown struct {
	Asked   string
	Nearest []string // names, at most three
}

func (u *Unknown) Error() string {
	text := fmt.Sprintf("no machine that you may see is called %q", u.Asked)
	if len(u.Nearest) == 0 {
		return text + "; portcullis machines lists those that you may see"
	}
	return text + "; the nearest names are " + strings.Join(u.Nearest, ", ")
}

// ExitCode is that of what is not understood.
func (u *Unknown) ExitCode() exit.Code { return exit.Usage }

// Ambiguous says that several machines are meant.
type Ambiguous struct {
	Asked string
	Among []api.Machine
}

// shown is how many of several machines an error names.
const shown = 10

func (a *Ambiguous) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q is %d machines; add a word of the resource group, or paste the resource id:", a.Asked, len(a.Among))
	for _, m := range a.Among[:min(shown, len(a.Among))] {
		fmt.Fprintf(&b, "\n  %s", m.ID)
	}
	if more := len(a.Among) - shown; more > 0 {
		fmt.Fprintf(&b, "\n  and %d more", more)
	}
	return b.String()
}

// ExitCode is that of what is not understood.
func (a *Ambiguous) ExitCode() exit.Code { return exit.Usage }

// Machine finds a machine among those that the caller may see.
func Machine(ctx context.Context, from Lister, asked string) (api.Machine, error) {
	words := strings.Fields(asked)
	if len(words) == 0 {
		return api.Machine{}, exit.Usagef("no machine is named")
	}
	if strings.HasPrefix(words[0], "/") {
		return byID(ctx, from, strings.TrimSpace(asked))
	}
	// The longest word leaves the fewest for this side to look through.
	longest := slices.MaxFunc(words, func(a, b string) int { return cmp.Compare(len(a), len(b)) })
	some, err := from.AllMachines(ctx, url.Values{"q": {longest}}, 0)
	if err != nil {
		return api.Machine{}, err
	}
	found := Meant(some.Value, words)
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		all, err := from.AllMachines(ctx, nil, 0)
		if err != nil {
			return api.Machine{}, err
		}
		if found = Meant(all.Value, words); len(found) == 1 { // by a word that the app does not look for, such as a location
			return found[0], nil
		}
		if len(found) == 0 {
			return api.Machine{}, &Unknown{asked, nearest(all.Value, asked)}
		}
	}
	return api.Machine{}, &Ambiguous{asked, found}
}

func byID(ctx context.Context, from Lister, id string) (api.Machine, error) {
	parsed, err := arm.ParseResourceID(id)
	if err != nil || !strings.EqualFold(parsed.ResourceType.String(), "Microsoft.Compute/virtualMachines") {
		return api.Machine{}, exit.Usagef("%q is not the resource id of a virtual machine: /subscriptions/<id>/resourceGroups/<group>/providers/Microsoft.Compute/virtualMachines/<name>", id)
	}
	answer, err := from.AllMachines(ctx, url.Values{"vm": {id}}, 1)
	if err != nil {
		return api.Machine{}, err
	}
	if len(answer.Value) == 0 {
		return api.Machine{}, &Unknown{Asked: id}
	}
	return answer.Value[0], nil
}

// Meant gives the machines that words mean: those of which every word is a part, and of these, where there are any, those whose whole name
// is one of the words or all of them.
func Meant(all []api.Machine, words []string) []api.Machine {
	names := append(slices.Clone(words), strings.Join(words, " "))
	var named, matching []api.Machine
	for _, m := range all {
		if !Matches(m, words) {
			continue
		}
		matching = append(matching, m)
		if slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, m.Name) }) {
			named = append(named, m)
		}
	}
	if len(named) > 0 {
		return named
	}
	return matching
}

// Matches reports whether every word is a part of what a machine is known by, in any case, or, with an equals sign, a tag of it.
func Matches(m api.Machine, words []string) bool {
	text := []string{m.Name, m.ResourceGroup, m.Subscription, m.Location}
	if m.Connection != nil {
		text = append(text, m.Connection.Hosts...)
	}
	known := strings.ToLower(strings.Join(text, "\n"))
	return !slices.ContainsFunc(words, func(w string) bool {
		if name, value, is := strings.Cut(w, "="); is { // no name and no address has the sign
			return !tagged(m, name, value)
		}
		return !strings.Contains(known, strings.ToLower(w))
	})
}

// tagged reports whether a machine has a tag with a value, "" for any, in any case.
func tagged(m api.Machine, name, value string) bool {
	for n, v := range m.Tags {
		if strings.EqualFold(n, name) && (value == "" || strings.EqualFold(v, value)) {
			return true
		}
	}
	return false
}

// nearest gives the three names that take the fewest changes to become what was asked, those of one machine once.
func nearest(all []api.Machine, asked string) []string {
	var names []string
	for _, m := range all {
		names = append(names, m.Name)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	far := func(name string) int {
		return levenshtein.ComputeDistance(strings.ToLower(name), strings.ToLower(asked))
	}
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(far(a), far(b)) })
	return names[:min(3, len(names))]
}
