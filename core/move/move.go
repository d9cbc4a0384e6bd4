// Package move keeps which open windows are followed from one target to another.
//
// It is kept in memory alone, and lost with the process. It moves nothing: who follows a window says so, and rounds ask.
package move

import (
	"sync"

	"portcullis/core/jit"
)

// Moves is the open windows that a sweep has seen stand at one target and follows to another: their rules may be made there
// although the windows are confirmed. A window whose rule is not made by the time that the process ends is not certain any more.
// The zero value holds none; its methods are safe for concurrent use.
type Moves struct {
	mu sync.Mutex
	to map[string]map[string]int // how many sweeps say so, by target and grant
}

// Follow says that a grant was seen to stand where its machines were, and is expected at targets from now on. The function that it
// returns ends that.
func (m *Moves) Follow(grant string, targets []jit.ID) (end func()) {
	add := func(n int) {
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, t := range targets {
			if m.to == nil {
				m.to = map[string]map[string]int{}
			}
			if m.to[t.Key()] == nil {
				m.to[t.Key()] = map[string]int{}
			}
			if m.to[t.Key()][grant] += n; m.to[t.Key()][grant] == 0 {
				delete(m.to[t.Key()], grant)
			}
		}
	}
	add(1)
	return func() { add(-1) }
}

// Grants returns a function that reports whether a grant is followed to the target, as of its call.
func (m *Moves) Grants(target jit.ID) func(grant string) bool {
	return func(grant string) bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.to[target.Key()][grant] > 0
	}
}
