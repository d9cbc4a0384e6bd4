package hostsim_test

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"portcullis/functions"
	"portcullis/local/hostsim"
)

// TestTheApp runs the declarations that ship, flattened as for the real host,
// with the test's handler in place of the app's: the host takes them all, every
// route leads to its function, and the triggers are listened to.
func TestTheApp(t *testing.T) {
	root := t.TempDir()
	copyFile(t, "../../host.json", filepath.Join(root, "host.json"))
	all, err := functions.All()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		copyFile(t, "../../functions/"+f.Name+"/function.json", filepath.Join(root, f.Name, "function.json"))
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(root, "handlers")); err != nil {
		t.Fatal(err)
	}
	opened := ""
	r := start(t, theApp, "echo", func(c *hostsim.Config) {
		c.Root = root
		c.Queues = func(connection, queue string) (hostsim.Queue, error) {
			opened += connection + " " + queue
			return newQueue(), nil
		}
	})
	if opened != "ServiceBus portcullis-revoke" {
		t.Errorf("opened queues %q", opened)
	}
	for _, f := range all {
		if f.Kind != functions.HTTP {
			continue
		}
		path := "/api/" + strings.NewReplacer("{id}", "7", "{id?}", "7", "{*path}", "7/more").Replace(f.Route)
		w := httptest.NewRecorder()
		r.ServeHTTP(w, httptest.NewRequest(f.Methods[0], path, nil))
		if w.Code != 200 || decode(t, w.Body).URI != path {
			t.Errorf("%s %s: %d", f.Methods[0], path, w.Code)
		}
		r.log.waitFor(t, "msg=proxy function="+f.Name+" ")
	}
	fired := make(chan error, 1)
	go func() { fired <- r.Fire(within(t), "sweep") }()
	for {
		// The schedule may come due meanwhile; both runs are answered.
		select {
		case c := <-r.calls:
			c.answer <- ok
			continue
		case err := <-fired:
			if err != nil {
				t.Error(err)
			}
		case <-within(t).Done():
			t.Error("the sweep never ended")
		}
		return
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, text, 0o644); err != nil {
		t.Fatal(err)
	}
}
