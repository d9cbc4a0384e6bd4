package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"portcullis/local/armsim"
)

func TestOffByDefault(t *testing.T) {
	for _, a := range []asked{{}, {group: "group"}, {subscription: sub}, {subscription: sub, group: "group", cloud: "Mars"}} {
		if err := run(t.Context(), a, nil, nil); err == nil || !strings.Contains(err.Error(), "nothing was done") {
			t.Errorf("%+v: %v", a, err)
		}
	}
}

func TestRefusedFlags(t *testing.T) {
	for name, test := range map[string]struct {
		a    asked
		want string
	}{
		"a path as subscription":    {asked{subscription: sub + "/x", group: "g"}, "id of a subscription"},
		"a path as group":           {asked{subscription: sub, group: "g/../h"}, "name of a resource group"},
		"packets from nowhere":      {asked{subscription: sub, group: "g", packets: "203.0.113.20:22"}, "-from"},
		"from without packets":      {asked{subscription: sub, group: "g", from: "198.51.100.7"}, "-packets"},
		"no port":                   {asked{subscription: sub, group: "g", packets: "203.0.113.20", from: "198.51.100.7"}, "-packets"},
		"no host":                   {asked{subscription: sub, group: "g", packets: ":22", from: "198.51.100.7"}, "-packets"},
		"no such port":              {asked{subscription: sub, group: "g", packets: "203.0.113.20:65536", from: "198.51.100.7"}, "-packets"},
		"from the whole world":      {asked{subscription: sub, group: "g", packets: "203.0.113.20:22", from: "0.0.0.0/0"}, "-from"},
		"from half of the world":    {asked{subscription: sub, group: "g", packets: "203.0.113.20:22", from: "128.0.0.0/1"}, "-from"},
		"from too wide a range":     {asked{subscription: sub, group: "g", packets: "203.0.113.20:22", from: "198.51.0.0/15"}, "-from"},
		"from too wide a v6 range":  {asked{subscription: sub, group: "g", packets: "203.0.113.20:22", from: "2001:db8::/63"}, "-from"},
		"from everywhere, as a tag": {asked{subscription: sub, group: "g", packets: "203.0.113.20:22", from: "Internet"}, "-from"},
	} {
		if _, err := prepare(test.a, token{}, policy.ClientOptions{}, nil); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for from, want := range map[string]string{"198.51.100.7": "198.51.100.7/32", "198.51.100.7/24": "198.51.100.0/24", "2001:db8::7": "2001:db8::7/128"} {
		if d, err := parseDoor("[2001:db8::20]:22", from); err != nil || d.from.String() != want || d.port != 22 {
			t.Errorf("-from %s: %+v, %v", from, d, err)
		}
	}
}

// TestAgainstTheStandIn holds that every question can be asked and that nothing is
// left behind. What the answers are worth only Azure can tell.
func TestAgainstTheStandIn(t *testing.T) {
	r := newRig(t, asked{}, token{})
	if err := r.check(); err != nil {
		t.Fatal(err)
	}
	r.wantRows(map[string]string{
		"PUT with a stale If-Match":                            "412 PreconditionFailed | 412 PreconditionFailed | as taken",
		"PUT of what GET showed":                               "200 | 200 | as taken",
		"CanNotDelete on the resource group: DELETE of a rule": "409 ScopeLocked | 409 ScopeLocked | as taken",
		"packets after Succeeded, and live connections":        "skipped: no -packets host:port and -from address | skipped",
	})
	for _, want := range []string{"flushConnection", "four writes at once", "Not seen here"} {
		if !strings.Contains(r.table.String(), want) {
			t.Errorf("the table does not say %q:\n%s", want, r.table.String())
		}
	}
	r.wantClean()
	t.Log("\n" + r.table.String())
}

func TestSomebodyElsesGroup(t *testing.T) {
	r := newRig(t, asked{}, token{})
	r.put(group, `{"location":"westeurope"}`)
	if err := r.check(); err == nil || !strings.Contains(err.Error(), "must not exist") {
		t.Errorf("got %v", err)
	}
	// Made by somebody between the look and the write.
	if _, err := r.arm.Delete(group); err != nil {
		t.Fatal(err)
	}
	r.before = func(req *http.Request, _ []byte) bool {
		if req.Method == http.MethodPut && req.URL.Path == group {
			r.put(group, `{"location":"westeurope"}`)
		}
		return false
	}
	if err := r.check(); err == nil || !strings.Contains(err.Error(), "200") {
		t.Errorf("got %v", err)
	}
	if _, left := r.arm.Get(group); !left {
		t.Error("it deleted what it had not made")
	}
	if n := r.count(http.MethodDelete, group); n != 0 {
		t.Errorf("%d deletes were sent", n)
	}
}

func TestSecurityGroupRefused(t *testing.T) {
	r := newRig(t, asked{}, token{})
	r.arm.Tune(func(k *armsim.Knobs) { k.Writes.FailNext = 1 })
	if err := r.check(); err == nil || !strings.Contains(err.Error(), "create "+nsgID+": 500 InternalServerError") {
		t.Errorf("got %v", err)
	}
	r.wantClean()
}

// TestGroupInUse: what somebody put into the group meanwhile stays, and so does a group that is not this run's any more.
func TestGroupInUse(t *testing.T) {
	for name, test := range map[string]struct{ id, doc, want string }{
		"something in it": {group + "/providers/Microsoft.Network/publicIPAddresses/theirs", `{"location":"westeurope"}`, "not empty"},
		"made anew":       {group, `{"location":"westeurope","tags":{"run":"another"}}`, "not the one that was made here"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, asked{}, token{})
			r.after = func(req *http.Request, _ []byte, _ int) {
				if req.Method == http.MethodDelete && req.URL.Path == nsgID {
					r.put(test.id, test.doc)
				}
			}
			if err := r.check(); err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "by hand") {
				t.Errorf("got %v", err)
			}
			if _, left := r.arm.Get(test.id); !left {
				t.Error("it is gone")
			}
			if _, left := r.arm.Get(nsgID); left {
				t.Error("the security group is still there")
			}
		})
	}
}

func TestRefusesToWriteOutside(t *testing.T) {
	r := newRig(t, asked{}, token{})
	if _, err := r.live.call(t.Context(), http.MethodPut, nsgID, nil, map[string]any{}); err == nil {
		t.Error("it wrote before it had made the group")
	}
	r.live.made = true
	for _, path := range []string{
		"/subscriptions/" + sub, group + "2", group + "-other/providers/x", group + "/../live2", "/subscriptions/" + sub + "/resourceGroups/vms",
		"/subscriptions/" + sub + "/providers/Microsoft.Authorization/locks/l", "/subscriptions/" + sub + "/providers/Microsoft.Authorization/roleAssignments/x?y=" + group,
		r.live.client.Endpoint() + group, "https://example.com" + group,
	} {
		for _, method := range []string{http.MethodPut, http.MethodDelete, http.MethodPost, http.MethodPatch} {
			if _, err := r.live.call(t.Context(), method, path, nil, map[string]any{}); err == nil || !strings.Contains(err.Error(), "nothing was sent") {
				t.Errorf("%s %s: %v", method, path, err)
			}
		}
	}
	if _, err := r.live.call(t.Context(), http.MethodGet, "https://example.com/next", nil, nil); err == nil {
		t.Error("it sent the token to somebody else")
	}
	if n := len(r.arm.Requests()); n != 0 {
		t.Errorf("%d calls were sent", n)
	}
}
