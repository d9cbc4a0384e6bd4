package handlers_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestSourcesTogether: on both faces and in a dry run, what would let in too much together with what the caller has open is refused, and the refusal tells
// the caller's own windows.
func TestSourcesTogether(t *testing.T) {
	a := newCompat(t)
	if r := a.demanding(everything); r.status != 200 {
		t.Fatalf("enable: %s", r.text)
	}
	ask := func(path string, from ...string) answer {
		return a.call("POST", path, fmt.Sprintf(`{"virtualMachines":[{"id":"%s","ports":[{"number":22,"duration":"PT1H","allowedSourceAddressPrefixes":["%s"]}]}],"justification":"why"}`, web, strings.Join(from, `","`)))
	}
	first := []string{"198.18.0.0/24", "198.18.2.0/24", "198.18.4.0/24", "198.18.6.0/24"}
	if r := ask("/api/request", first...); r.status != 200 {
		t.Fatalf("%d %s", r.status, r.text)
	}
	a.leap(time.Minute)
	for _, path := range []string{"/api/request?dryRun=true", "/api/request"} {
		r := ask(path, "198.18.1.0/24")
		r.wants(t, 400, "SourcesTooManyTogether")
		if _, target := r.code(); target != "virtualMachines[0].ports[0].allowedSourceAddressPrefix" || !strings.Contains(r.text, "your window for 198.18.0.0/24, 198.18.2.0/24 and 2 more") || !strings.Contains(r.text, "port 22 of web") {
			t.Errorf("%s: %s", path, r.text)
		}
	}
	r := a.call("POST", policy+"/initiate"+version, `{"virtualMachines":[{"id":"`+web+`","ports":[{"number":22,"duration":"PT1H","allowedSourceAddressPrefix":"198.18.1.0/24"}]}],"justification":"why"}`)
	r.wants(t, 400, "SourcesTooManyTogether")
	if r := ask("/api/request", first...); r.status != 200 { // takes the place of what stands
		t.Errorf("a renewal: %d %s", r.status, r.text)
	}
}

// TestSourcesThatNeverArrive: a source from which nothing can come in is told in the answer of a request and of its dry run, and refuses nothing.
func TestSourcesThatNeverArrive(t *testing.T) {
	a := newApp(t)
	a.enable()
	const want = `"warnings":["10.1.2.3: a private address cannot come in at 198.51.100.4,`
	for _, path := range []string{"/api/request?dryRun=true", "/api/request"} {
		if r := a.call("POST", path, ports(`{"number":3389,"duration":"PT1H","allowedSourceAddressPrefix":"10.1.2.3"}`)); r.status != 200 || !strings.Contains(r.text, want) {
			t.Errorf("%s: %d %s", path, r.status, r.text)
		}
		if r := a.call("POST", path, ports(`{"number":22,"duration":"PT1H"}`)); r.status != 200 || strings.Contains(r.text, "warnings") {
			t.Errorf("%s: %d %s", path, r.status, r.text)
		}
	}
}
