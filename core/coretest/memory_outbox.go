package coretest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"portcullis/core/store"
)

// post stores letters; m.mu is held.
func (m *Memory) post(letters []store.Letter) {
	for _, l := range letters {
		l.Version = m.version()
		m.letters[letterKey(l)] = l
	}
}

// addressed refuses a letter to nobody, or about nothing.
func addressed(letters []store.Letter) error {
	for _, l := range letters {
		if l.Channel == "" || l.Subject == "" || l.Seq < 1 {
			return fmt.Errorf("letter %d of %q to %q cannot be stored", l.Seq, l.Subject, l.Channel)
		}
	}
	return nil
}

func letterKey(l store.Letter) [3]string {
	return [3]string{l.Channel, l.Subject, strconv.Itoa(l.Seq)}
}

// PutLetters implements [store.Outbox].
func (m *Memory) PutLetters(_ context.Context, letters ...store.Letter) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := addressed(letters); err != nil {
		return err
	}
	m.post(letters)
	return nil
}

// Letters implements [store.Outbox].
func (m *Memory) Letters(_ context.Context, channel, cursor string, limit int) ([]store.Letter, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	place := func(l store.Letter) string {
		return strings.Join([]string{l.Began.UTC().Format("2006-01-02T15:04:05.000000000"), l.Subject, strconv.Itoa(1_000_000 + l.Seq)}, "|")
	}
	var all []store.Letter
	for _, l := range m.letters {
		if l.Channel == channel && place(l) > cursor {
			all = append(all, l)
		}
	}
	slices.SortFunc(all, func(a, b store.Letter) int { return cmp.Compare(place(a), place(b)) })
	if len(all) <= limit {
		return all, "", nil
	}
	return all[:limit], place(all[limit-1]), nil
}

// PutOff implements [store.Outbox].
func (m *Memory) PutOff(_ context.Context, l store.Letter) (store.Letter, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old, ok := m.letters[letterKey(l)]
	if !ok || old.Version != l.Version {
		return l, store.ErrConflict
	}
	old.Tries, old.Next, old.GaveUp, old.LastError, old.Version = l.Tries, l.Next.UTC(), l.GaveUp, l.LastError, m.version()
	m.letters[letterKey(l)] = old
	return old, nil
}

// DropLetter implements [store.Outbox].
func (m *Memory) DropLetter(_ context.Context, l store.Letter) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if old, ok := m.letters[letterKey(l)]; !ok || old.Version != l.Version {
		return store.ErrConflict
	}
	delete(m.letters, letterKey(l))
	return nil
}
