package plan_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/tools/txtar"
	"pgregory.net/rapid"

	"portcullis/core/jit"
	"portcullis/core/plan"
	"portcullis/core/reach"
	"portcullis/core/reach/reachtest"
	"portcullis/core/roster"
)

// TestTranslateGolden is TestGolden for firewalls, from testdata/nat. Beside the sections there:
//
//	public   ADDRESS ...
//	mapped   GRANT MACHINE PORT ADDRESS:PORT
//	nat      NAME PROTOCOL SOURCE ADDRESS:PORT -> ADDRESS:PORT [| DESCRIPTION], or plan N
func TestTranslateGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/nat/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			in := natInput(t, a)
			p := translate(in)
			got := renderNAT(p)
			i := slices.IndexFunc(a.Files, func(f txtar.File) bool { return f.Name == "planned" })
			if i < 0 {
				i = len(a.Files)
				a.Files = append(a.Files, txtar.File{Name: "planned"})
			}
			if *update {
				a.Files[i].Data = []byte(got)
				if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(string(a.Files[i].Data), got); d != "" {
				t.Error(d)
			}
			in.Current = p.Changes.Apply(in.Current)
			if again := translate(in); !again.Changes.Empty() {
				t.Errorf("computed again: %s", renderNAT(again))
			}
		})
	}
}

func natInput(t testing.TB, a *txtar.Archive) plan.Input {
	t.Helper()
	in := goldenInput(t, a)
	for _, l := range lines(a, "public") {
		for _, s := range strings.Fields(l) {
			in.Public = append(in.Public, netip.MustParseAddr(s))
		}
	}
	for _, l := range lines(a, "mapped") {
		f := strings.Fields(l)
		_, number := portIn(t, "tcp:"+f[2])
		for i := range in.Openings {
			if strings.TrimLeft(in.Openings[i].Grant.ID[:8], "0") == f[0] {
				in.Openings[i].Grant = mapped(in.Openings[i].Grant, f[1], number, netip.MustParseAddrPort(f[3]))
			}
		}
	}
	for _, l := range lines(a, "nat") {
		if then, ok := strings.CutPrefix(l, "plan "); ok {
			past := in
			past.Now, past.Known = clock(t, then), true
			in.Current = translate(past).Changes.Apply(in.Current)
			continue
		}
		rule, note, _ := strings.Cut(l, " | ")
		f := strings.Fields(rule)
		r := natRule(f[0], jit.Protocol(strings.ToUpper(f[1])), reachtest.Peers(t, f[2]), netip.MustParseAddrPort(f[3]), netip.MustParseAddrPort(f[5]))
		r.Description = note
		in.Current = append(slices.DeleteFunc(in.Current, func(o jit.Rule) bool { return o.Name == r.Name }), r)
	}
	return in
}

func mapped(g jit.Grant, vm string, number uint16, at netip.AddrPort) jit.Grant {
	return g.Mapped(func(id jit.ID, w jit.Window) (netip.AddrPort, jit.Sources) {
		if id.Equal(vmID(vm)) && w.Number == number {
			return at, jit.SourcesOf(netip.MustParsePrefix("10.0.9.0/26"))
		}
		return w.Mapped, w.Via
	})
}

func natRule(name string, p jit.Protocol, from jit.Peers, at, to netip.AddrPort) jit.Rule {
	return jit.Rule{Name: name, Access: jit.Allow, Protocol: p, Source: from, Destination: jit.PeersOf(at.Addr()), SourcePorts: []jit.PortRange{jit.AllPorts()},
		DestinationPorts: []jit.PortRange{jit.OnePort(at.Port())}, Translated: to}
}

// renderNAT is render with where each rule leads.
func renderNAT(p plan.Plan) string {
	var leads []string
	for _, r := range p.Rules {
		leads = append(leads, fmt.Sprintf("  %s leads to %s\n", nameText(r), r.Translated))
	}
	return render(p) + strings.Join(leads, "")
}

var (
	natPublic = []netip.Addr{netip.MustParseAddr("203.0.113.20"), netip.MustParseAddr("203.0.113.21")}
	natPorts  = []uint16{40001, 40002, 40003}
)

func genMapped(t *rapid.T) netip.AddrPort {
	if rapid.IntRange(0, 5).Draw(t, "unmapped") == 0 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(pickAny(t, "address", append(natPublic, netip.MustParseAddr("203.0.113.99"))...), pickAny(t, "mapped", natPorts...))
}

