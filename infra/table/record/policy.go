package record

import (
	"fmt"
	"net/netip"
	"time"

	"portcullis/core/jit"
	"portcullis/core/reach"
	"portcullis/core/roster"
	"portcullis/core/store"
	"portcullis/infra/table/entity"
)

// PolicyDoc is a policy as it is stored. Field names are short: a property is
// counted in UTF-16.
type PolicyDoc struct {
	V         int
	VM        string
	Ports     []portDoc
	Existing  string
	Room      bool        `json:",omitempty"` // its denies leave room for windows
	Options   *optionsDoc `json:",omitempty"` // in documents of before there were options, and of policies without: nothing
	Public    string      `json:",omitempty"` // the firewall's address that is pinned
	Location  string
	Listed    *listedDoc `json:",omitempty"` // in documents of before there were names, and of machines with the default one: nothing
	Form      string     `json:",omitempty"` // as a client of named policies wrote it
	At        []placementDoc
	ChangedBy string
	ChangedAt entity.Stamp
	Since     *entity.Stamp `json:",omitempty"`
}

type portDoc struct {
	N   uint16
	P   string
	S   []string
	Max string
	M   uint16 `json:",omitempty"` // the firewall's port that is pinned
	A   int    `json:",omitempty"` // approvers
}

// optionsDoc is what a policy demands of requests.
type optionsDoc struct {
	NoAny bool     `json:",omitempty"`
	V4    int      `json:",omitempty"`
	V6    int      `json:",omitempty"`
	Why   bool     `json:",omitempty"`
	N     int      `json:",omitempty"` // approvers
	By    []string `json:",omitempty"` // object ids of those who may approve
}

type listedDoc struct {
	Group    string
	Location string
	Name     string
}

type placementDoc struct {
	T string
	A []string
	siteDoc
}

// siteDoc is what is known of where addresses are. In documents of before it was stored it is absent: nothing is known.
type siteDoc struct {
	N []string            `json:",omitempty"` // prefixes that are in VirtualNetwork
	W bool                `json:",omitempty"` // nothing else is
	G map[string][]string `json:",omitempty"` // application security groups by address; an empty list is none, an address without one is not known
}

func newSiteDoc(s reach.Site) siteDoc {
	d := siteDoc{W: s.Network.Whole}
	for _, p := range s.Network.Inside {
		d.N = append(d.N, p.String())
	}
	for a, groups := range s.Groups {
		if d.G == nil {
			d.G = map[string][]string{}
		}
		d.G[a.String()] = append([]string{}, groups...)
	}
	return d
}

func (d siteDoc) site() (reach.Site, error) {
	s := reach.Site{Network: reach.Network{Whole: d.W}}
	for _, text := range d.N {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return reach.Site{}, err
		}
		s.Network.Inside = append(s.Network.Inside, p)
	}
	for text, groups := range d.G {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return reach.Site{}, err
		}
		if s.Groups == nil {
			s.Groups = map[netip.Addr][]string{}
		}
		if groups != nil { // null is no list, and so nothing that is known
			s.Groups[a] = groups
		}
	}
	return s, nil
}

// policyPartDoc is a policy as it bears on one target.
type policyPartDoc struct {
	V        int
	Target   string
	VM       string
	Ports    []portDoc
	Existing string
	Room     bool        `json:",omitempty"`
	Options  *optionsDoc `json:",omitempty"`
	Public   string      `json:",omitempty"`
	A        []string
	siteDoc
}

func portDocs(ports []jit.PortRule) []portDoc {
	var out []portDoc
	for _, p := range ports {
		out = append(out, portDoc{N: p.Number, P: string(p.Protocol), S: p.Sources.Strings(), Max: p.Maximum.String(), M: p.Mapped, A: p.Approvers})
	}
	return out
}

func policyOf(vm, existing, public string, room bool, ports []portDoc) (jit.Policy, error) {
	id, err := entity.IDOf(vm)
	if err != nil {
		return jit.Policy{}, err
	}
	e, err := jit.ParseExistingRules(existing)
	if err != nil {
		return jit.Policy{}, err
	}
	p := jit.Policy{VM: id, ExistingRules: e, LeavesRoom: room}
	if public != "" {
		if p.PublicAddress, err = netip.ParseAddr(public); err != nil {
			return jit.Policy{}, err
		}
	}
	for _, d := range ports {
		sources, err := entity.SourcesOf(d.S)
		if err != nil {
			return jit.Policy{}, err
		}
		max, err := time.ParseDuration(d.Max)
		if err != nil {
			return jit.Policy{}, err
		}
		p.Ports = append(p.Ports, jit.PortRule{Number: d.N, Protocol: jit.Protocol(d.P), Sources: sources, Maximum: max, Mapped: d.M, Approvers: d.A})
	}
	return p, nil
}

