package coretest

import (
	"maps"
	"net/netip"
	"slices"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// Deep copies. Times become UTC, as they are after a round trip through storage.

func clonePolicy(p store.PolicyRecord) store.PolicyRecord {
	p.Policy.Ports = slices.Clone(p.Policy.Ports)
	if o := p.Policy.Options; o != nil {
		copied := *o
		p.Policy.Options = &copied
	}
	p.Placements = slices.Clone(p.Placements)
	for i := range p.Placements {
		at := &p.Placements[i]
		at.Addresses, at.Site.Network.Inside, at.Site.Groups = slices.Clone(at.Addresses), slices.Clone(at.Site.Network.Inside), maps.Clone(at.Site.Groups)
	}
	p.ChangedAt, p.Since = p.ChangedAt.UTC(), p.Since.UTC()
	return p
}

func cloneGrant(g store.GrantRecord) store.GrantRecord {
	g.Grant.Start, g.Grant.OpenBy = g.Grant.Start.UTC(), g.Grant.OpenBy.UTC()
	g.Grant.VMs = slices.Clone(g.Grant.VMs)
	for i := range g.Grant.VMs {
		g.Grant.VMs[i].Ports = slices.Clone(g.Grant.VMs[i].Ports)
		for j := range g.Grant.VMs[i].Ports {
			w := &g.Grant.VMs[i].Ports[j]
			w.End = w.End.UTC()
		}
	}
	g.Grant.Wait = cloneWait(g.Grant.Wait)
	g.Placements = slices.Clone(g.Placements)
	for i := range g.Placements {
		g.Placements[i].Addresses = cloneAddresses(g.Placements[i].Addresses)
	}
	g.Connect = cloneAddresses(g.Connect)
	g.Intents = slices.Clone(g.Intents)
	for i := range g.Intents {
		g.Intents[i].At = g.Intents[i].At.UTC()
	}
	g.Replaces = slices.Clone(g.Replaces)
	for i := range g.Replaces {
		g.Replaces[i].End = g.Replaces[i].End.UTC()
	}
	g.Interfaces = maps.Clone(g.Interfaces)
	for k, v := range g.Interfaces {
		g.Interfaces[k] = slices.Clone(v)
	}
	return g
}

func cloneWait(w jit.Wait) jit.Wait {
	w.Opens, w.Released, w.Denied.At = w.Opens.UTC(), w.Released.UTC(), w.Denied.At.UTC()
	w.Approvals = slices.Clone(w.Approvals)
	for i := range w.Approvals {
		w.Approvals[i].At = w.Approvals[i].At.UTC()
	}
	return w
}

func cloneAddresses(m map[string][]netip.Addr) map[string][]netip.Addr {
	out := maps.Clone(m)
	for k, v := range out {
		out[k] = slices.Clone(v)
	}
	return out
}

func cloneEntry(e store.Entry) store.Entry {
	e.Ports, e.Sources = slices.Clone(e.Ports), slices.Clone(e.Sources)
	e.Time, e.End = e.Time.UTC(), e.End.UTC()
	return e
}
