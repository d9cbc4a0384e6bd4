package activity

import (
	"fmt"
	"strings"

	"portcullis/core/store"
)

// compare holds what an entry is chained by to what was stated of its place.
func (v *verification) compare(f found) {
	for _, s := range v.stated {
		if s.Entries == f.Seq && !strings.EqualFold(s.Hash, f.Hash) {
			v.rewind(s)
		}
	}
}

// rewind notes a statement that does not hold. The first place alone is kept, however many rows claim a place that was stated.
func (v *verification) rewind(s store.Head) {
	if v.rewound == nil || s.Entries < v.rewound.Entries {
		v.rewound = &s
	}
}

// unlikeStated gives the first statement that a chain which is whole does not bear out.
func (v *verification) unlikeStated() *store.BrokenEntry {
	for _, s := range v.stated {
		if s.Entries > v.length {
			v.rewind(s)
		}
	}
	if v.rewound == nil {
		return nil
	}
	why := "another entry stands here than when this head was stated"
	if v.rewound.Entries > v.length {
		why = fmt.Sprintf("the chain ends after %d entries", v.length)
	}
	return &store.BrokenEntry{Seq: v.rewound.Entries, Break: store.BreakRewound, Message: why + ": the rows of this chain were put back to an older state, or written anew"}
}
