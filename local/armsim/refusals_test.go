package armsim_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"portcullis/local/armsim"
)

func TestOpenRefuses(t *testing.T) {
	for name, cfg := range map[string]armsim.Config{
		"no verifier":        {},
		"negative latency":   {Verify: verify, Knobs: armsim.Knobs{Writes: armsim.Writes{LatencyMin: -1}}},
		"unknown answer":     {Verify: verify, Knobs: armsim.Knobs{Writes: armsim.Writes{Answer: "maybe"}}},
		"a file as a folder": {Verify: verify, Dir: "doc.go"},
	} {
		if s, err := armsim.Open(cfg); err == nil {
			t.Errorf("%s: opened %v", name, s)
		}
	}
}

func TestUnauthenticated(t *testing.T) {
	r := newRig(t, armsim.Knobs{})
	r.put(nsgID, nsg())
	r.token = ""
	for _, test := range []struct{ name, authorization, code string }{
		{"none", "", "AuthenticationFailed"},
		{"basic", "Basic YWxpY2U6", "AuthenticationFailed"},
		{"empty bearer", "Bearer ", "AuthenticationFailed"},
		{"unknown bearer", "Bearer mallory", "InvalidAuthenticationToken"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := r.on(t)
			for _, method := range []string{"GET", "PUT", "DELETE"} {
				res, _ := r.want(401, test.code, method, nsgID, nsg(), "Authorization", test.authorization)
				if !strings.HasPrefix(res.Header.Get("WWW-Authenticate"), "Bearer ") {
					t.Errorf("%s: WWW-Authenticate is %q", method, res.Header.Get("WWW-Authenticate"))
				}
			}
		})
	}
	if _, ok := r.arm.Get(nsgID); !ok {
		t.Error("deleted without a token")
	}
}

func TestRefusals(t *testing.T) {
	r := newRig(t, armsim.Knobs{})
	r.put(nsgID, nsg(rule("a", 100)))
	r.put(scope+"virtualNetworks/v", `{"location":"westeurope","properties":{"subnets":[]}}`)
	before := r.get(nsgID)
	missing := strings.Replace(nsgID, "/rg/", "/nowhere/", 1)
	version := "?api-version=2025-05-01"
	for _, test := range []struct {
		name, method, path, body string
		status                   int
		code                     string
	}{
		{"empty version", "GET", nsgID + "?api-version=", "", 400, "MissingApiVersionParameter"},
		{"version that is none", "GET", nsgID + "?api-version=latest", "", 400, "InvalidApiVersionParameter"},
		{"root", "GET", "/", "", 404, "InvalidResourceType"},
		{"unknown provider", "GET", scope + "natGateways/x", "", 404, "InvalidResourceType"},
		{"unknown child", "GET", nsgID + "/subnets/x", "", 404, "InvalidResourceType"},
		{"too deep", "GET", nsgID + "/securityRules/a/b", "", 404, "InvalidResourceType"},
		{"no such group", "GET", missing, "", 404, "ResourceGroupNotFound"},
		{"list in no such group", "GET", "/subscriptions/" + sub + "/resourceGroups/nowhere/providers/Microsoft.Network/networkInterfaces", "", 404, "ResourceGroupNotFound"},
		{"no such NSG", "GET", nsgID + "2", "", 404, "ResourceNotFound"},
		{"no such rule", "GET", nsgID + "/securityRules/b", "", 404, "NotFound"},
		{"rule of no such NSG", "GET", nsgID + "2/securityRules/a", "", 404, "ResourceNotFound"},
		{"rule into no such NSG", "PUT", nsgID + "2/securityRules/a", rule("a", 100), 404, "ResourceNotFound"},
		{"no such subnet", "GET", scope + "virtualNetworks/v/subnets/s", "", 404, "NotFound"},
		{"no such operation", "GET", "/subscriptions/" + sub + "/providers/Microsoft.Network/locations/westeurope/operations/x", "", 404, "OperationNotFound"},
		{"no such lock", "GET", nsgID + "/providers/Microsoft.Authorization/locks/l", "", 404, "LockNotFound"},
		{"lock of no level", "PUT", nsgID + "/providers/Microsoft.Authorization/locks/l", `{"properties":{"level":"Soft"}}`, 400, "InvalidLockLevel"},
		{"patch", "PATCH", nsgID, "{}", 405, "MethodNotAllowed"},
		{"post", "POST", nsgID, "{}", 405, "MethodNotAllowed"},
		{"put a list", "PUT", scope + "networkSecurityGroups", "{}", 405, "MethodNotAllowed"},
		{"patch a firewall", "PATCH", scope + "azureFirewalls/f", `{}`, 405, "MethodNotAllowed"},
		{"put a subnet", "PUT", scope + "virtualNetworks/v/subnets/s", "{}", 405, "MethodNotAllowed"},
		{"bad name", "PUT", scope + "networkSecurityGroups/a%20b", nsg(), 400, "InvalidResourceName"},
		{"bad NIC name", "PUT", scope + "networkInterfaces/-a", nsg(), 400, "InvalidResourceName"},
		{"no body", "PUT", nsgID, "", 400, "InvalidRequestContent"},
		{"broken JSON", "PUT", nsgID, "{", 400, "InvalidRequestContent"},
		{"two values", "PUT", nsgID, "{}{}", 400, "InvalidRequestContent"},
		{"null", "PUT", nsgID, "null", 400, "InvalidRequestContent"},
		{"list as document", "PUT", nsgID, "[]", 400, "InvalidRequestContent"},
		{"properties not an object", "PUT", nsgID, `{"location":"westeurope","properties":[]}`, 400, "InvalidRequestContent"},
		{"no location", "PUT", nsgID, `{"properties":{}}`, 400, "LocationRequired"},
		{"another location", "PUT", nsgID, `{"location":"northeurope"}`, 409, "InvalidResourceLocation"},
		{"tags not an object", "PUT", nsgID, `{"location":"westeurope","tags":["a"]}`, 400, "InvalidTags"},
		{"tag of a bad name", "PUT", nsgID, `{"location":"westeurope","tags":{"a/b":"c"}}`, 400, "InvalidTag"},
		{"another filter", "GET", "/subscriptions/" + sub + "/resources" + version + "&$filter=name%20eq%20%27x%27", "", 400, "InvalidFilterInQueryString"},
		{"bad skip token", "GET", scope + "networkSecurityGroups" + version + "&$skipToken=%25", "", 400, "InvalidSkipToken"},
		{"body too large", "PUT", nsgID, strings.Repeat(" ", 8<<20+1), 413, "RequestContentTooLarge"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := r.on(t)
			r.want(test.status, test.code, test.method, test.path, test.body)
		})
	}
	if diff := cmp.Diff(before, r.get(nsgID)); diff != "" {
		t.Errorf("a refusal changed the NSG:\n%s", diff)
	}
}

