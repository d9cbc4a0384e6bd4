package browser_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestOpenNowStaysLow: what is open does not bury the list on a phone, however much was written why, and the list stays in reach when
// others have many windows.
func TestOpenNowStaysLow(t *testing.T) {
	t.Parallel()
	b := start(t).open()
	b.signIn("admin")
	b.api("admin", "POST", "/api/enable", `{"virtualMachines":[{"id":"`+demo+`web"},{"id":"`+demo+`app1"},{"id":"`+demo+`app2"},{"id":"`+demo+`both"}]}`)
	why := strings.Repeat("the shop has run out of memory again ", 25)
	var vms []string
	for _, vm := range []string{"web", "app1", "app2", "both"} {
		vms = append(vms, fmt.Sprintf(`{"id":"%s%s","ports":[{"number":22,"duration":"PT1H"},{"number":3389,"duration":"PT1H"}]}`, demo, vm))
	}
	b.api("admin", "POST", "/api/request", `{"justification":"`+why+`","virtualMachines":[`+strings.Join(vms, ",")+`]}`)
	for i := range 6 {
		b.api("requester", "POST", "/api/request", `{"justification":"`+why+`","virtualMachines":[{"id":"`+demo+`web","ports":[{"number":22,"duration":"PT1H","allowedSourceAddressPrefix":"203.0.113.`+fmt.Sprint(90+i)+`"}]}]}`)
	}
	for _, width := range []int64{390, 834, 1440} {
		b.screen(width, 844, "light")
		b.visit("")
		b.says("#open .others", "open by others")
		if high := script[int](b, `Math.round(document.querySelector("#open li").getBoundingClientRect().height)`); high > 330 {
			t.Errorf("at %d pixels a request of four machines is %d pixels high", width, high)
		}
		if top := script[int](b, `Math.round(document.querySelector("#results").getBoundingClientRect().top)`); top > 844 {
			t.Errorf("at %d pixels the list begins at %d, below the first screen", width, top)
		}
		b.shot(fmt.Sprintf("low-%d", width))
	}
	b.click("#others")
	b.says("#others", "Only your own")
	b.says("#open", "requester@portcullis.example")
	b.click("#others")
	b.says("#others", "open by others")
}
