package show

import (
	"fmt"
	"strings"

	"portcullis/core/jit"
	"portcullis/core/narrow"
	"portcullis/core/preview"
	"portcullis/core/protect"
	"portcullis/handlers/portal/words"
)

// Changes is what saving would change, or has changed.
type Changes struct {
	Computed   bool
	Done       bool
	Targets    []TargetChanges
	Overridden []string
	Exposed    []string
	Unguarded  []string
	Windows    []string // which end, or end earlier
	Ends       string   // how many
	Wrong      string
}

// TargetChanges is what changes on one target.
type TargetChanges struct {
	Name, Kind string
	Lines      []ChangeLine
}

// ChangeLine is one rule of it.
type ChangeLine struct {
	Sign, Class, Verb string
	Text              string
	Name              string
	Priority          int
}

// ChangesOf returns what an enabling changes, or has changed.
func ChangesOf(enabled []protect.Enabled, changes []preview.Change) Changes {
	v := Changes{Computed: true}
	var narrowed narrow.Ends
	for _, e := range enabled {
		narrowed = narrowed.With(e.Narrowed)
		v.Overridden = append(v.Overridden, words.Foreign(e.Overridden)...)
		v.Exposed = append(v.Exposed, words.Foreign(e.Exposed)...)
		for _, nic := range e.Unguarded {
			v.Unguarded = append(v.Unguarded, nic[strings.LastIndex(nic, "/")+1:]+" of "+e.Policy.VM.Name)
		}
	}
	v.Ends, v.Windows = words.Sentence(narrowed.String()), words.Ended(narrowed.Grants)
	v.Targets = TargetsOf(changes)
	return v
}

// TargetsOf returns what changes, by target.
func TargetsOf(changes []preview.Change) []TargetChanges {
	var out []TargetChanges
	for _, change := range changes {
		t := TargetChanges{Name: change.Target.Name, Kind: words.Kind(change.Target)}
		add := func(sign, class, verb string, rules []jit.Rule) {
			for _, r := range rules {
				t.Lines = append(t.Lines, ChangeLine{sign, class, verb, words.Rule(r), r.Name, r.Priority})
			}
		}
		add("+", "add", "Add", change.Changes.Create)
		add("~", "upd", "Change to", change.Changes.Update)
		add("−", "del", "Remove", change.Changes.Delete)
		if change.Hidden > 0 {
			t.Lines = append(t.Lines, ChangeLine{Sign: "…", Text: fmt.Sprintf("%d more, to rules about machines that you may not read", change.Hidden)})
		}
		out = append(out, t)
	}
	return out
}