func TestIfMatch(t *testing.T) {
	r := newRig(t, armsim.Knobs{})
	r.put(nsgID, nsg(rule("a", 100)))
	first := r.get(nsgID)
	etag := first["etag"].(string)
	for _, stale := range []string{`W/"invalid"`, `W/` + etag, strings.TrimPrefix(etag, "W/"), `"*"`} {
		_, doc := r.want(412, "PreconditionFailed", "PUT", nsgID, nsg(rule("b", 100)), "If-Match", stale)
		detail := at(doc, "error", "details", 0)
		message, _ := at(detail, "message").(string)
		if at(detail, "code") != "PreconditionFailedEtagMismatch" || !strings.Contains(message, stale) || !strings.Contains(message, etag) {
			t.Errorf("detail of the refusal: %v", detail)
		}
	}
	r.want(412, "PreconditionFailed", "PUT", nsgID+"new", nsg(), "If-Match", etag)
	if diff := cmp.Diff(first, r.get(nsgID)); diff != "" {
		t.Errorf("a refusal changed the NSG:\n%s", diff)
	}

	client := r.net.NewSecurityGroupsClient()
	if _, err := client.BeginCreateOrUpdate(ifMatch(t.Context(), `W/"old"`), "rg", "nsg", model("b"), nil); code(err) != "412 PreconditionFailed" {
		t.Errorf("SDK with a stale etag: %s", code(err))
	}
	if _, err := client.BeginCreateOrUpdate(ifMatch(t.Context(), etag), "rg", "nsg", model("b"), nil); err != nil {
		t.Errorf("SDK with the current etag: %v", err)
	}
	if _, err := client.BeginCreateOrUpdate(ifMatch(t.Context(), etag), "rg", "nsg", model("c"), nil); code(err) != "412 PreconditionFailed" {
		t.Errorf("SDK with the etag of before its own write: %s", code(err))
	}
	r.want(200, "", "PUT", nsgID, nsg(), "If-Match", "*")
}

// An etag in the body neither helps nor hurts.
func TestBodyETagIgnored(t *testing.T) {
	r := newRig(t, armsim.Knobs{})
	r.put(nsgID, nsg())
	r.want(200, "", "PUT", nsgID, `{"location":"westeurope","etag":"W/\"stale\"","properties":{}}`)
	if r.get(nsgID)["etag"] == `W/"stale"` {
		t.Error("the client chose the etag")
	}
}

