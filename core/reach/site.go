package reach

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// Network is what is known of the tag VirtualNetwork at a machine. The zero value knows nothing.
type Network struct {
	// Inside is certainly in it: the address spaces of the machine's network and of those it is peered with. The Azure
	// host's addresses always are, and need not be named.
	Inside []netip.Prefix
	// Whole says that nothing else is in it. Without that, any other address may be: connected on-premises networks and
	// user-defined routes count too, down to 0.0.0.0/0 (Azure's service tags page).
	Whole bool
}

// Site is what is known of where addresses of one machine are. The zero value knows nothing.
type Site struct {
	Network Network
	// Groups is the ARM ids, in lower case, of the application security groups that each address is in. An empty list is
	// none; an address without an entry may be in any.
	Groups map[netip.Addr][]string
}

// Equal reports whether the same is known.
func (s Site) Equal(o Site) bool {
	return s.Network.Whole == o.Network.Whole && slices.Equal(s.Network.Inside, o.Network.Inside) && maps.EqualFunc(s.Groups, o.Groups, slices.Equal[[]string])
}

// Both returns what is known of two networks that addresses of one machine are in.
func (n Network) Both(o Network) Network {
	out := Network{Whole: n.Whole && o.Whole && slices.Equal(n.Inside, o.Inside)}
	for _, p := range n.Inside {
		if slices.Contains(o.Inside, p) {
			out.Inside = append(out.Inside, p)
		}
	}
	return out
}

// Located is addresses of one machine and what is known of where they are.
type Located struct {
	Addresses []netip.Addr
	Site      Site
}

// place is what is known of one address. Where several machines have it, in networks that overlap, sure is what is so
// for all of them, and possible what is so for one.
type place struct {
	*space
	sure, possible []string // application security groups
	any            bool     // it may be in every group
}

// space is the addresses in VirtualNetwork.
type space struct{ sure, possible addresses }

// spaceOf returns the addresses of a network as known.
func spaceOf(n Network) *space {
	sure := addressesOf(n.Inside...).or(hosts())
	if n.Whole {
		return &space{sure, sure}
	}
	return &space{sure, everyAddress()}
}

// At returns the names with what is known of machines' addresses. It replaces what was said of them before.
func (n Names) At(list ...Located) Names {
	n.places, n.other = map[netip.Addr]*place{}, nil
	n = n.settled()
	spaces := map[string]*space{} // most machines share one
	for _, l := range list {
		key := l.Site.Network.key()
		if spaces[key] == nil {
			spaces[key] = spaceOf(l.Site.Network)
		}
		for _, a := range l.Addresses {
			groups, known := l.Site.Groups[a]
			p := &place{space: spaces[key], sure: groups, possible: groups, any: !known}
			if a = a.Unmap(); n.places[a] != nil {
				p = n.places[a].or(p)
			}
			n.places[a] = p
		}
	}
	return n
}

func (n Network) key() string {
	var b strings.Builder
	if n.Whole {
		b.WriteByte('=')
	}
	for _, p := range n.Inside {
		b.WriteString(p.String())
		b.WriteByte(' ')
	}
	return b.String()
}

// or returns what is known of an address that two machines have.
func (p *place) or(q *place) *place {
	out := &place{space: p.space, any: p.any || q.any, possible: slices.Concat(p.possible, q.possible)}
	if p.space != q.space {
		out.space = &space{p.space.sure.and(q.space.sure), p.space.possible.or(q.space.possible)}
	}
	for _, g := range p.sure {
		if slices.Contains(q.sure, g) {
			out.sure = append(out.sure, g)
		}
	}
	return out
}

// settled returns the names with the meaning of VirtualNetwork at addresses of which nothing is known looked up.
func (n Names) settled() Names {
	if n.other == nil {
		n.other = spaceOf(Network{Inside: n.VirtualNetwork, Whole: len(n.VirtualNetwork) > 0})
	}
	return n
}

// spaceAt returns the addresses in VirtualNetwork at an address of a machine.
func (n Names) spaceAt(a netip.Addr) *space {
	if p := n.places[a]; p != nil {
		return p.space
	}
	return n.settled().other
}

// member reports whether an address of a machine is in an application security group.
func (n Names) member(a netip.Addr, group string) Truth {
	p := n.places[a]
	is := func(g string) bool { return strings.EqualFold(g, group) }
	switch {
	case p == nil:
		return Maybe
	case slices.ContainsFunc(p.sure, is):
		return Yes
	case p.any || slices.ContainsFunc(p.possible, is):
		return Maybe
	}
	return No
}
