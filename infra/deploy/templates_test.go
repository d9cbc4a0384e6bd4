package deploy_test

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestTemplates validates the templates against the provider's real schemas, where a
// provider is built. `make check-infra` builds it, and runs the module's own tests too.
func TestTemplates(t *testing.T) {
	look(t)
	if err := exec.CommandContext(t.Context(), "./check", "--ready").Run(); err != nil {
		t.Log("NOT CHECKED: the templates, since no Terraform provider is built on this machine; make check-infra builds one")
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "./check", "--validate").CombinedOutput(); err != nil {
		t.Errorf("infra/deploy/check --validate: %v\n%s", err, out)
	}
}

// look opens everything that the check reads, so that the go command does not answer
// from its cache when a template, or whether there is a provider, has changed.
func look(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		_, err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if cache, err := os.UserCacheDir(); err == nil {
		// What is not there is looked at too.
		_, _ = filepath.Glob(filepath.Join(cache, "portcullis", "*", "*"))
	}
}
