package api

// LockdownBody is the body of POST /api/lockdown.
type LockdownBody struct {
	Scope  *LockdownScope `json:"scope" api:"required"`
	Reason string         `json:"reason" api:"required reasonText"`
	Hold   bool           `json:"hold"` // nothing new opens in the scope until that is lifted
}

// LockdownScope is what is locked down, in both directions: exactly one of them.
type LockdownScope struct {
	Person        string `json:"person,omitempty" api:"guid"` // object id
	VM            string `json:"virtualMachine,omitempty" api:"vm"`
	ResourceGroup string `json:"resourceGroup,omitempty" api:"resourceGroupId"`
	Subscription  string `json:"subscription,omitempty" api:"guid"`
	Everything    bool   `json:"everything,omitzero"`
}

// LiftBody is the body of POST /api/lockdown/{id}/lift.
type LiftBody struct {
	Reason string `json:"reason" api:"required reasonText"`
}

// LockdownAnswer is how far a lock-down is, or in a dry run what it would close. What is not known is null.
type LockdownAnswer struct {
	ID       string            `json:"id,omitempty" api:"uuid"`
	DryRun   bool              `json:"dryRun,omitzero"`
	Scope    LockdownScope     `json:"scope"`
	Reason   string            `json:"reason"`
	By       string            `json:"by,omitempty"`
	Started  string            `json:"startedAt,omitempty" api:"time"`
	Hold     string            `json:"hold,omitempty" api:"uuid"` // the hold that was set, or that stood already; it may have been lifted since
	Held     bool              `json:"held"`                      // that hold stands
	Found    int               `json:"found"`                     // requests with something open in the scope
	Marked   int               `json:"marked"`                    // of these: to be closed, whatever happens
	Closed   int               `json:"closed"`                    // of these: confirmed closed everywhere
	Untraced int               `json:"untraced,omitzero"`         // how many more were found than can be followed here
	Failed   []LockdownFailure `json:"failed"`                    // not closed after a try; every sweep tries again
	Hidden   int               `json:"hiddenFailures,omitzero"`   // how many more have failed, at machines that the caller may not read
	Done     bool              `json:"done"`                      // all that was found is confirmed closed
	Targets  *int              `json:"targets,omitempty"`         // of a dry run: how many security groups and firewalls would be written, once each
	Windows  *EndedWindows     `json:"windows,omitempty"`         // of a dry run: the windows that would close
}

// LockdownFailure is a request that could not be closed yet.
type LockdownFailure struct {
	Request string `json:"request" api:"uuid"`
	Message string `json:"message"`
}

// HoldsAnswer is the holds that stand, as far as the caller may see them.
type HoldsAnswer struct {
	Value []Hold `json:"value"`
}

// Hold keeps new windows in a scope from opening. By and Reason are for those who may lift it.
type Hold struct {
	ID      string        `json:"id" api:"uuid"`
	DryRun  bool          `json:"dryRun,omitzero"`
	Scope   LockdownScope `json:"scope"`
	Since   string        `json:"since" api:"time"`
	By      string        `json:"by,omitempty"`
	Reason  string        `json:"reason,omitempty"`
	MayLift bool          `json:"mayLift"`
}
