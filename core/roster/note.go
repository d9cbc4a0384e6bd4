package roster

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"portcullis/core/jit"
)

// What is stored of the denies that stand is a note of each: its name and what tells its content. A note that begins with
// expected is of a deny that is about to be written. In one of a deny that closes addresses for which nothing asks, these follow after keeps.
const (
	expected = "?"
	keeps    = " keeps "
)

// Note returns what is stored of a deny of ours.
func Note(r jit.Rule) string {
	r = r.Canonical()
	b := make([]byte, 0, 512)
	b = append(strconv.AppendUint(b, uint64(r.Direction), 10), ' ')
	b = append(append(b, r.Protocol...), ' ')
	b = append(appendPeers(b, r.Source), ' ')
	b = append(appendPorts(b, r.SourcePorts), ' ')
	b = append(appendPeers(b, r.Destination), ' ')
	b = appendPorts(b, r.DestinationPorts)
	sum := sha256.Sum256(b)
	return strings.ToLower(r.Name) + " " + hex.EncodeToString(sum[:6])
}

// appendPeers writes peers as the digest of a note has them. The text is never stored, but the digest of it is.
func appendPeers(b []byte, p jit.Peers) []byte {
	b = append(strconv.AppendBool(append(b, '{'), p.Any), ' ')
	b = appendList(b, p.Prefixes, func(b []byte, q netip.Prefix) []byte { return append(b, q.String()...) })
	text := func(b []byte, s string) []byte { return append(b, s...) }
	b = appendList(append(b, ' '), p.Tags, text)
	return append(appendList(append(b, ' '), p.Groups, text), '}')
}

func appendPorts(b []byte, ports []jit.PortRange) []byte {
	return appendList(b, ports, func(b []byte, p jit.PortRange) []byte {
		b = append(strconv.AppendUint(append(b, '{'), uint64(p.First), 10), ' ')
		return append(strconv.AppendUint(b, uint64(p.Last), 10), '}')
	})
}

func appendList[T any](b []byte, list []T, one func([]byte, T) []byte) []byte {
	b = append(b, '[')
	for i, v := range list {
		if i > 0 {
			b = append(b, ' ')
		}
		b = one(b, v)
	}
	return append(b, ']')
}

// NoteKept returns what is stored of a deny of ours that closes addresses for which nothing stored asks: whatever else it closes later, these stay.
func NoteKept(r jit.Rule, beyond []netip.Prefix) string {
	list := make([]string, len(beyond))
	for i, p := range beyond {
		list[i] = p.Addr().String()
	}
	slices.Sort(list)
	return Note(r) + keeps + strings.Join(list, " ")
}

// Expected returns the note of a deny that is about to be written, from its note.
func Expected(note string) string { return expected + note }

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

// KeptOf returns the addresses that a deny closes although nothing asked for them when it was noted as it stands, and whether it was. A note that
// cannot be read is none: then all of the deny is kept.
func (s State) KeptOf(r *jit.Rule) ([]netip.Prefix, bool) {
	note := Note(*r) + keeps
	for _, stored := range s.Confirmed {
		list, ok := strings.CutPrefix(strings.TrimPrefix(stored, expected), note)
		if !ok {
			continue
		}
		var out []netip.Prefix
		for text := range strings.FieldsSeq(list) {
			a, err := netip.ParseAddr(text)
			if err != nil {
				return nil, false
			}
			out = append(out, netip.PrefixFrom(a, a.BitLen()))
		}
		return out, len(out) > 0
	}
	return nil, false
}
