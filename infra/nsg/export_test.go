package nsg

// The translation and the edit of a body, for tests from outside.
var (
	DecodeRule = decodeRule
	EncodeRule = encodeRule
	Edit       = edit
)
