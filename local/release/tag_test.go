package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTag checks that a tag is signed where git has a key, that nothing is said to be signed which is not, and that a key that does not work leaves
// neither a tag nor a release.
func TestTag(t *testing.T) {
	t.Setenv("GIT_CONFIG_GLOBAL", "/dev/null")
	t.Setenv("GIT_CONFIG_SYSTEM", "/dev/null")
	keys := t.TempDir()
	key := filepath.Join(keys, "key")
	if out, err := exec.CommandContext(t.Context(), "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
		t.Skipf("NOT RUN: there is no ssh-keygen to make a key with: %v %s", err, out)
	}
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	signers := filepath.Join(keys, "signers")
	if err := os.WriteFile(signers, append([]byte("ada@example.com "), public...), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		config map[string]string
		signed bool
		fails  bool
	}{
		"no key":                         {nil, false, false},
		"a key":                          {map[string]string{"user.signingkey": key}, true, false},
		"a key, and to sign always":      {map[string]string{"user.signingkey": key, "tag.gpgSign": "true"}, true, false},
		"a key that is not there":        {map[string]string{"user.signingkey": key + "-lost"}, false, true},
		"a program that is not there":    {map[string]string{"user.signingkey": key, "gpg.ssh.program": filepath.Join(keys, "none")}, false, true},
		"to sign always without any key": {map[string]string{"tag.gpgSign": "true", "gpg.format": "openpgp", "gpg.program": filepath.Join(keys, "none")}, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := &release{root: t.TempDir(), version: "0.2.0", tag: "v0.2.0", notes: "# Notes\n", signOff: "Signed-off-by: Ada <ada@example.com>"}
			git := func(args ...string) string {
				t.Helper()
				out, err := r.git(t.Context(), args...)
				if err != nil {
					t.Fatal(err)
				}
				return out
			}
			git("init", "--quiet")
			git("config", "user.name", "Ada")
			git("config", "user.email", "ada@example.com")
			git("config", "gpg.format", "ssh")
			git("config", "gpg.ssh.allowedSignersFile", signers)
			git("commit", "--quiet", "--allow-empty", "--no-gpg-sign", "--message=first")
			for key, value := range tt.config {
				git("config", key, value)
			}
			r.commit = git("rev-parse", "HEAD")
			built, out := filepath.Join(r.root, "dist", "built"), filepath.Join(r.root, "dist", "release")
			if err := os.MkdirAll(built, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(built, "a.zip"), []byte("a"), 0o644); err != nil {
				t.Fatal(err)
			}
			sums, signed, err := r.finish(t.Context(), built, out)
			if (err != nil) != tt.fails || signed != tt.signed {
				t.Fatalf("signed %v, %v", signed, err)
			}
			if left, _ := filepath.Glob(out); tt.fails && (git("tag") != "" || len(left) > 0) {
				t.Fatalf("left: the tag %q, %s", git("tag"), left)
			}
			if tt.fails {
				return
			}
			if text := git("cat-file", "tag", r.tag); !strings.Contains(text, "\n# Notes\n\nSHA-256:\n\n"+sums+"\n"+r.signOff) {
				t.Errorf("the tag says\n%s", text)
			}
			if _, err := r.git(t.Context(), "verify-tag", r.tag); (err == nil) != tt.signed {
				t.Errorf("signed: %v; verify-tag: %v", tt.signed, err)
			}
		})
	}
}
