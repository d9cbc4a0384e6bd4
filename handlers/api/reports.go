package api

import "encoding/json"

// Entry is an entry of the activity log.
type Entry struct {
	ID            string   `json:"id"`
	Time          string   `json:"time" api:"time"`
	Operation     string   `json:"operation" api:"operation"`
	Result        string   `json:"result" api:"result"`
	Subscription  string   `json:"subscription,omitempty"`
	ResourceGroup string   `json:"resourceGroup,omitempty"`
	VM            string   `json:"virtualMachine,omitempty"`
	Target        string   `json:"target,omitempty"`
	Requestor     string   `json:"requestor"`
	Tenant        string   `json:"requestorTenantId,omitempty"`
	Object        string   `json:"requestorObjectId,omitempty"`
	Kind          string   `json:"requestorKind,omitempty"`
	Client        string   `json:"clientId,omitempty"`
	SignIn        []string `json:"authenticationMethods,omitempty"`
	Address       string   `json:"callerAddress,omitempty"`
	Grant         string   `json:"request,omitempty"`
	Ports         []uint16 `json:"ports,omitempty"`
	Sources       []string `json:"sourceAddressPrefixes,omitempty"`
	End           string   `json:"endTimeUtc,omitempty" api:"time"`
	Justification string   `json:"justification,omitempty"`
	Reason        string   `json:"reason,omitempty"`
	Message       string   `json:"message,omitempty"`
	Correlation   string   `json:"correlationId,omitempty"`
}

// VerifyAnswer is what was found of the activity log, chain by chain.
type VerifyAnswer struct {
	Whole bool    `json:"whole"` // every chain is
	Value []Chain `json:"value"`
}

// Chain is the entries of one subscription and day.
type Chain struct {
	Subscription string       `json:"subscription"`
	Day          string       `json:"day" api:"day"`
	Whole        bool         `json:"whole"`
	Entries      int          `json:"entries"`
	Head         string       `json:"head,omitempty"`
	FirstBroken  *BrokenEntry `json:"firstBroken,omitempty"`
}

// BrokenEntry is the first entry of a chain that is not as it was written.
type BrokenEntry struct {
	Seq     int    `json:"sequence"`
	Break   string `json:"break"`
	ID      string `json:"id,omitempty"`
	Time    string `json:"time,omitempty"`
	Message string `json:"message"`
}

// SweepAnswer is what a sweep did and found.
type SweepAnswer struct {
	DryRun   bool      `json:"dryRun,omitzero"` // nothing was done: what a sweep would do and find
	Started  string    `json:"startedAt"`
	Ended    string    `json:"endedAt"`
	Targets  int       `json:"targets"`
	Changed  int       `json:"targetsChanged"`
	Closed   int       `json:"requestsClosed"`
	Error    string    `json:"error,omitempty"`
	Findings []Finding `json:"findings"`
}

// ComplianceAnswer is what the last sweep found, and how old that is. What is not known is null, and Unknown says why: that nobody
// has looked is not that nothing was found.
type ComplianceAnswer struct {
	Started   *string           `json:"startedAt" api:"time"`
	Ended     *string           `json:"endedAt" api:"time"`
	Completed *string           `json:"completedAt" api:"time"` // when the last sweep that came to every target ended
	Age       *int              `json:"ageSeconds"`             // since completedAt
	Targets   *int              `json:"targets"`
	Changed   *int              `json:"targetsChanged"`
	Closed    *int              `json:"requestsClosed"`
	Error     string            `json:"error,omitempty"`
	Warnings  []string          `json:"warnings"` // why there may be more to find than was found
	Findings  *[]Finding        `json:"findings"`
	Unknown   map[string]string `json:"unknown,omitempty"` // why, by the field that is null
}

// Finding is something that a sweep found and somebody should look at.
type Finding struct {
	Kind    string `json:"kind" api:"finding"`
	Target  string `json:"target,omitempty"`
	VM      string `json:"virtualMachine,omitempty"`
	Grant   string `json:"request,omitempty"`
	Rule    string `json:"rule,omitempty"`
	Message string `json:"message"`
	Since   string `json:"since"`
}

// DoctorAnswer is the state of the installation, check by check.
type DoctorAnswer struct {
	State         string       `json:"state" api:"checkState"` // the worst of the checks
	Time          string       `json:"time" api:"time"`        // by the app's clock, so that a caller can compare its own
	Version       string       `json:"version"`
	Caller        DoctorCaller `json:"caller"`
	Subscriptions []string     `json:"subscriptions"` // those that the caller administers
	Checks        []Check      `json:"checks"`
}

// DoctorCaller is who asks, and the address from which the call is taken to come.
type DoctorCaller struct {
	Name    string `json:"name"`
	ID      string `json:"id"`
	Address OrNull `json:"address"`
}

// Check is one question to the installation, and its answer.
type Check struct {
	Name         string `json:"name"`
	Subscription string `json:"subscription,omitempty"`
	State        string `json:"state" api:"checkState"`
	Seen         OrNull `json:"seen"`
	Reason       string `json:"reason,omitempty"`
	Advice       string `json:"advice,omitempty"`
	Facts        []Fact `json:"facts"`
	Took         int    `json:"tookMilliseconds"`
}

// Fact is something that a check has seen; its value is null where it is not known, with the reason.
type Fact struct {
	Name   string `json:"name"`
	Value  OrNull `json:"value"`
	Reason string `json:"reason,omitempty"`
}

// OrNull is a text, and null where there is none: what is not known.
type OrNull string

// MarshalJSON writes the text or null.
func (t OrNull) MarshalJSON() ([]byte, error) {
	if t == "" {
		return []byte("null"), nil
	}
	return json.Marshal(string(t))
}
