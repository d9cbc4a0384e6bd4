package armsim_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/google/go-cmp/cmp"

	"portcullis/local/armsim"
)

// The etag changes when a write starts and again when it ends, and every rule carries it.
func TestETagChangesTwice(t *testing.T) {
	r := newRig(t, armsim.Knobs{Writes: armsim.Writes{LatencyMin: armsim.Duration(5 * time.Second)}})
	r.put(nsgID, nsg(rule("a", 100)))
	etag := func(state string) string {
		t.Helper()
		doc := r.get(nsgID)
		tag := doc["etag"].(string)
		for _, list := range []string{"securityRules", "defaultSecurityRules"} {
			if got := at(doc, "properties", list, 0, "etag"); got != tag {
				t.Errorf("%s: etag %v, want that of the NSG, %v", list, got, tag)
			}
		}
		if got := at(doc, "properties", "provisioningState"); got != state {
			t.Errorf("state %v, want %s", got, state)
		}
		return tag
	}
	before := etag("Succeeded")
	_, answer := r.want(200, "", "PUT", nsgID, nsg(rule("b", 100)))
	r.clock.Advance(5*time.Second - 1)
	during := etag("Updating")
	r.clock.Advance(1)
	after := etag("Succeeded")
	if before == during || during == after || before == after {
		t.Errorf("etags %s, %s, %s are not all different", before, during, after)
	}
	if answer["etag"] != during || at(answer, "properties", "provisioningState") != "Updating" {
		t.Errorf("the answer has etag %v and state %v", answer["etag"], at(answer, "properties", "provisioningState"))
	}
	if again := etag("Succeeded"); again != after {
		t.Error("the etag changes by being looked at")
	}
}

// A PUT that answers Succeeded gives the etag that the next write can be conditional on.
func TestSucceededAnswerCanBeChained(t *testing.T) {
	r := newRig(t, armsim.Knobs{Writes: armsim.Writes{Answer: armsim.AnswerSucceeded, LatencyMin: armsim.Duration(time.Hour)}})
	_, first := r.want(201, "", "PUT", nsgID, nsg())
	_, second := r.want(200, "", "PUT", nsgID, nsg(rule("a", 100)), "If-Match", first["etag"].(string))
	if first["etag"] == second["etag"] {
		t.Error("the etag did not change")
	}
	if at(second, "properties", "provisioningState") != "Succeeded" {
		t.Errorf("state %v", at(second, "properties", "provisioningState"))
	}
}

func TestPutReplaces(t *testing.T) {
	r := newRig(t, armsim.Knobs{})
	r.want(201, "", "PUT", nsgID, `{"location":"westeurope","tags":{"a":"1"},"future":{"x":[1,2.50,12345678901234567890]},
		"properties":{"flushConnection":true,"another":null,"securityRules":[`+rule("a", 100, "newThing", `{"deep":[true]}`)+`]}}`)
	first := r.get(nsgID)
	raw, _ := r.arm.Get(nsgID)
	if !strings.Contains(string(raw), "[1,2.50,12345678901234567890]") {
		t.Errorf("numbers were rewritten: %s", raw)
	}
	if at(first, "properties", "flushConnection") != true || at(first, "properties", "securityRules", 0, "properties", "newThing", "deep", 0) != true {
		t.Errorf("unknown properties were lost: %s", raw)
	}
	if diff := cmp.Diff([]any{}, at(first, "properties", "securityRules", 0, "properties", "sourceAddressPrefixes")); diff != "" {
		t.Errorf("ARM shows empty lists:\n%s", diff)
	}

	// What GET shows can be put back and is the same, but for etags: the read-only properties in it are ignored.
	r.want(200, "", "PUT", nsgID, string(raw))
	second := r.get(nsgID)
	if diff := cmp.Diff(strippedETags(first), strippedETags(second)); diff != "" {
		t.Errorf("a round trip changed the NSG:\n%s", diff)
	}

	// What a client says about read-only properties is not believed.
	r.want(200, "", "PUT", nsgID, `{"id":"/x","name":"y","type":"z","location":"westeurope","properties":{"provisioningState":"Failed",
		"resourceGuid":"g","defaultSecurityRules":[],"networkInterfaces":[{"id":"n"}],"subnets":[{"id":"s"}]}}`)
	third := r.get(nsgID)
	if third["tags"] != nil || third["future"] != nil || names(third) != "" {
		t.Errorf("a PUT without them kept tags, rules or others: %v", third)
	}
	for _, path := range [][]any{{"id"}, {"name"}, {"type"}, {"properties", "provisioningState"}, {"properties", "resourceGuid"}, {"properties", "networkInterfaces"}, {"properties", "subnets"}} {
		if got, want := at(third, path...), at(first, path...); got != want {
			t.Errorf("%v: got %v, want %v", path, got, want)
		}
	}
	if got := len(at(third, "properties", "defaultSecurityRules").([]any)); got != 6 {
		t.Errorf("%d default rules, want 6", got)
	}
	if rules, ok := at(third, "properties", "securityRules").([]any); !ok || len(rules) != 0 {
		t.Errorf("securityRules is %v, want an empty list", at(third, "properties", "securityRules"))
	}
}

