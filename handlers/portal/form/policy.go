package form

import (
	"cmp"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"portcullis/core/jit"
	"portcullis/handlers/portal/words"
)

// Policy is the form that protects machines, as it was typed.
type Policy struct {
	Rows     []PortRow
	Existing string
	PublicIP string // of a firewall in front of them: the address at which it is dialled
	Demands  Demands
	Wrong    Wrongs
	Bulk     *Bulk // of machines whose policies differ; nil for one policy
}

// PortRow is one row of the table of ports, as it was typed.
type PortRow struct {
	Index                              int
	Number, Protocol, Sources, Maximum string
	Mapped                             string // the port of the firewall, "" for any
	Approvers                          string // "" for as many as the machine asks for; the form keeps them
	// Of a form for several policies: where the port is to be, where it is, whether some machine has it, and whether some has not.
	Where, On   string
	Fixed, Some bool
}

// ipText gives "" for no address.
func ipText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// rowsOf writes the ports of a policy as rows.
func rowsOf(ports []jit.PortRule) []PortRow {
	var out []PortRow
	for i, p := range ports {
		row := PortRow{Index: i, Number: strconv.Itoa(int(p.Number)), Protocol: string(p.Protocol), Sources: strings.Join(p.Sources.Strings(), ", "), Maximum: jit.Length(p.Maximum), Approvers: number(p.Approvers)}
		if p.Sources.IsAny() {
			row.Sources = "any"
		}
		if p.Mapped != 0 {
			row.Mapped = strconv.Itoa(int(p.Mapped))
		}
		out = append(out, row)
	}
	return out
}

// NewPolicy returns the form of a policy that there is not yet: the ports that Microsoft proposes, and what the installation demands.
func NewPolicy(floor jit.Options) Policy {
	return Policy{Rows: rowsOf(jit.DefaultPorts()), Existing: jit.Override.String(), Demands: demandsOf(jit.Options{}, floor), Wrong: Wrongs{}}
}

// PolicyOf returns the form of a policy.
func PolicyOf(p jit.Policy, floor jit.Options) Policy {
	return Policy{Rows: rowsOf(p.Ports), Existing: p.ExistingRules.String(), PublicIP: ipText(p.PublicAddress), Demands: demandsOf(p.OwnOptions(), floor), Wrong: Wrongs{}}
}

// ReadPolicy reads the form as it was sent.
func ReadPolicy(f url.Values, floor jit.Options) Policy {
	v := Policy{Existing: cmp.Or(f.Get("existing"), jit.Override.String()), PublicIP: f.Get("publicip"), Demands: readDemands(f, floor), Wrong: Wrongs{}}
	for i := range f["number"] {
		row := PortRow{Index: i, Number: f["number"][i]}
		for name, to := range map[string]*string{"protocol": &row.Protocol, "sources": &row.Sources, "maximum": &row.Maximum, "mapped": &row.Mapped, "approvers": &row.Approvers, "where": &row.Where} {
			if i < len(f[name]) {
				*to = f[name][i]
			}
		}
		v.Rows = append(v.Rows, row)
	}
	return v
}

// AddRow adds a row to be filled in.
func (v *Policy) AddRow() {
	v.Rows = append(v.Rows, PortRow{Index: len(v.Rows), Protocol: string(jit.TCP), Sources: "any", Maximum: "3 h", Where: everywhere})
}

// RemoveRow removes the row with an index.
func (v *Policy) RemoveRow(index string) {
	if v.Bulk != nil {
		for _, r := range v.Rows {
			if strconv.Itoa(r.Index) == index && r.Fixed && len(v.Bulk.Gone) < most {
				v.Bulk.Gone = append(v.Bulk.Gone, r.Number)
			}
		}
	}
	v.Rows = slices.DeleteFunc(v.Rows, func(r PortRow) bool { return strconv.Itoa(r.Index) == index })
	for i := range v.Rows {
		v.Rows[i].Index = i
	}
}

// Policies reads the rows as policies of the machines; what is wrong stands in Wrong.
func (v *Policy) Policies(vms []jit.ID) []jit.Policy {
	if v.Bulk != nil {
		return v.bulk(vms)
	}
	existing, err := jit.ParseExistingRules(v.Existing)
	v.Wrong.Put("existing", err)
	options := v.Demands.options(v.Wrong)
	var ports []jit.PortRule
	for _, row := range v.Rows {
		ports = append(ports, v.rule(row))
	}
	public := address(v.PublicIP, v.Wrong)
	var out []jit.Policy
	for _, vm := range vms {
		out = append(out, jit.Policy{VM: vm, Ports: slices.Clone(ports), ExistingRules: existing, Options: options, PublicAddress: public})
	}
	return out
}

// address reads the address of a firewall; none for "". What is wrong stands in w.
func address(text string, w Wrongs) netip.Addr {
	if text = strings.TrimSpace(text); text == "" {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		w.Put("publicip", &jit.Error{Message: fmt.Sprintf("%.60q is not an address", text)})
	}
	return a
}

func (v *Policy) rule(row PortRow) jit.PortRule {
	var rule jit.PortRule
	field := func(name string) string { return fmt.Sprintf("%s-%d", name, row.Index) }
	n, err := strconv.ParseUint(strings.TrimSpace(row.Number), 10, 16)
	if err != nil {
		v.Wrong.Put(field("number"), &jit.Error{Message: fmt.Sprintf("%.20q is not a port from 0 to 65535", row.Number)})
	}
	rule.Number = uint16(n)
	if rule.Protocol, err = jit.ParseProtocol(row.Protocol); err != nil {
		v.Wrong.Put(field("protocol"), err)
	}
	if rule.Sources, err = words.ReadSources(row.Sources); err != nil {
		v.Wrong.Put(field("sources"), err)
	}
	if rule.Maximum, err = words.ReadLength(row.Maximum); err != nil {
		v.Wrong.Put(field("maximum"), err)
	}
	if text := strings.TrimSpace(row.Mapped); text != "" {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil || n == 0 {
			v.Wrong.Put(field("mapped"), &jit.Error{Message: fmt.Sprintf("%.20q is not a port from 1 to %d", text, jit.MaxMapped)})
		}
		rule.Mapped = uint16(n)
	}
	rule.Approvers = approvers(row.Approvers, field("approvers"), v.Wrong)
	return rule
}

// Refused puts a refusal beside the field that it concerns.
func (v *Policy) Refused(told *jit.Error, vms []jit.ID) {
	at := locate(told.Target, vms)
	if v.Bulk != nil {
		at = v.Bulk.place(told.Target, v.Rows)
	}
	field := ""
	switch {
	case at.port >= 0 && at.port < len(v.Rows):
		name := map[string]string{"number": "number", "protocol": "protocol", "maxRequestAccessDuration": "maximum",
			"allowedSourceAddressPrefix": "sources", "allowedSourceAddressPrefixes": "sources", "mappedPort": "mapped"}[at.field]
		field = fmt.Sprintf("%s-%d", cmp.Or(name, "number"), at.port)
	case at.vm >= 0 && at.field == "ports":
		field = "ports"
	case at.vm >= 0 && at.field == "publicIpAddress":
		field = "publicip"
	case at.vm >= 0 && at.field == "existingRules":
		field = "existing"
	case at.vm >= 0 && at.field == "widestIPv4Prefix":
		field = "widest4"
	case at.vm >= 0 && at.field == "widestIPv6Prefix":
		field = "widest6"
	case at.vm >= 0:
		field = MachineField(at.vm)
	}
	v.Wrong.Put(field, told)
}