func genNAT(t *rapid.T) plan.Input {
	draw := func() roster.State {
		s := roster.State{Known: rapid.IntRange(0, 9).Draw(t, "lost") > 0, Policies: genPolicies(t), Openings: genOpenings(t)}
		for i, o := range s.Openings {
			s.Openings[i].Grant = o.Grant.Mapped(func(jit.ID, jit.Window) (netip.AddrPort, jit.Sources) { return genMapped(t), jit.Sources{} })
		}
		return s
	}
	in := plan.Input{State: draw(), Public: natPublic, Now: noon}
	for i := range rapid.IntRange(0, 3).Draw(t, "foreign") {
		from := jit.AnyPeer()
		if rapid.Bool().Draw(t, "narrow") {
			from = jit.PeersOf(netip.MustParseAddr("203.0.113.7"))
		}
		in.Current = append(in.Current, natRule(fmt.Sprint("foreign-", i), pickAny(t, "protocol", jit.TCP, jit.UDP, jit.AnyProtocol), from,
			netip.AddrPortFrom(pickAny(t, "at", natPublic...), pickAny(t, "port", natPorts...)), netip.MustParseAddrPort("10.0.0.4:22")))
	}
	if rapid.Bool().Draw(t, "a past") {
		past := in
		past.Now, past.State = noon.Add(-time.Minute), draw()
		in.Current = translate(past).Changes.Apply(in.Current)
		if n := rapid.IntRange(0, 3).Draw(t, "edit by hand"); n > 0 {
			in.Current = edited(in.Current, n)
		}
	}
	return in
}

// taken tells, as naively as can be, where a rule sends a packet.
func taken(r jit.Rule, p reach.Packet) (netip.AddrPort, bool) {
	hit := r.Protocol == jit.AnyProtocol || r.Protocol == p.Protocol
	port, from, to := false, r.Source.Any, r.Destination.Any
	for _, q := range r.DestinationPorts {
		port = port || q.First <= p.DestinationPort && p.DestinationPort <= q.Last
	}
	for _, q := range r.Source.Prefixes {
		from = from || q.Contains(p.Source)
	}
	for _, q := range r.Destination.Prefixes {
		to = to || q.Contains(p.Destination)
	}
	return r.Translated, hit && port && from && to
}

// TestTranslateProperties: computing again changes nothing, order does not matter, foreign rules
// stay, and our rules send on exactly what live windows of grants that are not refused say.
func TestTranslateProperties(t *testing.T) {
	same := cmp.Options{cmpopts.EquateComparable(netip.Prefix{}, netip.AddrPort{}), cmpopts.EquateEmpty()}
	rapid.Check(t, func(t *rapid.T) {
		in := genNAT(t)
		p := translate(in)
		after := p.Changes.Apply(in.Current)
		again := in
		again.Current = after
		if c := translate(again).Changes; !c.Empty() {
			t.Fatalf("again: %+v", c)
		}
		shuffled := in
		shuffled.Current, shuffled.Openings, shuffled.Policies = rapid.Permutation(in.Current).Draw(t, "current"), rapid.Permutation(in.Openings).Draw(t, "openings"), rapid.Permutation(in.Policies).Draw(t, "policies")
		if d := cmp.Diff(p.Rules, translate(shuffled).Rules, same); d != "" {
			t.Fatal(d)
		}
		if d := cmp.Diff(foreignOf(in.Current), foreignOf(after), same); d != "" {
			t.Fatal(d)
		}
		if !in.Known {
			return
		}
		refused := map[string]bool{}
		for _, r := range p.Refused {
			refused[r.Grant] = true
		}
		reachtest.EveryPacket(func(k reach.Packet) {
			if k.Destination != netip.MustParseAddr("10.0.0.4") || k.SourcePort != 1024 || !k.Source.Is4() {
				return
			}
			for _, at := range natPublic {
				for _, port := range natPorts {
					k.Destination, k.DestinationPort = at, port
					led := false
					for _, r := range p.Rules {
						to, ok := taken(r, k)
						led = led || ok
						if ok && !mayLead(in, k, to, func(g string) bool { return !refused[g] }) {
							t.Fatalf("%v is sent on to %s, which no live window says", k, to)
						}
					}
					if !led && mustLead(in, k, refused) {
						t.Fatalf("%v is not sent on", k)
					}
				}
			}
		})
	})
}

// mayLead reports whether some live window says that the packet goes to that place.
func mayLead(in plan.Input, k reach.Packet, to netip.AddrPort, count func(string) bool) bool {
	for _, o := range in.Openings {
		for _, vm := range o.Grant.VMs {
			for _, w := range vm.Ports {
				if count(o.Grant.ID) && o.Grant.Live(w, in.Now) && w.Mapped == netip.AddrPortFrom(k.Destination, k.DestinationPort) && w.Number == to.Port() && slices.Contains(o.Addresses[vm.VM.Key()], to.Addr()) &&
					(w.Protocol == jit.AnyProtocol || w.Protocol == k.Protocol) && reachtest.Holds(w.Sources, k.Source) {
					return true
				}
			}
		}
	}
	return false
}

// mustLead reports whether a live window that nothing supersedes, of a grant that is not refused, wants the packet.
func mustLead(in plan.Input, k reach.Packet, refused map[string]bool) bool {
	var all []jit.Grant
	for _, o := range in.Openings {
		if !refused[o.Grant.ID] {
			all = append(all, o.Grant)
		}
	}
	for _, g := range all {
		for _, vm := range g.VMs {
			for _, w := range vm.Ports {
				if g.Desired(vm.VM, w, in.Now, all) && w.Mapped == netip.AddrPortFrom(k.Destination, k.DestinationPort) && (w.Protocol == jit.AnyProtocol || w.Protocol == k.Protocol) && reachtest.Holds(w.Sources, k.Source) {
					return true
				}
			}
		}
	}
	return false
}
