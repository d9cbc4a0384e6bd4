package main

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	neturl "net/url"
	"strings"
	"testing"
)

// TestPage: a browser that does not send Sec-Fetch-Site signs in, looks, and closes a window. The page takes the form
// for its own by the host that the browser called, which the Functions host passes on; one from another site is refused.
func TestPage(t *testing.T) {
	t.Parallel()
	r := newRig(t, t.TempDir(), nil)
	r.must(200, "POST", "/api/enable", vms(web))
	grant := r.must(200, "POST", "/api/request", ask("PT10M", "the page"))
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar}
	app := url(r.ports.Host)
	look := func(resp *http.Response, err error) (int, string) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text)
	}
	if status, text := look(browser.Get(app + "/.auth/login/local?as=admin&post_login_redirect_uri=%2Fapi%2Fportal%2F")); status != 200 || !strings.Contains(text, "web") {
		t.Fatalf("%d %.300s", status, text)
	}
	send := func(origin string) (int, string) {
		form, err := http.NewRequest(http.MethodPost, app+"/api/portal/requests/"+grant["id"].(string)+"/close", strings.NewReader(neturl.Values{}.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		form.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		form.Header.Set("Origin", origin)
		return look(browser.Do(form))
	}
	if status, text := send("https://evil.example"); status != 403 || !r.open("web-nsg") {
		t.Errorf("from another site: %d %.300s", status, text)
	}
	if status, text := send(app); status != 200 || r.open("web-nsg") {
		t.Errorf("from the page: %d %.300s", status, text)
	}
}
