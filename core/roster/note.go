package roster

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"portcullis/core/jit"
)

// What is stored of the denies that stand is a note of each: its name and what tells its content. A note that begins with
// expected is of a deny that is about to be written.
const expected = "?"

// Note returns what is stored of a deny of ours.
func Note(r jit.Rule) string {
	r = r.Canonical()
	sum := sha256.Sum256(fmt.Appendf(nil, "%v %v %v %v %v %v", r.Direction, r.Protocol, r.Source, r.SourcePorts, r.Destination, r.DestinationPorts))
	return strings.ToLower(r.Name) + " " + hex.EncodeToString(sum[:6])
}

// Expected returns the note of a deny that is about to be written.
func Expected(r jit.Rule) string { return expected + Note(r) }

// Stood reports whether a deny of this name was seen confirmed.
func (s State) Stood(name string) bool {
	return slices.ContainsFunc(s.Confirmed, func(note string) bool {
		of, _, _ := strings.Cut(note, " ")
		return strings.EqualFold(of, name)
	})
}

// Knows reports whether a deny stands as it is stored.
func (s State) Knows(r *jit.Rule) bool {
	note := Note(*r)
	return slices.Contains(s.Confirmed, note) || slices.Contains(s.Confirmed, expected+note)
}