// strippedETags is the document without what changes with each write.
func strippedETags(doc map[string]any) string {
	text, err := json.MarshalIndent(doc, "", " ")
	if err != nil {
		return err.Error()
	}
	etag, _ := json.Marshal(doc["etag"])
	return strings.ReplaceAll(string(text), string(etag), "etag")
}

func TestIDsInAnyCase(t *testing.T) {
	r := newRig(t, armsim.Knobs{})
	id := "/subscriptions/" + sub + "/resourceGroups/MyGroup/providers/Microsoft.Network/networkSecurityGroups/MyNSG"
	r.want(201, "", "PUT", id, nsg(rule("MyRule", 100)))
	r.want(200, "", "PUT", strings.ToLower(id), nsg(rule("MyRule", 100)))
	_, doc := r.want(200, "", "GET", strings.ToUpper(id), "")
	if doc["id"] != id || doc["name"] != "MyNSG" {
		t.Errorf("id %v, name %v", doc["id"], doc["name"])
	}
	_, one := r.want(200, "", "GET", strings.ToUpper(id)+"/SECURITYRULES/MYRULE", "")
	if one["id"] != id+"/securityRules/MyRule" {
		t.Errorf("id of the rule %v", one["id"])
	}
	r.want(200, "", "PUT", id+"/securityRules/MYRULE", rule("MYRULE", 101))
	if got := names(r.get(id)); got != "MyRule" {
		t.Errorf("rules %s", got)
	}
	r.want(200, "", "GET", "/subscriptions/"+sub+"/resourcegroups/mygroup", "")
	if _, ok := r.arm.Get(strings.ToUpper(id)); !ok {
		t.Error("the direct API minds the case")
	}
}

