package verbs_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"portcullis/cmd/portcullis/apptest"
	"portcullis/cmd/portcullis/exit"
	"portcullis/cmd/portcullis/verbs"
)

// world gives that of a person at an app.
func world(t *testing.T, app *apptest.App, name string) verbs.World {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"PORTCULLIS_URL": app.URL, "PORTCULLIS_TOKEN_COMMAND": apptest.Command(self, name), "PORTCULLIS_CONFIG": filepath.Join(t.TempDir(), "config.json")}
	return verbs.World{In: &bytes.Buffer{}, Out: &bytes.Buffer{}, Err: &bytes.Buffer{}, Now: time.Now, RetryDelay: time.Millisecond, Getenv: func(v string) string { return env[v] },
		Browse: func(string) error { return nil }}
}

// reader is somebody who reads what is written, and acts on it.
type reader struct {
	text strings.Builder
	acts func(all string)
}

func (r *reader) Write(p []byte) (int, error) {
	n, err := r.text.Write(p)
	r.acts(r.text.String())
	return n, err
}

// TestFollow: what was there is shown oldest first, then what comes, each entry once, until somebody interrupts it.
func TestFollow(t *testing.T) {
	t.Parallel()
	app := apptest.New(t, "web")
	admin, requester := world(t, app, "admin"), world(t, app, "requester")
	if code := verbs.Run(t.Context(), []string{"enable", "web", "--port", "22", "--yes"}, admin); code != exit.Done {
		t.Fatalf("enable: %d %s", code, admin.Err)
	}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	asked := false
	out := &reader{acts: func(all string) {
		switch {
		case !asked && strings.Contains(all, " Enable Succeeded "): // in the middle of a look: this one comes with the next
			asked = true
			if code := verbs.Run(t.Context(), []string{"request", "web", "--for", "5m", "--reason", "follow me"}, requester); code != exit.Done {
				t.Errorf("request: %d %s", code, requester.Err)
				stop()
			}
		case strings.Contains(all, " Open Succeeded "):
			stop()
		}
	}}
	admin.Out = out
	if code := verbs.Run(ctx, []string{"activity", "--follow", "--every", "1s"}, admin); code != exit.Interrupted {
		t.Errorf("exit code %d: %s", code, admin.Err)
	}
	all := out.text.String()
	for _, want := range []string{" Enable Succeeded admin@portcullis.example web", " Request Succeeded requester@portcullis.example web 22 203.0.113.7 ", "follow me"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not shown:\n%s", want, all)
		}
	}
	for _, once := range []string{" Enable ", " Open "} {
		if strings.Count(all, once) != 1 {
			t.Errorf("%q is shown %d times:\n%s", once, strings.Count(all, once), all)
		}
	}
	if strings.Index(all, " Request ") > strings.Index(all, " Open ") {
		t.Errorf("not the oldest first:\n%s", all)
	}
}
