package jit

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Protocol is what a port rule protects: "TCP", "UDP" or "*". Foreign rules may also have "ICMP", "ESP" and "AH".
// The zero value is invalid.
type Protocol string

// The protocols in canonical spelling.
const (
	TCP         Protocol = "TCP"
	UDP         Protocol = "UDP"
	ICMP        Protocol = "ICMP"
	ESP         Protocol = "ESP"
	AH          Protocol = "AH"
	AnyProtocol Protocol = "*"
)

// ParseProtocol parses TCP, UDP or * in any case and refuses anything else with [CodeInvalidProtocol].
func ParseProtocol(s string) (Protocol, error) {
	switch p := Protocol(strings.ToUpper(s)); p {
	case TCP, UDP, AnyProtocol:
		return p, nil
	}
	return "", refuse(CodeInvalidProtocol, "protocol", "protocol %q is none of TCP, UDP, *", s)
}

// Overlaps reports whether a packet can match both.
func (p Protocol) Overlaps(q Protocol) bool {
	return p == q || p == AnyProtocol || q == AnyProtocol
}

// The bounds of a policy's maximum, as in Microsoft.Security.
const (
	MinMaximum = 5 * time.Minute
	MaxMaximum = 24 * time.Hour
)

// ExistingRules says where a policy's deny goes relative to foreign rules that already allow a protected port. The
// zero value is Override: a protected port is closed.
type ExistingRules uint8

const (
	// Override places the deny above every foreign allow of a protected port.
	Override ExistingRules = iota
	// Respect places the deny below them, as Defender does: the port stays open for them.
	Respect
)

// ParseExistingRules parses "override", "respect" or "" (override).
func ParseExistingRules(s string) (ExistingRules, error) {
	switch strings.ToLower(s) {
	case "", "override":
		return Override, nil
	case "respect":
		return Respect, nil
	}
	return 0, refuse(CodeInvalidExistingRules, "existingRules", "existingRules %q is neither override nor respect", s)
}

// String returns the API's spelling.
func (e ExistingRules) String() string {
	if e == Respect {
		return "respect"
	}
	return "override"
}

// PortRule is a policy's rule for one port: it stays closed, and may be opened from Sources for at most Maximum.
type PortRule struct {
	Number   uint16
	Protocol Protocol
	Sources  Sources       // the sources that a request may name
	Maximum  time.Duration // 5 minutes to 1 day
	Mapped   uint16        // the firewall port to dial for this port; 0: any that is free
	// Approvers is how many distinct people must approve a request for this port, where that is more than [Options.Approvers]; 0 to [MaxApprovers].
	Approvers int
}

// DefaultPorts are Defender for Cloud's proposals: SSH, RDP and both WinRM
// ports, any protocol, any source, three hours.
func DefaultPorts() []PortRule {
	var out []PortRule
	for _, n := range []uint16{22, 3389, 5985, 5986} {
		out = append(out, PortRule{Number: n, Protocol: AnyProtocol, Sources: AnySource(), Maximum: 3 * time.Hour})
	}
	return out
}

// Policy protects the ports of one virtual machine.
type Policy struct {
	VM            ID
	Ports         []PortRule
	ExistingRules ExistingRules
	// LeavesRoom says that a deny that overrides rather stands below a foreign allow than at the last place that a
	// window could have. Nobody sets it: it is found out when the machine is protected (docs/decisions/031).
	LeavesRoom bool
	// Options are what the policy demands of requests. Nil means not stated: storing the policy keeps the options that
	// are stored.
	Options *Options
	// PublicAddress is the firewall address to dial; zero: any that the firewall has. It has no effect without a
	// firewall in front of the machine.
	PublicAddress netip.Addr
}

// OwnOptions returns the policy's options, or none if it states none.
func (p Policy) OwnOptions() Options { return p.InForce(Options{}) }

// InForce returns the options that a request for the machine must meet: the stricter of the policy's and the
// installation's.
func (p Policy) InForce(floor Options) Options {
	if p.Options == nil {
		return floor
	}
	return floor.With(*p.Options)
}

// MaxMapped is the last firewall port that a NAT rule may use: Azure Firewall reserves ports from 64000.
const MaxMapped = 63999

// MaxPorts is how many ports one policy may name.
const MaxPorts = 100

// ValidPolicy is a policy that [Policy.Validate] found usable. Verbs take it in this form, and so need not check it
// again. The zero value is no machine's.
type ValidPolicy struct {
	policy Policy
}

// Policy returns what was checked. Do not change what it points to.
func (v ValidPolicy) Policy() Policy { return v.policy }

// VM returns the machine that the policy protects.
func (v ValidPolicy) VM() ID { return v.policy.VM }

// ValidPolicies are the policies of 1 to [MaxVMs] machines, of each machine one, that [ValidatePolicies] found usable.
// The zero value holds none.
type ValidPolicies struct {
	policies []Policy
}

