package nsg

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"time"

	"portcullis/core/jit"
	"portcullis/core/parallel"
	"portcullis/infra/arm"
)

// watch follows many unfinished writes of one subscription by listing its NSGs: a page
// tells of a hundred or more, where a look at an operation tells of one, and shows the NSG
// that would have to be read after the operation's end.
type watch struct {
	mu     sync.Mutex
	wanted map[string]int // unfinished writes, by lower-case id of the NSG
	since  time.Time      // from when on there has always been one
	last   *groupListing
}

// groupListing is one listing, and what it shows of the NSGs that were wanted.
type groupListing struct {
	began time.Time
	pages int
	shown map[string][]byte
	err   error
	done  chan struct{}
}

// Listings are begun where so many writes are unfinished, and so many for each page of a listing. Once
// begun they go on while there is one for each page: each costs no more than looking at the operations.
const (
	leastUnfinished        = 8
	leastUnfinishedPerPage = 3
)

// The time between the beginnings of two listings, for each page of them: a sixteenth of the time for which
// writes have been unfinished, so that nobody learns of an end much later, for what it took, than it was; at least so much,
// which is a sixth of the tokens for reads, and at most so much more.
const (
	pausePart         = 16
	leastPausePerPage = 250 * time.Millisecond
	mostPausePerPage  = 500 * time.Millisecond
)

// pause is the time between two listings at the moment.
func (w *watch) pause(pages int) time.Duration {
	each := time.Duration(pages)
	return min(max(time.Since(w.since)/pausePart, each*leastPausePerPage), max(time.Second, each*mostPausePerPage))
}

// worth reports whether a listing is worth it at the moment.
func (w *watch) worth(pages int) bool {
	going := w.last != nil && w.last.began.After(w.since) && time.Since(w.last.began) < 2*w.pause(pages)+time.Second
	return len(w.wanted) >= leastUnfinished && len(w.wanted) >= leastUnfinishedPerPage*pages || going && len(w.wanted) >= pages
}

// want notes that a write to the NSG is unfinished until done is called.
func (w *watch) want(target jit.ID) (done func()) {
	key := strings.ToLower(target.String())
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wanted == nil {
		w.wanted = map[string]int{}
	}
	if len(w.wanted) == 0 {
		w.since = time.Now()
	}
	w.wanted[key]++
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.wanted[key]--; w.wanted[key] == 0 {
			delete(w.wanted, key)
		}
	}
}

// listed gives the NSG as a listing shows it that began after a time, and when that was. It gives
// nothing where one is not worth it at the moment.
func (c *Client) listed(ctx context.Context, s *clients, target jit.ID, after time.Time) ([]byte, time.Time, error) {
	w := &s.watch
	for {
		w.mu.Lock()
		last, pages := w.last, 1
		if last != nil && last.ended() && last.err == nil {
			pages = max(1, last.pages)
		}
		switch {
		case last != nil && last.began.After(after):
			w.mu.Unlock()
			if err := last.wait(ctx); err != nil {
				return nil, last.began, err
			}
			return last.shown[strings.ToLower(target.String())], last.began, nil
		case !w.worth(pages):
			w.mu.Unlock()
			return nil, time.Time{}, nil
		case last != nil && !last.ended():
			w.mu.Unlock()
			if err := last.wait(ctx); err != nil && ctx.Err() != nil {
				return nil, time.Time{}, err
			}
			continue
		}
		wait := w.pause(pages) - time.Since(after)
		if last != nil {
			wait = max(wait, w.pause(pages)-time.Since(last.began))
		}
		if wait <= 0 {
			w.last = &groupListing{began: time.Now(), shown: map[string][]byte{}, done: make(chan struct{})}
			go s.makeListing(context.WithoutCancel(ctx), target.Subscription, w.last)
			w.mu.Unlock()
			continue
		}
		w.mu.Unlock()
		if err := arm.Wait(ctx, wait); err != nil {
			return nil, time.Time{}, err
		}
	}
}

func (l *groupListing) ended() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

func (l *groupListing) wait(ctx context.Context) error {
	select {
	case <-l.done:
		return l.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// makeListing makes one listing. Of the NSGs that nobody waits for it reads the id alone.
func (s *clients) makeListing(ctx context.Context, subscription string, l *groupListing) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	defer close(l.done)
	l.err = parallel.Recover(func() error {
		return s.listGroups(ctx, subscription, func(page []arm.Listed) error {
			l.pages++
			s.watch.mu.Lock()
			defer s.watch.mu.Unlock()
			for _, one := range page {
				if id := strings.ToLower(one.ID); s.watch.wanted[id] > 0 {
					l.shown[id] = bytes.Clone(one.Raw)
				}
			}
			return nil
		})
	})
}
