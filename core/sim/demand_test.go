package sim_test

import (
	"net/netip"
	"time"

	"portcullis/core/jit"
)

// demand is what the installation demands in a third of the runs: ranges of four addresses at most, and of one person at one port of
// a machine no more than four times as many together.
var demand = jit.Options{WidestIPv4: 30, WidestIPv6: 126}

// What demand comes to, in addresses: the widest range, and all together.
const (
	widest   = 4
	together = 16
)

// piecePool is what people ask from in these runs: pieces of which each is allowed, some of which lie side by side, and some that are
// not.
var piecePool = [][]string{{"203.0.113.0/30"}, {"203.0.113.4/30"}, {"203.0.113.16/30"}, {"203.0.113.24/30"}, {"203.0.113.32/30", "203.0.113.40/30"}, {"198.51.100.5"}, {"2001:db8::/126"}, {"2001:db8::4/126"}, {"*"}, {"203.0.113.64/29"}}

// modest is I9.
func (r *run) modest() {
	if !r.demands {
		return
	}
	type place struct {
		who string
		window
	}
	in := map[place]map[netip.Addr]bool{}
	now := time.Now()
	for id, l := range r.table.grants {
		if l.lost {
			continue // nobody knows of it any more
		}
		for _, vm := range l.rec.Grant.VMs {
			for _, w := range vm.Ports {
				if w.Status != jit.Initiated || !now.Before(w.End) {
					continue
				}
				at := place{l.rec.Grant.RequestorID, window{vm.VM.Name, w.Number}}
				if in[at] == nil {
					in[at] = map[netip.Addr]bool{}
				}
				if !each(w.Sources, in[at]) {
					r.violate("I9", "grant %s is open from more than may be asked for: %s", id, grantText(l.rec.Grant))
				}
			}
		}
	}
	for at, all := range in {
		count := map[bool]int{}
		for a := range all {
			count[a.Is4()]++
			if whole(a, all) {
				r.violate("I9", "%s has the whole range around %s open at %s:%d, in pieces", at.who, a, at.vm, at.port)
			}
		}
		if max(count[true], count[false]) > together {
			r.violate("I9", "%s has %d addresses of IPv4 and %d of IPv6 open at %s:%d, at most %d may be asked for", at.who, count[true], count[false], at.vm, at.port, together)
		}
	}
}

// each adds every address of the sources; false where they are more than a person may ask for at all.
func each(s jit.Sources, all map[netip.Addr]bool) bool {
	if len(s.Prefixes()) == 0 {
		return false // any
	}
	for _, p := range s.Prefixes() {
		n := 0
		for a := p.Addr(); p.Contains(a); a = a.Next() {
			if n++; n > widest {
				return false
			}
			all[a] = true
		}
	}
	return true
}

// whole reports whether an address begins a range of twice the widest, all of which is open.
func whole(first netip.Addr, all map[netip.Addr]bool) bool {
	if bytes := first.AsSlice(); int(bytes[len(bytes)-1])%(2*widest) != 0 {
		return false
	}
	a := first
	for range 2 * widest {
		if !all[a] {
			return false
		}
		a = a.Next()
	}
	return true
}
