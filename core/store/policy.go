package store

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"portcullis/core/jit"
)

// Placement says which of a machine's private addresses stand behind a target.
type Placement struct {
	Target jit.ID
	// Addresses are sorted, without duplicates; behind a firewall, that of the primary
	// configuration of each interface comes first, and what is opened leads there.
	Addresses []netip.Addr
	// Inside is what packets come from that a firewall has let through: the prefixes of its
	// subnet, sorted. It translates their sources too, so that the machine's security groups
	// see these and never the caller's. None where the target is a security group.
	Inside []netip.Prefix
}

// PolicyRecord is a stored policy.
type PolicyRecord struct {
	Policy     jit.Policy
	Location   string
	Listed     Listed      // which named policy lists it
	Placements []Placement // where the machine stood when last looked at
	ChangedBy  string
	ChangedAt  time.Time
	Version    string // "" for a policy that must not exist yet
}

// Listed says under which name Defender for Cloud's clients find a machine's
// policy (see [PolicyRecord.Listing]). What is empty is the machine's own resource group,
// its own location, and [DefaultName].
type Listed struct {
	ResourceGroup string
	Location      string
	Name          string
}

// Policies stores policies, one for a machine. Every write is conditional on the
// record's Version: ErrConflict where it is stale, or where a new one exists already.
type Policies interface {
	// Policy gives the policy of a machine; ErrNotFound where it has none.
	Policy(ctx context.Context, vm jit.ID) (PolicyRecord, error)
	// EachPolicy gives f every policy, once and in any order, and holds no more of them than a page. It ends with
	// the first error of f, which it gives back. f may write policies: what is written meanwhile may be
	// given as it was or as it is.
	EachPolicy(ctx context.Context, f func(PolicyRecord) error) error
	// EachListed gives f every policy that the filter selects by its [PolicyRecord.Listing], those of one name one after the
	// other, the names in an order that stays the same, from the one on that comes after the name after, if that is not
	// zero. It reads what it gives and no more, and holds no more than a page; else it is as EachPolicy. The records have no
	// Version: who is about to write one reads it by its machine.
	EachListed(ctx context.Context, f PolicyFilter, after PolicyName, give func(PolicyRecord) error) error
	// PutPolicy stores the policy, its part at each of its placements' targets, and each of those
	// targets as known; parts at other targets go. It gives the record with its new Version.
	PutPolicy(ctx context.Context, p PolicyRecord) (PolicyRecord, error)
	// DeletePolicy removes the policy and its parts. The targets stay known.
	DeletePolicy(ctx context.Context, p PolicyRecord) error
}

// DefaultName is the name of the policy that lists a machine unless somebody
// said otherwise: the one that Defender for Cloud's own page uses.
const DefaultName = "default"

// PolicyName names a policy as Defender for Cloud's clients do. Case does not
// count; compare two by [PolicyName.Key].
type PolicyName struct {
	Subscription  string
	ResourceGroup string
	Location      string
	Name          string
}

func (n PolicyName) id() jit.ID {
	return jit.ID{Subscription: n.Subscription, ResourceGroup: n.ResourceGroup, Type: "Microsoft.Security/locations/" + n.Location + "/jitNetworkAccessPolicies", Name: n.Name}
}

// String returns the ARM id.
func (n PolicyName) String() string { return n.id().String() }

// Key returns the ARM id in lower case.
func (n PolicyName) Key() string { return n.id().Key() }

// ParsePolicyName reads what [PolicyName.String] gives, and reports false for anything else.
func ParsePolicyName(text string) (PolicyName, bool) {
	part := strings.Split(text, "/")
	if len(part) != 11 {
		return PolicyName{}, false
	}
	n := PolicyName{Subscription: part[2], ResourceGroup: part[4], Location: part[8], Name: part[10]}
	return n, n.String() == text && !slices.Contains(part[1:], "")
}

// Scope returns the ARM id of the resource group, where permissions for the policy
// as such are looked for.
func (n PolicyName) Scope() string {
	return "/subscriptions/" + n.Subscription + "/resourceGroups/" + n.ResourceGroup
}

// Listing returns the named policy that lists the record's machine.
func (r PolicyRecord) Listing() PolicyName {
	return PolicyName{
		Subscription:  r.Policy.VM.Subscription,
		ResourceGroup: cmp.Or(r.Listed.ResourceGroup, r.Policy.VM.ResourceGroup),
		Location:      cmp.Or(r.Listed.Location, r.Location),
		Name:          cmp.Or(r.Listed.Name, DefaultName),
	}
}

// PolicyFilter selects named policies of a subscription; empty fields select all.
type PolicyFilter struct {
	Subscription  string
	ResourceGroup string
	Location      string
	Name          string
}

// Matches reports whether the filter selects what has the name.
func (f PolicyFilter) Matches(n PolicyName) bool {
	return strings.EqualFold(f.Subscription, n.Subscription) &&
		(f.ResourceGroup == "" || strings.EqualFold(f.ResourceGroup, n.ResourceGroup)) &&
		(f.Location == "" || strings.EqualFold(f.Location, n.Location)) &&
		(f.Name == "" || strings.EqualFold(f.Name, n.Name))
}

// AllPolicies returns every policy, sorted by machine. It holds all of them: it is for lists that people read.
func AllPolicies(ctx context.Context, from Policies) ([]PolicyRecord, error) {
	var all []PolicyRecord
	err := from.EachPolicy(ctx, func(rec PolicyRecord) error {
		all = append(all, rec)
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b PolicyRecord) int { return cmp.Compare(a.Policy.VM.Key(), b.Policy.VM.Key()) })
	return all, nil
}

// ContendedPolicy refuses a change of a policy that was lost to others too often.
func ContendedPolicy(vm jit.ID) *jit.Error {
	return &jit.Error{Code: CodeConcurrent, Target: vm.String(), Message: "the policy of " + vm.Name + " is being changed by others; ask again"}
}
