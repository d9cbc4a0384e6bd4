package activity

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"portcullis/core/store"
)

// compare holds what an entry is chained by to what was stated of its place.
func (v *verification) compare(f found) {
	for _, s := range v.stated {
		if s.Entries == f.Seq && !strings.EqualFold(s.Hash, f.Hash) {
			v.rewound = append(v.rewound, s)
		}
	}
}

// unlikeStated gives the first statement that a chain which is whole does not bear out.
func (v *verification) unlikeStated() *store.BrokenEntry {
	for _, s := range v.stated {
		if s.Entries > v.length {
			v.rewound = append(v.rewound, s)
		}
	}
	if len(v.rewound) == 0 {
		return nil
	}
	first := slices.MinFunc(v.rewound, func(a, b store.Head) int { return cmp.Compare(a.Entries, b.Entries) })
	why := "another entry stands here than when this head was stated"
	if first.Entries > v.length {
		why = fmt.Sprintf("the chain ends after %d entries", v.length)
	}
	return &store.BrokenEntry{Seq: first.Entries, Break: store.BreakRewound, Message: why + ": the rows of this chain were put back to an older state, or written anew"}
}
