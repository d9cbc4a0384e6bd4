package inventory

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"portcullis/core/jit"
	"portcullis/core/memo"
	"portcullis/core/parallel"
	"portcullis/core/store"
)

// How an inventory counts recent requests.
const (
	recentFor = 7 * 24 * time.Hour
	// recentLife is how long the counts are cached. Open grants are counted at once, since they are read anyway.
	recentLife = 10 * time.Second
	// recentOverlap is how far back the next count reads again: far longer than a grant takes from its start until it
	// is stored and open, or given up.
	recentOverlap = 3 * jit.OpeningTimeout
	// maxRecent bounds how many grants are read, about 10 MB. If there are more, the newest of each day count.
	maxRecent  = 50_000
	recentPage = 1000
)

// recent is the grants of the last 7 days that count. It is immutable.
type recent struct {
	grants map[string]approved // by id
	upTo   time.Time           // when it was read
	cut    bool                // there were more
}

// approved is what counts of one grant.
type approved struct {
	start     time.Time
	requestor string
	vms       []string // jit.ID.Key
}

func approvedOf(g jit.Grant) (approved, bool) {
	if g.Reason() == jit.OpeningFailed || g.Unreleased() || g.BreakGlass == jit.BreakGlassDrill {
		return approved{}, false // it was never open
	}
	a := approved{start: g.Start, requestor: g.Requestor}
	for _, vm := range g.VMs {
		a.vms = append(a.vms, vm.VM.Key())
	}
	return a, true
}

// recent returns the grants of the last 7 days. The first call reads them all, the days concurrently; later calls
// read only what is new.
func (s *Inventory) recent(ctx context.Context) (recent, error) {
	return s.past.Get(ctx, "", s.now, memo.Always[recent](recentLife), func(ctx context.Context, before recent) (recent, error) {
		now := s.now()
		from := now.Add(-recentFor)
		out := recent{grants: map[string]approved{}, upTo: now}
		if since := before.upTo.Add(-recentOverlap); before.upTo.After(from) && since.After(from) && !before.cut {
			for id, a := range before.grants {
				if a.start.After(from) && a.start.Before(since) {
					out.grants[id] = a
				}
			}
			from = since
		}
		var days []time.Time
		for d := from; !d.After(now); d = d.Add(24 * time.Hour) {
			days = append(days, d)
		}
		var mu sync.Mutex
		err := parallel.Each(days, func(_ int, d time.Time) error {
			found, cut, err := s.recentDay(ctx, d, maxRecent/len(days))
			mu.Lock()
			defer mu.Unlock()
			maps.Copy(out.grants, found)
			out.cut = out.cut || cut || len(out.grants) > maxRecent
			return err
		})
		return out, err
	})
}

// recentDay reads the grants that began in the 24 hours from d, at most most of them.
func (s *Inventory) recentDay(ctx context.Context, d time.Time, most int) (map[string]approved, bool, error) {
	found, seen := map[string]approved{}, 0
	f, cursor := store.GrantFilter{From: d, To: d.Add(24 * time.Hour)}, ""
	for {
		grants, next, err := s.History.ListGrants(ctx, f, cursor, min(recentPage, most-seen))
		if err != nil {
			return nil, false, fmt.Errorf("read the requests of the last days: %w", err)
		}
		for _, g := range grants {
			if a, ok := approvedOf(g); ok {
				found[g.ID] = a
			}
		}
		seen += len(grants)
		switch {
		case next == "":
			return found, false, nil
		case seen >= most:
			return found, true, nil
		}
		cursor = next
	}
}

// past is the counts for one machine.
type past struct {
	count int
	last  approved
}

// counts returns the counts for each machine since from, including the open grants as they are now.
func (r recent) counts(open []store.GrantRecord, from time.Time) map[string]past {
	out := map[string]past{}
	add := func(a approved) {
		if a.start.Before(from) {
			return
		}
		for _, vm := range a.vms {
			p := out[vm]
			if p.count++; a.start.After(p.last.start) {
				p.last = a
			}
			out[vm] = p
		}
	}
	for _, a := range r.grants {
		add(a)
	}
	for _, g := range open {
		if _, counted := r.grants[g.Grant.ID]; counted {
			continue
		}
		if a, ok := approvedOf(g.Grant); ok {
			add(a)
		}
	}
	return out
}
