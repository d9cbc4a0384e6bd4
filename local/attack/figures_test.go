package attack

import (
	"fmt"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

// figures is the table at the end: what each attack cost, with what it did at commit 9601b60 as the issue that the table answers
// states it.
type figures struct {
	mu   sync.Mutex
	rows []figure
}

type figure struct{ letter, what, before, after string }

// add says what a row cost.
func (f *figures) add(a attack, cost counts, took time.Duration, from, to memory) {
	after := fmt.Sprintf("%d reads, %d rows, %s each", cost.reads, cost.rows, (took / time.Duration(max(a.times, 1))).Round(100*time.Microsecond))
	if from.known && to.known {
		after += fmt.Sprintf(", resident memory %.0f to %.0f MiB", from.now, to.now)
	} else {
		after += ", memory not looked at: no /proc"
	}
	f.say(a.letter, a.figure, a.before, after)
}

// say adds a line.
func (f *figures) say(letter, what, before, after string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rows = append(f.rows, figure{letter, what, before, after})
}

func (f *figures) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\tattack\tat 9601b60\tnow")
	for _, r := range f.rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.letter, r.what, r.before, r.after)
	}
	_ = w.Flush() // into memory
	return out.String()
}
