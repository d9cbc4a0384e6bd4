package plan_test

import (
	"bytes"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"portcullis/core/jit"
	"portcullis/core/label"
	"portcullis/core/plan"
	"portcullis/core/reach"
	"portcullis/core/reach/reachtest"
	"portcullis/core/roster"
)

var update = flag.Bool("update", false, "write the planned sections of testdata/*.txtar anew")

// TestGolden reads one target from each testdata/*.txtar and compares what is
// planned. The sections, all but machines may be absent:
//
//	now        a time of day on 1 March 2026; 12:00 where absent
//	known      no, where the table is lost
//	machines   NAME ADDRESS ...
//	policies   MACHINE override|respect PROTOCOL:PORT ...
//	grants     ID REQUESTOR START STATUS (next line:) MACHINE PROTOCOL:PORT SOURCES END
//	current    NAME ACCESS PRIORITY PROTOCOL SOURCE -> DESTINATION :PORTS [| DESCRIPTION]
//	names      vnet|TAG|asg:ID PREFIX ...
//	networks   MACHINE PREFIX ... [only]
//
// "plan N" before current lines stands for the outcome of the file's state at N o'clock.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			in := goldenInput(t, a)
			p := compute(in)
			got := render(p)
			i := slices.IndexFunc(a.Files, func(f txtar.File) bool { return f.Name == "planned" })
			if *update {
				if i < 0 {
					i = len(a.Files)
					a.Files = append(a.Files, txtar.File{Name: "planned"})
				}
				a.Files[i].Data = []byte(got)
				if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if i < 0 {
				t.Fatalf("%s has no section planned; run with -update and read it", file)
			}
			if d := cmp.Diff(string(a.Files[i].Data), got); d != "" {
				t.Error(d)
			}
			in.Current = p.Changes.Apply(in.Current)
			if again := compute(in); !again.Changes.Empty() {
				t.Errorf("computed again: %s", render(again))
			}
		})
	}
}

func lines(a *txtar.Archive, section string) []string {
	for _, f := range a.Files {
		if f.Name == section {
			var out []string
			for l := range strings.Lines(string(f.Data)) {
				if l = strings.TrimRight(l, "\n"); strings.TrimSpace(l) != "" && !strings.HasPrefix(l, "#") {
					out = append(out, l)
				}
			}
			return out
		}
	}
	return nil
}

func clock(t testing.TB, s string) time.Time {
	t.Helper()
	d, err := time.Parse("15:04", s)
	if err != nil {
		t.Fatal(err)
	}
	return time.Date(2026, 3, 1, d.Hour(), d.Minute(), 0, 0, time.UTC)
}

// join notes which addresses of a machine are in an application security group, and that of the others it is known that they are not.
func join(p *roster.Protected, group string, members []netip.Prefix) {
	if p.Site.Groups == nil {
		p.Site.Groups = map[netip.Addr][]string{}
	}
	for _, a := range p.Addresses {
		p.Site.Groups[a] = append([]string{}, p.Site.Groups[a]...)
		if slices.Contains(members, netip.PrefixFrom(a, a.BitLen())) {
			p.Site.Groups[a] = append(p.Site.Groups[a], group)
		}
	}
}

func goldenInput(t testing.TB, a *txtar.Archive) plan.Input {
	t.Helper()
	in := plan.Input{Now: noon, State: roster.State{Known: !slices.Contains(lines(a, "known"), "no")}}
	for _, l := range lines(a, "now") {
		in.Now = clock(t, l)
	}
	at := map[string][]netip.Addr{}
	for _, l := range lines(a, "machines") {
		f := strings.Fields(l)
		for _, s := range f[1:] {
			at[f[0]] = append(at[f[0]], netip.MustParseAddr(s))
		}
	}
	for _, l := range lines(a, "policies") {
		f := strings.Fields(l)
		existing, err := jit.ParseExistingRules(f[1])
		if err != nil {
			t.Fatal(err)
		}
		p := roster.Protected{Policy: jit.Policy{VM: vmID(f[0]), ExistingRules: existing}, Addresses: at[f[0]]}
		for _, s := range f[2:] {
			protocol, port := portIn(t, s)
			p.Policy.Ports = append(p.Policy.Ports, jit.PortRule{Number: port, Protocol: protocol, Sources: jit.AnySource(), Maximum: 24 * time.Hour})
		}
		in.Policies = append(in.Policies, p)
	}
	for _, l := range lines(a, "networks") {
		name, inside, _ := strings.Cut(l, " ")
		inside, whole := strings.CutSuffix(inside, " only")
		i := slices.IndexFunc(in.Policies, func(p roster.Protected) bool { return p.Policy.VM.Name == name })
		in.Policies[i].Site.Network = reach.Network{Inside: reachtest.Peers(t, strings.ReplaceAll(inside, " ", ",")).Prefixes, Whole: whole}
	}
	in.Openings = goldenGrants(t, a, at)
	in.Names.Tags = map[string][]netip.Prefix{}
	for _, l := range lines(a, "names") {
		f := strings.Fields(l)
		ps := reachtest.Peers(t, strings.Join(f[1:], ",")).Prefixes
		switch {
		case f[0] == "vnet":
			in.Names.VirtualNetwork = ps
		case strings.HasPrefix(f[0], "asg:"):
			for i := range in.Policies {
				join(&in.Policies[i], f[0][4:], ps)
			}
		default:
			in.Names.Tags[strings.ToLower(f[0])] = ps
		}
	}
	for _, l := range lines(a, "current") {
		if then, ok := strings.CutPrefix(l, "plan "); ok {
			past := in
			past.Now, past.Known = clock(t, then), true
			in.Current = compute(past).Changes.Apply(in.Current)
			continue
		}
		rule, note, _ := strings.Cut(l, " | ")
		name, rest, _ := strings.Cut(rule, " ")
		r := reachtest.Rule(t, name, rest)
		r.Description = note
		in.Current = slices.DeleteFunc(in.Current, func(o jit.Rule) bool { return o.Name == name }) // edited by hand
		in.Current = append(in.Current, r)
	}
	return in
}

