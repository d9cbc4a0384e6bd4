package handlers

import (
	"net/http"
	"strings"

	"portcullis/core/inventory"
	"portcullis/core/jit"
	"portcullis/handlers/query"
)

type machinesAnswer struct {
	Value          []machine         `json:"value"`
	Counts         machineCounts     `json:"counts"`
	ResourceGroups []string          `json:"resourceGroups"`
	Subscriptions  []string          `json:"subscriptions"`
	Incomplete     map[string]string `json:"incompleteSubscriptions,omitempty"`
	RequestsCut    bool              `json:"approvedRequestsAreLowerBounds,omitzero"`
	NextLink       string            `json:"nextLink,omitempty"`
}

type machineCounts struct {
	Configured    int `json:"configured"`
	NotConfigured int `json:"notConfigured"`
	Unsupported   int `json:"unsupported"`
}

type machine struct {
	ID            string       `json:"id"`
	Name          string       `json:"name"`
	ResourceGroup string       `json:"resourceGroup"`
	Subscription  string       `json:"subscription"`
	Location      string       `json:"location,omitempty"`
	State         string       `json:"state"`
	Reason        string       `json:"reason,omitempty"`
	Targets       []string     `json:"targets,omitempty"`
	Connection    *connection  `json:"connection,omitempty"`
	Unguarded     []string     `json:"unguardedNetworkInterfaces,omitempty"`
	ExistingRules string       `json:"existingRules,omitempty"`
	PublicIP      string       `json:"publicIpAddress,omitempty"` // the firewall's that the policy pins
	Options       *options     `json:"options,omitzero"`          // the policy's own
	InForce       *options     `json:"optionsInForce,omitzero"`   // what requests must meet: the stricter of the policy's and the installation's
	Ports         []portRule   `json:"ports,omitempty"`
	Requests      *int         `json:"approvedRequests,omitempty"`
	LastAccess    *lastAccess  `json:"lastAccess,omitempty"`
	Windows       []openWindow `json:"openWindows,omitempty"`
	Findings      []finding    `json:"findings,omitempty"`
}

// connection says what to dial, and which icon stands beside it.
type connection struct {
	Kind   string   `json:"kind"`
	Hosts  []string `json:"hosts"`
	Public bool     `json:"public"`
}

type lastAccess struct {
	Time      string `json:"time"`
	Requestor string `json:"requestor"`
}

type openWindow struct {
	Grant         string   `json:"request"`
	Number        uint16   `json:"number"`
	Protocol      string   `json:"protocol"`
	Sources       []string `json:"allowedSourceAddressPrefixes"`
	Start         string   `json:"startTimeUtc"`
	End           string   `json:"endTimeUtc"`
	Status        string   `json:"status"`
	Requestor     string   `json:"requestor"`
	Justification string   `json:"justification,omitempty"`
	Own           bool     `json:"own"`
	Connect       *connect `json:"connect,omitempty"` // where a firewall takes it
}

func toMachine(m inventory.MachineView) machine {
	out := machine{ID: m.VM.String(), Name: m.VM.Name, ResourceGroup: m.VM.ResourceGroup, Subscription: m.VM.Subscription, Location: m.Location,
		State: string(m.State), Reason: string(m.Reason), Unguarded: m.Unguarded}
	for _, t := range m.Targets {
		out.Targets = append(out.Targets, t.String())
	}
	if m.Connect != "" {
		out.Connection = &connection{Kind: m.Connect, Hosts: []string{}, Public: m.Public}
		for _, a := range m.Dial {
			out.Connection.Hosts = append(out.Connection.Hosts, a.String())
		}
	}
	if m.State != inventory.MachineConfigured {
		return out
	}
	out.Options, out.InForce = toOptions(m.Options), toOptions(m.InForce)
	out.PublicIP = ipText(m.PublicAddress)
	out.ExistingRules, out.Ports, out.Requests = m.ExistingRules.String(), toPortRules(m.Ports), &m.Requests
	if !m.LastAccess.IsZero() {
		out.LastAccess = &lastAccess{Time: stamp(m.LastAccess), Requestor: m.LastRequestor}
	}
	for _, w := range m.Windows {
		shown := openWindow{Grant: w.Grant, Number: w.Number, Protocol: string(w.Protocol), Sources: w.Sources.Strings(),
			Start: stamp(w.Start), End: stamp(w.End), Status: w.Status.String(), Requestor: w.Requestor, Justification: w.Justification, Own: w.Own}
		if w.Mapped.IsValid() {
			shown.Connect = &connect{Host: w.Mapped.Addr().String(), Port: w.Mapped.Port()}
		}
		out.Windows = append(out.Windows, shown)
	}
	for _, f := range m.Findings {
		out.Findings = append(out.Findings, toFinding(f))
	}
	return out
}

// machines lists machines, protected or not: GET /api/machines.
func (s *server) machines(w http.ResponseWriter, r call) error {
	q := r.query
	ask := inventory.MachineQuery{State: inventory.MachineState(q["state"]), Text: q["q"], ResourceGroup: q["resourceGroup"],
		Subscription: q["subscription"], Cursor: q["cursor"]}
	sort, descending := strings.CutPrefix(q["sort"], "-")
	ask.Sort, ask.Descending = inventory.MachineSort(sort), descending
	if ask.Subscription != "" && !jit.ValidGUID(ask.Subscription) {
		return &jit.Error{Code: query.CodeInvalid, Target: "subscription", Message: "subscription is not a GUID"}
	}
	var err error
	if ask.VM, err = q.VM(); err != nil {
		return err
	}
	if ask.Limit, err = q.Limit(); err != nil {
		return err
	}
	page, err := s.app.Inventory.Machines(r.Context(), r.who, ask)
	if err != nil {
		return err
	}
	out := machinesAnswer{Value: []machine{}, ResourceGroups: page.ResourceGroups, Subscriptions: page.Subscriptions, Incomplete: page.Incomplete,
		RequestsCut: page.RequestsCut, NextLink: q.Next(r.URL.Path, page.Next),
		Counts: machineCounts{page.Counts[inventory.MachineConfigured], page.Counts[inventory.MachineNotConfigured], page.Counts[inventory.MachineUnsupported]}}
	for _, m := range page.Machines {
		out.Value = append(out.Value, toMachine(m))
	}
	write(w, http.StatusOK, out)
	return nil
}
