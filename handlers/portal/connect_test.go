package portal_test

import (
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestConnectAs: the file for remote desktops takes the name of who connects, and nothing that is none; the request shows each way to its ports
// with a place for that name, and only addresses that its window lets in.
func TestConnectAs(t *testing.T) {
	s := newSite(t)
	s.enable()
	id := s.opened("alice", "a test", time.Hour, 22, 3389)
	file := "requests/" + id + "/rdp?vm=" + web + "&host=198.51.100.4"
	for _, bad := range []string{"eve\r\nalternate shell:s:cmd.exe", "eve\n", "-oProxyCommand=x", "a b", "a'b", "a;b", "a$(b)", strings.Repeat("a", 105), "é"} {
		if p := s.get(file + "&user=" + url.QueryEscape(bad)); p.status == 200 || strings.Contains(p.text, "full address") || !strings.Contains(p.text, "user name") {
			t.Errorf("%q: %d %q", bad, p.status, p.text)
		}
	}
	if p := s.get(file + "&user=eve&user=bob%0A"); strings.Contains(p.text, "bob") {
		t.Errorf("two names: %q", p.text)
	}
	for _, name := range []string{"alice", `CORP\alice`, "alice@example.com"} {
		if p := s.get(file + "&user=" + url.QueryEscape(name)); p.status != 200 || p.text != "full address:s:198.51.100.4:3389\r\nprompt for credentials:i:1\r\nusername:s:"+name+"\r\n" {
			t.Errorf("%q: %d %q", name, p.status, p.text)
		}
	}
	s.get("requests/"+id).holds(t, `data-as="ssh {}@198.51.100.4 -p 22"`, "ssh user@198.51.100.4 -p 22", "az ssh vm --ip 198.51.100.4 --port 22", `id="connect-as"`, "Copy all", `data-rdp="/api/portal/requests/`+id)
	s.post("requests/" + id + "/close")
	s.get("requests/"+id).lacks(t, "connect-as", "Copy all", "az ssh")
}