func goldenGrants(t testing.TB, a *txtar.Archive, at map[string][]netip.Addr) []roster.Opening {
	t.Helper()
	statuses := map[string]jit.Status{"opening": jit.Initiating, "open": jit.Initiated, "revoking": jit.Revoking}
	var out []roster.Opening
	var status jit.Status
	for _, l := range lines(a, "grants") {
		f := strings.Fields(l)
		if !strings.HasPrefix(l, " ") {
			var n int
			if _, err := fmt.Sscan(f[0], &n); err != nil {
				t.Fatal(err)
			}
			g := jit.Grant{ID: fmt.Sprintf("%08d-0000-4000-8000-000000000000", n), Requestor: f[1], Start: clock(t, f[2])}
			g.OpenBy, status = g.Start.Add(jit.OpeningTimeout), statuses[f[3]]
			out = append(out, roster.Opening{Grant: g, Addresses: map[string][]netip.Addr{}})
			continue
		}
		o := &out[len(out)-1]
		protocol, port := portIn(t, f[1])
		s, err := jit.ParseSources(strings.Split(f[2], ",")...)
		if err != nil {
			t.Fatal(err)
		}
		id := vmID(f[0])
		i := slices.IndexFunc(o.Grant.VMs, func(v jit.GrantVM) bool { return v.VM.Equal(id) })
		if i < 0 {
			i = len(o.Grant.VMs)
			o.Grant.VMs = append(o.Grant.VMs, jit.GrantVM{VM: id})
		}
		o.Grant.VMs[i].Ports = append(o.Grant.VMs[i].Ports, jit.Window{Number: port, Protocol: protocol, Sources: s, End: clock(t, f[3]), Status: status})
		o.Addresses[id.Key()] = at[f[0]]
	}
	return out
}

func portIn(t testing.TB, s string) (jit.Protocol, uint16) {
	t.Helper()
	protocol, port, _ := strings.Cut(s, ":")
	return jit.Protocol(strings.ToUpper(protocol)), reachtest.PortRanges(t, port)[0].First
}

func render(p plan.Plan) string {
	var b bytes.Buffer
	section := func(name string, list []string) {
		if len(list) > 0 {
			fmt.Fprintf(&b, "%s:\n  %s\n", name, strings.Join(list, "\n  "))
		}
	}
	rules := slices.Clone(p.Rules)
	slices.SortFunc(rules, func(a, b jit.Rule) int { return a.Priority - b.Priority })
	section("rules", texts(rules, ruleText))
	section("create", texts(p.Changes.Create, nameText))
	section("update", texts(p.Changes.Update, nameText))
	section("delete", texts(p.Changes.Delete, nameText))
	section("refused", texts(p.Refused, func(r plan.Refusal) string {
		who := "the deny"
		if r.Grant != "" {
			who = "grant " + strings.TrimLeft(r.Grant[:8], "0")
		}
		return fmt.Sprintf("%s: %s: %s", who, r.Err.Code, r.Err.Message)
	}))
	bears := func(f plan.Foreign) string {
		return fmt.Sprintf("%s:%d by %s (%d)", f.VM.Name, f.Port, f.Rule.Name, f.Rule.Priority)
	}
	section("overridden", texts(p.Overridden, bears))
	section("exposed", texts(p.Exposed, bears))
	section("blocked", texts(p.Blocked, func(x plan.Blocked) string {
		return fmt.Sprintf("grant %s: whole %s, by %s", strings.TrimLeft(x.Grant[:8], "0"), x.Whole, strings.Join(texts(x.By, func(r jit.Rule) string { return r.Name }), ", "))
	}))
	if b.Len() == 0 {
		return "nothing\n"
	}
	return b.String()
}

func texts[T any](list []T, text func(T) string) []string {
	var out []string
	for _, v := range list {
		out = append(out, text(v))
	}
	return out
}

// nameText writes whose rule it is, and the end of its name.
func nameText(r jit.Rule) string {
	if id, ok := label.GrantOf(r.Name); ok {
		return "allow of grant " + strings.TrimLeft(id[:8], "0") + ", " + r.Name[len(r.Name)-8:]
	}
	return strings.TrimPrefix(r.Name, label.Prefix)
}

func ruleText(r jit.Rule) string {
	s := fmt.Sprintf("%-5s %4d %s %s -> %s :%s", strings.ToLower(r.Access.String()), r.Priority, strings.ToLower(string(r.Protocol)), peersText(r.Source), peersText(r.Destination), portsText(r.DestinationPorts))
	return s + " | " + r.Description
}

func peersText(p jit.Peers) string {
	if p.Any {
		return "*"
	}
	list := texts(p.Prefixes, jit.PrefixString)
	if n := len(list); n > 8 {
		list = append(list[:4:4], fmt.Sprintf("...%d in all", n))
	}
	return strings.Join(append(list, slices.Concat(p.Tags, p.Groups)...), ",")
}

func portsText(list []jit.PortRange) string {
	return strings.Join(texts(list, func(p jit.PortRange) string {
		if p.First == p.Last {
			return fmt.Sprint(p.First)
		}
		return fmt.Sprintf("%d-%d", p.First, p.Last)
	}), ",")
}
