package api

// GrantAnswer is a request as it stands.
type GrantAnswer struct {
	ID            string         `json:"id,omitempty" api:"uuid"`
	DryRun        bool           `json:"dryRun,omitzero"`
	Status        string         `json:"status" api:"status"`
	StatusReason  string         `json:"statusReason" api:"reason"`
	Requestor     string         `json:"requestor"`
	Justification string         `json:"justification,omitempty"`
	BreakGlass    bool           `json:"breakGlass,omitzero"` // opened without approval
	Drill         bool           `json:"drill,omitzero"`      // with breakGlass: and nothing opened
	Start         string         `json:"startTimeUtc" api:"time"`
	End           string         `json:"endTimeUtc" api:"time"`
	VMs           []GrantVM      `json:"virtualMachines"`
	LogPending    bool           `json:"logPending,omitzero"`                  // why it closes may not be in the log yet
	DecidedAgain  string         `json:"decidedAgainUtc,omitempty" api:"time"` // while it waits for its start: everything is decided again then, by what is true then
	Replaces      []EndedWindow  `json:"replaces,omitempty"`                   // earlier windows of the requestor whose place it takes although they end later, at endTimeUtc
	Targets       []GrantTarget  `json:"targets,omitempty"`                    // while it is being opened: how far it is
	Approval      *Approval      `json:"approval,omitzero"`                    // where the request waits for approval, or has
	Open          []HeldWindow   `json:"openNow,omitempty"`                    // of a dry run of an approval: who has windows at its machines now
	Review        *Review        `json:"review,omitempty"`                     // of a break-glass that is shown by itself, not in a list
	Changes       []TargetChange `json:"changes,omitzero"`
}

// Approval is what a request waits for, and who has decided it.
type Approval struct {
	Needed int        `json:"approversNeeded"`
	Until  string     `json:"waitsUntilUtc,omitempty" api:"time"` // while it waits
	Digest string     `json:"digest,omitempty" api:"digest"`      // of its exact content, while it waits
	By     []Decision `json:"approvedBy"`
	Denied *Decision  `json:"denied,omitzero"`
}

// Decision is what one person has decided, and by what right.
type Decision struct {
	Name          string `json:"name"`
	ObjectID      string `json:"objectId" api:"uuid"`
	At            string `json:"timeUtc" api:"time"`
	Right         string `json:"right" api:"right"`
	Justification string `json:"justification,omitempty"`
}

// HeldWindow is a window that somebody has open.
type HeldWindow struct {
	Requestor string   `json:"requestor"`
	ID        string   `json:"virtualMachineId" api:"vm"`
	Number    uint16   `json:"number"`
	Prefixes  []string `json:"allowedSourceAddressPrefixes"`
	End       string   `json:"endTimeUtc" api:"time"`
}

// Review is what somebody else has to write about a break-glass: Owed, Written, or NotOwed where its opening failed.
type Review struct {
	Status     string `json:"status" api:"reviewStatus"`
	Text       string `json:"text,omitempty"`
	Reviewer   string `json:"reviewer,omitempty"`
	ReviewerID string `json:"reviewerObjectId,omitempty" api:"uuid"`
	Time       string `json:"timeUtc,omitempty" api:"time"`
}

// GrantTarget is a target that a request waits for, or did: Waiting or Confirmed.
type GrantTarget struct {
	ID     string `json:"id" api:"arm"`
	Status string `json:"status" api:"progress"`
}

// GrantVM is the windows of a request at one machine.
type GrantVM struct {
	ID    string      `json:"id" api:"vm"`
	Ports []GrantPort `json:"ports"`
}

// GrantPort is a window: a port, for whom, until when, and how it stands.
type GrantPort struct {
	Number   uint16    `json:"number"`
	Protocol string    `json:"protocol" api:"protocol"`
	Prefix   string    `json:"allowedSourceAddressPrefix,omitempty"`
	Prefixes []string  `json:"allowedSourceAddressPrefixes,omitempty"`
	End      string    `json:"endTimeUtc" api:"time"`                    // while it waits: the latest that it may become
	Duration string    `json:"duration,omitempty" api:"answer:duration"` // while it waits: for how long it is opened, where its end was not asked for as a time
	Status   string    `json:"status" api:"status"`
	Reason   string    `json:"statusReason" api:"reason"`
	Mapped   uint16    `json:"mappedPort,omitzero"` // the firewall's
	Connect  []Connect `json:"connect,omitempty"`
	Warnings []string  `json:"warnings,omitempty"` // which sources no connection can come in from
}

// Connect is where to dial.
type Connect struct {
	Host string `json:"host"`
	Port uint16 `json:"port"`
}

// List is a page of a list.
type List[T any] struct {
	Value    []T    `json:"value"`
	NextLink string `json:"nextLink,omitempty"`
}

// ErrorBody is how every error is answered.
type ErrorBody struct {
	Error ErrorDetail `json:"error"`
}

// Code is the stable name of a refusal. A later version may add some.
type Code string

// ErrorDetail is a stable code, a text for people, and the field or thing that it is about.
type ErrorDetail struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
	Target  string `json:"target,omitempty"`
}
