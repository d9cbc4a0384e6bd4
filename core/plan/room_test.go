package plan_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"portcullis/core/jit"
	"portcullis/core/plan"
	"portcullis/core/reach"
	"portcullis/core/reach/reachtest"
	"portcullis/core/roster"
	"portcullis/core/side"
)

// occupied gives foreign rules that do not bear on SSH, at priorities.
func occupied(priorities ...int) []jit.Rule {
	var out []jit.Rule
	for _, n := range priorities {
		out = append(out, jit.Rule{Name: fmt.Sprintf("taken-%d", n), Priority: n, Access: jit.Allow, Protocol: jit.TCP, Source: jit.AnyPeer(), Destination: jit.AnyPeer(), SourcePorts: []jit.PortRange{jit.AllPorts()}, DestinationPorts: []jit.PortRange{jit.OnePort(443)}})
	}
	return out
}

func sshAt(t testing.TB, n int) jit.Rule {
	return reachtest.Rule(t, "AllowSSH", fmt.Sprintf("allow %d tcp * -> * :22", n))
}

// hindrances gives the codes and kinds of what is wrong with machine vm0 at one target.
func hindrances(in plan.Input, vm string) (plan.Plan, string) {
	p := compute(in)
	var out []string
	for _, h := range side.Hindrances([]side.Group{{Policies: in.Policies, Plan: &p}}, vmID(vm)) {
		out = append(out, fmt.Sprint(map[side.Kind]string{side.Unplaced: "unplaced", side.Open: "open", side.Locked: "locked", side.NoRoom: "no room"}[h.Kind], " ", h.Port, " ", h.Err.Code))
	}
	return p, strings.Join(out, ", ")
}

// denied gives the priorities of our denies.
func denied(p plan.Plan) []int {
	var out []int
	for _, r := range p.Rules {
		if r.Access == jit.Deny {
			out = append(out, r.Priority)
		}
	}
	slices.Sort(out)
	return out
}

