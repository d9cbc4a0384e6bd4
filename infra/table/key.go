package table

import (
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/infra/table/entity"
)

// The rows of the State table; see the package comment.
const (
	live       = "live"
	policyRows = "policy|"
	grantRows  = "grant|"
	openRows   = "open|"
	targetRows = "target|"
	parts      = "part|"
	keyRows    = "key|"
	ageRows    = "age|"
	rowSweep   = "sweep"
)

func policyRow(vm jit.ID) string                { return policyRows + entity.Digest(vm.Key()) }
func grantRow(id string) string                 { return grantRows + entity.Safe(id) }
func openRow(start time.Time, id string) string { return openRows + historyRow(start, id) }
func targetRow(target jit.ID) string            { return targetRows + entity.Digest(target.Key()) }
func partRows(target jit.ID) string             { return parts + entity.Digest(target.Key()) + "|" }

// deniesRow sorts before the parts that bear on the target.
func deniesRow(target jit.ID) string { return partRows(target) + "denies" }

func policyPartRow(target, vm jit.ID) string { return partRows(target) + policyRow(vm) }

func grantPartRow(target jit.ID, id string) string { return partRows(target) + grantRow(id) }

func keyRow(requestor, value string) string {
	return keyRows + entity.Digest(entity.Digest(requestor)+entity.Digest(value))
}

// versionOf makes the version of a record: its ETag, and a digest of the places
// where it has parts. While a write keeps these, nothing needs to be read to know
// which parts have to go.
func versionOf(etag azcore.ETag, places []string) string {
	return placesDigest(places) + ";" + string(etag)
}

// etagOf takes a version apart. It reports false for one that names no row.
func etagOf(version string, places []string) (etag azcore.ETag, same, ok bool) {
	sum, tag, ok := strings.Cut(version, ";")
	return azcore.ETag(tag), sum == placesDigest(places), ok && tag != ""
}

func placesDigest(places []string) string {
	return entity.Digest(strings.Join(slices.Sorted(slices.Values(places)), " "))[:16]
}

// placesOfGrant are the targets of a grant.
func placesOfGrant(r store.GrantRecord) []string { return keysOf(targetsOfGrant(r)) }

// placesOfPolicy are the targets of a policy, and where it is listed.
func placesOfPolicy(r store.PolicyRecord) []string {
	return append(keysOf(targetsOfPolicy(r)), namedRow(r))
}

func keysOf(ids []jit.ID) []string {
	var out []string
	for _, id := range ids {
		out = append(out, id.Key())
	}
	return out
}

func targetsOfPolicy(r store.PolicyRecord) []jit.ID {
	out := make([]jit.ID, 0, len(r.Placements))
	for _, p := range r.Placements {
		out = append(out, p.Target)
	}
	return out
}

func targetsOfGrant(r store.GrantRecord) []jit.ID {
	out := make([]jit.ID, 0, len(r.Placements))
	for _, p := range r.Placements {
		out = append(out, p.Target)
	}
	return out
}

// without gives the targets of old that are not in now.
func without(old, now []jit.ID) []jit.ID {
	var out []jit.ID
	for _, o := range old {
		if !slices.ContainsFunc(now, o.Equal) {
			out = append(out, o)
		}
	}
	return out
}

// twice gives a target that stands twice.
func twice(targets []jit.ID) (jit.ID, bool) {
	seen := map[string]bool{}
	for _, t := range targets {
		if seen[t.Key()] {
			return t, true
		}
		seen[t.Key()] = true
	}
	return jit.ID{}, false
}
