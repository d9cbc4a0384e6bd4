package access_test

import (
	"strings"
	"testing"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// TestTagsThatHoldStrangers: a service tag that holds anybody's machines opens a port as the Internet does: of a port that no policy names it is the
// finding Reachable, of a protected one Exposed where the policy respects it, and nobody can ask for one as a source.
func TestTagsThatHoldStrangers(t *testing.T) {
	allow := func(name string, priority int, port uint16, tag string) jit.Rule {
		return jit.Rule{Name: name, Priority: priority, Access: jit.Allow, Protocol: jit.TCP, Source: jit.Peers{Tags: []string{tag}}, Destination: jit.AnyPeer(),
			SourcePorts: []jit.PortRange{jit.AllPorts()}, DestinationPorts: []jit.PortRange{jit.OnePort(port)}}
	}
	for tag, reached := range map[string]bool{"AzureCloud": true, "AzureCloud.westeurope": true, "Storage": true, "Storage.WestEurope": true, "Internet": true, "GatewayManager": false, "VirtualNetwork": false} {
		w := newWorld(t)
		w.cloud.SetRules(nsgID("web-nsg"), allow("AllowVnc", 300, 5900, tag), allow("AllowSsh", 310, 22, tag))
		p := policyOf("web", 22)
		p.ExistingRules = jit.Respect
		if _, _, err := w.Enable(t.Context(), who("admin"), []jit.Policy{p}, false); err != nil {
			t.Fatal(err)
		}
		rec := w.sweep()
		got := findings(rec, store.FindingReachable)
		if (got != "") != reached || reached && (!strings.Contains(got, "port 5900 of web") || !strings.Contains(got, "rule AllowVnc")) {
			t.Errorf("%s: %q", tag, got)
		}
		if reached && tag != "Internet" && !strings.Contains(got, "service tag "+tag+" stands for") {
			t.Errorf("%s: %q does not say who", tag, got)
		}
		if exposed := findings(rec, store.FindingExposed); !strings.Contains(exposed, "AllowSsh") {
			t.Errorf("%s: a protected port is open, yet %q", tag, exposed)
		}
		if _, err := jit.ParseSources(tag); code(err) != jit.CodeInvalidSource {
			t.Errorf("%s as a source: %v", tag, err)
		}
	}
}
