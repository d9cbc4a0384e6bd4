package armsim_test

import (
	"testing"

	"portcullis/local/armsim"
)

// TestGroups checks what a resource group lists and what goes with it, in any case of the name.
func TestGroups(t *testing.T) {
	r := newRig(t, armsim.Knobs{})
	const group, other = "/subscriptions/" + sub + "/resourceGroups/rg", "/subscriptions/" + sub + "/resourceGroups/rg2"
	r.want(404, "ResourceGroupNotFound", "GET", group+"/resources", "")
	r.want(404, "ResourceGroupNotFound", "DELETE", group, "")
	r.put(nsgID, nsg(rule("a", 100)))
	r.put(other+"/providers/Microsoft.Network/networkSecurityGroups/nsg", nsg())
	_, body := r.want(200, "", "GET", "/subscriptions/"+sub+"/resourceGroups/RG/resources", "")
	if list, _ := body["value"].([]any); len(list) != 1 || at(list[0], "id") != nsgID {
		t.Errorf("the group holds %v", body["value"])
	}
	r.want(405, "MethodNotAllowed", "PUT", group+"/resources", "{}")

	lock := group + "/providers/Microsoft.Authorization/locks/l"
	r.want(201, "", "PUT", lock, `{"properties":{"level":"CanNotDelete"}}`)
	r.want(409, "ScopeLocked", "DELETE", group, "")
	r.want(200, "", "DELETE", lock, "")
	r.want(202, "", "DELETE", "/subscriptions/"+sub+"/resourceGroups/RG", "")
	r.want(404, "ResourceGroupNotFound", "GET", group, "")
	if _, left := r.arm.Get(nsgID); left {
		t.Error("the security group outlived its group")
	}
	r.want(200, "", "GET", other+"/providers/Microsoft.Network/networkSecurityGroups/nsg", "")
}
