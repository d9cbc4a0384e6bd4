package pending

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"portcullis/core/decide"
	"portcullis/core/jit"
	"portcullis/core/permit"
	"portcullis/core/store"
)

// Release lets a grant go whose wait is over: it decides everything again and stores it as [jit.Initiating], for [Desk.Open] to open. One that is approved
// before its start becomes [jit.Scheduled]. One that still waits is returned as it is, and so is one on which somebody else has gone on. One that is
// refused now ends, with the reason stored, and is returned as it is then. An error means that nothing is decided, and that the call may come again.
func (d *Desk) Release(ctx context.Context, rec store.GrantRecord) (store.GrantRecord, error) {
	err := store.Retry(func(first bool) (err error) {
		if !first {
			if rec, err = d.Service.Grants.Grant(ctx, rec.Grant.ID); err != nil {
				return fmt.Errorf("read grant %s again: %w", rec.Grant.ID, err)
			}
		}
		var next store.GrantRecord
		if next, err = d.release(ctx, rec); err == nil {
			rec = next
		}
		return err
	})
	return rec, err
}

func (d *Desk) release(ctx context.Context, rec store.GrantRecord) (store.GrantRecord, error) {
	now := d.now()
	if rec.Grant.Waits(now) { // first, since somebody else may let it go meanwhile: what follows is decided of the grant as it is then
		var err error
		if rec, err = d.logged(ctx, rec); err != nil {
			return rec, err
		}
	}
	waiting, scheduled := rec.Grant.Status() == jit.AwaitingApproval, rec.Grant.Status() == jit.Scheduled
	if !rec.Grant.Waits(now) || scheduled && now.Before(rec.Grant.Wait.Opens) || waiting && len(rec.Grant.Wait.Approvals) == 0 {
		return rec, nil
	}
	lost, err := d.lost(ctx, rec.Grant)
	if err != nil {
		return rec, err
	}
	if lost != nil {
		return d.end(ctx, rec, jit.RightLost, lost)
	}
	wanted, err := d.demandOf(ctx, rec.Grant)
	if err != nil {
		return rec, err
	}
	names, err := d.approvers(ctx, rec.Grant, wanted, now)
	switch {
	case err != nil:
		return rec, err
	case len(names) < wanted.approvers && waiting:
		return rec, nil
	case len(names) < wanted.approvers:
		return d.end(ctx, rec, jit.RightLost, &jit.Error{Code: permit.CodeForbidden, Target: "id", Message: fmt.Sprintf("of those who approved it, %d may still do so, and %d have to", len(names), wanted.approvers)})
	}
	approved := store.Letter{Message: store.Message{Kind: store.EventApproved, By: strings.Join(names, ", ")}}
	if rec.Grant.Wait.Opens.After(now) {
		return d.schedule(ctx, rec, approved)
	}
	var tell []store.Letter
	if waiting {
		tell = append(tell, approved)
	}
	return d.letGo(ctx, rec, len(names), tell)
}

// letGo decides a grant again that so many have approved whose approval counts, and stores it to be opened, with what is told of that.
func (d *Desk) letGo(ctx context.Context, rec store.GrantRecord, approvers int, tell []store.Letter) (store.GrantRecord, error) {
	decided, err := d.Service.Redecide(ctx, rec)
	if refused := jit.Refused(err); refused != nil {
		return d.end(ctx, rec, jit.OpeningFailed, refused)
	}
	if err != nil {
		return rec, err
	}
	next := decided.Record
	if next.Grant.Wait.Approvers > approvers { // the policies have changed since they were read
		return rec, store.ErrConflict
	}
	next.Tell = append(next.Tell, tell...)
	released, err := d.Service.Release(ctx, next)
	if refused := jit.Refused(err); refused != nil {
		return d.end(ctx, rec, jit.OpeningFailed, refused)
	}
	return released, err
}