// Policies returns what was checked. Do not change them.
func (v ValidPolicies) Policies() []Policy { return v.policies }

// ValidatePolicies returns policies as checked ones, or, as an [*Error] whose target is a path below the body that
// lists them as virtualMachines, the first thing that makes them unusable: none or more than [MaxVMs], a policy that
// [Policy.Validate] refuses, a duplicate machine. Do not change the policies afterwards.
func ValidatePolicies(policies []Policy) (ValidPolicies, error) {
	if len(policies) == 0 || len(policies) > MaxVMs {
		return ValidPolicies{}, refuse(CodeNoVMs, "virtualMachines", "name 1 to %d virtual machines", MaxVMs)
	}
	seen := map[string]bool{}
	for i, p := range policies {
		at := fmt.Sprintf("virtualMachines[%d]", i)
		if err := p.check(); err != nil {
			return ValidPolicies{}, Below(err, at)
		}
		if seen[p.VM.Key()] {
			return ValidPolicies{}, refuse(CodeDuplicateVM, at+".id", "%s stands twice", p.VM.Name)
		}
		seen[p.VM.Key()] = true
	}
	return ValidPolicies{policies}, nil
}

// Validate returns the policy as a checked one, or, as an [*Error] whose target is a path below the policy, the first
// thing that makes it unusable: no ports, a duplicate number, a protocol or source missing, a maximum outside 5 minutes
// to 1 day, a firewall address that is not IPv4, a firewall port that cannot be mapped or is mapped twice, options with
// invalid bounds. It does NOT ensure that the machine exists or can be protected. Do not change afterwards what the
// policy points to.
func (p Policy) Validate() (ValidPolicy, error) {
	if err := p.check(); err != nil {
		return ValidPolicy{}, err
	}
	return ValidPolicy{p}, nil
}

func (p Policy) check() error {
	if len(p.Ports) == 0 {
		return refuse(CodeNoPorts, "ports", "a policy needs at least one port")
	}
	if len(p.Ports) > MaxPorts {
		return refuse(CodeTooManyPorts, "ports", "%d ports; a policy takes at most %d", len(p.Ports), MaxPorts)
	}
	if p.PublicAddress.IsValid() && !p.PublicAddress.Is4() {
		return refuse(CodeInvalidPublicAddress, "publicIpAddress", "%s is not an IPv4 address; a firewall maps no other", p.PublicAddress)
	}
	seen, mapped := map[uint16]bool{}, map[uint16]bool{}
	for i, port := range p.Ports {
		at := fmt.Sprintf("ports[%d]", i)
		switch {
		case seen[port.Number]:
			return refuse(CodeDuplicatePort, at+".number", "port %d stands twice; a request names a port by its number alone", port.Number)
		case port.Protocol != TCP && port.Protocol != UDP && port.Protocol != AnyProtocol:
			return refuse(CodeInvalidProtocol, at+".protocol", "protocol %q is none of TCP, UDP, *", port.Protocol)
		case port.Sources.IsEmpty():
			return refuse(CodeInvalidSource, at+".allowedSourceAddressPrefix", "no source is allowed for port %d; give * for any", port.Number)
		case port.Maximum < MinMaximum || port.Maximum > MaxMaximum:
			return refuse(CodeInvalidMaximum, at+".maxRequestAccessDuration", "a maximum of %s is outside 5 min to 24 h", Length(port.Maximum))
		case port.Approvers < 0 || port.Approvers > MaxApprovers:
			return refuse(CodeInvalidApprovers, at+".approvers", "%d approvers are outside 0 to %d", port.Approvers, MaxApprovers)
		case port.Mapped > MaxMapped:
			return refuse(CodeInvalidMappedPort, at+".mappedPort", "a firewall does not map port %d; the last one is %d", port.Mapped, MaxMapped)
		case port.Mapped != 0 && mapped[port.Mapped]:
			return refuse(CodeInvalidMappedPort, at+".mappedPort", "port %d of the firewall is mapped twice", port.Mapped)
		}
		mapped[port.Mapped] = true
		seen[port.Number] = true
	}
	if p.Options != nil {
		if err := p.Options.Validate(); err != nil {
			return Below(err, "options")
		}
	}
	return nil
}

// WithPins returns the policy with the firewall ports that old pins for the same ports, and with the approvers that it demands for
// them, for clients that cannot state them.
func (p Policy) WithPins(old Policy) Policy {
	p.Ports = slices.Clone(p.Ports)
	for i := range p.Ports {
		if was, ok := old.Port(p.Ports[i].Number); ok {
			p.Ports[i].Mapped, p.Ports[i].Approvers = was.Mapped, was.Approvers
		}
	}
	return p
}

// Port returns the rule for a number, and whether there is one.
func (p Policy) Port(number uint16) (PortRule, bool) {
	i := slices.IndexFunc(p.Ports, func(r PortRule) bool { return r.Number == number })
	if i < 0 {
		return PortRule{}, false
	}
	return p.Ports[i], true
}
