package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portcullis/local/armsim"
)

const (
	behindfw = demo + "/Microsoft.Compute/virtualMachines/behindfw"
	hubFW    = demo + "/Microsoft.Network/azureFirewalls/hub-fw"
)

// askOf is a request for port 22 of a machine.
func askOf(vm, length, why string) map[string]any {
	return map[string]any{"justification": why, "virtualMachines": []any{map[string]any{"id": vm,
		"ports": []any{map[string]any{"number": 22, "duration": length, "allowedSourceAddressPrefix": "203.0.113.7"}}}}}
}

// firewall returns the firewall as ARM shows it, without what ARM itself changes with every write.
func (r *rig) firewall() map[string]any {
	r.t.Helper()
	res, err := http.Get(url(r.ports.ARM) + hubFW)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	var doc map[string]any
	if err := json.NewDecoder(res.Body).Decode(&doc); err != nil {
		r.t.Fatal(err)
	}
	return stripped(doc).(map[string]any)
}

// dial sends the first packet of a TCP connection through the network, and says which machine it reaches, or what dropped it.
func (r *rig) dial(from, host string, port int) string {
	r.t.Helper()
	got := r.arm.Walk(armsim.Packet{Source: netip.MustParseAddr(from), Destination: netip.AddrPortFrom(netip.MustParseAddr(host), uint16(port)), Protocol: "TCP"})
	if got.Machine == "" {
		return "dropped: " + got.Dropped
	}
	return fmt.Sprint(got.Machine[strings.LastIndex(got.Machine, "/")+1:], " ", got.At)
}

// TestBehindAFirewall opens a port of a machine behind a firewall, dials what the answer says, and finds everything as before
// after the end.
func TestBehindAFirewall(t *testing.T) {
	t.Parallel()
	r := newRig(t, t.TempDir(), nil)
	if err := r.arm.Tune(func(k *armsim.Knobs) {
		k.Firewalls.LatencyMin, k.Firewalls.LatencyMax, k.Firewalls.RetryAfter = armsim.Duration(time.Second), armsim.Duration(time.Second), 0
	}); err != nil {
		t.Fatal(err)
	}
	before, group := r.firewall(), r.nsg("behindfw-nsg")
	const dropped = "dropped: the firewall hub-fw has no NAT rule for it"

	r.must(200, "POST", "/api/enable", vms(behindfw))
	closed := r.nsg("behindfw-nsg")
	if diff := cmp.Diff(before, r.firewall()); diff != "" {
		t.Errorf("protecting the machine changed the firewall:\n%s", diff)
	}

	// On a slow machine the answer comes before the firewall's: 202, and the request is asked for again.
	status, grant := r.call("POST", "/api/request", askOf(behindfw, "PT1H", "through the firewall"))
	if status != 200 && status != 202 {
		t.Fatalf("the request is answered %d: %v", status, grant)
	}
	path := "/api/requests/" + grant["id"].(string)
	r.eventually("the request reads Initiated", func() bool { grant = r.must(200, "GET", path, nil); return grant["status"] == "Initiated" })
	port := grant["virtualMachines"].([]any)[0].(map[string]any)["ports"].([]any)[0].(map[string]any)
	connect, _ := port["connect"].([]any)
	if len(connect) != 1 {
		t.Fatalf("what to dial is %v, want one place", connect)
	}
	host, mapped := connect[0].(map[string]any)["host"].(string), int(connect[0].(map[string]any)["port"].(float64))
	if host != "203.0.113.20" || mapped == 22 {
		t.Errorf("what to dial is %s:%d, want the firewall's address and a port of its own", host, mapped)
	}
	for _, tc := range []struct{ what, from, want string }{
		{"who asked", "203.0.113.7", "behindfw 10.30.1.4:22"},
		{"somebody else", "203.0.113.8", dropped},
	} {
		if got := r.dial(tc.from, host, mapped); got != tc.want {
			t.Errorf("%s dials %s:%d: %q, want %q", tc.what, host, mapped, got, tc.want)
		}
	}
	if got := r.dial("203.0.113.7", host, 22); got != dropped {
		t.Errorf("port 22 itself: %q", got)
	}
	open := fmt.Sprint(r.firewall())
	if !strings.Contains(open, "published") || !strings.Contains(open, "portcullis-allow-") {
		t.Errorf("the firewall while the window is open: %s", open)
	}

	if status, answer := r.call("POST", path+"/revoke", nil); status != 200 && status != 202 {
		t.Fatalf("revoke is answered %d: %v", status, answer)
	}
	r.eventually("nobody gets in after the end", func() bool { return r.dial("203.0.113.7", host, mapped) == dropped })
	r.eventually("the request reads Revoked", func() bool { return r.must(200, "GET", path, nil)["status"] == "Revoked" })
	if diff := cmp.Diff(before, r.firewall()); diff != "" {
		t.Errorf("after the end the firewall is not what it was:\n%s", diff)
	}
	if diff := cmp.Diff(closed, r.nsg("behindfw-nsg")); diff != "" {
		t.Errorf("after the end the security group is not closed as before:\n%s", diff)
	}
	r.must(200, "POST", "/api/disable", vms(behindfw))
	if diff := cmp.Diff(group, r.nsg("behindfw-nsg")); diff != "" {
		t.Errorf("after disable the security group is not what it was:\n%s", diff)
	}
}
