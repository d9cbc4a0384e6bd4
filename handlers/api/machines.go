package api

// MachinesAnswer is a page of machines. Counts, groups and subscriptions are of all that the caller may read.
type MachinesAnswer struct {
	Value          []Machine         `json:"value"`
	Counts         MachineCounts     `json:"counts"`
	ResourceGroups []string          `json:"resourceGroups"`
	Subscriptions  []string          `json:"subscriptions"`
	Incomplete     map[string]string `json:"incompleteSubscriptions,omitempty"`
	RequestsCut    bool              `json:"approvedRequestsAreLowerBounds,omitzero"`
	NextLink       string            `json:"nextLink,omitempty"`
}

// MachineCounts is how many machines are in each state.
type MachineCounts struct {
	Configured    int `json:"configured"`
	NotConfigured int `json:"notConfigured"`
	Unsupported   int `json:"unsupported"`
}

// Machine is a machine as it stands. From ExistingRules on the fields are of configured machines alone.
type Machine struct {
	ID            string            `json:"id" api:"arm"`
	Name          string            `json:"name"`
	ResourceGroup string            `json:"resourceGroup"`
	Subscription  string            `json:"subscription"`
	Location      string            `json:"location,omitempty"`
	Tags          map[string]string `json:"tags,omitzero"` // left out where they are not known
	State         string            `json:"state" api:"machineState"`
	Reason        string            `json:"reason,omitempty" api:"machineReason"`
	Targets       []string          `json:"targets,omitempty" api:"arm"`
	Connection    *Connection       `json:"connection,omitempty"`
	Unguarded     []string          `json:"unguardedNetworkInterfaces,omitempty"`
	ETag          string            `json:"etag,omitempty"` // of the policy: an edit sends it in If-Match
	ExistingRules string            `json:"existingRules,omitempty" api:"existingRules"`
	PublicIP      string            `json:"publicIpAddress,omitempty" api:"ipv4"` // the firewall's that the policy pins
	Options       *Options          `json:"options,omitzero"`                     // the policy's own
	InForce       *Options          `json:"optionsInForce,omitzero"`              // what requests must meet: the stricter of the policy's and the installation's
	Ports         []PortRule        `json:"ports,omitempty"`
	Requests      *int              `json:"approvedRequests,omitempty"`
	LastAccess    *LastAccess       `json:"lastAccess,omitempty"`
	Windows       []OpenWindow      `json:"openWindows,omitempty"`
	Findings      []Finding         `json:"findings,omitempty"`
}

// Connection says what to dial, and which icon stands beside it.
type Connection struct {
	Kind   string   `json:"kind" api:"connection"`
	Hosts  []string `json:"hosts"`
	Public bool     `json:"public"`
}

// LastAccess is the newest window of a machine, and whose it was.
type LastAccess struct {
	Time      string `json:"time" api:"time"`
	Requestor string `json:"requestor"`
}

// OpenWindow is a port of a machine that somebody has open, or is opening.
type OpenWindow struct {
	Grant         string   `json:"request" api:"uuid"`
	Number        uint16   `json:"number"`
	Protocol      string   `json:"protocol" api:"protocol"`
	Sources       []string `json:"allowedSourceAddressPrefixes"`
	Start         string   `json:"startTimeUtc" api:"time"`
	End           string   `json:"endTimeUtc" api:"time"`
	Status        string   `json:"status" api:"status"`
	Requestor     string   `json:"requestor"`
	Justification string   `json:"justification,omitempty"`
	Own           bool     `json:"own"`
	Connect       *Connect `json:"connect,omitempty"` // where a firewall takes it
}
