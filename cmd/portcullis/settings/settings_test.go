package settings_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portcullis/cmd/portcullis/exit"
	"portcullis/cmd/portcullis/settings"
)

// TestLoad: the environment comes before the file, and what is not understood is refused.
func TestLoad(t *testing.T) {
	t.Parallel()
	load := func(t *testing.T, file string, env map[string]string) (settings.Settings, error) {
		at := filepath.Join(t.TempDir(), "config.json")
		if file != "" {
			if err := os.WriteFile(at, []byte(file), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got, err := settings.Load(func(name string) string {
			if name == settings.VarFile {
				return at
			}
			return env[name]
		})
		got.File = ""
		return got, err
	}
	for name, row := range map[string]struct {
		file string
		env  map[string]string
		says string
	}{
		"no JSON":                     {"url: https://x", nil, "config.json"},
		"an unknown name":             {`{"URL":"https://x"}`, nil, `"URL"`},
		"a name twice":                {`{"url":"https://x","url":"https://y"}`, nil, `"url"`},
		"of another type":             {`{"duration":30}`, nil, "duration"},
		"a token command in the file": {`{"tokenCommand":["curl"]}`, nil, "tokenCommand"},
		"a command for a shell":       {"", map[string]string{settings.VarTokenCommand: "curl -s https://x"}, "JSON array"},
		"an empty command":            {"", map[string]string{settings.VarTokenCommand: "[]"}, "JSON array"},
	} {
		if _, err := load(t, row.file, row.env); exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s: exit code %d: %v", name, exit.Of(err), err)
		}
	}
	file := `{"url":"https://a","duration":"30m","signIn":{"url":"https://a","method":"browser","audience":"api://a"}}`
	got, err := load(t, file, map[string]string{settings.VarURL: "https://b", settings.VarReason: "why", settings.VarTokenCommand: `["a","b c"]`})
	if want := (settings.Settings{URL: "https://b", Duration: "30m", Reason: "why", SignIn: &settings.SignIn{URL: "https://a", Method: "browser", Audience: "api://a"}, TokenCommand: []string{"a", "b c"}}); err != nil || !cmp.Equal(want, got) {
		t.Errorf("%v %s", err, cmp.Diff(want, got))
	}
	if got, err = load(t, file, map[string]string{settings.VarSignIn: "azure-cli"}); err != nil || *got.SignIn != (settings.SignIn{URL: "https://a", Method: "azure-cli"}) {
		t.Errorf("half of one sign-in and half of another: %+v, %v", got.SignIn, err)
	}
	if got, err := load(t, "", nil); err != nil || !cmp.Equal(settings.Settings{}, got) {
		t.Errorf("nothing: %+v, %v", got, err)
	}
}

// TestSave: what is saved is what the file had, changed, and nothing of the environment; only the person may read it.
func TestSave(t *testing.T) {
	t.Parallel()
	at := filepath.Join(t.TempDir(), "new", "config.json")
	env := func(name string) string {
		return map[string]string{settings.VarFile: at, settings.VarReason: "not to be saved", settings.VarTokenCommand: `["secret"]`}[name]
	}
	for _, url := range []string{"https://a", "https://b"} {
		if file, err := settings.Save(env, func(s *settings.Settings) { s.URL = url }); err != nil || file != at {
			t.Fatal(file, err)
		}
	}
	text, err := os.ReadFile(at)
	if err != nil || string(text) != "{\n  \"url\": \"https://b\"\n}\n" {
		t.Errorf("%v %s", err, text)
	}
	info, err := os.Stat(at)
	if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", err, info.Mode())
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(at), ".config-*")); err != nil || len(left) > 0 {
		t.Errorf("left over: %q, %v", left, err)
	}
	if err := os.WriteFile(at, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := settings.Save(env, func(*settings.Settings) {}); exit.Of(err) != exit.Usage {
		t.Errorf("over a file that is not understood: %v", err)
	}
}

// TestLength checks lengths of time, as people and as the API write them.
func TestLength(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "0", "0s", "-1m", "999ms", "PT0S", "-PT1H", "1 h", "1d", "30", "P", "PT", "soon", "1h; id", "9999999h"} {
		if got, err := settings.Length(text); exit.Of(err) != exit.Usage {
			t.Errorf("%q is %v, %v", text, got, err)
		}
	}
	for text, want := range map[string]time.Duration{"1s": time.Second, "90s": 90 * time.Second, "1h30m": 90 * time.Minute, "PT30M": 30 * time.Minute, "pt1h": time.Hour, "P1D": 24 * time.Hour} {
		got, err := settings.Length(text)
		if err != nil || got != want {
			t.Errorf("%q is %v, %v, want %v", text, got, err, want)
		}
		if back, err := settings.Length(settings.ISO(got)); err != nil || back != want {
			t.Errorf("%q comes back as %v, %v", text, back, err)
		}
	}
}
