package jit

// Bounds on the contents of one call, beside [MaxVMs], [MaxJustification], [MaxPorts] and [MaxSources]. They are
// checked before anything else, so that an absurd request costs no more than reading it.
const (
	// MaxListedVMs is how many machines one policy of the compatible face, or one import, may name. It exceeds MaxVMs
	// because clients send whole policies back; MaxVMs still bounds what one call changes.
	MaxListedVMs = 1000
	// MaxMachineSources is how many prefixes all ports of one machine may name together. An NSG takes 4,000 source
	// prefixes over all of its rules.
	MaxMachineSources = 1000
	// MaxField is the longest text field in bytes, except for a justification. An ARM id has at most 500.
	MaxField = 512
)
