package ocsf

import "time"

// Version is that of the schema.
const Version = "1.8.0"

// Event is an event as it is sent, and a row of the table that it is sent to: each member is a column (infra/deploy/stream/columns.json).
type Event struct {
	ActivityID   int       `json:"activity_id"`
	ActivityName string    `json:"activity_name"`
	CategoryUID  int       `json:"category_uid"`
	CategoryName string    `json:"category_name"`
	ClassUID     int       `json:"class_uid"`
	ClassName    string    `json:"class_name"`
	TypeUID      int       `json:"type_uid"`
	SeverityID   int       `json:"severity_id"`
	Severity     string    `json:"severity"`
	Time         int64     `json:"time"` // milliseconds since 1970
	TimeDT       string    `json:"time_dt"`
	StatusID     int       `json:"status_id,omitempty"`
	Status       string    `json:"status,omitempty"`
	StatusCode   string    `json:"status_code,omitempty"`
	Message      string    `json:"message,omitempty"`
	Comment      string    `json:"comment,omitempty"` // the justification
	Metadata     Metadata  `json:"metadata"`
	Actor        *Actor    `json:"actor,omitempty"`
	SrcEndpoint  *Endpoint `json:"src_endpoint,omitempty"`
	Entity       *Entity   `json:"entity,omitempty"`
	Unmapped     Unmapped  `json:"unmapped"`
}

// Metadata says what sent the event, and which one it is.
type Metadata struct {
	Version          string   `json:"version"`
	Profiles         []string `json:"profiles"`
	Product          Product  `json:"product"`
	UID              string   `json:"uid"`
	OriginalEventUID string   `json:"original_event_uid,omitempty"` // of the entry
	CorrelationUID   string   `json:"correlation_uid,omitempty"`
	LogName          string   `json:"log_name"`
	Sequence         int      `json:"sequence"` // the place in the chain
	TenantUID        string   `json:"tenant_uid,omitempty"`
	IsTruncated      bool     `json:"is_truncated,omitempty"`
}

// Product is the app.
type Product struct {
	Name    string `json:"name"`
	Vendor  string `json:"vendor_name"`
	Version string `json:"version"`
}

// Actor is who did it.
type Actor struct {
	User   User   `json:"user"`
	AppUID string `json:"app_uid,omitempty"` // the client application that got the token
}

// User is a person or an application.
type User struct {
	Name   string `json:"name,omitempty"`
	UID    string `json:"uid,omitempty"` // object id
	TypeID int    `json:"type_id"`
	Type   string `json:"type"`
}

// Endpoint is where the call came from.
type Endpoint struct {
	IP string `json:"ip"`
}

// Entity is what it was done to.
type Entity struct {
	Name   string  `json:"name,omitempty"`
	UID    string  `json:"uid,omitempty"`
	TypeID int     `json:"type_id"`
	Type   string  `json:"type"`
	Device *Device `json:"device,omitempty"`
	Policy *Policy `json:"policy,omitempty"`
}

// Device is a virtual machine.
type Device struct {
	Name   string `json:"name"`
	UID    string `json:"uid"` // its ARM id
	TypeID int    `json:"type_id"`
	Type   string `json:"type"`
}

// Policy is that of a machine.
type Policy struct {
	Name string `json:"name"`
	UID  string `json:"uid"`
	Type string `json:"type"`
}

// Unmapped is what the schema has no attribute for.
type Unmapped struct {
	Record            string     `json:"record"` // RecordEntry or RecordHead
	ChainDay          string     `json:"chain_day"`
	ChainSubscription string     `json:"chain_subscription"` // "none" for entries that concern none
	ChainEntries      int        `json:"chain_entries"`      // the place of the entry, or how many the chain has
	ChainHash         string     `json:"chain_hash"`
	ChainMissing      int        `json:"chain_missing,omitempty"`
	ChainRewritten    int        `json:"chain_rewritten,omitempty"`
	Operation         string     `json:"operation,omitempty"`
	Result            string     `json:"result,omitempty"`
	Grant             string     `json:"grant,omitempty"`
	Ports             []uint16   `json:"ports,omitempty"`
	Sources           []string   `json:"sources,omitempty"`
	AnySource         bool       `json:"any_source,omitempty"`
	BreakGlass        bool       `json:"break_glass,omitempty"`
	WindowEnd         *time.Time `json:"window_end,omitempty"`
	Target            string     `json:"target,omitempty"`
	RequestorKind     string     `json:"requestor_kind,omitempty"`
	SignIn            string     `json:"sign_in,omitempty"`
}

// The records.
const (
	RecordEntry = "entry"
	RecordHead  = "head"
)