// TestRoomAboveDenies: what a group leaves to windows is told where a machine is protected, and not where somebody asks.
func TestRoomAboveDenies(t *testing.T) {
	dual := protect(1)
	dual[0].Addresses = append(dual[0].Addresses, netip.MustParseAddr("fd00::4"))
	for _, tc := range []struct {
		name    string
		current []jit.Rule
		room    plan.Room
		change  func(*plan.Input)
		denies  string // in brackets
		want    string
	}{
		{"an empty group", nil, plan.Room{}, nil, "[4096]", ""},
		{"an allow at 100", []jit.Rule{sshAt(t, 100)}, plan.Room{}, nil, "[4096]", "open 22 NoPriorityLeft"},
		{"an allow at 101: closed, and no room", []jit.Rule{sshAt(t, 101)}, plan.Room{}, nil, "[100]", "locked 0 NoPriorityLeft, no room 22 NoPriorityLeft"},
		{"an allow at 101 where room comes first", []jit.Rule{sshAt(t, 101)}, plan.Room{}, func(in *plan.Input) { in.Policies[0].Policy.LeavesRoom = true }, "[4096]", "open 22 NoPriorityLeft"},
		{"an allow at 102", []jit.Rule{sshAt(t, 102)}, plan.Room{}, nil, "[101]", ""},
		{"an allow at 102, and two kept", []jit.Rule{sshAt(t, 102)}, plan.Room{Kept: 2}, nil, "[101]", "locked 0 NoPriorityLeft, no room 22 NoPriorityLeft"},
		{"company rules: one place between them", append(occupied(101, 104, 105, 106, 107, 108, 109), sshAt(t, 103)), plan.Room{}, nil, "[102]", ""},
		{"company rules, and a machine with other ports", append(occupied(101, 104, 105, 106, 107, 108, 109), sshAt(t, 103)), plan.Room{}, func(in *plan.Input) {
			in.Current = compute(*in).Changes.Apply(in.Current)
			in.Policies = slices.Insert(protect(2), 0, protect(2)[1])[:2]
			in.Policies[0].Policy.Ports = append(in.Policies[0].Policy.Ports, jit.PortRule{Number: 3389, Protocol: jit.TCP})
			in.Policies[0], in.Policies[1] = in.Policies[1], in.Policies[0]
		}, "[100 102]", "no room 22 NoPriorityLeft"},
		{"both families need a place each", []jit.Rule{sshAt(t, 103)}, plan.Room{}, func(in *plan.Input) { in.Policies = dual }, "[101 102]", "locked 0 NoPriorityLeft, no room 22 NoPriorityLeft"},
		{"both families have one", []jit.Rule{sshAt(t, 104)}, plan.Room{}, func(in *plan.Input) { in.Policies = dual }, "[102 103]", ""},
		{"an allow below the first priority of a band", []jit.Rule{sshAt(t, 150)}, plan.Room{First: 200, Last: 299}, nil, "[149]", "no room 22 NoPriorityLeft"},
		{"an allow in a band", []jit.Rule{sshAt(t, 250)}, plan.Room{First: 200, Last: 299}, nil, "[249]", ""},
		{"a band that others have filled", occupied(200, 201), plan.Room{First: 200, Last: 201}, nil, "[4096]", "no room 22 NoPriorityLeft"},
		{"a foreign deny of everybody at 100", []jit.Rule{reachtest.Rule(t, "DenyAll", "deny 100 * * -> * :*")}, plan.Room{}, nil, "[4096]", "no room 22 BlockedBySecurityRule"},
		{"a foreign deny of somebody at 100", []jit.Rule{reachtest.Rule(t, "DenySome", "deny 100 * 203.0.113.0/24 -> * :*")}, plan.Room{}, nil, "[4096]", ""},
		{"a foreign deny of everybody at 101", []jit.Rule{reachtest.Rule(t, "DenyAll", "deny 101 * * -> * :*")}, plan.Room{}, nil, "[4096]", ""},
		{"the next allow is the ceiling where the first cannot be outranked", []jit.Rule{sshAt(t, 100), reachtest.Rule(t, "AllowMore", "allow 105 tcp 10.0.0.0/8 -> * :22")}, plan.Room{}, nil, "[104]", "open 22 NoPriorityLeft"},
		{"a full group", others(999, 1), plan.Room{}, nil, "[4096]", "no room 22 TooManyRules"},
		{"what respects needs no place above", []jit.Rule{sshAt(t, 100)}, plan.Room{}, func(in *plan.Input) { in.Policies[0].Policy.ExistingRules = jit.Respect }, "[4096]", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := plan.Input{State: roster.State{Known: true, Policies: protect(1)}, Current: tc.current, Now: noon, Room: tc.room}
			if tc.change != nil {
				tc.change(&in)
			}
			p, got := hindrances(in, "vm0")
			if fmt.Sprint(denied(p)) != tc.denies || got != tc.want {
				t.Errorf("denies at %v, %q; want %s, %q", denied(p), got, tc.denies, tc.want)
			}
			in.Current = p.Changes.Apply(in.Current)
			if again := compute(in); !again.Changes.Empty() {
				t.Errorf("computed again: %+v", again.Changes)
			}
		})
	}
}

// TestBandOfWindows: windows are opened in the band that is set, and those that stand elsewhere stay.
func TestBandOfWindows(t *testing.T) {
	in := plan.Input{State: roster.State{Known: true, Policies: protect(3), Openings: grants(1)}, Now: noon}
	in.Current = compute(in).Changes.Apply(occupied(201))
	in.Openings, in.Room = grants(3), plan.Room{First: 200, Last: 202}
	var got []int
	for _, r := range compute(in).Rules {
		if r.Access == jit.Allow {
			got = append(got, r.Priority)
		}
	}
	slices.Sort(got)
	if fmt.Sprint(got) != "[100 200 202]" {
		t.Errorf("windows at %v", got)
	}
	in.Openings = grants(4)
	p := compute(in)
	if len(p.Refused) != 1 || p.Refused[0].Err.Code != plan.CodeNoPriorityLeft || !strings.Contains(p.Refused[0].Err.Message, "from 200 to 202") {
		t.Errorf("refused %v", p.Refused)
	}
	if len(p.Shut) != 3 || len(p.Short) != 0 {
		t.Errorf("shut %+v, short %+v: a window that ends makes room", p.Shut, p.Short)
	}
}

