package round

import (
	"sync"

	"portcullis/core/jit"
)

// moves is the open windows that a sweep has seen stand at one target and follows to another: their rules may be made there
// although the windows are confirmed. It is lost with the process; a window whose rule is not made by then is not certain any more.
// The zero value holds none.
type moves struct {
	mu sync.Mutex
	to map[string]map[string]int // how many sweeps say so, by target and grant
}

// Follow says that a grant was seen to stand where its machines were, and is expected at targets from now on. The function that it
// returns ends that.
func (s *Rounds) Follow(grant string, targets []jit.ID) (end func()) {
	add := func(n int) {
		s.moves.mu.Lock()
		defer s.moves.mu.Unlock()
		for _, t := range targets {
			if s.moves.to == nil {
				s.moves.to = map[string]map[string]int{}
			}
			if s.moves.to[t.Key()] == nil {
				s.moves.to[t.Key()] = map[string]int{}
			}
			if s.moves.to[t.Key()][grant] += n; s.moves.to[t.Key()][grant] == 0 {
				delete(s.moves.to[t.Key()], grant)
			}
		}
	}
	add(1)
	return func() { add(-1) }
}

func (m *moves) grants(target jit.ID) func(string) bool {
	return func(grant string) bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.to[target.Key()][grant] > 0
	}
}
