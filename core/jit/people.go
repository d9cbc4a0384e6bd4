package jit

import (
	"slices"
	"strings"
)

// People are the object ids of people and groups. In a policy the zero value names nobody in particular: anyone who may otherwise.
// Values can be compared by ==.
type People struct {
	named bool
	ids   string // in lower case, sorted, each once, with a space between
}

// MaxPeople is how many object ids one policy may name.
const MaxPeople = 50

// PeopleOf returns the people with these object ids; no ids name nobody in particular. It refuses with [CodeInvalidApprovers] what is not a
// GUID. It does NOT bound their number, nor ensure that anybody has the id.
func PeopleOf(ids ...string) (People, error) {
	var all []string
	for _, id := range ids {
		if id = strings.ToLower(id); !ValidGUID(id) {
			return People{}, refuse(CodeInvalidApprovers, "", "%.50q is not an object id", id)
		}
		all = append(all, id)
	}
	slices.Sort(all)
	return People{len(all) > 0, strings.Join(slices.Compact(all), " ")}, nil
}

// Named reports whether some are named, so that others do not count.
func (p People) Named() bool { return p.named }

// IDs returns the object ids, sorted, in lower case; nil for nobody.
func (p People) IDs() []string { return strings.Fields(p.ids) }

// Has reports whether an object id is named. Nobody is where none are named.
func (p People) Has(id string) bool {
	return slices.Contains(p.IDs(), strings.ToLower(id))
}

// And returns those whom both name. Where both name some and nobody is in both, nobody may.
func (p People) And(q People) People {
	switch {
	case !p.named:
		return q
	case !q.named:
		return p
	}
	return People{true, strings.Join(slices.DeleteFunc(p.IDs(), func(id string) bool { return !q.Has(id) }), " ")}
}

// Equal reports whether both name the same.
func (p People) Equal(q People) bool { return p == q }

// String returns the object ids with spaces between.
func (p People) String() string { return p.ids }
