package defender

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"portcullis/core/claim"
	"portcullis/core/jit"
	"portcullis/core/parallel"
	"portcullis/core/store"
)

// form returns how the i-th machine was written.
func (w Written) form(i int) string {
	if i < len(w.Forms) {
		return w.Forms[i]
	}
	return ""
}

// headOf returns what is to be stored of a named policy itself; nil if that is stored already.
func (s *Named) headOf(name store.PolicyName, before NamedPolicy, policies []jit.Policy, w Written) *store.NamedRecord {
	want := store.NamedRecord{Name: name, Kind: w.Kind, Append: w.Append}
	if before.exists() {
		want.Name = before.Name
	}
	want.Dropped = before.list().Dropped()
	stored := before.Head != nil && !before.Head.Draft
	switch {
	case stored:
		want.Since = before.Head.Since
	case len(before.Machines) == 0:
		want.Since = s.now()
	default: // it has existed since its first machine got its policy
		want.Since = slices.MinFunc(before.Machines, func(a, b store.PolicyRecord) int { return a.Since.Compare(b.Since) }).Since
	}
	if w.Append {
		for _, m := range before.ordered().Machines {
			want.Order = append(want.Order, markOf(m.Policy.VM))
		}
	}
	for _, p := range policies {
		if mark := markOf(p.VM); !w.Append || !slices.Contains(want.Order, mark) {
			want.Order = append(want.Order, mark)
		}
	}
	if h := before.Head; stored && h.Claim == (store.Claim{}) && h.Kind == want.Kind && h.Append == want.Append && slices.Equal(h.Order, want.Order) {
		return nil
	}
	return &want
}

// confirm answers a replacement whose list is stored: it stores how it was written, and brings the targets in order. It
// reads the list again if it writes nothing: the machines' records were read one by one, and somebody may have changed the
// list meanwhile.
func (s *Named) confirm(ctx context.Context, r replacement) (NamedPolicy, error) {
	var stored store.NamedRecord
	if r.before.Head != nil {
		stored = *r.before.Head
	}
	p, err := s.reword(ctx, r, func(ctx context.Context, head store.NamedRecord) (err error) {
		if r.head == nil {
			now, err := s.policyNamed(ctx, r.before.Name)
			if err == nil && (now.list().Version() != r.before.list().Version() || !now.list().Same(r.before.list())) {
				err = claim.ErrTaken
			}
			return err
		}
		head.Version = r.before.list().Version()
		stored, err = s.Protection.Policies.PutNamed(ctx, head)
		if errors.Is(err, store.ErrConflict) {
			err = claim.ErrTaken
		}
		return err
	})
	if err != nil {
		return p, err
	}
	p.Narrowed, err = s.Protection.Narrow(ctx, policiesIn(r.kept))
	hindered, failed := s.enforce(ctx, r.kept, store.Distinct(slices.Concat(targetsOfRecords(r.kept), stored.Dropped)), p.Narrowed)
	p.Hindered = hindered
	if err = errors.Join(err, failed); err == nil {
		err = s.lists().Confirmed(ctx, stored)
	}
	return p, err
}

// reword stores how a replacement was written, once what it says is stored, and returns the policy as it is then. A
// record that others are changing keeps its form: a form counts only while it says what is stored. finish comes last, with the
// policy's own record.
func (s *Named) reword(ctx context.Context, r replacement, finish func(context.Context, store.NamedRecord) error) (NamedPolicy, error) {
	err := parallel.Each(r.reworded, func(_ int, rec store.PolicyRecord) error {
		if _, err := s.Protection.Policies.PutPolicy(ctx, rec); err != nil && !errors.Is(err, store.ErrConflict) {
			return fmt.Errorf("store how the policy of %s is written: %w", rec.Policy.VM.Name, err)
		}
		return nil
	})
	p := NamedPolicy{Name: r.before.Name, Head: r.before.Head, Machines: slices.Concat(r.kept, r.changed)}
	if r.head != nil {
		p.Name, p.Head = r.head.Name, r.head
	}
	if err == nil {
		var head store.NamedRecord
		if p.Head != nil {
			head = *p.Head
		}
		err = finish(ctx, head)
	}
	return p.sealed(), err
}

// unecho takes out of policies the firewall addresses that their clients were shown and send back: where the stored
// policy pins none, the address at which the machine's requests are mapped is not a wish. It reads the requests only if
// there is such an address.
func (s *Named) unecho(ctx context.Context, before NamedPolicy, byVM map[string]store.PolicyRecord, policies []jit.Policy) error {
	var at []int
	for i, p := range policies {
		if rec, known := byVM[p.VM.Key()]; known && p.PublicAddress.IsValid() && !rec.Policy.PublicAddress.IsValid() {
			at = append(at, i)
		}
	}
	if len(at) == 0 {
		return nil
	}
	before, err := s.withRequests(ctx, before)
	if err != nil {
		return err
	}
	for _, i := range at {
		if before.DialledAt(byVM[policies[i].VM.Key()].Policy) == policies[i].PublicAddress {
			policies[i].PublicAddress = netip.Addr{}
		}
	}
	return nil
}
