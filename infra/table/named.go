package table

import (
	"context"
	"fmt"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"portcullis/core/store"
	"portcullis/infra/table/entity"
	"portcullis/infra/table/record"
)

// namedRows begin the rows by which named policies are found: subscription, location, resource group, name, machine. Each is
// a copy of the machine's policy, written in one transaction with it.
const namedRows = "named|"

// namedRow names the row of a policy under its name.
func namedRow(r store.PolicyRecord) string {
	return namedPrefix(r.Listing()) + entity.Digest(r.Policy.VM.Key())
}

// namedPrefix begins the rows of one named policy.
func namedPrefix(n store.PolicyName) string {
	return namedRows + word(n.Subscription) + "|" + word(n.Location) + "|" + word(n.ResourceGroup) + "|" + word(n.Name) + "|"
}

// headRow names the row of a named policy itself. It comes before those of its machines, whose digests are letters and digits.
func headRow(n store.PolicyName) string { return namedPrefix(n) + headSuffix }

const headSuffix = "!"

// namedOp gives the write of a named policy's row by its version. It is signed, so that its ETag is known even if an answer is lost.
func namedOp(n store.NamedRecord) entity.Op {
	o := entity.Op{Kind: entity.Add, Row: entity.Row{Partition: live, Key: headRow(n.Name), Doc: record.Named(n)}.Sign()}
	if n.Version != "" {
		o.Kind, o.ETag = entity.Replace, azcore.ETag(n.Version)
	}
	return o
}

// PutNamed is one write of one row.
func (s *Store) PutNamed(ctx context.Context, n store.NamedRecord) (store.NamedRecord, error) {
	etags, err := s.state.Commit(ctx, entity.Owned{Head: namedOp(n)})
	if err != nil {
		return n, fmt.Errorf("store the policy %s: %w", n.Name.Name, err)
	}
	n.Version = string(etags[0])
	return n, nil
}

// DropNamed is one write of one row.
func (s *Store) DropNamed(ctx context.Context, n store.NamedRecord) error {
	o, err := namedOp(n), error(store.ErrConflict)
	if n.Version != "" {
		o.Kind = entity.Remove
		_, err = s.state.Commit(ctx, entity.Owned{Head: o})
	}
	if err != nil {
		return fmt.Errorf("remove the policy %s: %w", n.Name.Name, err)
	}
	return nil
}

// PutListed is PutPolicy with the named policy's row in its transaction. Where a policy has so many targets that it takes
// several, the row is written before them.
func (s *Store) PutListed(ctx context.Context, n store.NamedRecord, p store.PolicyRecord) (store.NamedRecord, store.PolicyRecord, error) {
	o, err := s.putting(ctx, p)
	if err != nil {
		return n, p, err
	}
	etags, err := s.state.Commit(ctx, entity.Owned{Head: namedOp(n)}, o)
	if len(etags) > 0 {
		n.Version = string(etags[0])
	}
	if err != nil {
		return n, p, fmt.Errorf("store the policy of %s in %s: %w", p.Policy.VM, n.Name.Name, err)
	}
	p.Version = versionOf(etags[1], placesOfPolicy(p))
	return n, p, nil
}

// DropListed is DeletePolicy with the named policy's row in its transaction, as PutListed.
func (s *Store) DropListed(ctx context.Context, n store.NamedRecord, p store.PolicyRecord) (store.NamedRecord, error) {
	o, err := s.deleting(ctx, p)
	if err == nil {
		var etags []azcore.ETag
		if etags, err = s.state.Commit(ctx, entity.Owned{Head: namedOp(n)}, o); len(etags) > 0 {
			n.Version = string(etags[0])
		}
	}
	if err == nil {
		return n, nil
	}
	return n, fmt.Errorf("remove the policy of %s from %s: %w", p.Policy.VM, n.Name.Name, err)
}

// word gives a key's form of a name in which case does not count: what is usual in names stays, any other byte becomes =XX, and
// a long one is told by its digest.
func word(s string) string {
	s = strings.ToLower(s)
	var b strings.Builder
	for _, c := range []byte(s) {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("-._()", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "=%02X", c)
		}
	}
	if b.Len() > 90 {
		return "==" + entity.Digest(s)
	}
	return b.String()
}

// listedPage is how many policies a page of the service holds for a list, whose pages are of 50 named policies.
const listedPage = 200

// EachListed reads the range of what the filter names, page by page. Of a resource group at any location it reads one range at each
// location that the subscription has policies at, and one row to find each location.
func (s *Store) EachListed(ctx context.Context, f store.PolicyFilter, after store.PolicyName, head func(store.NamedRecord) error, give func(store.PolicyRecord) error) error {
	sub := namedRows + word(f.Subscription) + "|"
	begin := ""
	if after != (store.PolicyName{}) {
		begin = strings.TrimSuffix(namedPrefix(after), "|") + "}"
	}
	if f.Location != "" || f.ResourceGroup == "" {
		prefix := sub
		for _, name := range []string{f.Location, f.ResourceGroup, f.Name} {
			if name == "" {
				break
			}
			prefix += word(name) + "|"
		}
		return s.eachNamed(ctx, prefix, begin, f, head, give)
	}
	for from := max(sub, begin); ; {
		first, _, err := s.state.Query(ctx, entity.In(live).Ge("RowKey", from).Lt("RowKey", strings.TrimSuffix(sub, "|")+"}"), 1, 0)
		if err != nil || len(first) == 0 {
			return err
		}
		location, _, _ := strings.Cut(strings.TrimPrefix(first[0].Key, sub), "|")
		prefix := sub + location + "|" + word(f.ResourceGroup) + "|"
		if f.Name != "" {
			prefix += word(f.Name) + "|"
		}
		if err := s.eachNamed(ctx, prefix, begin, f, head, give); err != nil {
			return err
		}
		from = sub + location + "}"
	}
}

func (s *Store) eachNamed(ctx context.Context, prefix, begin string, f store.PolicyFilter, head func(store.NamedRecord) error, give func(store.PolicyRecord) error) error {
	w := entity.In(live).Under(prefix)
	if begin > prefix {
		w = w.Gt("RowKey", begin)
	}
	for r, err := range s.state.Each(ctx, w, listedPage) {
		if err != nil {
			return fmt.Errorf("list policies: %w", err)
		}
		if strings.HasSuffix(r.Key, "|"+headSuffix) {
			n, err := record.ReadNamed(r)
			if err == nil && f.Matches(n.Name) {
				err = head(n)
			}
			if err != nil {
				return err
			}
			continue
		}
		p, err := policyRecordOf(r)
		if err != nil {
			return err
		}
		if !f.Matches(p.Listing()) { // a name without what comes before it in the order
			continue
		}
		p.Version = "" // the copy's is not the policy's
		if err := give(p); err != nil {
			return err
		}
	}
	return nil
}
