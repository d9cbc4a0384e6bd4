package sim_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/plan"
	"portcullis/core/store"
)

// restoreAfter is how old a copy must at least be for what was being opened in it: its time to open has passed, and ten minutes more.
const restoreAfter = 10 * time.Minute

// backup is a copy of the tables that is put back later.
type backup struct {
	tables *coretest.Memory
	at     time.Time
	back   time.Time // when it was put back; zero before
}

// forgot reports whether a line of the log is not in the copy that was put back.
func (b *backup) forgot(e store.Entry) bool {
	return b != nil && e.Time.After(b.at) && !e.Time.After(b.back)
}

// backUp copies the tables while nothing is under way, as their remedy does. In half of the runs a machine is protected right after it, of which the
// copy knows nothing; in a quarter the window that ends last is closed right after it, and the copy, which has it open, put back at once.
func (r *run) backUp() {
	r.drain(true)
	since := []jit.ID{vmID(protected[r.pick(len(protected))])}
	if r.chance(50) {
		since = nil
	}
	if since != nil {
		r.disable(r.apps[0], since)
		r.drain(true)
	}
	r.note("COPY of the tables")
	r.backup = &backup{tables: r.table.Copy(), at: time.Now()}
	if since != nil {
		r.enable(r.apps[0], since, false)
		r.drain(true)
		return
	}
	if id := r.longestOpen(); id != "" && r.chance(50) {
		r.close(r.apps[0], id, r.table.grants[id])
		r.drain(true)
		r.putBack()
	}
}

// longestOpen returns the open grant that ends last, "" where none is open.
func (r *run) longestOpen() (id string) {
	for _, next := range slices.Sorted(maps.Keys(r.table.grants)) {
		g := r.table.grants[next].rec.Grant
		if g.Status() == jit.Initiated && time.Now().Before(g.End()) && (id == "" || g.End().After(r.table.grants[id].rec.Grant.End())) {
			id = next
		}
	}
	return id
}

// putBack puts the older tables back once; every process starts again. What was ended or protected since is remembered by the run alone.
func (r *run) putBack() {
	if r.backup == nil || r.bereft {
		return
	}
	r.drain(true)
	open, _ := r.backup.tables.OpenGrants(context.Background())
	for _, g := range open {
		if g.Grant.Status() == jit.Initiating && time.Now().Before(g.Grant.OpenBy.Add(restoreAfter+2*skewMax)) {
			return
		}
		if g.Grant.Waiting() && time.Now().Before(g.Grant.OpenBy.Add(2*skewMax)) {
			return // it would wait once more, and might be approved once more: docs/operations.md has it cancelled first
		}
	}
	r.note("PUT BACK the tables of %s", r.backup.at.Sub(r.start))
	r.bereft, r.backup.back = true, time.Now()
	r.table.Memory = r.backup.tables
	for id, l := range r.table.grants {
		rec, err := r.table.Grant(context.Background(), id)
		switch {
		case errors.Is(err, store.ErrNotFound):
			l.lost = true
		case !rec.Grant.Closed() && l.rec.Grant.Closed():
			l.lost, l.ended = true, true
		case otherwise(l.rec.Grant, rec.Grant):
			l.lost, l.rec = true, rec
		}
	}
	was := maps.Clone(r.table.policies)
	_ = r.table.EachPolicy(context.Background(), func(rec store.PolicyRecord) error {
		r.table.policies[rec.Policy.VM.Name] = rec
		if old, ok := was[rec.Policy.VM.Name]; !ok || old.Version != rec.Version {
			delete(r.guarded, rec.Policy.VM.Name)
		}
		return nil
	})
	for vm := range was {
		if _, err := r.table.Policy(context.Background(), vmID(vm)); err != nil {
			r.orphans[vm] = true // nothing stored knows it, and it stays closed
		}
	}
	for _, g := range r.azure.groups {
		clear(g.sure)
		g.touch(time.Now())
	}
	for _, a := range r.apps {
		r.crash(a)
	}
	r.check()
}

// otherwise reports whether an older record tells something else of a window than the newer one.
func otherwise(newer, older jit.Grant) bool {
	for i, vm := range newer.VMs {
		for j, w := range vm.Ports {
			if o := older.VMs[i].Ports[j]; o.Status != w.Status || !o.End.Equal(w.End) {
				return true
			}
		}
	}
	return false
}

// orphaned forgets that machines which nothing stored knows stay closed: others have touched them, and nobody puts that right.
func (r *run) orphaned() {
	for vm := range r.orphans {
		delete(r.guarded, vm)
		delete(r.table.policies, vm)
	}
	clear(r.orphans)
}

// reopens is I13: no allow is made for a grant that had ended when older tables were put back.
func (r *run) reopens(target jit.ID, c plan.Changes) {
	for _, x := range slices.Concat(c.Create, c.Update) {
		l := r.table.grants[grantIn(x.Name)]
		if x.Access == jit.Allow && l != nil && l.ended && !slices.ContainsFunc(r.azure.groups[target.Name].packets, func(p jit.Rule) bool { return strings.EqualFold(p.Name, x.Name) }) {
			r.violate("I13", "%s of %s is made again, and grant %s had ended", x.Name, target.Name, l.rec.Grant.ID)
		}
	}
}
