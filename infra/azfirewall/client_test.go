package azfirewall_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/plan"
	"portcullis/core/store"
	"portcullis/infra/arm"
	"portcullis/infra/arm/armtest"
	"portcullis/infra/azfirewall"
	"portcullis/local/armsim"
)

// TestAddresses: few addresses are read individually, many by one list, and each is cached for only ten minutes.
func TestAddresses(t *testing.T) {
	config := func(n int) string {
		return fmt.Sprintf(`{"name":"c%d","properties":{"publicIPAddress":{"id":"%spublicIPAddresses/ip%d"}}}`, n, scope, n)
	}
	body := func(n int) string {
		var list []string
		for i := range n {
			list = append(list, config(i))
		}
		return `{"id":"` + fwID("gate").String() + `","etag":"1","properties":{"provisioningState":"Succeeded","natRuleCollections":[],"ipConfigurations":[` + strings.Join(append(list, `{"name":"forced"}`), ",") + `]}}`
	}
	t.Run("few", func(t *testing.T) {
		now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		s := play(t, answer(200, body(1)), answer(200, `{"properties":{"ipAddress":"198.51.100.9"}}`), answer(200, body(1)), answer(200, body(1)), refusal(404, "ResourceNotFound", "gone"))
		c := client(t, s.Server, func(cfg *azfirewall.Config) { cfg.Now = func() time.Time { return now } })
		for _, want := range []string{"[198.51.100.9]", "[198.51.100.9]", "[]"} {
			snap, err := c.Rules(t.Context(), network.Ordinary(), fwID("gate"))
			if err != nil || fmt.Sprint(snap.Addresses) != want {
				t.Errorf("addresses %v, %v; want %s", snap.Addresses, err, want)
			}
			now = now.Add(5 * time.Minute)
		}
		s.Seen(t)
	})
	t.Run("many", func(t *testing.T) {
		list := `{"value":[{"id":"` + strings.ToUpper(scope) + `publicIPAddresses/IP3","properties":{"ipAddress":"198.51.100.3"}},{"id":"` + scope + `publicIPAddresses/ip1","properties":{"ipAddress":"198.51.100.1"}},
			{"id":"` + scope + `publicIPAddresses/ip2","properties":{"ipAddress":"2001:db8::1"}},{"id":"` + scope + `publicIPAddresses/other","properties":{"ipAddress":"198.51.100.7"}},{"id":"` + scope + `publicIPAddresses/ip4","properties":{}}]}`
		s := play(t, answer(200, body(12)), answer(200, list), answer(200, body(12)))
		c := client(t, s.Server, nil)
		for range 2 {
			snap, err := c.Rules(t.Context(), network.Ordinary(), fwID("gate"))
			if err != nil || fmt.Sprint(snap.Addresses) != "[198.51.100.1 198.51.100.3]" {
				t.Errorf("addresses %v, %v", snap.Addresses, err)
			}
		}
		s.Seen(t)
	})
	t.Run("refused", func(t *testing.T) {
		s := play(t, answer(200, body(1)), refusal(403, "AuthorizationFailed", "no"))
		if _, err := client(t, s.Server, nil).Rules(t.Context(), network.Ordinary(), fwID("gate")); !errors.Is(err, store.ErrForbidden) {
			t.Errorf("error %v", err)
		}
	})
}

// TestRefusesIDs checks that an id that cannot name a firewall causes no call.
func TestRefusesIDs(t *testing.T) {
	s := play(t)
	c := client(t, s.Server, nil)
	nsg, odd := fwID("gate"), fwID("gate")
	nsg.Type, odd.Subscription = jit.TypeNSG, "mine"
	for _, id := range []jit.ID{{}, nsg, odd} {
		if _, err := c.Rules(t.Context(), network.Ordinary(), id); err == nil {
			t.Errorf("Rules of %s: no error", id)
		}
		snap := gate()
		snap.Target = id
		if _, err := c.Apply(t.Context(), network.Ordinary(), snap, create(mine("a", 50022))); err == nil {
			t.Errorf("Apply to %s: no error", id)
		}
	}
	if _, err := c.All(t.Context(), network.Ordinary(), "mine"); err == nil {
		t.Error("All: no error")
	}
	if _, err := azfirewall.New(nil, azfirewall.Config{}); err == nil {
		t.Error("no credential: no error")
	}
	if _, err := azfirewall.New(armtest.Credential("app"), azfirewall.Config{Connection: arm.Connection{Endpoint: "https://x"}}); err == nil {
		t.Error("half a cloud: no error")
	}
	if calls := s.Seen(t); len(calls) != 0 {
		t.Errorf("calls %v, want none", calls)
	}
}

// TestPriorityStays: our collection keeps its priority while others come and go.
func TestPriorityStays(t *testing.T) {
	r := newRig(t, armsim.Knobs{})
	target := r.Target(t)
	apply := func(c plan.Changes) {
		t.Helper()
		s, err := r.Rules(t.Context(), network.Ordinary(), target)
		if err == nil {
			_, err = r.Apply(t.Context(), network.Ordinary(), s, c)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	priority := func() string {
		t.Helper()
		text, _ := r.ARM.Get(target.String())
		_, rest, _ := strings.Cut(string(text), `"name":"portcullis","properties":`)
		_, rest, _ = strings.Cut(rest, `"priority":`)
		n, _, _ := strings.Cut(rest, ",")
		return n
	}
	apply(create(mine("a", 50022)))
	if got := priority(); got != "65000" {
		t.Errorf("the first priority is %s", got)
	}
	apply(plan.Changes{Delete: []jit.Rule{mine("a", 50022)}})
	r.Write(t, target, coretest.NATRules(public).Theirs("web", 0)) // takes 65000
	apply(create(mine("a", 50022)))
	if got := priority(); got != "64999" {
		t.Errorf("beside another collection it is %s", got)
	}
	if err := r.ARM.Edit(target.String(), func(doc map[string]any) {
		p := doc["properties"].(map[string]any)
		p["natRuleCollections"] = p["natRuleCollections"].([]any)[1:]
	}); err != nil {
		t.Fatal(err)
	}
	apply(create(mine("b", 50023)))
	if got := priority(); got != "64999" {
		t.Errorf("after the other went it is %s", got)
	}
}