// TestNoRoomSaysWhich: the refusal of a window names the rule that leaves no room, and what to do about it that is enough.
func TestNoRoomSaysWhich(t *testing.T) {
	in := plan.Input{State: roster.State{Known: true, Policies: protect(1), Openings: grants(1)}, Current: append(occupied(102, 103), sshAt(t, 101)), Now: noon}
	p := compute(in)
	if len(p.Refused) != 1 || p.Refused[0].Grant == "" {
		t.Fatalf("refused %+v", p.Refused)
	}
	for _, part := range []string{"AllowSSH (priority 101)", "give it a priority of 104 or more"} {
		if msg := p.Refused[0].Err.Message; !strings.Contains(msg, part) {
			t.Errorf("%q does not say %q", msg, part)
		}
	}
	in.Current, in.Openings = append(occupied(102, 103), sshAt(t, 104)), nil
	if p := compute(in); len(p.Refused)+len(p.Tight)+len(p.Shut) != 0 {
		t.Errorf("moved to 104, still %+v, %+v, %+v", p.Refused, p.Tight, p.Shut)
	}
}

// asked gives n grants of one port of a machine, by anybody.
func asked(t *rapid.T, n int, p roster.Protected, port jit.PortRule) []roster.Opening {
	var out []roster.Opening
	for i := range n {
		w := jit.Window{Number: port.Number, Protocol: port.Protocol, Sources: genSources(t), End: noon.Add(time.Hour), Status: jit.Initiating}
		g := jit.Grant{ID: fmt.Sprintf("%08d-0000-4000-8000-000000000000", i+1), Requestor: fmt.Sprint("somebody", i), Start: noon, OpenBy: noon.Add(time.Minute), VMs: []jit.GrantVM{{VM: p.Policy.VM, Ports: []jit.Window{w}}}}
		out = append(out, roster.Opening{Grant: g, Addresses: map[string][]netip.Addr{p.Policy.VM.Key(): p.Addresses}})
	}
	return out
}

// protected computes what enable does: first with every deny as high as it has to be, then with room left where one would be locked.
func protected(in plan.Input) (plan.Plan, []side.Hindrance) {
	of := func(p plan.Plan) (out []side.Hindrance) {
		for _, m := range in.Policies {
			out = append(out, side.Hindrances([]side.Group{{Policies: in.Policies, Plan: &p}}, m.Policy.VM)...)
		}
		return out
	}
	for i := range in.Policies {
		in.Policies[i].Policy.LeavesRoom = false
	}
	p := compute(in)
	found := of(p)
	for _, h := range found {
		for i := range in.Policies {
			in.Policies[i].Policy.LeavesRoom = in.Policies[i].Policy.LeavesRoom || h.Kind == side.Locked && h.VM.Equal(in.Policies[i].Policy.VM)
		}
	}
	p = compute(in)
	return p, of(p)
}

