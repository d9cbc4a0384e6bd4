package api

// EnableAnswer is the policies as they are stored and the changes to rules.
type EnableAnswer struct {
	DryRun          bool           `json:"dryRun,omitzero"`
	VirtualMachines []EnabledVM    `json:"virtualMachines"`
	Changes         []TargetChange `json:"changes"`
	Windows         *EndedWindows  `json:"windows,omitempty"` // what was open and is not allowed any more
}

// EnabledVM is a policy as it is stored, and what it meets in the security groups.
type EnabledVM struct {
	ID            string     `json:"id" api:"vm"`
	Location      string     `json:"location"`
	ETag          string     `json:"etag"` // of the policy as it is now: the next edit sends it in If-Match
	ExistingRules string     `json:"existingRules" api:"existingRules"`
	PublicIP      string     `json:"publicIpAddress,omitempty" api:"ipv4"`
	Options       *Options   `json:"options,omitzero"`        // the policy's own
	InForce       *Options   `json:"optionsInForce,omitzero"` // what requests must meet: the stricter of the policy's and the installation's
	Ports         []PortRule `json:"ports"`
	Targets       []string   `json:"targets" api:"arm"`
	Overridden    []Foreign  `json:"overriddenRules"`
	Exposed       []Foreign  `json:"exposingRules"`
	Blocked       []Foreign  `json:"blockingRules,omitempty"` // that keep out everybody whom the policy allows
	Unchecked     string     `json:"notLookedAt,omitempty"`
	Unguarded     []string   `json:"unguardedNetworkInterfaces"`
	Shared        []string   `json:"sharedAddresses,omitempty"` // that another machine has behind the same security group: no request is granted
}

// Foreign is a rule of somebody else that bears on a port.
type Foreign struct {
	Rule     string `json:"rule"`
	Priority int    `json:"priority"`
	Port     uint16 `json:"port"`
}

// TargetChange is the changes of one security group or firewall.
type TargetChange struct {
	Target string `json:"target" api:"arm"`
	Create []Rule `json:"create"`
	Update []Rule `json:"update"`
	Delete []Rule `json:"delete"`
	Hidden int    `json:"hiddenChanges,omitzero"` // to rules about machines that the caller may not read
}

// Rule is a security rule, or a NAT rule.
type Rule struct {
	Name         string   `json:"name"`
	Priority     int      `json:"priority"`
	Access       string   `json:"access" api:"access"`
	Protocol     string   `json:"protocol" api:"protocol"`
	Sources      []string `json:"sourceAddressPrefixes"`
	Destinations []string `json:"destinationAddressPrefixes"`
	Ports        []string `json:"destinationPortRanges"`
	Translated   string   `json:"translatedTo,omitempty"` // address and port to which a NAT rule leads
	Description  string   `json:"description"`
}

// DisableAnswer is the machines that were disabled.
type DisableAnswer struct {
	DryRun          bool           `json:"dryRun,omitzero"`
	VirtualMachines []VmRef        `json:"virtualMachines"`
	Closes          []EndedWindow  `json:"closes,omitempty"`       // the windows that were, or would be, closed
	Hidden          int            `json:"hiddenWindows,omitzero"` // how many more, at machines that the caller may not read
	Changes         []TargetChange `json:"changes,omitempty"`      // of a dry run: to the rules
}

// EndedWindows is the windows that a change of policies ends, or in a dry run would end.
type EndedWindows struct {
	Summary  string        `json:"summary"` // such as "closes 2 windows"
	Closes   []EndedWindow `json:"closes,omitempty"`
	Shortens []EndedWindow `json:"shortens,omitempty"` // they end earlier: when the policy's maximum is over
	Hidden   int           `json:"hidden,omitzero"`    // how many more, at machines that the caller may not read
}

// EndedWindow is the windows of one request on one machine that end together.
type EndedWindow struct {
	Request string   `json:"request" api:"uuid"`
	VM      string   `json:"virtualMachine" api:"vm"`
	Ports   []uint16 `json:"ports"`
	End     string   `json:"endTimeUtc,omitempty" api:"time"` // of windows that end earlier, or that are replaced
}
