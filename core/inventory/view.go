package inventory

import (
	"net/netip"
	"time"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// MachineState is whether a machine is protected.
type MachineState string

// The states, which are the tabs of the page.
const (
	MachineConfigured    MachineState = "configured"    // it has a policy
	MachineNotConfigured MachineState = "notConfigured" // it could have one
	MachineUnsupported   MachineState = "unsupported"   // it cannot: see its MachineReason
)

// MachineReason says why a machine is unsupported.
type MachineReason string

// The reasons.
const (
	ReasonMissingNSG      MachineReason = "MissingNetworkSecurityGroup" // no security group guards it
	ReasonClassic         MachineReason = "ClassicVirtualMachine"       // deployed in the classic model
	ReasonFirewallManager MachineReason = "FirewallManager"             // no security group, behind a firewall that takes its rules from a firewall policy or a hub
)

// MachineSort is the sort order of an inventory. Ties are in the order of ids.
type MachineSort string

// The orders. Those by requests and by last access may change between two pages.
const (
	SortByName          MachineSort = "name"
	SortByResourceGroup MachineSort = "resourceGroup"
	SortBySubscription  MachineSort = "subscription"
	SortByState         MachineSort = "state"
	SortByRequests      MachineSort = "requests"
	SortByLastAccess    MachineSort = "lastAccess"
)

// MachineQuery selects machines; zero fields select all, sorted by name.
type MachineQuery struct {
	State         MachineState
	Text          string // words in any case, each of them part of the name, the resource group, an address or the id, or a tag as name=value
	ResourceGroup string // in any case
	Subscription  string // in any case
	VM            string // jit.ID.Key of one machine
	Sort          MachineSort
	Descending    bool
	Cursor        string // MachinePage.Next of the previous page
	Limit         int    // machines per page, 1 to 1,000; 0 is 100
}

// Connection kinds: the icon beside what to dial.
const (
	ConnectionNSG      = "networkSecurityGroup"
	ConnectionFirewall = "firewall"
)

// MachineView is one machine as shown to people.
type MachineView struct {
	VM       jit.ID
	Location string
	State    MachineState
	Reason   MachineReason     // "" unless unsupported
	Tags     map[string]string // nil if they are not known

	Targets   []jit.ID     // where its rules are, sorted
	Connect   string       // ConnectionNSG or ConnectionFirewall; "" if neither guards it
	Dial      []netip.Addr // what to dial: its public addresses, else its private ones
	Public    bool         // Dial is public addresses
	Private   []netip.Addr // every private address, the primary first
	Unguarded []string     // ARM ids of its network interfaces without a security group

	// Only for configured machines:
	Ports         []jit.PortRule
	ExistingRules jit.ExistingRules
	PublicAddress netip.Addr  // the firewall address that the policy pins
	Options       jit.Options // the policy's own
	InForce       jit.Options // what requests must meet: the stricter of Options and the installation's
	Requests      int         // approved requests that began in the last 7 days
	LastAccess    time.Time   // when the last of them began; zero if none
	LastRequestor string      // who requested it
	Windows       []MachineWindow
	Findings      []store.Finding // of the last sweep and of now, without duplicates
}

// MachineWindow is a window of a machine that may be open.
type MachineWindow struct {
	jit.Window
	Grant         string
	Requestor     string
	Justification string
	Start         time.Time
	Own           bool // it is the caller's own
}

// MachinePage is a part of the inventory.
type MachinePage struct {
	Machines []MachineView
	// Counts is the number of machines in each state, whatever state the query selects.
	Counts map[MachineState]int
	// ResourceGroups and Subscriptions are those of all machines that the caller may read, sorted, whatever the query
	// selects: the choices for filters.
	ResourceGroups []string
	Subscriptions  []string
	Next           string // cursor for the next page, "" at the end
	Before         int    // machines of the list on the pages before
	Previous       string // cursor for the page before, "" for the first one
	// Incomplete names the subscriptions that could not be listed, each with the reason. Their machines are missing
	// from the page.
	Incomplete map[string]string
	// Open is every grant that is not closed, as [Inventory.OpenNow] returns it: what the windows of the machines were read from, whatever
	// machines the query selects.
	Open []store.GrantRecord
	// RequestsCut says that there were more requests in 7 days than are counted: Requests is then a lower bound.
	RequestsCut bool
}