// TestAcceptedMeansRoom: where nothing is wrong with the machines of a group, as many windows as are kept can be opened for
// any port of any of them, by anybody whom no foreign deny keeps out, and their ports are closed to all others.
func TestAcceptedMeansRoom(t *testing.T) {
	accepted, yielding := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		in := genInput(t)
		in.Known, in.Openings = true, nil
		if rapid.Bool().Draw(t, "crowded") {
			for _, n := range rapid.SliceOfNDistinct(rapid.IntRange(100, 112), 0, 12, rapid.ID).Draw(t, "taken") {
				if !slices.ContainsFunc(in.Current, func(r jit.Rule) bool { return r.Priority == n }) {
					in.Current = append(in.Current, occupied(n)[0])
				}
			}
			if !slices.ContainsFunc(in.Current, func(r jit.Rule) bool { return r.Priority == 104 }) {
				in.Current = append(in.Current, jit.Rule{Name: "AllowSSH", Priority: 104, Access: jit.Allow, Protocol: jit.TCP, Source: jit.AnyPeer(), Destination: jit.AnyPeer(), SourcePorts: []jit.PortRange{jit.AllPorts()}, DestinationPorts: []jit.PortRange{jit.OnePort(22)}})
			}
		}
		in.Room = pickAny(t, "room", plan.Room{}, plan.Room{Kept: 2}, plan.Room{Kept: 3}, plan.Room{First: 100, Last: 110}, plan.Room{First: 103, Last: 120, Kept: 2})
		p, wrong := protected(in)
		open := map[string]bool{}
		for _, h := range wrong {
			if h.Kind != side.Open {
				return // refused by whoever protects
			}
			open[fmt.Sprint(h.VM.Name, h.Port)] = true
		}
		if len(in.Policies) == 0 {
			return
		}
		accepted++
		if len(open) > 0 {
			yielding++
		}
		in.Current = p.Changes.Apply(in.Current)
		known := estate(in)
		machinePackets(func(q reach.Packet) {
			for _, pol := range in.Policies {
				port, ok := pol.Policy.Port(q.DestinationPort)
				if !ok || pol.Policy.ExistingRules == jit.Respect || !port.Protocol.Overlaps(q.Protocol) || !slices.Contains(pol.Addresses, q.Destination) || open[fmt.Sprint(pol.Policy.VM.Name, q.DestinationPort)] {
					continue
				}
				if canAllow, _ := reachtest.Decides(known, in.Current, q); canAllow {
					t.Fatalf("%+v comes in, and nobody is told: %+v", q, p.Rules)
				}
			}
		})
		for _, pol := range in.Policies {
			for _, port := range pol.Policy.Ports {
				in.Openings = asked(t, max(1, in.Room.Kept), pol, port)
				for _, r := range compute(in).Refused {
					if r.Grant != "" && r.Err.Code != plan.CodeBlocked {
						t.Fatalf("port %d of %s cannot be opened: %v; %+v", port.Number, pol.Policy.VM.Name, r.Err, p.Rules)
					}
				}
			}
		}
	})
	if accepted < 20 {
		t.Errorf("%d groups were accepted, too few to mean anything", accepted)
	}
	t.Logf("%d accepted, %d of them with an exposure that is told", accepted, yielding)
}

// TestClosedElsewhere: a port that two groups guard is closed where one of them closes it at all of its addresses.
func TestClosedElsewhere(t *testing.T) {
	vm := protect(1)[0]
	of := func(name string, addrs []netip.Addr, rules ...jit.Rule) side.Group {
		p := vm
		p.Addresses, p.Policy.LeavesRoom = addrs, true
		in := plan.Input{State: roster.State{Known: true, Policies: []roster.Protected{p}}, Current: rules, Now: noon}
		computed := compute(in)
		return side.Group{Target: jit.ID{Subscription: vm.Policy.VM.Subscription, ResourceGroup: "demo", Type: jit.TypeNSG, Name: name}, Policies: in.Policies, Plan: &computed}
	}
	both := []netip.Addr{host(0), host(1)}
	for _, tc := range []struct {
		name  string
		sides []side.Group
		want  int // hindrances
	}{
		{"one group", []side.Group{of("subnet", both, sshAt(t, 101))}, 1},
		{"the other closes", []side.Group{of("subnet", both, sshAt(t, 101)), of("nic", both)}, 0},
		{"the other closes one address of two", []side.Group{of("subnet", both, sshAt(t, 101)), of("nic", both[:1])}, 1},
		{"neither closes", []side.Group{of("subnet", both, sshAt(t, 101)), of("nic", both, sshAt(t, 100))}, 2},
		{"the other has no deny", []side.Group{of("subnet", both, sshAt(t, 101)), of("nic", both, others(1000, 1)...)}, 3},
	} {
		if got := side.Hindrances(tc.sides, vm.Policy.VM); len(got) != tc.want {
			t.Errorf("%s: %+v, want %d", tc.name, got, tc.want)
		}
	}
}
