package protect

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// Seen is what the caller of [Protection.EnableIf] knows of the policies to be replaced: by jit.ID.Key of the machine the entity tags of which the policy must
// have one ([store.PolicyETag]; "*" is any policy). Of a machine that is not in it nothing has to be so.
type Seen map[string][]string

// unchanged refuses with [store.CodePrecondition] a policy that is not what the caller has seen, and says what it is now, by whom and since when,
// with what it was before that.
func (s *Protection) unchanged(ctx context.Context, seen Seen, vm jit.ID, stored store.PolicyRecord) error {
	tags, given := seen[vm.Key()]
	is := store.PolicyETag(stored.Policy)
	if !given || slices.Contains(tags, is) || slices.Contains(tags, "*") && is != store.NoPolicy {
		return nil
	}
	bad := &jit.Error{Code: store.CodePrecondition, Target: vm.String()}
	if is == store.NoPolicy {
		bad.Message = fmt.Sprintf("%s has no policy; it is not what you have seen, and nothing was saved", vm.Name)
		return bad
	}
	said := "now: " + policyText(stored.Policy)
	entries, _, err := s.Activity.Entries(ctx, store.EntryFilter{Subscription: vm.Subscription, VM: vm.Key(), Operation: store.OpEnable, Result: store.Succeeded, From: stored.ChangedAt}, "", 10)
	if err == nil { // where the log does not answer, what is stored says enough
		if i := slices.IndexFunc(entries, func(e store.Entry) bool { return strings.Contains(e.Message, said) }); i >= 0 {
			said = entries[i].Message
		}
	}
	bad.Message = fmt.Sprintf("%s changed the policy of %s at %s, and nothing was saved; look at it and save again what is still wanted. %s", stored.ChangedBy, vm.Name, stored.ChangedAt.UTC().Format(time.RFC3339), said)
	return bad
}
