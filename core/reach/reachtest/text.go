package reachtest

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"portcullis/core/jit"
)

// Rule reads "allow 300 tcp Internet -> 10.0.0.4 :22"; a comma joins several, * is any.
func Rule(t testing.TB, name, s string) jit.Rule {
	t.Helper()
	f := strings.Fields(s)
	if len(f) != 7 || f[4] != "->" {
		t.Fatalf("rule %q", s)
	}
	r := jit.Rule{Name: name, SourcePorts: []jit.PortRange{jit.AllPorts()}}
	if f[0] == "allow" {
		r.Access = jit.Allow
	}
	if _, err := fmt.Sscan(f[1], &r.Priority); err != nil {
		t.Fatal(err)
	}
	r.Protocol = jit.Protocol(strings.ToUpper(f[2]))
	r.Source, r.Destination = Peers(t, f[3]), Peers(t, f[5])
	r.DestinationPorts = PortRanges(t, f[6])
	return r
}

// Peers reads what stands on one side of the arrow; asg: begins the id of an application security group.
func Peers(t testing.TB, s string) jit.Peers {
	t.Helper()
	if s == "*" {
		return jit.AnyPeer()
	}
	var p jit.Peers
	for v := range strings.SplitSeq(s, ",") {
		switch {
		case strings.HasPrefix(v, "asg:"):
			p.Groups = append(p.Groups, v[4:])
		case strings.Contains(v, "/"):
			p.Prefixes = append(p.Prefixes, netip.MustParsePrefix(v))
		default:
			if a, err := netip.ParseAddr(v); err == nil {
				p.Prefixes = append(p.Prefixes, netip.PrefixFrom(a, a.BitLen()))
			} else {
				p.Tags = append(p.Tags, v)
			}
		}
	}
	return p
}

// PortRanges reads ":22,80-90"; ":*" is all.
func PortRanges(t testing.TB, s string) []jit.PortRange {
	t.Helper()
	if s == ":*" {
		return []jit.PortRange{jit.AllPorts()}
	}
	var out []jit.PortRange
	for v := range strings.SplitSeq(strings.TrimPrefix(s, ":"), ",") {
		var r jit.PortRange
		first, last, ranged := strings.Cut(v, "-")
		if !ranged {
			last = first
		}
		if _, err := fmt.Sscan(first+" "+last, &r.First, &r.Last); err != nil {
			t.Fatalf("ports %q: %v", s, err)
		}
		out = append(out, r)
	}
	return out
}
