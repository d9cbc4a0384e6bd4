package portal_test

import (
	"net/url"
	"strings"
	"testing"
)

// TestPrefill: a link fills the form in and asks for nothing; what cannot be as it says is marked beside its field.
func TestPrefill(t *testing.T) {
	s := newSite(t)
	s.enable()
	writes := s.cloud.Writes()
	for _, tc := range []struct {
		name, query string
		holds       []string
		lacks       []string
	}{
		{"a port that is in no policy", "&port=8443", []string{"Port &#34;8443&#34; of the link is in no policy of these machines."}, []string{`data-port="22" checked`}},
		{"no port at all", "&port=ssh", []string{"&#34;ssh&#34; of the link is in no policy"}, nil},
		{"longer than the maximum", "&port=22&for=5h", []string{`value="5 h"`, `id="wrong-for-0-22">5 h is longer than the 3 h`}, []string{`id="wrong-for-0-3389"`}},
		{"no length", "&for=soon", []string{`value="soon"`, `id="wrong-for-0-22">&#34;soon&#34; is not a length of time`}, nil},
		{"a justification that is too long", "&why=" + strings.Repeat("x", 1001), []string{"Nothing is opened yet.", `aria-invalid="true"`}, nil},
		{"markup", "&why=" + url.QueryEscape(`"><script>`), []string{`&#34;&gt;&lt;script&gt;`}, []string{`"><script>`}},
		{"more ports than a link may choose", "&port=" + strings.Repeat("1,", 60) + "22", nil, []string{`data-port="22" checked`}},
		{"what a form sends", "&intent=open&source=all&port-0-3389=on", []string{`data-port="22" checked`}, []string{`data-port="3389" checked`, `id="source-all" checked`}},
		{"port, length and why", "&port=3389&for=1h30m&why=restart%2C+the+shop", []string{`data-port="3389" checked`, `value="1 h 30 min"`, `>restart, the shop</textarea>`}, []string{`data-port="22" checked`, "Nothing is opened"}},
		{"two ports", "&port=22,3389&for=20+min", []string{`data-port="22" checked`, `data-port="3389" checked`}, []string{`data-port="5985" checked`}},
		{"ports apart", "&port=22&port=3389", []string{`data-port="22" checked`, `data-port="3389" checked`}, nil},
		{"nothing", "", []string{`data-port="22" checked`, `value="1 h"`}, []string{`data-port="3389" checked`, "Nothing is opened"}},
	} {
		p := s.get("request?vm=" + web + tc.query)
		if p.status != 200 {
			t.Errorf("%s: status %d", tc.name, p.status)
		}
		for _, want := range tc.holds {
			if !strings.Contains(p.text, want) {
				t.Errorf("%s: no %q in %s", tc.name, want, p.text)
			}
		}
		for _, bad := range tc.lacks {
			if strings.Contains(p.text, bad) {
				t.Errorf("%s: there is %q", tc.name, bad)
			}
		}
	}
	if s.cloud.Writes() != writes || strings.Contains(s.get("open").text, `id="close-`) {
		t.Error("a link has opened something")
	}
}
