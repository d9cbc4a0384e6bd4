package found

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"

	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/handlers/portal/form"
	"portcullis/handlers/portal/show"
	"portcullis/handlers/portal/words"
)

// Adding is the form that adds the ports of a cause to the policies of its machines. Each keeps what its policy says beside them.
type Adding struct {
	Cause            string
	Ports            []Port
	Sources, Maximum string // of the ports that are added, as they were typed
	VMs              []Adds
	Left             int    // machines that are left out: they have no policy, or one that who looks may not change
	More             int    // machines over what one form takes
	Lacks            string // the permission that is missing, where every machine is left out for it
	Wrong            form.Wrongs
	Changes          show.Changes
	Saved            bool
	Stale            bool // somebody has changed a policy since the form was drawn
}

// Port is a port that may be added.
type Port struct {
	Number  uint16
	Service string
	On      bool
}

// Adds is a machine whose policy it adds to.
type Adds struct{ Name, ID, Seen string }

// AddingOf returns the form for ports of machines with their policies as they are stored. What it proposes beside them is what Microsoft does.
func AddingOf(cause string, ports []uint16, policies []jit.Policy) Adding {
	proposed := jit.DefaultPorts()[0]
	v := Adding{Cause: cause, Sources: "any", Maximum: jit.Length(proposed.Maximum), Wrong: form.Wrongs{}}
	for _, n := range ports {
		v.Ports = append(v.Ports, Port{Number: n, Service: words.Service(n), On: true})
	}
	for _, p := range policies {
		v.VMs = append(v.VMs, Adds{Name: p.VM.Name, ID: p.VM.String(), Seen: store.PolicyETag(p)})
	}
	return v
}

// Read takes over what was sent.
func (v *Adding) Read(f url.Values) {
	v.Sources, v.Maximum = f.Get("sources"), f.Get("maximum")
	for i, p := range v.Ports {
		v.Ports[i].On = slices.Contains(f["port"], strconv.Itoa(int(p.Number)))
	}
	for i := range v.VMs {
		if at := slices.Index(f["vm"], v.VMs[i].ID); at >= 0 && at < len(f["seen"]) {
			v.VMs[i].Seen = f["seen"][at]
		}
	}
}

// Policies returns the policies, which keep what they demand of requests, with the ports that are ticked and that they do not name yet, as the form has them. What is wrong stands in Wrong.
func (v *Adding) Policies(stored []jit.Policy) []jit.Policy {
	sources, err := words.ReadSources(v.Sources)
	v.Wrong.Put("sources", err)
	maximum, err := words.ReadLength(v.Maximum)
	v.Wrong.Put("maximum", err)
	if !slices.ContainsFunc(v.Ports, func(p Port) bool { return p.On }) {
		v.Wrong.Put("ports", &jit.Error{Message: "choose at least one port"})
	}
	var out []jit.Policy
	for _, p := range stored {
		more := jit.Policy{VM: p.VM, Ports: slices.Clone(p.Ports), ExistingRules: p.ExistingRules, PublicAddress: p.PublicAddress}
		for _, add := range v.Ports {
			if _, has := p.Port(add.Number); !has && add.On {
				more.Ports = append(more.Ports, jit.PortRule{Number: add.Number, Protocol: jit.AnyProtocol, Sources: sources, Maximum: maximum})
			}
		}
		out = append(out, more)
	}
	return out
}

// Says tells what the form is about.
func (v Adding) Says() string {
	switch len(v.VMs) {
	case 0:
		return "No machine whose policy you may change"
	case 1:
		return v.VMs[0].Name
	}
	return fmt.Sprintf("%d machines", len(v.VMs))
}
