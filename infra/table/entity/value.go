package entity

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"portcullis/core/jit"
)

// The values that several documents hold, and how they are written: ids as ARM
// writes them, addresses and sources as text, statuses by name, times in UTC with
// nanoseconds, durations in seconds and fractions as Go writes them.

// IDText gives an id's text, "" for none. An id that could not be read again is an error.
func IDText(id jit.ID) (string, error) {
	if id.IsZero() {
		return "", nil
	}
	text := id.String()
	if _, err := jit.ParseID(text); err != nil {
		return "", fmt.Errorf("store the id %q: %w", text, err)
	}
	return text, nil
}

func IDOf(text string) (jit.ID, error) {
	if text == "" {
		return jit.ID{}, nil
	}
	return jit.ParseID(text)
}

// Stamp is a time as documents hold it; the zero time is "".
type Stamp time.Time

// MarshalJSON writes RFC 3339 in UTC with as many digits as there are.
func (s Stamp) MarshalJSON() ([]byte, error) {
	t := time.Time(s)
	if t.IsZero() {
		return []byte(`""`), nil
	}
	if y := t.UTC().Year(); y < 1 || y > 9999 {
		return nil, fmt.Errorf("year %d cannot be written", y)
	}
	return json.Marshal(t.UTC().Format(time.RFC3339Nano))
}

// UnmarshalJSON reads what MarshalJSON writes.
func (s *Stamp) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	if text == "" {
		*s = Stamp{}
		return nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return err
	}
	*s = Stamp(t.UTC())
	return nil
}

// Text gives the time in RFC 3339, "" for the zero time.
func (s Stamp) Text() string {
	if time.Time(s).IsZero() {
		return ""
	}
	return time.Time(s).UTC().Format(time.RFC3339Nano)
}

func AddressTexts(addrs []netip.Addr) []string {
	var out []string
	for _, a := range addrs {
		out = append(out, a.String())
	}
	return out
}

func AddressesOf(texts []string) ([]netip.Addr, error) {
	var out []netip.Addr
	for _, text := range texts {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

// AddressText gives "" for no address.
func AddressText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// MappedText gives "" for no address and port.
func MappedText(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func MappedOf(text string) (netip.AddrPort, error) {
	if text == "" {
		return netip.AddrPort{}, nil
	}
	return netip.ParseAddrPort(text)
}

func AddressMapTexts(m map[string][]netip.Addr) map[string][]string {
	if m == nil {
		return nil
	}
	out := make(map[string][]string, len(m))
	for k, v := range m {
		out[k] = AddressTexts(v)
	}
	return out
}

func AddressMapOf(m map[string][]string) (map[string][]netip.Addr, error) {
	if m == nil {
		return nil, nil
	}
	out := make(map[string][]netip.Addr, len(m))
	for k, v := range m {
		addrs, err := AddressesOf(v)
		if err != nil {
			return nil, err
		}
		out[k] = addrs
	}
	return out, nil
}

// SourcesOf reads sources without the bound that a request has.
func SourcesOf(texts []string) (jit.Sources, error) {
	var prefixes []netip.Prefix
	for _, text := range texts {
		if text == "*" {
			return jit.AnySource(), nil
		}
		if a, err := netip.ParseAddr(text); err == nil {
			prefixes = append(prefixes, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return jit.Sources{}, err
		}
		prefixes = append(prefixes, p)
	}
	return jit.SourcesOf(prefixes...), nil
}

// statusNames are stored, not jit.Status.String: that one does not tell Revoking.
func StatusName(s jit.Status) (string, error) {
	switch s {
	case jit.AwaitingApproval:
		return "AwaitingApproval", nil
	case jit.Scheduled:
		return "Scheduled", nil
	case jit.Initiating:
		return "Initiating", nil
	case jit.Initiated:
		return "Initiated", nil
	case jit.Revoking:
		return "Revoking", nil
	case jit.Revoked:
		return "Revoked", nil
	}
	return "", fmt.Errorf("status %d has no name", s)
}

func StatusOf(name string) (jit.Status, error) {
	for _, s := range []jit.Status{jit.AwaitingApproval, jit.Scheduled, jit.Initiating, jit.Initiated, jit.Revoking, jit.Revoked} {
		if n, err := StatusName(s); err == nil && n == name {
			return s, nil
		}
	}
	return 0, fmt.Errorf("status %q is unknown", name)
}
