package form

import (
	"cmp"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"portcullis/core/jit"
	"portcullis/handlers/portal/words"
)

// The choices of where access may come from.
const (
	fromMine  = "mine"
	fromAll   = "all"
	fromOther = "other"
)

// usual is the length that a port is proposed for, where its maximum allows it.
const usual = time.Hour

// Request is the form that asks for access, as it was typed.
type Request struct {
	VMs    []RequestVM
	Source string // one of the choices
	Mine   string
	Other  string
	Why    string
	When   string // one of the choices of when it begins
	Start  string // a time in UTC, for what begins later
	Breaks bool   // break-glass: without an approval, in an emergency
	Drill  bool   // of that, which opens nothing
	Wrong  Wrongs
}

// RequestVM is one machine in the form.
type RequestVM struct {
	Name, ID, Group string
	Ports           []RequestPort
}

// RequestPort is one port in the form.
type RequestPort struct {
	Number  uint16
	Service string
	Allowed string
	Maximum time.Duration
	// Approvers is how many people the port itself asks for to approve; 0 where it asks for no more than its policy.
	Approvers int
	Minutes   int // of the maximum, for the slider
	Value     int // of the slider
	For       string
	On        bool
	Key       string // of its fields in the form, such as 0-22
}

// NewRequest returns the form before anybody has filled it in: the first port of each machine is chosen. mine is where the caller
// comes from, "" where that is not known.
func NewRequest(mine string, vms []jit.ID, policies map[string]jit.Policy) Request {
	v := Request{Source: fromMine, Mine: mine, When: beginsNow, Wrong: Wrongs{}}
	for i, vm := range vms {
		shown := portsOf(i, vm, policies[vm.Key()])
		if len(shown.Ports) == 0 {
			v.Wrong[MachineField(i)] = vm.Name + " has no just-in-time policy. Configure it first."
		}
		for j := range shown.Ports {
			shown.Ports[j].On = j == 0
		}
		v.VMs = append(v.VMs, shown)
	}
	return v
}

func portsOf(i int, vm jit.ID, p jit.Policy) RequestVM {
	out := RequestVM{Name: vm.Name, ID: vm.String(), Group: vm.ResourceGroup}
	for _, rule := range p.Ports {
		d := min(usual, rule.Maximum)
		out.Ports = append(out.Ports, RequestPort{Number: rule.Number, Service: words.Service(rule.Number), Allowed: words.Sources(rule.Sources), Maximum: rule.Maximum, Approvers: rule.Approvers,
			Minutes: int(rule.Maximum / time.Minute), Value: int(d / time.Minute), For: jit.Length(d), Key: fmt.Sprintf("%d-%d", i, rule.Number)})
	}
	return out
}

// ReadRequest reads the form as it was sent, and what it asks for. What is wrong with it stands in Wrong, by field. policies are
// those that the caller may read, by [jit.ID.Key].
func ReadRequest(f url.Values, vms []jit.ID, policies map[string]jit.Policy) (Request, jit.Request) {
	view := Request{Source: cmp.Or(f.Get("source"), fromMine), Mine: f.Get("mine"), Other: f.Get("other"), Why: f.Get("why"), Wrong: Wrongs{}}
	var asked jit.Request
	var err error
	asked.Justification, err = jit.Justification(view.Why)
	view.Wrong.Put("why", err)
	view.Breaks, view.Drill = f.Has("breakglass"), f.Has("drill")
	asked.BreakGlass, err = jit.BreakGlassOf(view.Breaks, view.Drill)
	view.Wrong.Put("breakglass", err)
	from := view.readSource()
	asked.Opens = view.readStart(f)
	chosen := 0
	for i, vm := range vms {
		policy := policies[vm.Key()]
		shown, part := portsOf(i, vm, policy), jit.RequestVM{VM: vm}
		for j := range shown.Ports {
			p := &shown.Ports[j]
			p.On = f.Has("port-" + p.Key)
			p.For = cmp.Or(f.Get("for-"+p.Key), p.For)
			if !p.On {
				continue
			}
			chosen++
			d, err := words.ReadLength(p.For)
			view.Wrong.Put("for-"+p.Key, err)
			p.Value = min(int(d/time.Minute), p.Minutes)
			want := jit.RequestPort{Number: p.Number, Duration: d, Sources: from}
			if view.Source == fromAll {
				want.Sources = policy.Ports[j].Sources
			}
			part.Ports = append(part.Ports, want)
		}
		if len(shown.Ports) == 0 {
			view.Wrong[MachineField(i)] = vm.Name + " has no just-in-time policy that you may use. Configure it first."
		}
		if len(part.Ports) > 0 {
			asked.VMs = append(asked.VMs, part)
		}
		view.VMs = append(view.VMs, shown)
	}
	if chosen == 0 {
		view.Wrong.Put("ports", &jit.Error{Message: "choose at least one port to open"})
	}
	return view, asked
}

