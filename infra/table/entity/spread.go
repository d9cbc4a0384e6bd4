package entity

import (
	"strconv"
	"strings"
	"sync/atomic"
)

// Spread is how many rows there are whose keys are a prefix and a digest, by which they are spread evenly, as the last page of them tells. As long as
// none was seen it knows of none.
type Spread struct {
	Prefix string
	all    atomic.Uint64
}

// fewRows tell too little.
const fewRows = 20

// Seen takes note of a page of rows that stand one behind another.
func (s *Spread) Seen(rows []Stored) {
	if len(rows) < fewRows {
		return
	}
	if of := s.place(rows[len(rows)-1].Key) - s.place(rows[0].Key); of > 0 {
		s.all.Store(uint64(float64(len(rows)) / of))
	}
}

// Between tells how many rows are to be expected between two keys.
func (s *Spread) Between(from, to string) int {
	return int(float64(s.all.Load()) * (s.place(to) - s.place(from)))
}

// place gives where a key stands among all that can be: from 0 to 1.
func (s *Spread) place(key string) float64 {
	digits := strings.TrimPrefix(key, s.Prefix)
	n, err := strconv.ParseUint(digits[:min(13, len(digits))], 16, 64)
	if err != nil {
		return 0
	}
	return float64(n) / (1 << 52)
}