// schedule stores that a grant was approved before its start, its wake-ups first.
func (d *Desk) schedule(ctx context.Context, rec store.GrantRecord, approved store.Letter) (store.GrantRecord, error) {
	rec.Grant = decide.Schedule(rec.Grant)
	rec.Tell = append(rec.Tell, approved)
	if err := d.Service.Alarm.Schedule(ctx, store.WakesOf(rec.Grant, d.now())...); err != nil {
		return rec, fmt.Errorf("schedule the start: %w", err)
	}
	updated, err := d.Service.Grants.UpdateGrants(ctx, rec)
	if err != nil {
		return rec, fmt.Errorf("store the start of grant %s: %w", rec.Grant.ID, err)
	}
	return updated[0], nil
}

// lost returns the refusal of who asked and could not ask any more, or nil.
func (d *Desk) lost(ctx context.Context, g jit.Grant) (*jit.Error, error) {
	who := jit.Caller{ID: g.RequestorID, Name: g.Requestor}
	err := d.Permit.May(ctx, who, permit.VerbRequest, permit.ScopesOf(g.Machines())...)
	if refused := jit.Refused(err); refused != nil {
		return refused, nil
	}
	return nil, err
}

// approvers returns the names of those whose approval counts.
func (d *Desk) approvers(ctx context.Context, g jit.Grant, wanted demand, now time.Time) ([]string, error) {
	var names []string
	for _, a := range g.Wait.Approvals {
		ok, err := d.counts(ctx, a, g, wanted, now)
		if err != nil {
			return nil, err
		}
		if ok {
			names = append(names, a.Name)
		}
	}
	return names, nil
}

// end stores that a grant is not opened, and why.
func (d *Desk) end(ctx context.Context, rec store.GrantRecord, reason jit.Reason, why *jit.Error) (store.GrantRecord, error) {
	rec, err := store.ChangeGrant(ctx, d.Service.Grants, rec, func(g store.GrantRecord) (store.GrantRecord, bool, error) {
		now := d.now()
		if !g.Grant.Waits(now) {
			return g, false, nil
		}
		g.Grant, g.Failed = g.Grant.Revoke(now, reason), store.Publicly(why)
		return g.Intend(jit.App(), store.OpOpen, store.Failed, g.Failed, now), true, nil
	})
	if err != nil {
		return rec, fmt.Errorf("end the wait of grant %s: %w", rec.Grant.ID, err)
	}
	return d.close(ctx, rec)
}

// Open opens a grant that [Desk.Release] has let go, as [access.Service.Open] does, for who asked for it.
func (d *Desk) Open(ctx context.Context, rec store.GrantRecord) (out store.GrantRecord, err error) {
	who := jit.Caller{ID: rec.Grant.RequestorID, Name: rec.Grant.Requestor}
	err = d.Service.Rounds.Recovered("the opening of grant "+rec.Grant.ID, func() (err error) {
		out, err = d.Service.Open(ctx, who, rec)
		return err
	})
	return out, err
}

// openWait bounds how long a wake-up waits for an opening, which goes on by itself: each has to be answered before its lock ends.
const openWait = 20 * time.Second

// Due goes on with a grant: it lets it go if its wait is over, and opens what was let go and is not confirmed yet. An opening that fails is undone, and is no error of Due: an error
// means that the call should come again.
func (d *Desk) Due(ctx context.Context, rec store.GrantRecord) error {
	rec, err := d.Release(ctx, rec)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("go on with grant %s: %w", rec.Grant.ID, err)
	}
	now := d.now()
	if rec.Grant.Waits(now) {
		return d.early(ctx, rec.Grant, now)
	}
	if !rec.Grant.Pending(now) {
		return nil
	}
	done := make(chan struct{})
	background := context.WithoutCancel(ctx)
	go func() {
		defer close(done)
		_, _ = d.Open(background, rec)
	}()
	timer := time.NewTimer(openWait)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	case <-ctx.Done():
	}
	return nil
}

// early schedules a wake-up again that has come a little before the start or the end of a wait, as where the alarm's clock is ahead of ours: as long
// after it as it came before it.
func (d *Desk) early(ctx context.Context, g jit.Grant, now time.Time) error {
	for _, at := range g.Wakes() {
		if early := at.Sub(now); early > 0 && early <= jit.ClockSkew {
			return d.Service.Alarm.Schedule(ctx, store.Wake{Grant: g.ID, Generation: g.Generation, At: at.Add(early), Attempt: int(now.Unix())})
		}
	}
	return nil
}