func TestLocks(t *testing.T) {
	group := "/subscriptions/" + sub + "/resourceGroups/rg"
	for _, scope := range []string{nsgID, group, "/subscriptions/" + sub} {
		for _, test := range []struct {
			level                  string
			putNSG, deleteRule     int
			putRule, deleteWithNIC int
		}{
			{"CanNotDelete", 200, 409, 201, 409},
			{"ReadOnly", 409, 409, 409, 409},
		} {
			t.Run(test.level+" at "+scope, func(t *testing.T) {
				r := newRig(t, armsim.Knobs{})
				r.put(nsgID, nsg(rule("a", 100), rule("b", 101)))
				id := strings.ToUpper(scope) + "/providers/Microsoft.Authorization/locks/l"
				r.want(201, "", "PUT", id, `{"properties":{"level":"`+test.level+`"}}`)
				want := func(status int, method, path, body string) {
					t.Helper()
					code := ""
					if status == 409 {
						code = "ScopeLocked"
					}
					_, doc := r.want(status, code, method, path, body)
					if message, _ := at(doc, "error", "message").(string); status == 409 && !strings.Contains(message, strings.ToUpper(scope)) {
						t.Errorf("the message does not name the scope: %s", message)
					}
				}
				want(test.deleteRule, "DELETE", nsgID+"/securityRules/a", "")
				want(test.deleteWithNIC, "DELETE", nsgID, "")
				want(test.putRule, "PUT", nsgID+"/securityRules/c", rule("c", 102))
				want(test.putNSG, "PUT", nsgID, nsg(rule("b", 101)))
				r.want(200, "", "GET", nsgID, "")
				_, list := r.want(200, "", "GET", scope+"/providers/Microsoft.Authorization/locks", "")
				if at(list, "value", 0, "properties", "level") != test.level {
					t.Errorf("locks: %v", list)
				}
				r.want(200, "", "DELETE", id, "")
				r.want(200, "", "PUT", nsgID, nsg())
			})
		}
	}
}

// A lock elsewhere locks nothing here, not even when its scope is a prefix of the name.
func TestLockElsewhere(t *testing.T) {
	r := newRig(t, armsim.Knobs{})
	r.put(nsgID, nsg(rule("a", 100)))
	r.put(nsgID[:len(nsgID)-1]+"/providers/Microsoft.Authorization/locks/l", `{"properties":{"level":"ReadOnly"}}`)
	r.want(202, "", "DELETE", nsgID+"/securityRules/a", "")
}

func TestDenied(t *testing.T) {
	r := newRig(t, armsim.Knobs{})
	r.put(nsgID, nsg(rule("a", 100)))
	write, group := "Microsoft.Network/networkSecurityGroups/write", "/subscriptions/"+sub+"/resourceGroups/RG"
	for _, test := range []struct {
		name   string
		denied armsim.Denied
		refuse string // methods on the NSG, space separated
	}{
		{"write", armsim.Denied{Action: write}, "PUT"},
		{"everything below", armsim.Denied{Action: "Microsoft.Network/*"}, "GET PUT DELETE"},
		{"any case", armsim.Denied{Action: strings.ToUpper(write)}, "PUT"},
		{"of this principal", armsim.Denied{Action: write, Principal: "Alice"}, "PUT"},
		{"of another principal", armsim.Denied{Action: write, Principal: "bob"}, ""},
		{"in the group", armsim.Denied{Action: write, Scope: group}, "PUT"},
		{"in another group", armsim.Denied{Action: write, Scope: group + "2"}, ""},
		{"rules only", armsim.Denied{Action: "Microsoft.Network/networkSecurityGroups/securityRules/write"}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := r.on(t)
			r.tune(func(k *armsim.Knobs) { k.Denied = []armsim.Denied{test.denied} })
			for _, method := range []string{"GET", "PUT", "DELETE"} {
				path, body := nsgID, nsg(rule("a", 100))
				if strings.Contains(test.refuse, method) {
					r.want(http.StatusForbidden, "AuthorizationFailed", method, path, body)
				} else if method != "DELETE" {
					r.want(200, "", method, path, body)
				}
			}
		})
	}
	r.tune(func(k *armsim.Knobs) {
		k.Denied = []armsim.Denied{{Action: "Microsoft.Network/networkSecurityGroups/securityRules/delete"}}
	})
	r.want(403, "AuthorizationFailed", "DELETE", nsgID+"/securityRules/a", "")
}