// Rules are written one by one through the SDK; the NSG is what changes.
func TestRules(t *testing.T) {
	r := newRig(t, armsim.Knobs{Writes: armsim.Writes{PollRetryAfter: armsim.Duration(time.Millisecond)}})
	r.put(nsgID, nsg(rule("a", 100)))
	client := r.net.NewSecurityRulesClient()
	ctx := t.Context()
	options := &runtime.PollUntilDoneOptions{Frequency: time.Second}

	if _, err := client.Get(ctx, "rg", "nsg", "b", nil); code(err) != "404 NotFound" {
		t.Errorf("get of no rule: %s", code(err))
	}
	if _, err := client.BeginCreateOrUpdate(ctx, "rg", "nsg", "b", *modelRule("b", 100), nil); code(err) != "400 SecurityRuleConflict" {
		t.Errorf("taken priority: %s", code(err))
	}
	put, err := client.BeginCreateOrUpdate(ctx, "rg", "nsg", "b", *modelRule("b", 101), nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := put.PollUntilDone(patience(t), options)
	if err != nil {
		t.Fatal(err)
	}
	if *res.Name != "b" || *res.ID != nsgID+"/securityRules/b" || *res.Etag != r.get(nsgID)["etag"] {
		t.Errorf("rule %v %v %v", *res.Name, *res.ID, *res.Etag)
	}
	del, err := client.BeginDelete(ctx, "rg", "nsg", "a", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := del.PollUntilDone(patience(t), options); err != nil {
		t.Fatal(err)
	}
	if got := names(r.get(nsgID)); got != "b" {
		t.Errorf("rules %q, want b", got)
	}
	again, err := client.BeginDelete(ctx, "rg", "nsg", "a", nil)
	if err != nil {
		t.Fatalf("delete of what is gone: %v", err)
	}
	if _, err := again.PollUntilDone(patience(t), options); err != nil {
		t.Fatal(err)
	}
	r.want(204, "", "DELETE", nsgID+"2/securityRules/a", "")
}

// A delete can be followed by Location alone: 202 until it is done, then 204.
func TestDeleteByLocation(t *testing.T) {
	r := newRig(t, armsim.Knobs{Writes: armsim.Writes{LatencyMin: armsim.Duration(2 * time.Second), RetryAfter: armsim.Duration(3 * time.Second)}})
	r.put(nsgID, nsg(rule("a", 100)))
	res, _ := r.want(202, "", "DELETE", nsgID+"/securityRules/a", "")
	if res.Header.Get("Azure-AsyncOperation") == "" || res.Header.Get("Retry-After") != "3" {
		t.Errorf("headers %v", res.Header)
	}
	location := res.Header.Get("Location")
	r.want(202, "", "GET", location, "")
	r.clock.Advance(2 * time.Second)
	r.want(204, "", "GET", location, "")
	_, doc := r.want(200, "", "GET", res.Header.Get("Azure-AsyncOperation"), "")
	if doc["status"] != "Succeeded" {
		t.Errorf("status %v", doc)
	}
}

func TestDeleteNSG(t *testing.T) {
	r := newRig(t, armsim.Knobs{Writes: armsim.Writes{LatencyMin: armsim.Duration(time.Second)}})
	r.put(nsgID, nsg())
	nic := `{"location":"westeurope","properties":{"networkSecurityGroup":{"id":"` + strings.ToUpper(nsgID) + `"}}}`
	r.want(201, "", "PUT", scope+"networkInterfaces/n", nic)
	r.want(201, "", "PUT", scope+"virtualNetworks/v", `{"location":"westeurope","properties":{"subnets":[
		{"name":"s","properties":{"addressPrefix":"10.0.0.0/24","networkSecurityGroup":{"id":"`+nsgID+`"}}}]}}`)
	doc := r.get(nsgID)
	if got := fmt.Sprint(at(doc, "properties", "networkInterfaces"), at(doc, "properties", "subnets")); got != fmt.Sprintf("[map[id:%snetworkInterfaces/n]] [map[id:%svirtualNetworks/v/subnets/s]]", scope, scope) {
		t.Errorf("back references %s", got)
	}
	_, subnet := r.want(200, "", "GET", scope+"virtualNetworks/V/subnets/S", "")
	if subnet["id"] != scope+"virtualNetworks/v/subnets/s" || at(subnet, "properties", "networkSecurityGroup", "id") != nsgID {
		t.Errorf("subnet %v", subnet)
	}
	r.want(400, "InUseNetworkSecurityGroupCannotBeDeleted", "DELETE", nsgID, "")
	r.want(200, "", "DELETE", scope+"networkInterfaces/n", "")
	r.want(400, "InUseNetworkSecurityGroupCannotBeDeleted", "DELETE", nsgID, "")
	r.want(200, "", "DELETE", scope+"virtualNetworks/v", "")
	r.want(204, "", "DELETE", scope+"virtualNetworks/v", "")
	r.want(202, "", "DELETE", nsgID, "")
	if got := at(r.get(nsgID), "properties", "provisioningState"); got != "Deleting" {
		t.Errorf("state %v, want Deleting", got)
	}
	r.want(429, "RetryableErrorDueToAnotherOperation", "PUT", nsgID, nsg())
	r.clock.Advance(time.Second)
	r.want(404, "ResourceNotFound", "GET", nsgID, "")
	r.want(204, "", "DELETE", nsgID, "")
}

func TestHeaders(t *testing.T) {
	r := newRig(t, armsim.Knobs{})
	r.put(nsgID, nsg())
	res, _ := r.want(200, "", "GET", nsgID, "", "x-ms-correlation-request-id", "c-1", "x-ms-client-request-id", "r-1")
	if res.Header.Get("x-ms-correlation-request-id") != "c-1" || res.Header.Get("x-ms-client-request-id") != "r-1" || res.Header.Get("x-ms-request-id") == "" {
		t.Errorf("ids in %v", res.Header)
	}
	if res.Header.Get("Date") != "Sun, 01 Mar 2026 12:00:00 GMT" {
		t.Errorf("Date %s is not that of the clock", res.Header.Get("Date"))
	}
}
