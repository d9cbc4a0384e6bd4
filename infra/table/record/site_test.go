package record_test

import (
	"encoding/json"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"portcullis/core/jit"
	"portcullis/core/reach"
	"portcullis/core/store"
	"portcullis/infra/table/entity"
	"portcullis/infra/table/record"
)

// TestSiteIsStored: what is known of an address, that nothing is in it, and that nothing is known, are read as they were written, and a document
// of before there were sites says that nothing is known.
func TestSiteIsStored(t *testing.T) {
	a, b := netip.MustParseAddr("10.0.0.4"), netip.MustParseAddr("fd00::4")
	vm := jit.ID{Subscription: "00000000-0000-0000-0000-00000000d3e0", ResourceGroup: "g", Type: jit.TypeVM, Name: "web"}
	target := vm
	target.Type, target.Name = jit.TypeNSG, "nsg"
	for name, site := range map[string]reach.Site{
		"nothing":        {},
		"none and some":  {Network: reach.Network{Inside: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")}, Whole: true}, Groups: map[netip.Addr][]string{a: {}, b: {"/asg/db", "/asg/web"}}},
		"one of two":     {Groups: map[netip.Addr][]string{b: {}}},
		"a network only": {Network: reach.Network{Inside: []netip.Prefix{netip.MustParsePrefix("fd00::/48")}}},
	} {
		t.Run(name, func(t *testing.T) {
			doc, err := record.Policy(store.PolicyRecord{Policy: jit.Policy{VM: vm}, Placements: []store.Placement{{Target: target, Addresses: []netip.Addr{a, b}, Site: site}}})
			if err != nil {
				t.Fatal(err)
			}
			stored := func(doc any) entity.Stored {
				text, err := json.Marshal(doc)
				if err != nil {
					t.Fatal(err)
				}
				return entity.Stored{Key: "k", Text: string(text)}
			}
			rec, err := record.ReadPolicy(stored(doc))
			if err != nil {
				t.Fatal(err)
			}
			part, err := record.ReadPolicyPart(stored(doc.Part(0)))
			if err != nil {
				t.Fatal(err)
			}
			for what, got := range map[string]reach.Site{"policy": rec.Placements[0].Site, "part": part.Site} {
				if !got.Equal(site) || len(got.Groups) != len(site.Groups) {
					t.Errorf("%s: %s", what, cmp.Diff(site, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })))
				}
			}
		})
	}
}
