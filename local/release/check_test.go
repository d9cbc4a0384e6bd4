package main

import (
	"runtime/debug"
	"strings"
	"testing"
)

// body is a section as it has to be.
const body = "What is new.\n\n### New permissions and settings\n\n- None.\n\n### Going back\n\n- Any time.\n"

func TestSectionRefuses(t *testing.T) {
	for name, tt := range map[string]struct{ changelog, want string }{
		"an empty file":               {"", "no section for 0.2.0"},
		"Unreleased alone":            {"# Changes\n\n## Unreleased\n\n" + body, "under Unreleased has to be moved"},
		"others":                      {"## 0.1.0\n\n" + body, "the newest is 0.1.0"},
		"one that begins alike":       {"## 0.2.0-rc.1\n\n" + body, "no section for 0.2.0"},
		"a deeper heading":            {"### 0.2.0\n\n" + body, "no section for 0.2.0"},
		"one that is not the newest":  {"## 0.3.0\n\n" + body + "\n## 0.2.0\n\n" + body, "0.3.0 comes before 0.2.0"},
		"twice":                       {"## 0.2.0\n\n" + body + "\n## 0.2.0\n\n" + body, "two sections for 0.2.0"},
		"something is left":           {"## Unreleased\n\n- More.\n\n## 0.2.0\n\n" + body, "under Unreleased is in this commit too"},
		"an empty one":                {"## 0.2.0\n\n## 0.1.0\n\n" + body, `nothing under "### New permissions and settings"`},
		"nothing of permissions":      {"## 0.2.0\n\n" + strings.Replace(body, "### New permissions and settings", "### New", 1), `nothing under "### New permissions and settings"`},
		"nothing below going back":    {"## 0.2.0\n\n" + strings.Replace(body, "- Any time.\n", "", 1), `nothing under "### Going back"`},
		"nothing but another heading": {"## 0.2.0\n\n" + strings.Replace(body, "- None.\n", "", 1), `nothing under "### New permissions and settings"`},
	} {
		if got, err := section(tt.changelog, "0.2.0"); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %q, %v; want an error that says %q", name, got, err, tt.want)
		}
	}
}

func TestSection(t *testing.T) {
	for name, changelog := range map[string]string{
		"alone":     "# Changes\n\n## 0.2.0\n\n" + body,
		"dated":     "# Changes\n\n## 0.2.0 - 2026-12-01\n\n" + body + "\n## 0.1.0 - 2026-11-01\n\nOlder.\n",
		"the first": "# Changes\n\n## Unreleased\n\n## 0.2.0\n\n" + body + "\n## 0.1.0\n\nOlder.\n",
	} {
		if got, err := section(changelog, "0.2.0"); err != nil || got != body {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// TestStamp checks that what is released says of itself what the tag says.
func TestStamp(t *testing.T) {
	r := &release{tag: "v0.2.0", commit: "c0ffee"}
	stamp := func(version, commit, modified string) *debug.BuildInfo {
		return &debug.BuildInfo{Main: debug.Module{Version: version}, Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: commit}, {Key: "vcs.modified", Value: modified}}}
	}
	for name, info := range map[string]*debug.BuildInfo{
		"built without git":       {Main: debug.Module{Version: "(devel)"}},
		"the version alone":       {Main: debug.Module{Version: "v0.2.0"}},
		"of a commit with no tag": stamp("v0.0.0-20261130082334-c0ffee", "c0ffee", "false"),
		"of changed files":        stamp("v0.2.0+dirty", "c0ffee", "true"),
		"said to be changed":      stamp("v0.2.0", "c0ffee", "true"),
		"of another commit":       stamp("v0.2.0", "decaf", "false"),
	} {
		if r.checkStamp(info) == nil {
			t.Errorf("%s: taken for v0.2.0", name)
		}
	}
	if err := r.checkStamp(stamp("v0.2.0", "c0ffee", "false")); err != nil {
		t.Error(err)
	}
}