// mostPrefilled bounds how many ports a link may choose; those after them are left out.
const mostPrefilled = 50

// Prefill fills the form in as a link asks: port chooses the ports, one or several with commas, on every machine that has them, for says
// how long, start is when it begins, why is the justification. What is left out stays as [NewRequest] proposes it. Nothing is asked for by that: what cannot be as the
// link says is marked in Wrong, and somebody sends the form.
func (v *Request) Prefill(q url.Values) {
	if why := q.Get("why"); why != "" {
		v.Why = why
		_, err := jit.Justification(why)
		v.Wrong.Put("why", err)
	}
	if start := q.Get("start"); start != "" {
		v.readStart(url.Values{"when": {beginsLater}, "start": {start}})
	}
	var numbers []string
	for _, list := range q["port"] {
		numbers = append(numbers, strings.FieldsFunc(list, func(c rune) bool { return c == ',' || c == ' ' })...)
	}
	numbers = numbers[:min(len(numbers), mostPrefilled)]
	length := strings.TrimSpace(q.Get("for"))
	found := map[string]bool{}
	for i := range v.VMs {
		for j := range v.VMs[i].Ports {
			p := &v.VMs[i].Ports[j]
			number := strconv.Itoa(int(p.Number))
			if len(numbers) > 0 {
				p.On = slices.Contains(numbers, number)
			}
			found[number] = true
			if p.On && length != "" {
				v.last(p, length)
			}
		}
	}
	for _, n := range numbers {
		if !found[n] {
			v.Wrong.Put("ports", &jit.Error{Message: fmt.Sprintf("port %.20q of the link is in no policy of these machines", n)})
		}
	}
}

// last makes a port be asked for as long as a text says.
func (v *Request) last(p *RequestPort, text string) {
	d, err := words.ReadLength(text)
	p.For = text
	if err == nil {
		p.For, p.Value = jit.Length(d), min(int(d/time.Minute), p.Minutes)
		if d > p.Maximum {
			err = &jit.Error{Message: fmt.Sprintf("%s is longer than the %s that the policy allows", p.For, jit.Length(p.Maximum))}
		}
	}
	v.Wrong.Put("for-"+p.Key, err)
}

// readSource reads from where access may come; none where each port has its own.
func (v *Request) readSource() jit.Sources {
	switch v.Source {
	case fromAll:
		return jit.Sources{}
	case fromMine:
		a, err := netip.ParseAddr(strings.TrimSpace(v.Mine))
		if err != nil || a.Zone() != "" {
			v.Wrong.Put("source", &jit.Error{Message: fmt.Sprintf("%.60q is not an IP address; to name a range, choose Other ranges", v.Mine)})
			return jit.Sources{}
		}
		a = a.Unmap()
		return jit.SourcesOf(netip.PrefixFrom(a, a.BitLen()))
	}
	v.Source = fromOther
	from, err := words.ReadSources(v.Other)
	if err == nil && from.IsEmpty() {
		err = &jit.Error{Message: "name at least one address or range such as 203.0.113.0/24"}
	}
	v.Wrong.Put("source", err)
	return from
}

// Refused puts a refusal beside the field that it concerns.
func (v *Request) Refused(told *jit.Error, vms []jit.ID, asked jit.Request) {
	at := locate(told.Target, asked.Machines())
	field := ""
	switch {
	case at.vm >= 0:
		i := slices.IndexFunc(vms, asked.VMs[at.vm].VM.Equal)
		field = MachineField(i)
		if ports := asked.VMs[at.vm].Ports; at.port >= 0 && at.port < len(ports) {
			switch at.field {
			case "duration", "endTimeUtc":
				field = fmt.Sprintf("for-%d-%d", i, ports[at.port].Number)
			case "allowedSourceAddressPrefix", "allowedSourceAddressPrefixes":
				field = "source"
			default:
				field = fmt.Sprintf("port-%d-%d", i, ports[at.port].Number)
			}
		}
	case at.field == "justification":
		field = "why"
	case at.field == "startTimeUtc":
		field = "start"
	case at.field == "breakGlass", at.field == "drill":
		field = "breakglass"
	}
	v.Wrong.Put(field, told)
}
