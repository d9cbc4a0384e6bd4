package show

import "slices"

// Now is what is drawn of the grants that are open now: one's own, and those of others, which are folded into one line where there are many.
type Now struct {
	Grants []Grant // that are drawn
	All    int     // that there are
	Own    int     // of them one's own
	Folded int     // of others, that are asked for separately
	Left   int     // that not even the whole list draws
	Full   bool    // those of others were asked for
}

const (
	fewRows  = 4   // up to so many rows nothing is folded
	mostRows = 500 // the whole list; what is left is on the timeline
)

// NowOf sorts grants, the caller's own first, the next to end first, and folds those of others unless all are asked for.
func NowOf(grants []Grant, full bool) Now {
	slices.SortStableFunc(grants, NextFirst)
	v := Now{All: len(grants), Full: full}
	if v.Own = slices.IndexFunc(grants, func(g Grant) bool { return !g.Own }); v.Own < 0 {
		v.Own = len(grants)
	}
	rows := min(len(grants), mostRows)
	if !full && len(grants) > fewRows {
		rows = min(v.Own, mostRows)
	}
	v.Grants = grants[:rows]
	if full || rows < v.Own {
		v.Left = len(grants) - rows
	} else {
		v.Folded = len(grants) - rows
	}
	return v
}

// NextFirst orders grants: the caller's own first, the next to end first.
func NextFirst(a, b Grant) int {
	if a.Own != b.Own {
		return map[bool]int{true: -1, false: 1}[a.Own]
	}
	return a.End.Compare(b.End)
}
