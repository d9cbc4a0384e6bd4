package api

// What comes in. Absent and null are the same: a nil pointer or slice.

// EnableBody is the body of POST /api/enable.
type EnableBody struct {
	VirtualMachines []EnableVM `json:"virtualMachines" api:"required machines"`
}

// EnableVM is a machine and its policy. Absent ports are the default ones, see wire.EnableBody.Policies.
type EnableVM struct {
	ID            string     `json:"id" api:"required vm"`
	Ports         []PortRule `json:"ports" api:"ports"`
	ExistingRules string     `json:"existingRules" api:"existingRules"`
	PublicIP      string     `json:"publicIpAddress" api:"ipv4"` // the firewall's, where the policy pins it
	Options       *Options   `json:"options"`                    // left out: those that are stored stay; {} takes them off
}

// Options are what a policy demands of requests, in both directions.
type Options struct {
	ForbidAnySource      bool `json:"forbidAnySource"`
	WidestIPv4Prefix     int  `json:"widestIPv4Prefix" api:"widest4"` // such as 24; 0 for no bound
	WidestIPv6Prefix     int  `json:"widestIPv6Prefix" api:"widest6"`
	RequireJustification bool `json:"requireJustification"`
	// Approvers is how many distinct people must approve a request before it is opened, 0 to 5, never who asked; for one port see PortRule.
	Approvers int `json:"approvers,omitzero" api:"approvers"`
	// ApproverObjectIDs are those who may, people and groups; where it is left out, whoever may write the policy, or has the app role.
	ApproverObjectIDs []string `json:"approverObjectIds,omitempty" api:"approverIDs guid"`
}

// PortRule is a port of a policy, in both directions.
type PortRule struct {
	Number   PortNumber `json:"number" api:"required"`
	Protocol string     `json:"protocol" api:"protocol"`
	Prefix   *string    `json:"allowedSourceAddressPrefix,omitzero" api:"prefix either"`
	Prefixes []string   `json:"allowedSourceAddressPrefixes,omitempty" api:"prefixes prefix either"`
	Maximum  string     `json:"maxRequestAccessDuration" api:"maximum"`
	Mapped   uint16     `json:"mappedPort,omitzero" api:"mapped"` // the firewall's, where the policy pins it
	// Approvers is how many people must approve a request for this port, where that is more than the options ask for.
	Approvers int `json:"approvers,omitzero" api:"approvers"`
}

// VmsBody is the body of POST /api/disable.
type VmsBody struct {
	VirtualMachines []VmRef `json:"virtualMachines" api:"required machines"`
}

// VmRef is a machine, by its id.
type VmRef struct {
	ID string `json:"id" api:"required vm"`
}

// RequestBody is the body of POST /api/request.
type RequestBody struct {
	VirtualMachines []RequestVM `json:"virtualMachines" api:"required machines"`
	Justification   string      `json:"justification" api:"justification"`
	Start           *string     `json:"startTimeUtc" api:"time"` // RFC 3339 with its offset: the windows open then and not before, and durations count from then; left out: at once
	BreakGlass      bool        `json:"breakGlass"`              // opens without approval, in an emergency: the justification is needed, and somebody else has to review it
	Drill           bool        `json:"drill"`                   // with breakGlass: all of that, and nothing opens
}

// RequestVM is a machine and the ports that are asked for.
type RequestVM struct {
	ID    string        `json:"id" api:"required vm"`
	Ports []RequestPort `json:"ports" api:"required ports"`
}

// RequestPort is a port that is asked for. Duration is ISO 8601, End RFC 3339; one of them is needed.
type RequestPort struct {
	Number   PortNumber `json:"number" api:"required"`
	Duration *string    `json:"duration" api:"duration one"`
	End      *string    `json:"endTimeUtc" api:"time one"`
	Prefix   *string    `json:"allowedSourceAddressPrefix" api:"prefix either"`
	Prefixes []string   `json:"allowedSourceAddressPrefixes" api:"prefixes prefix either"`
}

// ExtendBody is the body of POST /api/requests/{id}/extend: one of the two.
type ExtendBody struct {
	Duration *string `json:"duration" api:"duration one"`
	End      *string `json:"endTimeUtc" api:"time one"`
}

// ApproveBody is the body of POST /api/requests/{id}/approve: the digest that the request has, so that exactly what was seen is approved.
type ApproveBody struct {
	Digest string `json:"digest" api:"digest"` // may be left out of a dry run
}

// DenyBody is the body of POST /api/requests/{id}/deny: why, which is kept.
type DenyBody struct {
	Justification string `json:"justification" api:"justification"`
}

// ReviewBody is the body of POST /api/requests/{id}/review: what happened.
type ReviewBody struct {
	Review string `json:"review" api:"required review"`
}

// SourcePrefixes gives the prefixes of the plural field, which are bounded.
func (p PortRule) SourcePrefixes() []string { return p.Prefixes }

// SourcePrefixes gives the prefixes of the plural field, which are bounded.
func (p RequestPort) SourcePrefixes() []string { return p.Prefixes }

// SourceCounts gives how many prefixes each port names.
func (vm EnableVM) SourceCounts() []int { return Counts(vm.Ports) }

// SourceCounts gives how many prefixes each port names.
func (vm RequestVM) SourceCounts() []int { return Counts(vm.Ports) }

// Counts gives how many prefixes each port names.
func Counts[P interface{ SourcePrefixes() []string }](ports []P) []int {
	var out []int
	for _, p := range ports {
		out = append(out, len(p.SourcePrefixes()))
	}
	return out
}
