package thirdparty

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

const (
	mit  = "Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files (the \"Software\"), to deal in the Software without restriction, including without limitation the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is furnished to do so, subject to the following conditions:\n\nThe above copyright notice and this permission notice shall be included in all copies or substantial portions of the Software.\n\nTHE SOFTWARE IS PROVIDED \"AS IS\", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.\n"
	zero = "Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby granted.\n\nTHE SOFTWARE IS PROVIDED \"AS IS\" AND THE AUTHOR DISCLAIMS ALL WARRANTIES WITH REGARD TO THIS SOFTWARE INCLUDING ALL IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR ANY SPECIAL, DIRECT, INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER RESULTING FROM LOSS OF USE, DATA OR PROFITS, WHETHER IN AN ACTION OF CONTRACT, NEGLIGENCE OR OTHER TORTIOUS ACTION, ARISING OUT OF OR IN CONNECTION WITH THE USE OR PERFORMANCE OF THIS SOFTWARE.\n"
)

// TestRead checks which texts belong to a part, and which part is refused.
func TestRead(t *testing.T) {
	for _, tt := range []struct {
		name    string
		files   map[string]string
		folders []string
		want    string // texts and licences, or what the error says
	}{
		{"nothing", map[string]string{"a.go": ""}, []string{"."}, "no licence file"},
		{"a notice alone", map[string]string{"NOTICE": "made by X", "PATENTS": "granted"}, []string{"."}, "no licence file"},
		{"a source that is called so", map[string]string{"license.go": mit}, []string{"."}, "no licence file"},
		{"a folder that is called so", map[string]string{"LICENSES/a.txt": mit}, []string{"."}, "no licence file"},
		{"a licence beside another package", map[string]string{"a/LICENSE": mit, "b/b.go": ""}, []string{"a", "b"}, `for its folder "b"`},
		{"a text that nobody knows", map[string]string{"LICENSE": "You may do with it on Sundays whatever the authors do not mind."}, []string{"."}, "LICENSE is no licence that is known"},
		{"an empty licence", map[string]string{"LICENSE": ""}, []string{"."}, "LICENSE is no licence that is known"},
		{"at the top", map[string]string{"LICENSE": mit, "a/b/c.go": ""}, []string{"a/b"}, "LICENSE MIT"},
		{"notices and patents", map[string]string{"LICENSE.txt": mit, "NOTICE.txt": "n", "PATENTS": "p", "ThirdPartyNotices.txt": "t"}, []string{"."}, "LICENSE.txt NOTICE.txt PATENTS ThirdPartyNotices.txt MIT"},
		{"another one below", map[string]string{"LICENSE": mit, "a/COPYING": zero, "c/LICENSE": "not linked"}, []string{"a", "."}, "LICENSE a/COPYING 0BSD MIT"},
		{"as the British write", map[string]string{"licence.md": mit}, []string{"."}, "licence.md MIT"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sources := fstest.MapFS{}
			for name, text := range tt.files {
				sources[name] = &fstest.MapFile{Data: []byte(text)}
			}
			p := Part{Name: "example.com/x", Version: "v1"}
			err := p.read(sources, tt.folders)
			if err != nil {
				if !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "example.com/x v1") {
					t.Errorf("error %q, want one that names the part and says %q", err, tt.want)
				}
				return
			}
			var got []string
			for _, text := range p.Texts {
				got = append(got, text.Name)
			}
			if got := strings.Join(append(got, p.Licences...), " "); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// TestOnPage checks that nothing gets onto the page of which nobody says what it is, or whose licence is not beside it.
func TestOnPage(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	for name, tt := range map[string]struct {
		assets fstest.MapFS
		want   string
	}{
		"unknown":    {fstest.MapFS{"assets/alpine/alpine.js": file(""), "assets/alpine/LICENSE": file(mit)}, "web/assets/alpine"},
		"no licence": {fstest.MapFS{"assets/htmx/htmx.min.js": file("")}, "htmx.org"},
	} {
		if _, err := onPage(tt.assets); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one that names %s", name, err, tt.want)
		}
	}
	if parts, err := onPage(fstest.MapFS{"assets/portal.css": file("")}); err != nil || len(parts) != 0 {
		t.Errorf("our own files alone: %v, %v", parts, err)
	}
}

// TestOf builds programs of two modules: what is linked is named, and what is only required is not.
func TestOf(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"app/go.mod": "module example.com/app\n\ngo 1.26\n\nrequire (\n\texample.com/bare v1.0.0\n\texample.com/free v1.2.3\n)\n\n" +
			"replace (\n\texample.com/bare => ../bare\n\texample.com/free => ../free\n)\n",
		"app/main.go":        "package main\n\nimport \"example.com/free/inner\"\n\nfunc main() { inner.F() }\n",
		"app/page/main.go":   "package main\n\nimport (\n\t\"example.com/app/web\"\n\t\"example.com/free/inner\"\n)\n\nfunc main() { inner.F(); web.F() }\n",
		"app/web/web.go":     "package web\n\nfunc F() {}\n",
		"app/bare/main.go":   "package main\n\nimport (\n\t\"example.com/bare\"\n\t\"example.com/free/inner\"\n)\n\nfunc main() { inner.F(); bare.F() }\n",
		"bare/go.mod":        "module example.com/bare\n\ngo 1.26\n",
		"bare/bare.go":       "package bare\n\nfunc F() {}\n",
		"free/go.mod":        "module example.com/free\n\ngo 1.26\n",
		"free/LICENSE":       mit,
		"free/inner/free.go": "package inner\n\nfunc F() {}\n",
		"free/other/x.go":    "package other\n",
		"free/other/LICENSE": "not linked",
	} {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	build := func(pkg string) string {
		t.Helper()
		out := filepath.Join(t.TempDir(), "program")
		cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-o", out, pkg)
		cmd.Dir, cmd.Env = filepath.Join(dir, "app"), append(os.Environ(), "CGO_ENABLED=0")
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", cmd, err, text)
		}
		return out
	}
	if _, err := Of(t.Context(), filepath.Join(dir, "app"), build("./bare")); err == nil || !strings.Contains(err.Error(), "example.com/bare") || strings.Contains(err.Error(), "example.com/free") {
		t.Errorf("a linked module without a licence: %v, want an error that names example.com/bare alone", err)
	}
	for pkg, want := range map[string][]string{
		".":      {"example.com/free [MIT]", "std [BSD-3-Clause]"},
		"./page": {"example.com/free [MIT]", "htmx.org [0BSD]", "std [BSD-3-Clause]"},
	} {
		parts, err := Of(t.Context(), filepath.Join(dir, "app"), build(pkg))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range parts {
			got = append(got, fmt.Sprint(p.Name, " ", p.Licences))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("parts of %s (-want +got):\n%s", pkg, diff)
		}
	}
	if _, err := Of(t.Context(), dir, filepath.Join(dir, "free/LICENSE")); err == nil {
		t.Error("what is no program was taken for one")
	}
}
