package azurite_test

import (
	"net/http"
	"strings"
	"testing"

	"portcullis/local/azurite"
)

func TestStartAnswersAsTableService(t *testing.T) {
	url := azurite.Start(t)
	if !strings.HasPrefix(url, "http://127.0.0.1:") || !strings.HasSuffix(url, "/"+azurite.Account) {
		t.Errorf("url = %q, want http://127.0.0.1:port/%s", url, azurite.Account)
	}
	resp, err := http.Get(url + "/Tables")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	// Unsigned requests are refused; any other server would not say so this way.
	if resp.StatusCode != http.StatusForbidden && resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("status = %d, want 401 or 403", resp.StatusCode)
	}
	if server := resp.Header.Get("Server"); !strings.Contains(server, "Azurite-Table/3.37.0") {
		t.Errorf("Server = %q, want Azurite-Table/3.37.0", server)
	}
}
