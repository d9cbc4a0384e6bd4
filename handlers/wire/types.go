package wire

import "portcullis/handlers/api"

// The shapes of answers, and of what both faces read.
type (
	EnableAnswer     = api.EnableAnswer
	DisableAnswer    = api.DisableAnswer
	GrantAnswer      = api.GrantAnswer
	List[T any]      = api.List[T]
	EndedWindows     = api.EndedWindows
	MachinesAnswer   = api.MachinesAnswer
	MachineCounts    = api.MachineCounts
	Machine          = api.Machine
	Entry            = api.Entry
	VerifyAnswer     = api.VerifyAnswer
	Chain            = api.Chain
	BrokenEntry      = api.BrokenEntry
	SweepAnswer      = api.SweepAnswer
	ComplianceAnswer = api.ComplianceAnswer
	DoctorAnswer     = api.DoctorAnswer
	DoctorCaller     = api.DoctorCaller
	OrNull           = api.OrNull
	ErrorBody        = api.ErrorBody
	ErrorDetail      = api.ErrorDetail
	EnableVM         = api.EnableVM
	Options          = api.Options
	PortRule         = api.PortRule
	RequestPort      = api.RequestPort
	ExtendBody       = api.ExtendBody
	ApproveBody      = api.ApproveBody
	DenyBody         = api.DenyBody
	ReviewBody       = api.ReviewBody
)

// The bodies, which are read here.
type (
	// EnableBody is the body of POST /api/enable.
	EnableBody api.EnableBody
	// VmsBody is the body of POST /api/disable.
	VmsBody api.VmsBody
	// RequestBody is the body of POST /api/request.
	RequestBody api.RequestBody
)
