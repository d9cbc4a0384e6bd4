package azfirewall

// The translation and the edit of a body, for tests from outside.
var (
	DecodeRule = decodeRule
	EncodeRule = encodeRule
	Edit       = edit
	Differing  = differing
)

// SameButOurs compares two bodies as Apply does before it sends the second.
func SameButOurs(before, after []byte) error {
	d, err := parseDocument(before)
	if err != nil {
		return err
	}
	return sameButOurs(d, after)
}
