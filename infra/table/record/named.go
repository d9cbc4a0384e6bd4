package record

import (
	"time"

	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/infra/table/entity"
)

// NamedDoc is what is stored of a named policy besides its machines.
type NamedDoc struct {
	V int
	// VM names a machine of no subscription: a build that knows only policies in this range passes over the row, since
	// it belongs to none of the subscriptions that it looks for.
	VM           string
	Subscription string
	Listed       listedDoc
	Kind         string   `json:",omitempty"`
	Append       bool     `json:",omitempty"`
	Order        []string `json:",omitempty"`
	Since        entity.Stamp
	Until        entity.Stamp // of the claim
	Makes        string       `json:",omitempty"`
	Dropped      []string     `json:",omitempty"`
	Draft        bool         `json:",omitempty"`
}

const noMachine = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/none/providers/Microsoft.Compute/virtualMachines/none"

// Named returns the document of a named policy.
func Named(n store.NamedRecord) NamedDoc {
	var dropped []string
	for _, t := range n.Dropped {
		dropped = append(dropped, t.String())
	}
	return NamedDoc{V: entity.Version, VM: noMachine, Subscription: n.Name.Subscription,
		Listed: listedDoc{Group: n.Name.ResourceGroup, Location: n.Name.Location, Name: n.Name.Name},
		Kind:   n.Kind, Append: n.Append, Order: n.Order, Since: entity.Stamp(n.Since),
		Until: entity.Stamp(n.Claim.Until), Makes: n.Claim.Makes, Dropped: dropped, Draft: n.Draft}
}

// ReadNamed reads the document of a named policy.
func ReadNamed(r entity.Stored) (store.NamedRecord, error) {
	var d NamedDoc
	if err := r.Read(&d); err != nil {
		return store.NamedRecord{}, err
	}
	name := store.PolicyName{Subscription: d.Subscription, ResourceGroup: d.Listed.Group, Location: d.Listed.Location, Name: d.Listed.Name}
	var dropped []jit.ID
	for _, s := range d.Dropped {
		t, err := entity.IDOf(s)
		if err != nil {
			return store.NamedRecord{}, err
		}
		dropped = append(dropped, t)
	}
	return store.NamedRecord{Name: name, Kind: d.Kind, Append: d.Append, Order: d.Order, Since: time.Time(d.Since),
		Claim: store.Claim{Until: time.Time(d.Until), Makes: d.Makes}, Dropped: dropped, Draft: d.Draft, Version: string(r.ETag)}, nil
}
