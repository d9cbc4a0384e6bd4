package bussim

import (
	"container/heap"
	"time"
)

// messageHeap is a priority queue from which any message can be removed.
// index tells where a message keeps its place in this heap, -1 for none.
type messageHeap struct {
	items []*message
	less  func(a, b *message) bool
	index func(*message) *int
}

// newDueHeap orders messages by the instant at which time changes them, those
// of the same instant by sequence number.
func newDueHeap() *messageHeap {
	return &messageHeap{
		less: func(a, b *message) bool {
			if c := a.dueAt().Compare(b.dueAt()); c != 0 {
				return c < 0
			}
			return a.seq < b.seq
		},
		index: func(m *message) *int { return &m.dueIndex },
	}
}

// newReadyHeap orders messages by sequence number.
func newReadyHeap() *messageHeap {
	return &messageHeap{
		less:  func(a, b *message) bool { return a.seq < b.seq },
		index: func(m *message) *int { return &m.readyIndex },
	}
}

func (h *messageHeap) first() *message {
	if len(h.items) == 0 {
		return nil
	}
	return h.items[0]
}

// set puts m where it belongs now, or takes it out when member is false.
func (h *messageHeap) set(m *message, member bool) {
	i := *h.index(m)
	switch {
	case member && i < 0:
		heap.Push(h, m)
	case member:
		heap.Fix(h, i)
	case i >= 0:
		heap.Remove(h, i)
	}
}

// Len, Less, Swap, Push and Pop are for container/heap.
func (h *messageHeap) Len() int           { return len(h.items) }
func (h *messageHeap) Less(i, j int) bool { return h.less(h.items[i], h.items[j]) }
func (h *messageHeap) Swap(i, j int) {
	h.items[i], h.items[j] = h.items[j], h.items[i]
	*h.index(h.items[i]), *h.index(h.items[j]) = i, j
}

func (h *messageHeap) Push(x any) {
	m := x.(*message)
	*h.index(m) = len(h.items)
	h.items = append(h.items, m)
}

func (h *messageHeap) Pop() any {
	last := len(h.items) - 1
	m := h.items[last]
	h.items[last] = nil
	h.items = h.items[:last]
	*h.index(m) = -1
	return m
}

// dueAt is when time changes m next: the end of its lock, its scheduled time
// or its expiry, or later where that could not be stored. The zero time means never.
func (m *message) dueAt() time.Time {
	if at := m.endsAt(); at.IsZero() || at.After(m.retry) {
		return at
	}
	return m.retry
}

func (m *message) endsAt() time.Time {
	switch {
	case m.locked():
		return m.lockedUntil
	case m.state == Scheduled:
		return m.scheduled
	default:
		return m.expires
	}
}
