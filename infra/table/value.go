package table

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

// idText gives an id's text, "" for none. An id that could not be read again is an error.
func idText(id jit.ID) (string, error) {
	if id.IsZero() {
		return "", nil
	}
	text := id.String()
	if _, err := jit.ParseID(text); err != nil {
		return "", fmt.Errorf("store the id %q: %w", text, err)
	}
	return text, nil
}

func idOf(text string) (jit.ID, error) {
	if text == "" {
		return jit.ID{}, nil
	}
	return jit.ParseID(text)
}

// stamp is a time as documents hold it; the zero time is "".
type stamp time.Time

// MarshalJSON writes RFC 3339 in UTC with as many digits as there are.
func (s stamp) MarshalJSON() ([]byte, error) {
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
func (s *stamp) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	if text == "" {
		*s = stamp{}
		return nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return err
	}
	*s = stamp(t.UTC())
	return nil
}

func addressTexts(addrs []netip.Addr) []string {
	var out []string
	for _, a := range addrs {
		out = append(out, a.String())
	}
	return out
}

func addressesOf(texts []string) ([]netip.Addr, error) {
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

// addressText gives "" for no address.
func addressText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// mappedText gives "" for no address and port.
func mappedText(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func mappedOf(text string) (netip.AddrPort, error) {
	if text == "" {
		return netip.AddrPort{}, nil
	}
	return netip.ParseAddrPort(text)
}

func addressMapTexts(m map[string][]netip.Addr) map[string][]string {
	if m == nil {
		return nil
	}
	out := make(map[string][]string, len(m))
	for k, v := range m {
		out[k] = addressTexts(v)
	}
	return out
}

func addressMapOf(m map[string][]string) (map[string][]netip.Addr, error) {
	if m == nil {
		return nil, nil
	}
	out := make(map[string][]netip.Addr, len(m))
	for k, v := range m {
		addrs, err := addressesOf(v)
		if err != nil {
			return nil, err
		}
		out[k] = addrs
	}
	return out, nil
}

// sourcesOf reads sources without the bound that a request has.
func sourcesOf(texts []string) (jit.Sources, error) {
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
func statusName(s jit.Status) (string, error) {
	switch s {
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

func statusOf(name string) (jit.Status, error) {
	for _, s := range []jit.Status{jit.Initiating, jit.Initiated, jit.Revoking, jit.Revoked} {
		if n, err := statusName(s); err == nil && n == name {
			return s, nil
		}
	}
	return 0, fmt.Errorf("status %q is unknown", name)
}
