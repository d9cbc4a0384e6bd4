package sbom

import (
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-cmp/cmp"

	"portcullis/local/thirdparty"
)

// TestComplete checks that the list of the program's parts and that of their licences are of the same parts, or there is no SBOM.
func TestComplete(t *testing.T) {
	bom := func(names ...string) *cdx.BOM {
		main := cdx.Component{BOMRef: "main", Name: "portcullis"}
		b := &cdx.BOM{Metadata: &cdx.Metadata{Component: &main}, Components: &[]cdx.Component{}, Dependencies: &[]cdx.Dependency{{Ref: "main", Dependencies: &names}}}
		for _, name := range names {
			*b.Components = append(*b.Components, cdx.Component{BOMRef: name, Name: name, Version: "v1"})
		}
		return b
	}
	a, b := thirdparty.Part{Name: "a", Version: "v1", Licences: []string{"MIT"}}, thirdparty.Part{Name: "b", Version: "v1", Licences: []string{"Apache-2.0", "BSD-3-Clause"}}
	page := thirdparty.Part{Name: "htmx.org", Version: "2.0.0", NPM: true, Licences: []string{"0BSD"}}
	for name, tt := range map[string]struct {
		bom   *cdx.BOM
		parts []thirdparty.Part
		want  string
	}{
		"nothing":            {&cdx.BOM{}, nil, "no component"},
		"one too few":        {bom("a"), []thirdparty.Part{a, b}, "does not name b v1"},
		"one too many":       {bom("a", "b"), []thirdparty.Part{a, page}, "names b v1, which is not linked"},
		"of another version": {bom("a"), []thirdparty.Part{{Name: "a", Version: "v2", Licences: []string{"MIT"}}}, "does not name a v2"},
	} {
		if err := complete(tt.bom, tt.parts); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one that says %q", name, err, tt.want)
		}
	}
	got := bom("b", "a")
	if err := complete(got, []thirdparty.Part{a, b, page}); err != nil {
		t.Fatal(err)
	}
	licences := map[string][]string{}
	for _, c := range *got.Components {
		for _, l := range *c.Licenses {
			licences[c.BOMRef] = append(licences[c.BOMRef], l.License.ID)
		}
	}
	if diff := cmp.Diff(map[string][]string{"a": {"MIT"}, "b": {"Apache-2.0", "BSD-3-Clause"}, "pkg:npm/htmx.org@2.0.0": {"0BSD"}}, licences); diff != "" {
		t.Errorf("licences (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]cdx.Dependency{{Ref: "main", Dependencies: &[]string{"b", "a", "pkg:npm/htmx.org@2.0.0"}}, {Ref: "pkg:npm/htmx.org@2.0.0"}}, *got.Dependencies); diff != "" {
		t.Errorf("dependencies (-want +got):\n%s", diff)
	}
}
