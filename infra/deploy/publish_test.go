package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// fakeAz puts an az on PATH that is the given script, and gives the PATH.
func fakeAz(t *testing.T, script string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "az"), []byte("#!/usr/bin/env bash\nset -eu\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return "PATH=" + dir + string(os.PathListSeparator) + os.Getenv("PATH")
}

// TestPublish holds that azd's hook is refused before anything is created where the Azure CLI is not signed in, and deploys the
// package to the subscription that azd is set to, whichever the CLI has as its own.
func TestPublish(t *testing.T) {
	said := filepath.Join(t.TempDir(), "said")
	run := func(signedIn string, args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), "bash", append([]string{"azd/publish"}, args...)...)
		cmd.Env = append(os.Environ(), fakeAz(t, `echo "$*" >>"$SAID"; if [ "$1" = account ]; then exit "$NOT_SIGNED_IN"; fi`),
			"SAID="+said, "NOT_SIGNED_IN="+signedIn, "AZURE_SUBSCRIPTION_ID=sub", "PORTCULLIS_FUNCTION_APP=app", "PORTCULLIS_RESOURCE_GROUP=group")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	for _, args := range [][]string{{"--ready"}, nil} {
		if out, err := run("1", args...); err == nil || !strings.Contains(out, "az login") {
			t.Errorf("publish %q without a sign-in: %v, %s", args, err, out)
		}
	}
	if out, err := run("0", "--ready"); err != nil {
		t.Errorf("publish --ready: %v, %s", err, out)
	}
	if text, _ := os.ReadFile(said); strings.Contains(string(text), "functionapp") {
		t.Errorf("something was deployed before it was asked for:\n%s", text)
	}
	if out, err := run("0"); err != nil {
		t.Errorf("publish: %v, %s", err, out)
	}
	want := "functionapp deployment source config-zip --subscription sub --resource-group group --name app --src dist/portcullis-linux-amd64.zip"
	if text, _ := os.ReadFile(said); !strings.Contains(string(text), want) {
		t.Errorf("az was not told %q:\n%s", want, text)
	}
}
