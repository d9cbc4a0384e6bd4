package seen

import (
	"sync"

	"portcullis/core/memo"
)

// maxSingleReads bounds how many targets of one subscription are read one by one at the same time. Listing more
// costs fewer calls.
const maxSingleReads = 25

// coldReads counts the reads under way of targets of which nothing is remembered.
type coldReads struct {
	mu      sync.Mutex
	reading map[string]int // by subscription and kind, in lower case
	lists   memo.Memo[struct{}]
}

// begin counts one more read, and reports whether there are so many that one listing is cheaper.
func (c *coldReads) begin(sub string) (many bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reading == nil {
		c.reading = map[string]int{}
	}
	c.reading[sub]++
	return c.reading[sub] > maxSingleReads
}

func (c *coldReads) end(sub string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reading[sub]--; c.reading[sub] == 0 {
		delete(c.reading, sub)
	}
}
