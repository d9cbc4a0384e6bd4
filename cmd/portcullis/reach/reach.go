// Package reach says where the port of a machine is dialled, and dials it: at the addresses that the app names, those of the families that the window lets
// in, unless somebody says where an address really is, as with a VPN or a forwarded port.
//
// It resolves no names of machines and reads no configuration.
package reach

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"portcullis/cmd/portcullis/exit"
	"portcullis/handlers/api"
)

// Place is a host (an address or a name, without brackets) and a port.
type Place struct {
	Host string
	Port uint16
}

func (p Place) String() string { return net.JoinHostPort(p.Host, strconv.Itoa(int(p.Port))) }

// name is what a host may be that is no address: nothing in it means something to a shell or to ssh.
var name = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$`)

// NewPlace gives a place whose host is an address or a plain name.
func NewPlace(host string, port uint16) (Place, error) {
	a, err := netip.ParseAddr(host)
	if (err != nil || a.Zone() != "") && !name.MatchString(host) || port == 0 {
		return Place{}, fmt.Errorf("%q port %d is no place to connect to", host, port)
	}
	return Place{host, port}, nil
}

// Places gives where to dial an open port, best first.
func Places(p api.GrantPort) ([]Place, error) {
	sources := p.Prefixes
	if p.Prefix != "" {
		sources = append(sources, p.Prefix)
	}
	var out []Place
	for _, c := range p.Connect {
		place, err := NewPlace(c.Host, c.Port)
		if err != nil {
			return nil, fmt.Errorf("the app answers: %w", err)
		}
		if admits(sources, place.Host) {
			out = append(out, place)
		}
	}
	switch {
	case len(p.Connect) == 0:
		return nil, fmt.Errorf("the app names no address at which port %d can be dialled", p.Number)
	case len(out) == 0:
		return nil, fmt.Errorf("port %d is open for %s, and the machine has no address of that family", p.Number, strings.Join(sources, ", "))
	}
	return out, nil
}

// admits reports whether a source is of the family of a host; names have both, and * is both.
func admits(sources []string, host string) bool {
	to, err := netip.ParseAddr(host)
	if err != nil {
		return true
	}
	for _, text := range sources {
		address, _, _ := strings.Cut(text, "/")
		from, err := netip.ParseAddr(address)
		if err != nil || from.Is4() == to.Is4() {
			return true
		}
	}
	return false
}

// Instead says where places really are. Nil says nothing.
type Instead map[Place]Place

// pair is HOST1:PORT1:HOST2:PORT2, as curl's --connect-to has it; an IPv6 address stands in brackets.
var pair = regexp.MustCompile(`^(\[[^\[\]]+\]|[^\[\]:]+):(\d+):(\[[^\[\]]+\]|[^\[\]:]+):(\d+)$`)

// ParseInstead reads pairs.
func ParseInstead(texts []string) (Instead, error) {
	out := Instead{}
	for _, text := range texts {
		m := pair.FindStringSubmatch(text)
		if m == nil {
			return nil, exit.Usagef("--connect-to %q is not HOST1:PORT1:HOST2:PORT2, such as 203.0.113.10:22:127.0.0.1:2222", text)
		}
		from, err1 := parse(m[1], m[2])
		to, err2 := parse(m[3], m[4])
		if err := errors.Join(err1, err2); err != nil {
			return nil, exit.Usagef("--connect-to %q: %v", text, err)
		}
		out[from] = to
	}
	return out, nil
}

func parse(host, port string) (Place, error) {
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return Place{}, fmt.Errorf("%q is not a port", port)
	}
	return NewPlace(strings.Trim(host, "[]"), uint16(n))
}

// Of gives where the places really are.
func (i Instead) Of(places []Place) []Place {
	out := make([]Place, len(places))
	for at, p := range places {
		out[at] = p
		if to, ok := i[p]; ok {
			out[at] = to
		}
	}
	return out
}

// each is how long one place is tried. Rules that Azure has confirmed may take effect later, and packets are dropped until then: the system repeats them.
const each = time.Minute

// Dial connects to the first place that answers.
func Dial(ctx context.Context, places []Place) (net.Conn, error) {
	var faults []error
	for _, p := range places {
		conn, err := (&net.Dialer{Timeout: each}).DialContext(ctx, "tcp", p.String())
		if err == nil {
			return conn, nil
		}
		faults = append(faults, err)
	}
	return nil, exit.With(exit.Unreachable, fmt.Errorf("the port is open, but the machine does not answer: %w", errors.Join(faults...)))
}