// Policy returns the document of a policy.
func Policy(r store.PolicyRecord) (PolicyDoc, error) {
	vm, err := entity.IDText(r.Policy.VM)
	if err != nil {
		return PolicyDoc{}, err
	}
	d := PolicyDoc{V: entity.Version, VM: vm, Ports: portDocs(r.Policy.Ports), Existing: r.Policy.ExistingRules.String(), Room: r.Policy.LeavesRoom, Public: entity.AddressText(r.Policy.PublicAddress),
		Location: r.Location, Form: r.Form, ChangedBy: r.ChangedBy, ChangedAt: entity.Stamp(r.ChangedAt)}
	if !r.Since.IsZero() {
		since := entity.Stamp(r.Since)
		d.Since = &since
	}
	d.Options = newOptionsDoc(r.Policy)
	if l := r.Listed; l != (store.Listed{}) {
		d.Listed = &listedDoc{Group: l.ResourceGroup, Location: l.Location, Name: l.Name}
	}
	for _, p := range r.Placements {
		target, err := entity.IDText(p.Target)
		if err != nil {
			return PolicyDoc{}, err
		}
		d.At = append(d.At, placementDoc{T: target, A: entity.AddressTexts(p.Addresses), siteDoc: newSiteDoc(p.Site)})
	}
	return d, nil
}

func newOptionsDoc(p jit.Policy) *optionsDoc {
	o := p.OwnOptions()
	if o.IsZero() {
		return nil
	}
	return &optionsDoc{NoAny: o.ForbidAnySource, V4: o.WidestIPv4, V6: o.WidestIPv6, Why: o.RequireJustification, N: o.Approvers, By: o.ApprovedBy.IDs()}
}

func (d *optionsDoc) options() (*jit.Options, error) {
	if d == nil {
		return nil, nil
	}
	o := &jit.Options{ForbidAnySource: d.NoAny, WidestIPv4: d.V4, WidestIPv6: d.V6, RequireJustification: d.Why, Approvers: d.N}
	var err error
	if o.ApprovedBy, err = jit.PeopleOf(d.By...); err != nil {
		return nil, err
	}
	return o, o.Validate() // one that was not stored so: what it should demand is not known
}

// ReadPolicy reads the document of a policy; its Version is not set.
func ReadPolicy(r entity.Stored) (store.PolicyRecord, error) {
	var d PolicyDoc
	if err := r.Read(&d); err != nil {
		return store.PolicyRecord{}, err
	}
	rec, err := d.record()
	if err != nil {
		return store.PolicyRecord{}, fmt.Errorf("read entity %s: %w", r.Key, err)
	}
	return rec, nil
}

func (d PolicyDoc) record() (store.PolicyRecord, error) {
	p, err := policyOf(d.VM, d.Existing, d.Public, d.Room, d.Ports)
	if err != nil {
		return store.PolicyRecord{}, err
	}
	r := store.PolicyRecord{Policy: p, Location: d.Location, Form: d.Form, ChangedBy: d.ChangedBy, ChangedAt: time.Time(d.ChangedAt)}
	if d.Since != nil {
		r.Since = time.Time(*d.Since)
	}
	if r.Policy.Options, err = d.Options.options(); err != nil {
		return r, err
	}
	if d.Listed != nil {
		r.Listed = store.Listed{ResourceGroup: d.Listed.Group, Location: d.Listed.Location, Name: d.Listed.Name}
	}
	for _, at := range d.At {
		target, err := entity.IDOf(at.T)
		if err != nil {
			return r, err
		}
		addrs, err := entity.AddressesOf(at.A)
		if err != nil {
			return r, err
		}
		site, err := at.site()
		if err != nil {
			return r, err
		}
		r.Placements = append(r.Placements, store.Placement{Target: target, Addresses: addrs, Site: site})
	}
	return r, nil
}

// Part returns the document of the policy as it bears on the target of its i-th placement.
func (d PolicyDoc) Part(i int) any {
	return policyPartDoc{V: entity.Version, Target: d.At[i].T, VM: d.VM, Ports: d.Ports, Existing: d.Existing, Room: d.Room, Options: d.Options, Public: d.Public, A: d.At[i].A, siteDoc: d.At[i].siteDoc}
}

// ReadPolicyPart reads a policy as it bears on one target.
func ReadPolicyPart(r entity.Stored) (roster.Protected, error) {
	var d policyPartDoc
	if err := r.Read(&d); err != nil {
		return roster.Protected{}, err
	}
	p, err := policyOf(d.VM, d.Existing, d.Public, d.Room, d.Ports)
	if err == nil {
		p.Options, err = d.Options.options()
	}
	if err != nil {
		return roster.Protected{}, fmt.Errorf("read entity %s: %w", r.Key, err)
	}
	addrs, err := entity.AddressesOf(d.A)
	if err != nil {
		return roster.Protected{}, fmt.Errorf("read entity %s: %w", r.Key, err)
	}
	site, err := d.site()
	if err != nil {
		return roster.Protected{}, fmt.Errorf("read entity %s: %w", r.Key, err)
	}
	return roster.Protected{Policy: p, Addresses: addrs, Site: site}, nil
}
