// Package loopback recognises hosts that can only be this machine, to which a token may be sent in clear, and sends there what SDKs send over https alone. It
// resolves no names.
package loopback

import (
	"net/netip"
	"strings"
)

// Number reports whether the host is a loopback address.
func Number(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// Host reports whether the host is a loopback address or localhost.
func Host(host string) bool { return Number(host) || strings.EqualFold(host, "localhost") }
